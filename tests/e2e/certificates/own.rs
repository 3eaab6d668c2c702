//! The certificate that a server makes for QUIC, and keeps beside its state file.

use std::time::{Duration, SystemTime};

use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use peersox_proto::v1::{CreatePairingRequest, OpenSessionRequest, Transport};
use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest as _, Sha256};

use super::{beside, mode, over_quic};
use crate::harness::{Server, noise, quiet_port};
use crate::nodes::{Pair, Service};

/// The digests that peers are told for QUIC, which have to be those for WebTransport, too.
async fn digests(server: &Server) -> Vec<Vec<u8>> {
    let mut client = PairingServiceClient::connect(server.url()).await.unwrap();
    let created = client.create_pairing(CreatePairingRequest::default());
    let credential = created.await.unwrap().into_inner().credential;
    let opened = client.open_session(OpenSessionRequest {
        credential,
        ..OpenSessionRequest::default()
    });
    let endpoints = opened.await.unwrap().into_inner().endpoints;
    let of = |transport| {
        let mut endpoints = endpoints.iter();
        let endpoint = endpoints.find(|it| it.transport() == transport).unwrap();
        let hashes = endpoint.certificate_hashes.iter();
        hashes.map(|hash| hash.to_vec()).collect::<Vec<_>>()
    };
    let quic = of(Transport::Quic);
    assert_eq!(quic, of(Transport::Webtransport));
    quic
}

/// The digest of what QUIC presents.
async fn presented(server: &Server) -> Vec<u8> {
    Sha256::digest(over_quic(server).await).to_vec()
}

#[tokio::test]
async fn a_certificate_that_is_kept_is_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").to_str().unwrap().to_owned();
    let options = ["--state", &state];
    let server = Server::start(&options).await;
    let port = server.port;
    let first = digests(&server).await;
    assert_eq!(first, [presented(&server).await]);
    let kept = beside(&state);
    assert_eq!((mode(&kept), mode(kept.join("quic.pem"))), (0o700, 0o600));
    let mut pair = Pair::connect(&server, &server, "quic").await;
    pair.carry(&noise(50_000, 1)).await;
    server.kill().await;
    let server = Server::start_at(port, &options).await;
    assert_eq!(digests(&server).await, first);
    assert_eq!(first, [presented(&server).await]);
    pair.is_connected_again().await;
    pair.carry(&noise(50_000, 2)).await;
    pair.end().await;

    // Without a state file each process has its own.
    let one = digests(&Server::start(&[]).await).await;
    let two = digests(&Server::start(&[]).await).await;
    assert!(one != two && one != first, "{one:?} {two:?}");
}

/// A relay apart keeps nothing else.
#[tokio::test]
async fn a_relay_keeps_its_certificate() {
    let service = Service::new();
    let controls = [service.control().await];
    let (port, state) = (quiet_port(), service.path("relay"));
    let options = ["--state", &*state];
    let start = || service.relay_with(port, "one", &controls, &options);
    let relay = start().await;
    let first = presented(&relay).await;
    relay.kill().await;
    assert_eq!(presented(&start().await).await, first);
    assert!(beside(&state).exists() && !std::fs::exists(&state).unwrap());
}

/// A certificate as a process has kept it that ended a while ago.
fn made_before(age: Duration) -> (String, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let begins = SystemTime::now() - age;
    params.not_before = begins.into();
    params.not_after = (begins + 13 * DAY).into();
    let made = params.self_signed(&key).unwrap();
    let digest = Sha256::digest(made.der()).to_vec();
    (key.serialize_pem() + &made.pem(), digest)
}

#[tokio::test]
async fn a_kept_certificate_is_replaced_before_it_runs_out() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").to_str().unwrap().to_owned();
    let options = ["--state", &state];
    Server::start(&options).await.stop().await;
    let kept = beside(&state).join("quic.pem");

    // Half of its life is over: peers hear of its successor, which is the same after a restart.
    let (pem, old) = made_before(7 * DAY);
    std::fs::write(&kept, pem).unwrap();
    let server = Server::start(&options).await;
    let both = digests(&server).await;
    assert!(both.len() == 2 && both[0] == old, "{both:?}");
    assert_eq!(presented(&server).await, old);
    server.stop().await;
    let server = Server::start(&options).await;
    assert_eq!(digests(&server).await, both);
    server.stop().await;

    // Two thirds are over: the successor is presented.
    let (pem, _) = made_before(9 * DAY);
    std::fs::write(&kept, pem).unwrap();
    let server = Server::start(&options).await;
    assert_eq!(digests(&server).await, both[1..]);
    assert_eq!(presented(&server).await, both[1]);
    server.stop().await;

    // What others may have read is used no more, and neither is half a file.
    let (pem, exposed) = made_before(DAY);
    std::fs::write(&kept, &pem).unwrap();
    let read_by_others = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&kept, read_by_others).unwrap();
    let mut server = Server::start(&options).await;
    let another = presented(&server).await;
    assert!(another != exposed && another != both[1]);
    assert_eq!(mode(&kept), 0o600);
    let record = server.record();
    let said = record.end(server).await;
    assert!(said.contains("others than its owner have access"), "{said}");
    std::fs::write(&kept, &pem[..pem.len() / 2]).unwrap();
    let server = Server::start(&options).await;
    assert_ne!(presented(&server).await, another);
}

const DAY: Duration = Duration::from_secs(24 * 3600);
