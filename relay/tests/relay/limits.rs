//! How many, how long, how quiet.

use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::role::Role;
use peersox_core::session;
use peersox_proto::v1::notice::Kind;
use peersox_relay::{Config, Refusal, Transport};
use tokio::net::TcpStream;

use crate::support::{Over, Peer, Server, fresh, hello, patiently, request};

#[tokio::test]
async fn one_address_gets_its_share_of_legs() {
    let server = Server::start(Config {
        max_legs_per_address: 2,
        ..Config::default()
    })
    .await;
    let (_one, two, _) = server.pair((Over::Ws, Over::Quic)).await;
    let tcp = TcpStream::connect(server.tcp).await.unwrap();
    let third = request(server.tcp, Some("peersox.v1"));
    let refused = tokio_tungstenite::client_async(third, tcp).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("503"), "{text}");
    let snapshot = server.relay.snapshot();
    assert_eq!(snapshot.legs, 2);
    assert_eq!(snapshot.attached, [1, 1, 0, 0], "by transport");
    assert_eq!(snapshot.refused(Transport::WebSocket, Refusal::Full), 1);
    two.hang_up(4000).await;
}

#[tokio::test]
async fn a_silent_leg_is_given_up_but_one_that_answers_pings_is_not() {
    let server = Server::start(Config {
        idle_timeout: Duration::from_millis(400),
        ping_interval: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    let (mut lively, silent, _) = server.pair((Over::Ws, Over::Ws)).await;
    // Reading answers pings; the silent peer does not read.
    let away = lively.notice().await;
    assert!(matches!(away, Kind::PeerAway(_)), "{away:?}");
    let snapshot = server.relay.snapshot();
    assert_eq!(snapshot.hung_up(CloseReason::IdleTimeout), 1);
    drop(silent);
}

#[tokio::test]
async fn a_peer_waits_for_one_that_never_comes_only_so_long() {
    let server = Server::start(Config {
        session: session::Config {
            max_wait: Duration::from_millis(100),
            ..session::Config::default()
        },
        ..Config::default()
    })
    .await;
    let (mut lone, _) = server.attach(Over::Ws, fresh(), Role::Initiator).await;
    assert_eq!(lone.closed().await, Some(CloseReason::PeerLost));
}

#[tokio::test]
async fn more_pending_connections_than_allowed_wait_outside() {
    let server = Server::start(Config {
        max_pending: 1,
        ..Config::default()
    })
    .await;
    let mut first = server.connect(Over::Ws).await;
    let tcp = TcpStream::connect(server.tcp).await.unwrap();
    let second = request(server.tcp, Some("peersox.v1"));
    assert!(tokio_tungstenite::client_async(second, tcp).await.is_err());
    // An accepted Hello makes room.
    first.send(hello(fresh(), Role::Joiner)).await;
    assert!(matches!(first.notice().await, Kind::Welcome(_)));
    let second = patiently(server.connect(Over::Ws)).await;
    assert!(matches!(second, Peer::Ws(_)));
}
