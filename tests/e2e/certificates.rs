//! Certificates that change while a server runs, and those that have to be there after a restart.

mod acme;
mod files;
mod own;
mod pebble;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::floods::legs;
use crate::harness::{Server, soon};

/// A certificate authority, and a folder for what it signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate for this machine's loopback, and its key, in PEM.
pub struct Leaf {
    der: CertificateDer<'static>,
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { issuer, folder }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Puts a file into the place of another in one step.
    pub fn put(&self, name: &str, content: &str) {
        let begun = self.path("begun");
        std::fs::write(&begun, content).unwrap();
        std::fs::rename(&begun, self.path(name)).unwrap();
    }

    pub fn sign(&self) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let leaf = CertificateParams::new(names).unwrap();
        let leaf = leaf.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            der: leaf.der().clone(),
            cert: leaf.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A connection of TLS over TCP that takes any certificate.
async fn connect(server: &Server, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut tls = legs::trusting();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(server.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(tls)).connect(name, tcp).await
}

/// The certificate that a server presents over TCP.
async fn over_tcp(server: &Server) -> CertificateDer<'static> {
    let stream = soon(connect(server, b"http/1.1")).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

/// The certificate that a server presents over QUIC.
async fn over_quic(server: &Server) -> CertificateDer<'static> {
    let endpoint = legs::client(Ipv4Addr::LOCALHOST);
    let address = (Ipv4Addr::LOCALHOST, server.port).into();
    let connecting = endpoint.connect(address, "localhost").unwrap();
    let connection = soon(connecting).await.unwrap();
    let chain = connection.peer_identity().unwrap();
    let chain = chain.downcast::<Vec<CertificateDer<'static>>>().unwrap();
    chain[0].clone()
}

/// The head of the answer to a request for `/`, over TLS.
async fn head(server: &Server, host: &str) -> String {
    let mut stream = soon(connect(server, b"http/1.1")).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    // The page may be longer than what is read before the other side hangs up.
    let _ = soon(stream.read_to_string(&mut told)).await;
    let (head, _) = told.split_once("\r\n\r\n").unwrap();
    head.to_owned()
}

/// The permissions of a file.
fn mode(path: impl AsRef<Path>) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    let found = std::fs::metadata(path).unwrap();
    found.permissions().mode() & 0o777
}

/// The folder of certificates beside a state file.
fn beside(state: &str) -> PathBuf {
    PathBuf::from(format!("{state}.tls"))
}

#[tokio::test]
async fn browsers_are_asked_to_insist_on_tls() {
    let authority = Authority::new();
    let leaf = authority.sign();
    authority.put("c.pem", &leaf.cert);
    authority.put("k.pem", &leaf.key);
    let (cert, key) = (authority.path("c.pem"), authority.path("k.pem"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    for (options, host, expected) in [
        (&[][..], "p.example", Some("max-age=2592000")),
        (&[], "localhost", None),
        (&["--hsts-max-age", "60"], "p.example", Some("max-age=60")),
        (&["--hsts-max-age", "0"], "p.example", Some("max-age=0")),
    ] {
        let server = Server::start(&[&tls[..], options].concat()).await;
        let head = head(&server, host).await;
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut told = lines.filter(|(name, _)| *name == "strict-transport-security");
        assert_eq!(told.next().map(|(_, value)| value), expected, "{head}");
    }
    // Over plain HTTP a browser would not believe it.
    let plain = Server::start(&[]).await;
    let told = crate::harness::http_get(&plain.address(), "/").await;
    assert!(!told.contains("strict-transport-security"), "{told}");
}
