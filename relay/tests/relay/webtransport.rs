//! Sessions of WebTransport: how they are asked for and refused, and what else HTTP/3 might bring.

use bytes::Bytes;
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::role::Role;
use peersox_proto::v1::{self, notice::Kind};
use peersox_relay::{Config, Refusal, Transport};
use web_transport_quinn::{ClientError, ConnectError, Session};

use crate::support::{Over, Peer, Server, Within, fresh, hello, patiently};

/// The status that a session was refused with.
fn refused(asked: Result<Session, ClientError>) -> u16 {
    match asked {
        Err(ClientError::HttpError(ConnectError::ErrorStatus(status))) => status.as_u16(),
        Err(ClientError::HttpError(ConnectError::ProtoError(error))) => {
            // The other side's library takes none but 200.
            let text = error.to_string();
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            digits.trim_start_matches("200").parse().expect(&text)
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("there is a session"),
    }
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_session() {
    let config = Config {
        allowed_origins: Some(
            ["https://app.example".parse().unwrap()]
                .into_iter()
                .collect(),
        ),
        ..Config::default()
    };
    let server = Server::start(config).await;
    let ask = async |origin| {
        server
            .webtransport("/v1/relay", &[("origin", origin)])
            .await
    };
    assert_eq!(refused(ask("https://elsewhere.example").await), 403);
    assert_eq!(refused(ask("null").await), 403);
    let refused = |why| {
        let snapshot = server.relay.snapshot();
        snapshot.refused(Transport::WebTransport, why)
    };
    assert_eq!(refused(Refusal::Origin), 2);
    assert!(ask("https://app.example").await.is_ok());
    // A program that is not a browser sends none.
    assert!(server.webtransport("/v1/relay", &[]).await.is_ok());
}

#[tokio::test]
async fn nothing_else_can_be_asked_for() {
    let server = Server::start(Config::default()).await;
    let asked = server.webtransport("/v1/other", &[]).await;
    assert_eq!(refused(asked), 404);
}

#[tokio::test]
async fn a_datagram_that_the_client_does_not_take_is_told_as_dropped() {
    let server = Server::start(Config::default()).await;
    let session = fresh();
    let (mut one, _) = server.attach(Over::Ws, session, Role::Initiator).await;
    let mut small = quinn::TransportConfig::default();
    small.datagram_receive_buffer_size(Some(500));
    let by = server.webtransport_by(small, "/v1/relay", &[]).await;
    let mut two = Peer::WebTransport(Box::new(Within::begin(by.unwrap()).await));
    two.send(hello(session, Role::Joiner)).await;
    assert!(matches!(two.notice().await, Kind::Welcome(_)));
    one.notice().await;

    one.send_datagram(&[1; 520]).await;
    let told = v1::DatagramsDropped { count: 1 };
    assert_eq!(two.notice().await, Kind::DatagramsDropped(told));
    one.send_datagram(&[2; 400]).await;
    assert_eq!(two.recv().await, Frame::new(Lane::Datagram, &[2; 400]));
}

#[tokio::test]
async fn datagrams_of_other_sessions_are_lost_and_harm_nobody() {
    let server = Server::start(Config::default()).await;
    let (one, mut two, _) = server.pair((Over::WebTransport, Over::Quic)).await;
    let Peer::WebTransport(leg) = &one else {
        unreachable!("WebTransport was asked for")
    };
    let connection: &quinn::Connection = &leg.session;
    let of = |session: u8, text: &[u8]| {
        let frame = Frame::new(Lane::Datagram, text).into_bytes();
        Bytes::from([&[session][..], &frame].concat())
    };
    connection.send_datagram(of(1, b"not ours")).unwrap();
    connection.send_datagram(of(0, b"ours")).unwrap();
    assert_eq!(two.recv().await, Frame::new(Lane::Datagram, b"ours"));
}

#[tokio::test]
async fn a_page_that_is_closed_is_away_and_one_that_is_done_has_left() {
    let server = Server::start(Config::default()).await;
    let (one, mut two, session) = server.pair((Over::WebTransport, Over::Ws)).await;
    // A browser that closes a page ends the connection, and no session.
    drop(one);
    assert!(matches!(two.notice().await, Kind::PeerAway(_)));

    let (again, welcome) = server
        .attach(Over::WebTransport, session, Role::Initiator)
        .await;
    assert!(welcome.resumed);
    assert_eq!(two.notice().await, Kind::PeerOnline(v1::PeerOnline {}));
    again.hang_up(CloseReason::Done.number()).await;
    assert_eq!(two.closed().await, Some(CloseReason::PeerLeft));
}

#[tokio::test]
async fn the_last_frames_arrive_before_the_end_of_the_session() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair((Over::Quic, Over::WebTransport)).await;
    let frame = Frame::new(Lane::Reliable, &[5; 50_000]);
    for _ in 0..20 {
        one.send(frame.clone()).await;
    }
    one.hang_up(CloseReason::Done.number()).await;
    for _ in 0..20 {
        assert_eq!(two.recv().await, frame);
    }
    assert_eq!(two.closed().await, Some(CloseReason::PeerLeft));
}

#[tokio::test]
async fn a_stream_of_no_session_is_no_leg() {
    let server = Server::start(Config::default()).await;
    let session = server.webtransport("/v1/relay", &[]).await.unwrap();
    let connection: &quinn::Connection = &session;
    // It says Hello on a stream of another session: that of stream 4.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let frame = hello(fresh(), Role::Initiator).into_bytes();
    let len = u32::try_from(frame.len()).unwrap().to_be_bytes();
    let head = [0x40, 0x41, 4];
    let bytes = [&head[..], &len, &frame].concat();
    send.write_all(&bytes).await.unwrap();
    let mut byte = [0];
    let got = patiently(recv.read(&mut byte)).await;
    assert!(!matches!(got, Ok(Some(_))), "{got:?}");
}
