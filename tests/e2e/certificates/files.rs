//! Certificate files that somebody renews while a server runs.

use std::process::Stdio;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{Authority, over_quic, over_tcp};
use crate::harness::{Peer, Server, binary, quiet, signal, soon};
use crate::signals::ignores_hang_up;

/// Has a server look at its files: by SIGHUP, or by their change where these tests were started by nohup.
fn ask(server: &Server, authority: &Authority) {
    if !ignores_hang_up() {
        return signal(&server.child, "HUP");
    }
    let content = std::fs::read_to_string(authority.path("key.pem")).unwrap();
    authority.put("key.pem", &content);
}

async fn presents(server: &Server, expected: &CertificateDer<'static>) {
    assert!(over_tcp(server).await == *expected, "over TCP");
    assert!(over_quic(server).await == *expected, "over QUIC");
}

/// Two peers that talk by standard input and output, over a server that they verify.
struct Pair([Peer; 2]);

impl Pair {
    async fn connect(server: &Server, authority: &Authority, transport: &str) -> Self {
        let ca = authority.path("ca.pem");
        let options = ["--ca-cert", &ca, "--transport", transport];
        let mut one = Peer::start(&server.url(), &[&["connect"], &options[..]].concat());
        let code = one.code().await;
        let line = [&["connect", &code], &options[..]].concat();
        let mut two = Peer::start(&server.url(), &line);
        one.event("connected").await;
        two.event("connected").await;
        Self([one, two])
    }

    async fn carry(&mut self, bytes: &[u8]) {
        let [one, two] = &mut self.0;
        let mut taken = vec![0; bytes.len()];
        one.stdin.as_mut().unwrap().write_all(bytes).await.unwrap();
        soon(two.stdout.as_mut().unwrap().read_exact(&mut taken))
            .await
            .unwrap();
        assert_eq!(taken, bytes);
    }

    /// Ends it; neither peer may have lost its leg before.
    async fn was_unbroken(mut self) {
        for peer in &mut self.0 {
            drop(peer.stdin.take());
        }
        for mut peer in self.0 {
            let events = peer.rest().await;
            let lost = events.iter().find(|it| it["event"] == "leg_lost");
            assert_eq!(lost, None, "{events:?}");
        }
    }
}

#[tokio::test]
async fn changed_files_are_presented_and_bad_ones_are_not() {
    let authority = Authority::new();
    let [first, second, third] = [(); 3].map(|()| authority.sign());
    authority.put("cert.pem", &first.cert);
    authority.put("key.pem", &first.key);
    let (cert, key) = (authority.path("cert.pem"), authority.path("key.pem"));
    let mut server = Server::start(&["--tls-cert", &cert, "--tls-key", &key]).await;
    presents(&server, &first.der).await;
    let mut pairs = Vec::new();
    for transport in ["ws", "quic"] {
        pairs.push(Pair::connect(&server, &authority, transport).await);
    }

    // Nobody asks; both change, and are good together.
    authority.put("cert.pem", &second.cert);
    authority.put("key.pem", &second.key);
    let line = server
        .says("the certificate was read again and is in use")
        .await;
    assert!(line.contains("valid_for="), "{line}");
    presents(&server, &second.der).await;

    // The certificate changes, and the key does not.
    authority.put("cert.pem", &third.cert);
    let line = server.says("the former one stays in use").await;
    assert!(
        line.contains("the private key is not that of the certificate"),
        "{line}"
    );
    presents(&server, &second.der).await;

    // Whoever writes it has not got far.
    authority.put("key.pem", &third.key);
    authority.put("cert.pem", &third.cert[..third.cert.len() / 2]);
    ask(&server, &authority);
    let line = server.says("the former one stays in use").await;
    assert!(line.contains("cert.pem"), "{line}");
    presents(&server, &second.der).await;

    // It is gone for a moment, and then there as a whole.
    std::fs::remove_file(&cert).unwrap();
    ask(&server, &authority);
    server.says("the former one stays in use").await;
    presents(&server, &second.der).await;
    authority.put("cert.pem", &third.cert);
    ask(&server, &authority);
    server
        .says("the certificate was read again and is in use")
        .await;
    presents(&server, &third.der).await;

    // Whoever was connected before noticed nothing, and newcomers verify the latest one.
    for mut pair in pairs {
        pair.carry(b"still here").await;
        pair.was_unbroken().await;
    }
    for transport in ["ws", "quic"] {
        let mut late = Pair::connect(&server, &authority, transport).await;
        late.carry(b"new here").await;
        late.was_unbroken().await;
    }
    assert_eq!(server.stop().await.code(), Some(0));
}

/// A server without files has nothing to read again: HUP ends it, as before.
#[tokio::test]
async fn a_server_without_files_ends_by_a_hang_up() {
    if ignores_hang_up() {
        return;
    }
    let mut server = Server::start(&[]).await;
    signal(&server.child, "HUP");
    server.says("stopping").await;
    let status = soon(server.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

/// The terminal of a server is closed: that ends it, whatever it could read again.
#[tokio::test]
async fn a_closed_terminal_ends_a_server_with_files() {
    if ignores_hang_up() {
        return;
    }
    let authority = Authority::new();
    let leaf = authority.sign();
    authority.put("cert.pem", &leaf.cert);
    authority.put("key.pem", &leaf.key);
    let socket = authority.path("admin");
    // The server leads the session, and is the one that hears of its end.
    let line = format!(
        "exec '{}' serve --listen 127.0.0.1:0 --tls-cert '{}' --tls-key '{}' --admin-socket '{socket}'",
        binary().display(),
        authority.path("cert.pem"),
        authority.path("key.pem"),
    );
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]);
    let mut terminal = quiet(&mut command).stdin(Stdio::piped()).spawn().unwrap();
    let mut shown = terminal.stdout.take().unwrap();
    let mut seen = String::new();
    while !seen.contains("PeerSox is ready") {
        let mut piece = [0; 512];
        let read = soon(shown.read(&mut piece)).await.unwrap();
        assert!(read > 0, "it ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert!(std::fs::exists(&socket).unwrap());
    terminal.kill().await.unwrap();
    // A server that stops in good order takes its socket away.
    let ended = async {
        while std::fs::exists(&socket).unwrap() {
            tokio::task::yield_now().await;
        }
    };
    soon(ended).await;
}
