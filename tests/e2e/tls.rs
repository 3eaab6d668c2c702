//! One certificate for everything: gRPC, WebSocket and QUIC.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Peer, Server};

#[tokio::test]
async fn peers_verify_the_server_over_both_transports() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: String| {
        let path = dir.path().join(name);
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
    let ca = file("ca.pem", authority.pem());
    let (cert, key) = (
        file("cert.pem", leaf.pem()),
        file("key.pem", key.serialize_pem()),
    );

    let server = Server::start(&["--tls-cert", &cert, "--tls-key", &key]).await;
    for transport in ["quic", "ws"] {
        let options = ["--ca-cert", &ca, "--transport", transport];
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
}
