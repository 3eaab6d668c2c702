//! Certificates that a real authority issues and renews.

use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::pebble::Pebble;
use super::{beside, connect, mode, over_quic, over_tcp};
use crate::harness::{Peer, Server, http_get, quiet_port, refuses, signal, soon};
use crate::signals::ignores_hang_up;

/// A server whose certificate comes from `pebble`, and how it is started.
struct Service {
    pebble: Pebble,
    /// The port of TLS and QUIC, and that of HTTP-01.
    ports: [u16; 2],
    folder: TempDir,
}

impl Service {
    /// Nothing where there is no authority.
    async fn new(life: u64) -> Option<Self> {
        let ports = [quiet_port(), quiet_port()];
        let pebble = Pebble::start(ports[1], ports[0], life).await?;
        let folder = tempfile::tempdir().unwrap();
        Some(Self {
            pebble,
            ports,
            folder,
        })
    }

    fn state(&self) -> String {
        self.folder
            .path()
            .join("state")
            .to_str()
            .unwrap()
            .to_owned()
    }

    async fn serve(&self, more: &[&str]) -> Server {
        let root = self.pebble.root();
        self.serve_unvouched(&[&["--acme-root", &root], more].concat())
            .await
    }

    /// Without a word about who vouches for the authority. It listens on every address: which of those of
    /// `localhost` the authority comes to is its own choice.
    async fn serve_unvouched(&self, more: &[&str]) -> Server {
        let (state, directory) = (self.state(), self.pebble.directory());
        let listen = everywhere(self.ports[0]);
        let options = [
            ["--acme", "localhost"],
            ["--state", &state],
            ["--acme-email", "admin@p.example"],
            ["--acme-directory", &directory],
            ["--listen", &listen],
        ]
        .concat();
        Server::start(&[&options[..], more].concat()).await
    }

    /// How peers call it: by the name of its certificate.
    fn url(&self) -> String {
        format!("https://localhost:{}", self.ports[0])
    }
}

fn everywhere(port: u16) -> String {
    match std::net::TcpListener::bind("[::1]:0") {
        Ok(_) => format!("[::]:{port}"),
        Err(_) => format!("0.0.0.0:{port}"),
    }
}

/// Both sockets present the same one.
async fn presented(server: &Server) -> CertificateDer<'static> {
    let over_quic = over_quic(server).await;
    assert!(over_tcp(server).await == over_quic);
    over_quic
}

