//! Codes of which the initiator asked to have a say in who comes in.

use std::time::Duration;

use peersox_control::Config;
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_proto::v1::*;
use prost::Message as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::harness::*;
use crate::web::{WEB, framed, post, raw, unframed};
use PairingEvent::*;

type Credential = bytes::Bytes;

async fn guarded(client: &mut Client) -> CreatePairingResponse {
    let request = CreatePairingRequest {
        secret_bits: 20,
        ephemeral: true,
        confirm: true,
    };
    let created = client.create_pairing(request).await.unwrap().into_inner();
    assert!(created.confirm, "the server says that it knows it");
    created
}

async fn join_as(
    client: &mut Client,
    created: &CreatePairingResponse,
    label: &str,
) -> Result<JoinPairingResponse, Status> {
    let request = JoinPairingRequest {
        nameplate: created.nameplate.clone(),
        ephemeral: true,
        label: label.to_owned(),
    };
    let reply = client.join_pairing(request).await;
    reply.map(tonic::Response::into_inner)
}

async fn answer(client: &mut Client, credential: &Credential, let_in: bool) -> Result<(), Status> {
    let credential = credential.clone();
    let request = ConfirmJoinRequest { credential, let_in };
    client.confirm_join(request).await.map(drop)
}

async fn open(client: &mut Client, credential: &Credential) -> Result<OpenSessionResponse, Status> {
    let request = OpenSessionRequest {
        credential: credential.clone(),
        ..Default::default()
    };
    let reply = client.open_session(request).await;
    reply.map(tonic::Response::into_inner)
}

/// A call that waits for the answer.
fn opening(
    client: &Client,
    credential: &Credential,
) -> JoinHandle<Result<OpenSessionResponse, Status>> {
    let (mut client, credential) = (client.clone(), credential.clone());
    tokio::spawn(async move { open(&mut client, &credential).await })
}

async fn watch(client: &mut Client, credential: &Credential) -> Streaming<WatchPairingResponse> {
    let credential = credential.clone();
    let reply = client.watch_pairing(WatchPairingRequest { credential });
    reply.await.unwrap().into_inner()
}

async fn next(events: &mut Streaming<WatchPairingResponse>) -> WatchPairingResponse {
    let told = tokio::time::timeout(Duration::from_secs(10), events.message());
    let told = told.await.expect("something is told");
    told.unwrap().expect("the stream goes on")
}

fn joined(label: &str, unconfirmed: bool) -> WatchPairingResponse {
    WatchPairingResponse {
        event: Joined.into(),
        joiner_label: label.to_owned(),
        unconfirmed,
    }
}

fn only(event: PairingEvent) -> WatchPairingResponse {
    WatchPairingResponse {
        event: event.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn nothing_is_told_and_no_ticket_given_before_the_yes() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = guarded(&mut client).await;
    let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
    let report = |role, online| server.control.report_presence(id, role, online);
    let mut initiator = watch(&mut client, &created.credential).await;
    assert_eq!(next(&mut initiator).await, only(Waiting));
    assert!(open(&mut client, &created.credential).await.is_ok());
    report(Role::Initiator, true).await.unwrap();

    let joiner = join_as(&mut client, &created, "Anna’s laptop")
        .await
        .unwrap();
    assert!(joiner.unconfirmed);
    assert_eq!(next(&mut initiator).await, joined("Anna’s laptop", true));
    let mut theirs = watch(&mut client, &joiner.credential).await;
    assert_eq!(next(&mut theirs).await, joined("Anna’s laptop", true));
    // The initiator comes and goes.
    for online in [false, true, false, true] {
        report(Role::Initiator, online).await.unwrap();
    }
    let seen = view(&mut client, &joiner.credential).await.unwrap();
    assert!(
        seen.joined && seen.unconfirmed && !seen.peer_online,
        "{seen:?}"
    );
    let seen = view(&mut client, &created.credential).await.unwrap();
    assert!(seen.joined && seen.unconfirmed, "{seen:?}");
    assert_eq!(seen.joiner_label, "Anna’s laptop");
    let waiting = opening(&client, &joiner.credential);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "the call is kept");

    answer(&mut client, &created.credential, true)
        .await
        .unwrap();
    let opened = waiting.await.unwrap().unwrap();
    let claims = server
        .verifier
        .verify(&opened.ticket, server.now())
        .unwrap();
    assert_eq!((claims.session, claims.role), (id, Role::Joiner));
    assert_eq!(next(&mut initiator).await, only(Confirmed));
    // What was told meanwhile of the initiator's coming and going is not made up for.
    for expected in [Confirmed, PeerOnline] {
        assert_eq!(next(&mut theirs).await, only(expected));
    }
    let seen = view(&mut client, &joiner.credential).await.unwrap();
    assert!(seen.peer_online && !seen.unconfirmed, "{seen:?}");
    let mut late = watch(&mut client, &created.credential).await;
    assert_eq!(next(&mut late).await, joined("Anna’s laptop", false));
    answer(&mut client, &created.credential, true)
        .await
        .unwrap();
    assert!(open(&mut client, &joiner.credential).await.is_ok());
}

