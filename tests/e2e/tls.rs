//! One certificate for everything: gRPC, WebSocket and QUIC.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Peer, Server};

/// A certificate for 127.0.0.1, its key, and the authority that signed it, as files in PEM.
pub struct Certificates {
    pub ca: String,
    pub cert: String,
    pub key: String,
    _folder: TempDir,
}

impl Certificates {
    pub fn of_loopback() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        Self {
            ca: file("ca.pem", authority.pem()),
            cert: file("cert.pem", leaf.pem()),
            key: file("key.pem", key.serialize_pem()),
            _folder: folder,
        }
    }
}

#[tokio::test]
async fn peers_verify_the_server_over_both_transports() {
    let Certificates { ca, cert, key, .. } = &Certificates::of_loopback();
    let server = Server::start(&["--tls-cert", cert, "--tls-key", key]).await;
    for transport in ["quic", "ws"] {
        let options = ["--ca-cert", ca, "--transport", transport];
        let mut initiator = Peer::start(&server.url(), &[&["connect"], &options[..]].concat());
        let code = initiator.code().await;
        let mut joiner = Peer::start(&server.url(), &[&["connect", &code], &options[..]].concat());
        joiner.event("connected").await;
        initiator
            .stdin
            .take()
            .unwrap()
            .write_all(b"verified")
            .await
            .unwrap();
        assert_eq!(joiner.output().await, b"verified");
    }

    let (exit, said) = Peer::start(&server.url(), &["connect"]).end().await;
    assert_eq!(
        exit, 5,
        "a stranger to the authority does not connect: {said}"
    );
    assert!(said.contains("--ca-cert"), "{said}");
    // The port sends who speaks http there to https.
    let http = server.url().replace("https:", "http:");
    let (exit, said) = Peer::start(&http, &["connect"]).end().await;
    assert_eq!(exit, 5, "{said}");
    let hint = format!("try --server {}", server.url());
    assert!(said.contains(&hint), "{said}");
}
