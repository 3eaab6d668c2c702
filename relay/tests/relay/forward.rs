//! What one peer sends is what the other receives, and a slow receiver slows the sender.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::{TokioExecutor, TokioIo};
use peersox_core::frame::{Frame, Lane};
use peersox_core::role::Role;
use peersox_proto::v1::{self, notice::Kind};
use peersox_relay::{Config, DropReason};
use quinn::VarInt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{self, Message};

use crate::support::{EVERY_PAIR, Over, Peer, Server, brief, hello, notice, patiently};

#[tokio::test]
async fn every_lane_arrives_byte_for_byte_between_all_transports() {
    let server = Server::start(Config::default()).await;
    for pair in EVERY_PAIR {
        let (mut one, mut two, _) = server.pair(pair).await;
        for len in [0, 1, 100, 3_000, 65_535] {
            let payload: Vec<u8> = (0..len).map(|at: usize| (at * 31 % 251) as u8).collect();
            let reliable = Frame::new(Lane::Reliable, &payload);
            one.send(reliable.clone()).await;
            assert_eq!(two.recv().await, reliable, "{pair:?} {len}");
            two.send(reliable.clone()).await;
            assert_eq!(one.recv().await, reliable, "{pair:?} {len}");
        }
        let signal = Frame::new(Lane::Signal, b"sealed");
        one.send(signal.clone()).await;
        assert_eq!(two.recv().await, signal);
        let largest = [7; 1023];
        two.send_datagram(&largest).await;
        assert_eq!(one.recv().await, Frame::new(Lane::Datagram, &largest));
        // On the stream of a QUIC leg a datagram frame is as good.
        let datagram = Frame::new(Lane::Datagram, b"late");
        one.send(datagram.clone()).await;
        assert_eq!(two.recv().await, datagram);
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_its_nonce() {
    let server = Server::start(Config::default()).await;
    for pair in EVERY_PAIR {
        let (mut one, mut two, _) = server.pair(pair).await;
        for peer in [&mut one, &mut two] {
            peer.send(notice(Kind::Ping(v1::Ping { nonce: 77 }))).await;
            assert_eq!(peer.notice().await, Kind::Pong(v1::Pong { nonce: 77 }));
        }
    }
}

#[tokio::test]
async fn a_paused_receiver_stops_the_sender_and_then_gets_everything_in_order() {
    let server = Server::start(Config::default()).await;
    for pair in EVERY_PAIR {
        let (mut one, mut two, _) = server.pair(pair).await;
        let mut sent = 0u32;
        loop {
            let mut payload = vec![0; 60_000];
            payload[..4].copy_from_slice(&sent.to_be_bytes());
            let frame = Frame::new(Lane::Reliable, &payload);
            // What does not move for so long on a loopback waits for the receiver. The frame that
            // is cut short here is finished below by closing properly.
            if timeout(Duration::from_millis(500), one.send(frame))
                .await
                .is_err()
            {
                break;
            }
            sent += 1;
            // Twice the kernel's largest socket buffers, and ours.
            assert!(u64::from(sent) * 60_000 < 40 << 20, "{pair:?} never stalls");
        }
        assert!(sent >= 4, "{pair:?} stalls too early, at {sent}");
        for expected in 0..sent {
            let frame = two.recv().await;
            assert_eq!(frame.payload()[..4], expected.to_be_bytes(), "{pair:?}");
            assert_eq!(frame.len(), 60_001);
        }
    }
}

#[tokio::test]
async fn datagrams_to_a_slow_receiver_are_dropped_and_it_is_told() {
    for pair in [(Over::Ws, Over::Ws), (Over::Grpc, Over::Grpc)] {
        datagrams_are_dropped(pair).await;
    }
}

async fn datagrams_are_dropped(pair: (Over, Over)) {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair(pair).await;
    // Far more than all buffers of a receiver that does not read; the sender never stalls.
    let count: u32 = 30_000;
    for number in 0..count {
        let mut payload = [0; 1000];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        one.send_datagram(&payload).await;
    }
    let mut told = 0;
    let mut last = None;
    let mut arrived = 0;
    while told + arrived < u64::from(count) {
        let frame = two.recv().await;
        if frame.lane() == Lane::Notice {
            let notice = prost::Message::decode(frame.payload()).unwrap();
            let v1::Notice {
                kind: Some(Kind::DatagramsDropped(dropped)),
            } = notice
            else {
                panic!("{notice:?}");
            };
            told += dropped.count;
        } else {
            let number = u32::from_be_bytes(frame.payload()[..4].try_into().unwrap());
            assert!(last < Some(number), "in order");
            last = Some(number);
            arrived += 1;
        }
    }
    assert_eq!(
        last,
        Some(count - 1),
        "the oldest go first, so the newest arrives"
    );
    assert!(told > 0, "nothing was dropped: the test proves nothing");
    let snapshot = server.relay.snapshot();
    assert_eq!(snapshot.dropped(DropReason::DatagramQueueFull), told);
}

#[tokio::test]
async fn what_was_sent_before_done_still_arrives() {
    let server = Server::start(Config::default()).await;
    for pair in EVERY_PAIR {
        let (mut one, mut two, _) = server.pair(pair).await;
        for number in 0..20u8 {
            one.send(Frame::new(Lane::Reliable, &[number; 10_000]))
                .await;
        }
        one.hang_up(4000).await;
        for number in 0..20u8 {
            let frame = two.recv().await;
            assert_eq!(
                frame,
                Frame::new(Lane::Reliable, &[number; 10_000]),
                "{pair:?}"
            );
        }
        let reason = two.closed().await;
        assert_eq!(reason, Some(peersox_core::close::CloseReason::PeerLeft));
    }
}

#[tokio::test]
async fn who_leaves_while_nobody_reads_has_left() {
    let server = Server::start(brief()).await;
    let (mut one, mut two, _) = server.pair((Over::Quic, Over::Quic)).await;
    let frame = Frame::new(Lane::Reliable, &[7; 60_000]);
    // Until the relay reads no more: the rest of the last frame never comes.
    let moment = Duration::from_millis(200);
    while timeout(moment, one.send(frame.clone())).await.is_ok() {}
    let Peer::Quic(connection, ..) = &one else {
        panic!("a leg over QUIC")
    };
    connection.close(VarInt::from_u32(4000), b"");
    // The relay finds out by writing.
    patiently(async {
        while server.relay.snapshot().legs == 2 {
            two.send(frame.clone()).await;
        }
    })
    .await;
    let reason = two.closed().await;
    assert_eq!(reason, Some(peersox_core::close::CloseReason::PeerLeft));
}

#[tokio::test]
async fn a_websocket_inside_http2_is_a_leg_too() {
    let server = Server::start(Config::default()).await;
    let session = crate::support::fresh();
    let (mut one, _) = server.attach(Over::Ws, session, Role::Initiator).await;

    let tcp = TcpStream::connect(server.tcp).await.unwrap();
    let (mut http, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder()
        .method("CONNECT")
        .uri(format!("http://{}/v1/relay", server.tcp))
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "peersox.v1")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    // The server's settings, which allow this, may arrive after the first request.
    http.ready().await.unwrap();
    let response = patiently(http.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    let upgraded = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let client = protocol::Role::Client;
    let mut two = WebSocketStream::from_raw_socket(upgraded, client, None).await;
    let hello = hello(session, Role::Joiner).into_bytes();
    two.send(Message::Binary(hello)).await.unwrap();
    let welcome = patiently(two.next()).await.unwrap().unwrap();
    assert!(welcome.is_binary());

    assert_eq!(one.notice().await, Kind::PeerOnline(v1::PeerOnline {}));
    // Runs, of more than HTTP/2 is given at a time, both ways.
    let frames: Vec<_> = (0..12)
        .map(|mark| Frame::new(Lane::Reliable, &vec![mark; 1 + 5_000 * usize::from(mark)]))
        .collect();
    for frame in &frames {
        one.send(frame.clone()).await;
        let bytes = frame.clone().into_bytes();
        two.feed(Message::Binary(bytes)).await.unwrap();
    }
    two.flush().await.unwrap();
    for frame in frames {
        assert_eq!(one.recv().await, frame);
        let got = patiently(two.next()).await.unwrap().unwrap();
        assert_eq!(got, Message::Binary(frame.into_bytes()));
    }
}

/// What is in order waits for a reader; a datagram of QUIC does not, whatever else there is to tell.
#[tokio::test]
async fn datagrams_flow_to_a_peer_that_reads_nothing_and_has_news_to_hear() {
    let server = Server::start(Config::default()).await;
    let (mut one, two, session) = server.pair((Over::Quic, Over::Quic)).await;
    let Peer::Quic(reader, _send, _recv) = &two else {
        unreachable!("QUIC was asked for")
    };
    // More than everything between the two holds, as far as the relay takes it.
    let fill = async {
        loop {
            one.send(Frame::new(Lane::Reliable, &[1; 60_000])).await;
        }
    };
    let full = timeout(Duration::from_millis(500), fill).await;
    assert!(full.is_err());
    // The sender comes on another leg: there is news for the one that reads nothing.
    let (mut again, _) = server.attach(Over::Quic, session, Role::Initiator).await;
    for mark in 0..20 {
        again.send_datagram(&[mark]).await;
        let got = patiently(reader.read_datagram()).await.unwrap();
        assert_eq!(got, Frame::new(Lane::Datagram, &[mark]).into_bytes());
    }
}