#[tokio::test]
async fn a_no_ends_the_call_that_waits_and_the_pairing() {
    let mut server = Server::start().await;
    let mut client = server.client().await;
    let created = guarded(&mut client).await;
    let mut initiator = watch(&mut client, &created.credential).await;
    assert_eq!(next(&mut initiator).await, only(Waiting));
    let joiner = join_as(&mut client, &created, "").await.unwrap();
    assert_eq!(next(&mut initiator).await, joined("", true));
    let mut theirs = watch(&mut client, &joiner.credential).await;
    assert_eq!(next(&mut theirs).await, joined("", true));
    let waiting = opening(&client, &joiner.credential);
    // Until the call has taken its place.
    tokio::time::sleep(Duration::from_millis(300)).await;
    answer(&mut client, &created.credential, false)
        .await
        .unwrap();
    let (code, reason, _) = told(&waiting.await.unwrap().unwrap_err());
    assert_eq!(
        (code, reason.as_str()),
        (Code::PermissionDenied, "NOT_LET_IN")
    );
    for events in [&mut initiator, &mut theirs] {
        assert_eq!(next(events).await, only(Revoked));
        assert_eq!(events.message().await.unwrap(), None);
    }
    let revoked = server.revoked.recv().await;
    assert_eq!(revoked.unwrap().as_bytes()[..], created.pairing_id[..]);
    for credential in [&joiner.credential, &created.credential] {
        let status = open(&mut client, credential).await.unwrap_err();
        assert_eq!(told(&status).1, "CREDENTIAL_INVALID");
    }
    let again = join_as(&mut client, &created, "").await.unwrap_err();
    assert_eq!(told(&again).1, "CODE_NOT_FOUND");
}

#[tokio::test]
async fn no_answer_in_time_is_a_no() {
    let mut config = Config::default();
    config.pairing.confirm_ttl = Duration::from_millis(1500);
    let server = Server::in_real_time(config).await;
    let mut client = server.client().await;
    let created = guarded(&mut client).await;
    let mut initiator = watch(&mut client, &created.credential).await;
    let joiner = join_as(&mut client, &created, "x").await.unwrap();
    let status = opening(&client, &joiner.credential)
        .await
        .unwrap()
        .unwrap_err();
    let (code, reason, _) = told(&status);
    assert_eq!(
        (code, reason.as_str()),
        (Code::PermissionDenied, "NOT_LET_IN")
    );
    for expected in [only(Waiting), joined("x", true), only(Expired)] {
        assert_eq!(next(&mut initiator).await, expected);
    }
    let late = answer(&mut client, &created.credential, true).await;
    assert_eq!(told(&late.unwrap_err()).1, "CREDENTIAL_INVALID");
}

/// Who waits asks again when it is told to, and no sooner; a client that is too old to know why waits, too.
#[tokio::test]
async fn a_call_that_waits_ends_in_time_and_says_when_to_call_again() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = guarded(&mut client).await;
    let joiner = join_as(&mut client, &created, "x").await.unwrap();
    let mut request = tonic::Request::new(OpenSessionRequest {
        credential: joiner.credential.clone(),
        ..Default::default()
    });
    let patience = "1S".parse().unwrap();
    request.metadata_mut().insert("grpc-timeout", patience);
    let began = Instant::now();
    let status = client.open_session(request).await.unwrap_err();
    let (code, reason, wait) = told(&status);
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "UNCONFIRMED"));
    assert_eq!(wait, Some(Duration::from_millis(500)));
    let took = began.elapsed();
    assert!(took > Duration::from_millis(700), "{took:?}");
    // Those that find no place are told at once to come a little later.
    let mut open_watches = Vec::new();
    for _ in 0..8 {
        open_watches.push(watch(&mut client, &joiner.credential).await);
    }
    let status = open(&mut client, &joiner.credential).await.unwrap_err();
    let (_, reason, wait) = told(&status);
    assert_eq!(reason, "UNCONFIRMED");
    assert_eq!(wait, Some(Duration::from_secs(2)));
    // Of another pairing, whose places are free.
    let created = guarded(&mut client).await;
    let joiner = join_as(&mut client, &created, "x").await.unwrap();
    let waiting = opening(&client, &joiner.credential);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "the call is kept");
    server.control.stop();
    assert_eq!(told(&waiting.await.unwrap().unwrap_err()).1, "DRAINING");
}

