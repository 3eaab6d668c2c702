//! Lost legs, their return, and every way a session ends.

use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_proto::v1::{self, notice::Kind};
use peersox_relay::{Config, PresenceEvent, Refusal, Transport};

use crate::support::{EVERY_PAIR, Over, Server, brief, fresh, patiently};

fn online() -> Kind {
    Kind::PeerOnline(v1::PeerOnline {})
}

fn away(grace_millis: u32) -> Kind {
    Kind::PeerAway(v1::PeerAway { grace_millis })
}

#[tokio::test]
async fn a_lost_leg_is_parked_and_resumed_with_what_was_sent_meanwhile() {
    let server = Server::start(Config::default()).await;
    for pair in EVERY_PAIR {
        let (mut one, two, session) = server.pair(pair).await;
        // 1001 is a page that reloads: not done, lost.
        two.hang_up(1001).await;
        assert_eq!(one.notice().await, away(30_000));
        let meanwhile = Frame::new(Lane::Reliable, b"meanwhile");
        let signal = Frame::new(Lane::Signal, b"candidate");
        one.send(meanwhile.clone()).await;
        one.send(signal.clone()).await;

        let (mut two, welcome) = server.attach(pair.1, session, Role::Joiner).await;
        assert!(welcome.resumed && welcome.peer_online);
        assert_eq!(one.notice().await, online());
        let mut got = [two.recv().await, two.recv().await];
        got.sort_by_key(|frame| frame.lane() as u8);
        assert_eq!(got, [meanwhile, signal], "{pair:?}");
    }
}

#[tokio::test]
async fn a_connection_that_just_vanishes_is_lost_too() {
    let server = Server::start(brief()).await;
    let standing = || server.relay.snapshot().sessions;
    let (mut one, two, session) = server.pair((Over::Ws, Over::Ws)).await;
    assert_eq!(standing(), [0, 1, 0], "live");
    drop(two);
    assert_eq!(one.notice().await, away(200));
    assert_eq!(standing(), [0, 0, 1], "parked");
    assert_eq!(one.closed().await, Some(CloseReason::PeerLost));
    let _new = server.attach(Over::Ws, session, Role::Initiator).await;
    assert_eq!(standing(), [1, 0, 0], "waiting");
}

#[tokio::test]
async fn when_grace_is_over_the_other_is_hung_up_and_the_session_is_new() {
    let server = Server::start(brief()).await;
    for pair in EVERY_PAIR {
        let (mut one, two, session) = server.pair(pair).await;
        two.hang_up(1000).await;
        assert_eq!(one.notice().await, away(200));
        assert_eq!(one.closed().await, Some(CloseReason::PeerLost), "{pair:?}");
        let (_one, welcome) = server.attach(pair.0, session, Role::Initiator).await;
        assert!(!welcome.resumed && !welcome.peer_online);
    }
}

#[tokio::test]
async fn the_newest_leg_of_a_role_replaces_the_older() {
    let server = Server::start(Config::default()).await;
    for pair in EVERY_PAIR {
        let (mut one, mut old, session) = server.pair(pair).await;
        let (mut new, welcome) = server.attach(pair.0, session, Role::Joiner).await;
        assert!(welcome.resumed && welcome.peer_online);
        assert_eq!(old.closed().await, Some(CloseReason::Replaced), "{pair:?}");
        assert_eq!(one.notice().await, away(30_000));
        assert_eq!(one.notice().await, online());
        let frame = Frame::new(Lane::Reliable, b"to the new one");
        one.send(frame.clone()).await;
        assert_eq!(new.recv().await, frame);
    }
}

#[tokio::test]
async fn presence_is_told_to_the_owner() {
    let mut server = Server::start(brief()).await;
    let (mut one, two, session) = server.pair((Over::Ws, Over::Quic)).await;
    two.hang_up(1000).await;
    assert_eq!(one.closed().await, Some(CloseReason::PeerLost));
    let session = PairingId::from_bytes([session; 16]);
    for (role, online) in [
        (Role::Initiator, true),
        (Role::Joiner, true),
        (Role::Joiner, false),
        (Role::Initiator, false),
    ] {
        let event = patiently(server.presence.recv()).await;
        let expected = PresenceEvent {
            session,
            role,
            online,
            epoch: 0,
        };
        assert_eq!(event, Some(expected));
    }
}

#[tokio::test]
async fn a_revoked_pairing_is_hung_up_and_stays_out() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, session) = server.pair((Over::Ws, Over::Quic)).await;
    let id = PairingId::from_bytes([session; 16]);
    server.relay.revoke(id).await;
    assert_eq!(one.closed().await, Some(CloseReason::Revoked));
    assert_eq!(two.closed().await, Some(CloseReason::Revoked));
    let mut again = server.connect(Over::Ws).await;
    again
        .send(crate::support::hello(session, Role::Joiner))
        .await;
    assert_eq!(again.closed().await, Some(CloseReason::Revoked));
}

#[tokio::test]
async fn a_drain_tells_everybody_hangs_up_and_leaves_nothing_behind() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair((Over::Ws, Over::Quic)).await;
    let (mut lone, _) = server.attach(Over::Ws, fresh(), Role::Joiner).await;
    let mut silent = server.connect(Over::Quic).await;
    silent.send_bytes(vec![0; 1].into()).await;
    assert_eq!(silent.closed().await, Some(CloseReason::HelloInvalid));

    let grace = Duration::from_millis(100);
    let drain = server.relay.drain(grace);
    let peers = async {
        for peer in [&mut one, &mut two, &mut lone] {
            let Kind::Draining(draining) = peer.notice().await else {
                panic!("no Draining notice");
            };
            assert!(draining.grace_millis <= 100);
            assert_eq!(peer.closed().await, Some(CloseReason::Draining));
        }
        // A socket is only closed when both ends let go.
        drop((one, two, lone));
    };
    patiently(async { tokio::join!(drain, peers) }).await;
    let snapshot = server.relay.snapshot();
    assert_eq!((snapshot.all_sessions(), snapshot.legs), (0, 0));
    assert_eq!(snapshot.attached, [0; 4]);
    assert_eq!(snapshot.admitted, [2, 1, 0, 0]);
    assert_eq!(snapshot.cut_off, 3);
    assert_eq!(snapshot.refused(Transport::Quic, Refusal::HelloInvalid), 1);
}