/// Two renewals by TLS-ALPN-01, each with a challenge on the port that carries two pairs all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_twice_and_nobody_notices() {
    // Renewed six seconds after it was issued.
    let Some(service) = Service::new(9).await else {
        return;
    };
    let mut server = service.serve(&[]).await;
    let issuer = service.pebble.issuer().await;
    let first = presented(&server).await;
    let mut pairs = Vec::new();
    for transport in ["ws", "quic"] {
        let options = ["--ca-cert", &issuer, "--transport", transport];
        let mut answers = Peer::start(&service.url(), &[&["ping"], &options[..]].concat());
        let code = answers.code().await;
        let line = ["ping", &code, "-n", "1000", "-i", "25"];
        let mut asks = Peer::start(&service.url(), &[&line, &options[..]].concat());
        asks.event("connected").await;
        pairs.push((answers, asks));
    }
    let mut seen = vec![first];
    for _ in 0..2 {
        let line = server
            .says("the certificate was renewed and is in use")
            .await;
        assert!(
            line.contains("localhost") && line.contains("valid_for="),
            "{line}"
        );
        let next = presented(&server).await;
        assert!(!seen.contains(&next));
        seen.push(next);
        for (_, asks) in &mut pairs {
            assert_eq!(
                asks.child.try_wait().unwrap(),
                None,
                "it is measuring still"
            );
        }
    }
    for (answers, mut asks) in pairs {
        let said = String::from_utf8(asks.output().await).unwrap();
        assert_eq!(said.matches(r#""event":"pong""#).count(), 1_000);
        assert!(said.contains(r#""count":1000"#), "{said}");
        for mut peer in [answers, asks] {
            let events = peer.rest().await;
            let lost = events.iter().find(|it| it["event"] == "leg_lost");
            assert_eq!(lost, None, "{events:?}");
        }
    }
    assert_eq!(server.stop().await.code(), Some(0));
}

/// By HTTP-01, on a port of its own that sends everybody else to the other one. What was issued is there
/// after a restart, for its owner alone, without the authority.
#[tokio::test]
async fn a_certificate_by_http_is_kept() {
    let Some(mut service) = Service::new(86_400).await else {
        return;
    };
    let http = everywhere(service.ports[1]);
    let mut server = service.serve(&["--acme-http", &http]).await;
    assert!(server.said_before().contains("by=HTTP-01"));
    let first = presented(&server).await;
    let plain = format!("127.0.0.1:{}", service.ports[1]);
    let told = http_get(&plain, "/x").await;
    assert!(told.starts_with("HTTP/1.1 308"), "{told}");
    assert!(
        told.contains(&format!("location: https://{plain}/x")),
        "{told}"
    );
    let unknown = http_get(&plain, "/.well-known/acme-challenge/unknown").await;
    assert!(unknown.starts_with("HTTP/1.1 308"), "{unknown}");
    if !ignores_hang_up() {
        signal(&server.child, "HUP");
        server.says("the certificate is good").await;
    }
    server.stop().await;
    let kept = beside(&service.state());
    assert_eq!(mode(&kept), 0o700);
    let files: Vec<_> = std::fs::read_dir(&kept).unwrap().flatten().collect();
    let names = files.iter().map(|it| it.file_name().into_string().unwrap());
    let of = |ending: &'static str| names.clone().filter(|name| name.ends_with(ending)).count();
    assert_eq!(
        (files.len(), of(".json"), of(".pem")),
        (2, 1, 1),
        "{files:?}"
    );
    for file in &files {
        assert_eq!(mode(file.path()), 0o600, "{file:?}");
    }

    service.pebble.kill().await;
    let server = service.serve(&["--acme-http", &http]).await;
    assert!(presented(&server).await == first);
}

/// By TLS-ALPN-01, on the port of everything else: nobody gets what is for authorities once an order is over.
#[tokio::test]
async fn what_proves_a_name_is_gone_with_its_order() {
    let Some(service) = Service::new(86_400).await else {
        return;
    };
    let server = service.serve(&[]).await;
    assert!(server.said_before().contains("by=TLS-ALPN-01"));
    presented(&server).await;
    let proof = soon(connect(&server, b"acme-tls/1")).await;
    assert!(proof.is_err(), "{proof:?}");
}

/// An authority that is away, and comes back without a memory.
#[tokio::test]
async fn a_failure_is_told_and_tried_again() {
    let Some(mut service) = Service::new(9).await else {
        return;
    };
    service.pebble.kill().await;
    let mut server = service.serve(&[]).await;
    // It was said before the server said where it is, which waits for the first attempt.
    let directory = service.pebble.directory();
    let before = server.said_before();
    for words in [
        "there is no certificate yet",
        "cannot reach 127.0.0.1:",
        "again_in=",
    ] {
        assert!(before.contains(words), "{words}: {before}");
    }
    assert!(before.contains(&directory), "{before}");
    assert!(soon(connect(&server, b"http/1.1")).await.is_err());
    if ignores_hang_up() {
        return;
    }
    service.pebble.restart().await;
    signal(&server.child, "HUP");
    server
        .says("the certificate was obtained and is in use")
        .await;
    let first = presented(&server).await;

    // It is away when the certificate is due: that stays in use, and is renewed with another account.
    service.pebble.kill().await;
    let line = server.says("the certificate was not renewed").await;
    assert!(line.contains("valid_for="), "{line}");
    assert!(presented(&server).await == first);
    service.pebble.restart().await;
    server
        .says("the authority does not know the account any more")
        .await;
    server
        .says("the certificate was renewed and is in use")
        .await;
    assert!(presented(&server).await != first);
}

/// The authority comes to a port where nobody is: the log says by which challenge, and where it came to.
#[tokio::test]
async fn a_name_that_leads_elsewhere_is_told() {
    let Some(mut service) = Service::new(86_400).await else {
        return;
    };
    service.ports[0] = quiet_port();
    let server = service.serve(&[]).await;
    let before = server.said_before();
    for words in ["by TLS-ALPN-01", "at localhost", "port 443", "again_in="] {
        assert!(before.contains(words), "{words}: {before}");
    }
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Whoever sits in between could give out a certificate of its own, and learn of the account.
#[tokio::test]
async fn an_authority_that_nobody_vouches_for_is_not_asked() {
    let Some(service) = Service::new(86_400).await else {
        return;
    };
    let server = service.serve_unvouched(&[]).await;
    let before = server.said_before();
    assert!(before.contains("UnknownIssuer"), "{before}");
    assert!(soon(connect(&server, b"http/1.1")).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_ordered_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name).to_str().unwrap().to_owned();
    let (state, missing, empty) = (path("state"), path("no/state"), path("empty"));
    std::fs::write(&empty, "").unwrap();
    let kept = ["--state", &state];
    let with = |more: &[&'static str]| [&kept[..], more].concat();
    let root = [
        &with(&["--acme", "p.example", "--acme-root"])[..],
        &[&empty],
    ]
    .concat();
    let tls = with(&[
        "--acme",
        "p.example",
        "--tls-cert",
        "c.pem",
        "--tls-key",
        "k.pem",
    ]);
    refuses(&[
        (&["--acme", "p.example"], 2, "--state FILE"),
        (
            &["--acme", "p.example", "--redis", "redis://127.0.0.1:1"],
            2,
            "instead of --redis",
        ),
        (
            &with(&["--acme", "localhost"]),
            2,
            "`localhost` is no public name",
        ),
        (&with(&["--acme", "192.0.2.7"]), 2, "it is an address"),
        (&with(&["--acme", "*.p.example"]), 2, "wildcard"),
        (&with(&["--acme-email", "a@p.example"]), 2, "--acme <NAME>"),
        (
            &with(&["--acme", "p.example", "--acme-email", "admin"]),
            2,
            "--acme-email admin",
        ),
        (
            &with(&["--acme", "p.example", "--acme-directory", "http://ca"]),
            2,
            "--acme-directory http://ca",
        ),
        (&root, 2, "--acme-root"),
        (&tls, 2, "cannot be used with"),
        (&["--acme", "p.example", "--state", &missing], 7, "no/state"),
    ])
    .await;
}
