//! One host, or one network, at full effort; and handshakes that nobody finishes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::future::join_all;
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::limit::Limit;
use peersox_core::role::Role;
use peersox_proto::v1::{self, notice::Kind};
use peersox_relay::{Config, Refusal, Transport};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Barrier;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{EACH, Over, Peer, Server, first_packets, fresh, hello, patiently, request};

/// A leg from an address of this machine that says nothing; nothing if it is refused.
async fn silent(server: &Server, from: [u8; 4]) -> Option<WebSocketStream<TcpStream>> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let tcp = socket.connect(server.tcp).await.unwrap();
    let request = request(server.tcp, Some("peersox.v1"));
    let answered = tokio_tungstenite::client_async(request, tcp).await;
    answered.ok().map(|(ws, _)| ws)
}

#[tokio::test]
async fn silent_sockets_of_one_address_leave_room_for_another() {
    let server = Server::start(Config {
        max_pending: 4,
        ..Config::default()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.extend(silent(&server, [127, 0, 0, 2]).await);
    }
    assert_eq!(held.len(), 2, "half is for whoever comes");
    for over in EACH {
        patiently(server.attach(over, fresh(), Role::Initiator)).await;
    }
}

#[tokio::test]
async fn silent_sockets_of_one_network_leave_room_for_others() {
    let server = Server::start(Config {
        max_pending: 64,
        ..Config::default()
    })
    .await;
    let mut held = Vec::new();
    for host in 2..102 {
        held.extend(silent(&server, [127, 0, 9, host]).await);
    }
    assert!((32..=36).contains(&held.len()), "{}", held.len());
    for over in EACH {
        patiently(server.attach(over, fresh(), Role::Initiator)).await;
    }
    assert!(silent(&server, [127, 0, 8, 1]).await.is_some());
}

#[tokio::test]
async fn a_handshake_that_nobody_finishes_costs_nothing_and_little_is_sent_back() {
    let server = Server::start(Config {
        hello_timeout: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    let (mut sent, mut received) = (0, 0);
    let mut sockets = Vec::new();
    for packet in first_packets(200).await {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        sent += socket.send_to(&packet, server.udp).await.unwrap();
        sockets.push(socket);
    }
    for socket in &sockets {
        let mut packet = [0; 2048];
        let mut first = true;
        // The first answer surely comes; how many follow is the question.
        let patience = |first| Duration::from_millis(if first { 5_000 } else { 3 });
        while let Ok(len) = timeout(patience(first), socket.recv(&mut packet)).await {
            received += len.unwrap();
            assert!(
                first,
                "more than one packet to an address that never answered"
            );
            // A long header of the type Retry (RFC 9000, section 17.2.5).
            assert_eq!(packet[0] & 0xf0, 0xf0);
            first = false;
        }
    }
    assert!(received > 0 && received <= sent, "{received} for {sent}");
    assert_eq!(server.relay.snapshot().legs, 0);
    // Neither later, nor to those who do finish.
    patiently(server.attach(Over::Quic, fresh(), Role::Initiator)).await;
    for socket in &sockets {
        assert!(socket.try_recv(&mut [0; 2048]).is_err());
    }
}

#[tokio::test]
async fn a_handshake_holds_its_place_no_longer_than_it_lasts() {
    let server = Server::start(Config {
        max_handshakes: 1,
        ..Config::default()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(patiently(server.attach(Over::Quic, fresh(), Role::Initiator)).await);
    }
}

#[tokio::test]
async fn handshakes_wait_for_a_place() {
    let server = Server::start(Config {
        max_handshakes: 1,
        ..Config::default()
    })
    .await;
    let connections = join_all((0..20).map(|_| server.try_quic()));
    for connection in patiently(connections).await {
        connection.unwrap();
    }
    assert_eq!(server.relay.snapshot().all_refused(), 0);
}

#[tokio::test]
async fn without_a_place_for_its_handshake_a_client_is_refused_and_other_transports_are_served() {
    let server = Server::start(Config {
        max_handshakes: 0,
        hello_timeout: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let refused = patiently(server.try_quic()).await;
    assert!(
        matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))),
        "{refused:?}"
    );
    let snapshot = server.relay.snapshot();
    assert_eq!(snapshot.refused(Transport::Quic, Refusal::Busy), 1);
    assert_eq!(snapshot.all_refused(), 1);
    patiently(server.attach(Over::Ws, fresh(), Role::Initiator)).await;
}

#[tokio::test]
async fn pairs_that_do_not_read_share_one_budget_of_memory() {
    const MEMORY: u64 = 4 * 1024 * 1024;
    let server = Server::start(Config {
        memory: MEMORY,
        starved_for: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let mut senders = Vec::new();
    let mut readers = Vec::new();
    // All begin when all are there, and somebody looks.
    let all = Arc::new(Barrier::new(13));
    for _ in 0..12 {
        let (mut one, two, _) = server.pair((Over::Quic, Over::Quic)).await;
        readers.push(two);
        let all = Arc::clone(&all);
        senders.push(tokio::spawn(async move {
            all.wait().await;
            let frame = Frame::new(Lane::Reliable, &[7; 60_000]);
            for _ in 0..200 {
                one.send(frame.clone()).await;
            }
            one.closed().await
        }));
    }
    all.wait().await;
    let begun = Instant::now();
    let mut most = 0;
    let hung_up = || server.relay.snapshot().hung_up(CloseReason::RateLimited);
    while hung_up() == 0 {
        most = most.max(server.relay.snapshot().memory);
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "nobody is hung up"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Half is for whoever comes.
    assert!(
        most > MEMORY / 3 && most <= MEMORY / 2 + MEMORY / 16,
        "{most} of {MEMORY}"
    );
    // Somebody elsewhere.
    let elsewhere = server.pair_from([127, 0, 7, 1].into()).await;
    let (mut one, mut two) = elsewhere;
    let frame = Frame::new(Lane::Reliable, &[8; 60_000]);
    for _ in 0..20 {
        one.send(frame.clone()).await;
        assert_eq!(two.recv().await, frame);
    }
    drop((one, two, readers));
    for sender in senders {
        sender.abort();
    }
}

#[tokio::test]
async fn memory_is_given_back_when_a_direction_is_idle() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair((Over::Quic, Over::Quic)).await;
    let frame = Frame::new(Lane::Reliable, &[7; 60_000]);
    let mut most = 0;
    for _ in 0..20 {
        one.send(frame.clone()).await;
        assert_eq!(two.recv().await, frame);
        most = most.max(server.relay.snapshot().memory);
    }
    assert!(most > 128 * 1024, "{most}");
    patiently(async {
        while server.relay.snapshot().memory > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// How many bytes a peer gets rid of while the other one reads nothing. Those of frames are counted: packets
/// that were lost are sent again.
pub async fn sent_ahead(mut one: Peer) -> u64 {
    const LEN: usize = 60_000;
    let sent = AtomicU64::new(0);
    let floods = async {
        loop {
            one.send(Frame::new(Lane::Reliable, &[7; LEN])).await;
            sent.fetch_add(LEN as u64, Relaxed);
        }
    };
    let comes_to_a_halt = async {
        loop {
            let before = sent.load(Relaxed);
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            if sent.load(Relaxed) == before {
                return before;
            }
        }
    };
    tokio::select! {
        () = floods => unreachable!("it has no end"),
        sent = patiently(comes_to_a_halt) => sent,
    }
}

#[tokio::test]
async fn a_leg_that_replaces_another_may_send_as_far_ahead() {
    let server = Server::start(Config::default()).await;
    let (first, _silent, _) = server.pair((Over::Quic, Over::Quic)).await;
    let (mut old, mut two, session) = server.pair((Over::Quic, Over::Quic)).await;
    let frame = Frame::new(Lane::Reliable, &[7; 60_000]);
    for _ in 0..20 {
        old.send(frame.clone()).await;
        assert_eq!(two.recv().await, frame);
    }
    let (new, _) = server.attach(Over::Quic, session, Role::Initiator).await;
    let (first, new) = tokio::join!(sent_ahead(first), sent_ahead(new));
    assert!(new + 512 * 1024 > first, "{new} of {first}");
}

#[tokio::test]
async fn a_leg_that_sends_too_fast_is_read_more_slowly_and_loses_nothing() {
    let server = Server::start(Config {
        leg_rate: Limit {
            capacity: 64 * 1024,
            per_second: 1024.0 * 1024.0,
        },
        ..Config::default()
    })
    .await;
    for over in EACH {
        let (mut one, mut two, _) = server.pair((over, Over::Ws)).await;
        let begun = Instant::now();
        let sending = tokio::spawn(async move {
            for mark in 0..64 {
                one.send(Frame::new(Lane::Reliable, &[mark; 32 * 1024]))
                    .await;
            }
            one
        });
        for mark in 0..64 {
            assert_eq!(
                two.recv().await,
                Frame::new(Lane::Reliable, &[mark; 32 * 1024])
            );
        }
        // 2 MiB at 1 MiB a second; what is read in one go at the end is paid for afterwards.
        assert!(
            begun.elapsed() >= Duration::from_millis(1_000),
            "{over:?} {:?}",
            begun.elapsed()
        );
        drop(sending.await.unwrap());
    }
}

#[tokio::test]
async fn the_legs_of_one_host_share_its_rate_and_lose_nothing() {
    // Each leg may send as fast as it likes; all of the host 256 KiB at once, and as much in a second.
    let server = Server::start(Config {
        host_rate: Config::host_rate(64 * 1024),
        ..Config::default()
    })
    .await;
    let begun = Instant::now();
    let mut pairs = tokio::task::JoinSet::new();
    for over in [Over::Ws, Over::Quic, Over::Ws, Over::Quic] {
        let (mut one, mut two, _) = server.pair((over, Over::Ws)).await;
        pairs.spawn(async move {
            let frame = |mark| Frame::new(Lane::Reliable, &[mark; 16 * 1024]);
            let sending = async {
                for mark in 0..12 {
                    one.send(frame(mark)).await;
                }
            };
            let taking = async {
                for mark in 0..12 {
                    assert_eq!(two.recv().await, frame(mark));
                }
            };
            tokio::join!(sending, taking);
        });
    }
    while let Some(pair) = pairs.join_next().await {
        pair.unwrap();
    }
    // 768 KiB, of which a third is free; what is read in one go at the end is paid for afterwards.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_000), "{took:?}");
    assert!(server.relay.snapshot().slowed > 0);
}

#[tokio::test]
async fn the_first_frames_are_not_paid_for_in_advance_where_the_rate_is_low() {
    let server = Server::start(Config {
        leg_rate: Limit::per(64 * 1024, Duration::from_secs(1)),
        host_rate: Config::host_rate(64 * 1024),
        ..Config::default()
    })
    .await;
    let (mut one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
    let begun = Instant::now();
    for mark in 0..4 {
        let frame = Frame::new(Lane::Reliable, &[mark; 1024]);
        one.send(frame.clone()).await;
        assert_eq!(two.recv().await, frame);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(2_500), "{took:?}");
}

#[tokio::test]
async fn pings_of_the_transport_are_paid_for_like_frames() {
    let server = Server::start(Config {
        leg_rate: Limit::per(64 * 1024, Duration::from_secs(1)),
        host_rate: Config::host_rate(64 * 1024),
        ..Config::default()
    })
    .await;
    let (one, mut two, _) = server.pair((Over::Ws, Over::Ws)).await;
    let Peer::Ws(mut one) = one else {
        unreachable!("it was asked for");
    };
    let begun = Instant::now();
    // 256 bytes each: a second's worth at once, and two more.
    for _ in 0..768 {
        one.feed(Message::Ping(Bytes::new())).await.unwrap();
    }
    // What was read together is paid for afterwards; what comes next waits.
    for words in [&b"after all pings"[..], b"and after the pause"] {
        let frame = Frame::new(Lane::Reliable, words);
        one.send(Message::Binary(frame.clone().into_bytes()))
            .await
            .unwrap();
        assert_eq!(two.recv().await, frame);
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_000), "{took:?}");
}

#[tokio::test]
async fn a_peer_that_is_not_read_hears_that_its_leg_lives() {
    let server = Server::start(Config {
        ping_interval: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    for over in EACH {
        let (mut one, two, _) = server.pair((over, Over::Ws)).await;
        let frame = Frame::new(Lane::Reliable, &[7; 60_000]);
        // The other side does not read, so sending stops at last.
        while timeout(Duration::from_millis(500), one.send(frame.clone()))
            .await
            .is_ok()
        {}
        for _ in 0..2 {
            assert_eq!(
                one.notice().await,
                Kind::Pong(v1::Pong { nonce: 0 }),
                "{over:?}"
            );
        }
        drop(two);
    }
}

impl Server {
    /// Two admitted peers that come from an address of this machine.
    async fn pair_from(&self, from: IpAddr) -> (Peer, Peer) {
        let session = fresh();
        let mut peers = Vec::new();
        for role in [Role::Initiator, Role::Joiner] {
            let IpAddr::V4(from) = from else {
                unreachable!("tests come from addresses of IPv4");
            };
            let ws = silent(self, from.octets()).await.expect("a seat");
            let mut peer = Peer::Ws(Box::new(ws));
            peer.send(hello(session, role)).await;
            assert!(matches!(peer.notice().await, Kind::Welcome(_)));
            peers.push(peer);
        }
        let two = peers.pop().unwrap();
        let mut one = peers.pop().unwrap();
        assert_eq!(one.notice().await, Kind::PeerOnline(v1::PeerOnline {}));
        (one, two)
    }
}