#[tokio::test]
async fn only_the_initiator_answers_and_only_a_question() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = guarded(&mut client).await;
    let nobody = (Code::FailedPrecondition, "NOBODY_ASKED".to_owned(), None);
    for let_in in [true, false] {
        let status = answer(&mut client, &created.credential, let_in).await;
        assert_eq!(told(&status.unwrap_err()), nobody);
    }
    let joiner = join_as(&mut client, &created, "x").await.unwrap();
    for let_in in [true, false] {
        let status = answer(&mut client, &joiner.credential, let_in).await;
        let (code, reason, _) = told(&status.unwrap_err());
        assert_eq!(
            (code, reason.as_str()),
            (Code::PermissionDenied, "NOT_INITIATOR")
        );
    }
    answer(&mut client, &created.credential, true)
        .await
        .unwrap();
    let late = answer(&mut client, &created.credential, false).await;
    assert_eq!(told(&late.unwrap_err()), nobody);
    let mut bytes = created.credential.to_vec();
    bytes[47] ^= 1;
    let status = answer(&mut client, &bytes.into(), true).await.unwrap_err();
    assert_eq!(told(&status).1, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_label_that_is_none_costs_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    assert!(!created.confirm);
    // More than a host may fail.
    for _ in 0..10 {
        for bad in ["\u{1b}[2J", "a\nb", "\u{9b}1A", "x".repeat(65).as_str()] {
            let status = join_as(&mut client, &created, bad).await.unwrap_err();
            assert_eq!(
                told(&status),
                (Code::InvalidArgument, "LABEL_INVALID".to_owned(), None)
            );
            let details = status.get_error_details();
            let violations = &details.bad_request().unwrap().field_violations;
            assert_eq!(violations[0].field, "label");
            assert!(violations[0].description.contains("64"), "{violations:?}");
        }
    }
    // Who joins an open code may say who it is, and comes in.
    let mut initiator = watch(&mut client, &created.credential).await;
    let joiner = join_as(&mut client, &created, "laptop").await.unwrap();
    assert!(!joiner.unconfirmed);
    for expected in [only(Waiting), joined("laptop", false)] {
        assert_eq!(next(&mut initiator).await, expected);
    }
    assert!(open(&mut client, &joiner.credential).await.is_ok());
}

/// A client that was built before any of this joins without a label, and sees a call that takes its time.
#[tokio::test]
async fn an_older_joiner_is_let_in_too() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = guarded(&mut client).await;
    // `nameplate` alone, byte for byte as it was sent then.
    let old = [&[0x0a, 6][..], created.nameplate.as_bytes()].concat();
    assert_eq!(created.nameplate.len(), 6);
    let old = JoinPairingRequest::decode(&old[..]).unwrap();
    let (_, reply) = raw(server.address, &post("JoinPairing", WEB), &framed(&old)).await;
    let joiner = JoinPairingResponse::decode(unframed(&reply).0.unwrap()).unwrap();
    let body = framed(&OpenSessionRequest {
        credential: joiner.credential,
        ..Default::default()
    });
    let address = server.address;
    let waiting = tokio::spawn(async move { raw(address, &post("OpenSession", WEB), &body).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let body = framed(&ConfirmJoinRequest {
        credential: created.credential,
        let_in: true,
    });
    let (_, reply) = raw(server.address, &post("ConfirmJoin", WEB), &body).await;
    assert!(unframed(&reply).1.contains("grpc-status:0"));
    let (_, reply) = waiting.await.unwrap();
    let opened = OpenSessionResponse::decode(unframed(&reply).0.unwrap()).unwrap();
    assert!(!opened.ticket.is_empty());
}
