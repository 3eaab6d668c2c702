//! `WatchPairing`.

use std::time::Duration;

use peersox_control::Config;
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_proto::v1::*;
use tonic::{Code, Status, Streaming};

use crate::harness::*;
use PairingEvent::*;

type Events = Streaming<WatchPairingResponse>;

async fn watch(client: &mut Client, credential: &bytes::Bytes) -> Result<Events, Status> {
    let credential = credential.clone();
    let reply = client.watch_pairing(WatchPairingRequest { credential });
    reply.await.map(tonic::Response::into_inner)
}

async fn next(events: &mut Events) -> PairingEvent {
    events
        .message()
        .await
        .unwrap()
        .expect("the stream goes on")
        .event()
}

#[tokio::test]
async fn each_side_is_told_what_happens_in_order() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
    let report = |role, online| server.control.report_presence(id, role, online);
    let mut initiator = watch(&mut client, &created.credential).await.unwrap();
    assert_eq!(next(&mut initiator).await, Waiting);
    report(Role::Initiator, true).await.unwrap();
    let joined = join(&mut client, &created.nameplate).await.unwrap();
    let mut joiner = watch(&mut client, &joined.credential).await.unwrap();
    for expected in [Joined, PeerOnline] {
        assert_eq!(next(&mut joiner).await, expected);
    }
    for (role, online) in [
        (Role::Joiner, true),
        (Role::Joiner, true),
        (Role::Joiner, false),
        (Role::Initiator, false),
        (Role::Joiner, true),
    ] {
        report(role, online).await.unwrap();
    }
    assert!(
        view(&mut client, &created.credential)
            .await
            .unwrap()
            .peer_online
    );
    delete(&mut client, &created.credential).await.unwrap();
    for expected in [Joined, PeerOnline, PeerOffline, PeerOnline, Revoked] {
        assert_eq!(next(&mut initiator).await, expected);
    }
    for expected in [PeerOffline, Revoked] {
        assert_eq!(next(&mut joiner).await, expected);
    }
    for mut ended in [initiator, joiner] {
        assert_eq!(ended.message().await.unwrap(), None);
    }
    // The relay may speak of what is gone.
    report(Role::Joiner, false).await.unwrap();
    let status = watch(&mut client, &joined.credential).await.unwrap_err();
    assert_eq!(told(&status).1, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_code_lives_while_its_creator_watches() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    let mut events = watch(&mut client, &created.credential).await.unwrap();
    assert_eq!(next(&mut events).await, Waiting);
    for _ in 0..360 {
        server.pass(Duration::from_secs(10));
        server.control.sweep().await;
    }
    assert!(join(&mut client, &created.nameplate).await.is_ok());
    assert_eq!(next(&mut events).await, Joined);
}

/// As a creator does that is killed: the system closes its connections, and nobody withdraws the code.
#[tokio::test]
async fn a_code_dies_its_time_after_its_creator() {
    for (late, works) in [(125, true), (135, false)] {
        let server = Server::start().await;
        let mut client = server.client().await;
        let created = create(&mut client).await;
        let mut events = watch(&mut client, &created.credential).await.unwrap();
        assert_eq!(next(&mut events).await, Waiting);
        for _ in 0..60 {
            server.pass(Duration::from_secs(10));
            server.control.sweep().await;
        }
        drop(events);
        // The server hears of it when the reset arrives; then nobody watches any more.
        while server.control.watches() > 0 {
            tokio::task::yield_now().await;
        }
        server.control.sweep().await;
        server.pass(Duration::from_secs(late));
        server.control.sweep().await;
        let joined = join(&mut client, &created.nameplate).await;
        assert_eq!(joined.is_ok(), works, "{late} s");
    }
}

/// Nobody watches: the initiator's leg is a sign of life, too. The joiner's is none before it joined.
#[tokio::test]
async fn a_code_lives_while_its_creator_is_attached() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    let id = PairingId::try_from(&created.pairing_id[..]).unwrap();
    let report = |online| server.control.report_presence(id, Role::Initiator, online);
    report(true).await.unwrap();
    for _ in 0..360 {
        server.pass(Duration::from_secs(10));
        server.control.sweep().await;
    }
    report(false).await.unwrap();
    server.pass(Duration::from_secs(129));
    server.control.sweep().await;
    assert!(join(&mut client, &created.nameplate).await.is_ok());
}

#[tokio::test]
async fn a_call_of_its_creator_prolongs_a_code() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let created = create(&mut client).await;
    for _ in 0..30 {
        server.pass(Duration::from_secs(120));
        let until = view(&mut client, &created.credential).await.unwrap();
        let end = i64::try_from(server.now().as_millis()).unwrap() + 130_000;
        assert_eq!(until.restorable_until_millis, end);
    }
    assert!(join(&mut client, &created.nameplate).await.is_ok());
}

#[tokio::test]
async fn an_expired_pairing_ends_its_watches() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let waiting = create(&mut client).await;
    let mut events = watch(&mut client, &waiting.credential).await.unwrap();
    assert_eq!(next(&mut events).await, Waiting);
    server.pass(Duration::from_secs(24 * 3600));
    server.control.sweep().await;
    assert_eq!(next(&mut events).await, Expired);
    assert_eq!(events.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_watch_notices_by_itself_that_time_is_over() {
    let mut config = Config::default();
    config.pairing.code_ttl = Duration::from_millis(1200);
    config.pairing.code_max = Duration::from_millis(1200);
    config.pairing.unkept_ttl = Duration::from_millis(2200);
    let server = Server::in_real_time(config).await;
    let mut client = server.client().await;
    let waiting = create(&mut client).await;
    let other = create(&mut client).await;
    let mut one = watch(&mut client, &waiting.credential).await.unwrap();
    let mut two = watch(&mut client, &other.credential).await.unwrap();
    join(&mut client, &other.nameplate).await.unwrap();
    for expected in [Waiting, Expired] {
        assert_eq!(next(&mut one).await, expected);
    }
    assert!(view(&mut client, &other.credential).await.is_ok());
    for expected in [Waiting, Joined, Expired] {
        assert_eq!(next(&mut two).await, expected);
    }
}

#[tokio::test]
async fn the_number_of_watches_is_bounded() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let credential = create(&mut client).await.credential;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut events = watch(&mut client, &credential).await.unwrap();
        assert_eq!(next(&mut events).await, Waiting);
        open.push(events);
    }
    let status = watch(&mut client, &credential).await.unwrap_err();
    let (code, reason, wait) = told(&status);
    assert_eq!(
        (code, reason.as_str()),
        (Code::ResourceExhausted, "WATCHES_EXHAUSTED")
    );
    assert!(wait.is_some());
    drop(open);
    // The server hears of it when the reset arrives.
    let again = async {
        while watch(&mut client, &credential).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(10), again).await;
    again.expect("closing a watch makes room");
}

#[tokio::test]
async fn a_stopping_server_and_an_impatient_caller_end_a_watch() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let credential = create(&mut client).await.credential;

    let message = WatchPairingRequest {
        credential: credential.clone(),
    };
    let mut request = tonic::Request::new(message);
    let patience = "200m".parse().unwrap();
    request.metadata_mut().insert("grpc-timeout", patience);
    let mut events = client.watch_pairing(request).await.unwrap().into_inner();
    assert_eq!(next(&mut events).await, Waiting);
    let status = events.message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    let mut events = watch(&mut client, &credential).await.unwrap();
    assert_eq!(next(&mut events).await, Waiting);
    server.control.stop();
    let (code, reason, _) = told(&events.message().await.unwrap_err());
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "DRAINING"));
    server.control.keep_house().await;
}
