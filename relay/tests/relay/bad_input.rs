//! Bad input: each ends its leg with a reason of its own, and nothing else.

use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt as _;
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::role::Role;
use peersox_core::ticket::Signer;
use peersox_proto::v1::{self, notice::Kind};
use peersox_relay::{Config, Refusal, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::support::{
    EACH, EVERY_PAIR, NOW, Over, Peer, SIGNER, Server, fresh, hello_with, notice, patiently,
    request, ticket,
};

/// Rows of what a peer sends and why it is hung up.
fn forbidden() -> Vec<(&'static str, Bytes, CloseReason)> {
    let frame = |lane, len: usize| Frame::new(lane, &vec![0; len - 1]).into_bytes();
    let said = |kind| notice(kind).into_bytes();
    vec![
        ("empty", Bytes::new(), CloseReason::FrameMalformed),
        (
            "unknown lane",
            Bytes::from_static(&[4, 1, 2]),
            CloseReason::LaneUnknown,
        ),
        (
            "frame too large",
            frame(Lane::Reliable, 65_537),
            CloseReason::FrameTooLarge,
        ),
        (
            "datagram too large",
            frame(Lane::Datagram, 1_025),
            CloseReason::FrameTooLarge,
        ),
        (
            "signal too large",
            frame(Lane::Signal, 16_385),
            CloseReason::FrameTooLarge,
        ),
        (
            "forged PeerAway",
            said(Kind::PeerAway(v1::PeerAway { grace_millis: 1 })),
            CloseReason::NoticeForbidden,
        ),
        (
            "forged Welcome",
            said(Kind::Welcome(v1::Welcome::default())),
            CloseReason::NoticeForbidden,
        ),
        (
            "second Hello",
            hello_with("x").into_bytes(),
            CloseReason::NoticeForbidden,
        ),
        (
            "garbled notice",
            Bytes::from_static(b"\x00\xff\xff\xff"),
            CloseReason::NoticeForbidden,
        ),
    ]
}

#[tokio::test]
async fn a_forbidden_frame_ends_its_leg_and_never_reaches_the_other() {
    let server = Server::start(Config::default()).await;
    for over in EACH {
        for (what, bytes, reason) in forbidden() {
            let (mut one, mut two, _) = server.pair((over, Over::Ws)).await;
            one.send_bytes(bytes).await;
            assert_eq!(one.closed().await, Some(reason), "{what} over {over:?}");
            let away = two.notice().await;
            assert!(matches!(away, Kind::PeerAway(_)), "{what}: {away:?}");
        }
    }
}

#[tokio::test]
async fn a_bad_hello_is_turned_away_with_its_reason() {
    let server = Server::start(Config::default()).await;
    let foreign = Signer::from_seed(&[9; 32]);
    let role = Role::Initiator;
    let old = peersox_core::time::Timestamp::from_millis(NOW.as_millis() - 3_600_000);
    let rows = [
        (hello_with("garbage"), CloseReason::TicketInvalid),
        (hello_with(""), CloseReason::TicketInvalid),
        (
            hello_with(&ticket(&foreign, 1, role, NOW)),
            CloseReason::TicketInvalid,
        ),
        (
            hello_with(&ticket(&SIGNER, 1, role, old)),
            CloseReason::TicketExpired,
        ),
        (
            Frame::new(Lane::Reliable, b"me first"),
            CloseReason::HelloInvalid,
        ),
        (
            notice(Kind::Ping(v1::Ping { nonce: 1 })),
            CloseReason::HelloInvalid,
        ),
    ];
    for over in EACH {
        for (frame, reason) in &rows {
            let mut peer = server.connect(over).await;
            peer.send(frame.clone()).await;
            assert_eq!(peer.closed().await, Some(*reason), "{over:?}");
        }
    }
    let snapshot = server.relay.snapshot();
    for transport in Transport::ALL {
        let refused = |why| snapshot.refused(transport, why);
        assert_eq!(refused(Refusal::TicketInvalid), 3, "{transport:?}");
        assert_eq!(refused(Refusal::TicketExpired), 1, "{transport:?}");
        assert_eq!(refused(Refusal::HelloInvalid), 2, "{transport:?}");
    }
}

#[tokio::test]
async fn no_hello_is_a_reason_too() {
    let server = Server::start(Config {
        hello_timeout: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    for over in EACH {
        let mut peer = server.connect(over).await;
        assert_eq!(peer.closed().await, Some(CloseReason::HelloTimeout));
    }
    // Not even a stream.
    let connection = server.quic().await;
    let error = patiently(connection.closed()).await;
    assert!(error.to_string().contains("4007"), "{error}");
    let snapshot = server.relay.snapshot();
    assert_eq!(snapshot.refused(Transport::Quic, Refusal::Timeout), 2);
    assert_eq!(snapshot.all_refused(), EACH.len() as u64 + 1);
}

#[tokio::test]
async fn a_text_message_is_refused() {
    let server = Server::start(Config::default()).await;
    let (mut one, _two, _) = server.pair((Over::Ws, Over::Ws)).await;
    let Peer::Ws(ws) = &mut one else {
        unreachable!("a WebSocket was asked for")
    };
    ws.send(Message::Text("hello".into())).await.unwrap();
    assert_eq!(one.closed().await, Some(CloseReason::FrameMalformed));
}

#[tokio::test]
async fn a_quic_datagram_of_another_lane_is_refused() {
    let server = Server::start(Config::default()).await;
    let (mut one, _two, _) = server.pair((Over::Quic, Over::Ws)).await;
    let Peer::Quic(connection, ..) = &one else {
        unreachable!("QUIC was asked for")
    };
    let reliable = Frame::new(Lane::Reliable, b"x").into_bytes();
    connection.send_datagram(reliable).unwrap();
    assert_eq!(one.closed().await, Some(CloseReason::FrameMalformed));
}

#[tokio::test]
async fn garbage_instead_of_websocket_frames_ends_the_leg() {
    let server = Server::start(Config::default()).await;
    for garbage in [&[0xff; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0x82, 2, 1, 1]] {
        let (one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
        let Peer::Ws(mut ws) = one else {
            unreachable!("a WebSocket was asked for")
        };
        ws.get_mut().write_all(garbage).await.unwrap();
        let away = two.notice().await;
        assert!(matches!(away, Kind::PeerAway(_)), "{away:?}");
    }
}

#[tokio::test]
async fn an_endless_row_of_empty_pieces_ends() {
    let server = Server::start(Config::default()).await;
    let (one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
    let Peer::Ws(mut ws) = one else {
        unreachable!("a WebSocket was asked for")
    };
    let tcp = ws.get_mut();
    // A binary message that never ends: masked, empty, not final.
    tcp.write_all(&[0x02, 0x80, 0, 0, 0, 0]).await.unwrap();
    let pieces = [0x00, 0x80, 0, 0, 0, 0].repeat(1000);
    let flood = async { while tcp.write_all(&pieces).await.is_ok() {} };
    // The socket closes before the other peer hears of it, or after that.
    let ((), away) = patiently(async { tokio::join!(flood, two.notice()) }).await;
    assert!(matches!(away, Kind::PeerAway(_)), "{away:?}");
}

#[tokio::test]
async fn garbage_on_every_port_hurts_nobody() {
    let server = Server::start(Config::default()).await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for seed in 0..50u8 {
        let garbage: Vec<u8> = (0..1200u32)
            .map(|at| (at as u8).wrapping_mul(seed))
            .collect();
        udp.send_to(&garbage, server.udp).await.unwrap();
        let mut tcp = TcpStream::connect(server.tcp).await.unwrap();
        let _ = tcp.write_all(&garbage).await;
        let _ = tcp.shutdown().await;
        let _ = patiently(tcp.read_to_end(&mut Vec::new())).await;
    }
    for pair in EVERY_PAIR {
        let (mut one, mut two, _) = server.pair(pair).await;
        one.send(Frame::new(Lane::Reliable, b"still here")).await;
        two.recv().await;
    }
}

#[tokio::test]
async fn an_upgrade_request_that_is_no_good_is_answered_in_words() {
    let server = Server::start(Config {
        allowed_origins: Some(
            ["https://Good.example:443".parse().unwrap()]
                .into_iter()
                .collect(),
        ),
        ..Config::default()
    })
    .await;
    let with = |name: &'static str, value: &'static str| {
        let mut request = request(server.tcp, Some("peersox.v1"));
        request
            .headers_mut()
            .insert(name, http::HeaderValue::from_static(value));
        request
    };
    let rows = [
        (request(server.tcp, None), 400, "peersox.v1"),
        (with("sec-websocket-protocol", "chat"), 400, "peersox.v1"),
        (with("sec-websocket-version", "8"), 426, "13"),
        (with("origin", "https://evil.example"), 403, "origin"),
        (with("origin", "https://good.example:8443"), 403, "origin"),
        (with("origin", "null"), 403, "origin"),
        (with("origin", "http://127.0.0.1:1"), 403, "origin"),
        (with("upgrade", "h2c"), 400, "upgrade"),
    ];
    for (request, status, word) in rows {
        let (head, body) = http_answer(&server, &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(body.contains(word), "{body}");
    }
    let own: &'static str = format!("http://{}", server.tcp).leak();
    for origin in ["https://good.example", "https://Good.example:443", own] {
        let (head, _) = http_answer(&server, &with("origin", origin)).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{origin}: {head}");
    }
}

/// Sends a request as text, because a WebSocket client would not send a bad one.
async fn http_answer(server: &Server, request: &http::Request<()>) -> (String, String) {
    let mut text = format!("GET {} HTTP/1.1\r\n", request.uri().path());
    for (name, value) in request.headers() {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    text += "\r\n";
    let mut tcp = TcpStream::connect(server.tcp).await.unwrap();
    tcp.write_all(text.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = patiently(tcp.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_ticket_has_one_role_and_a_second_joiner_takes_the_place_of_the_first() {
    let server = Server::start(Config::default()).await;
    let session = fresh();
    let (mut first, welcome) = server.attach(Over::Ws, session, Role::Joiner).await;
    assert_eq!(welcome.role(), v1::Role::Joiner);
    let (_second, welcome) = server.attach(Over::Quic, session, Role::Joiner).await;
    assert!(!welcome.peer_online, "two joiners are not a pair");
    assert_eq!(first.closed().await, Some(CloseReason::Replaced));
}
