//! STUN beside QUIC on one UDP port.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use peersox_core::frame::{Frame, Lane};
use peersox_core::role::Role;
use peersox_relay::{Config, Stun};
use quinn::udp::{Transmit, UdpSocketState};

use crate::support::{ANY_PORT, Over, Server, fresh, patiently};

/// A Binding request with a transaction id that ends with this byte.
fn request(id: u8) -> [u8; 20] {
    let mut request = [7; 20];
    request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    request[19] = id;
    request
}

/// Success for a request that came from an IPv4 address, written from RFC 8489.
fn success(request: &[u8], from: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(from) = from else {
        panic!("{from} is not one of IPv4");
    };
    let port = from.port() ^ 0x2112;
    let ip = from.ip().to_bits() ^ 0x2112_a442;
    let mut answer = vec![1, 1, 0, 12];
    answer.extend(&request[4..20]);
    answer.extend([0, 0x20, 0, 8, 0, 1]);
    answer.extend(port.to_be_bytes());
    answer.extend(ip.to_be_bytes());
    answer
}

/// A socket of somebody who asks. Nothing here is lost: the kernel keeps more than a test sends at once.
fn asker(from: &str) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    let patience = Duration::from_secs(10);
    socket.set_read_timeout(Some(patience)).unwrap();
    socket
}

/// Waits for one answer, off the runtime's threads.
async fn answer(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let socket = socket.try_clone().unwrap();
    let waiting = tokio::task::spawn_blocking(move || {
        let mut bytes = [0; 100];
        let (len, from) = socket.recv_from(&mut bytes).unwrap();
        (bytes[..len].to_vec(), from)
    });
    patiently(waiting).await.unwrap()
}

#[tokio::test]
async fn sound_requests_are_answered_and_nothing_else_is() {
    let server = Server::start(Config::default()).await;
    let socket = asker("127.0.0.1");
    let own = socket.local_addr().unwrap();
    let with = |at: usize, byte: u8| {
        let mut changed = request(0).to_vec();
        changed[at] = byte;
        changed
    };
    let stun = [
        with(0, 1),
        with(1, 0x11),
        with(0, 3),
        with(3, 4),
        with(4, 0),
        request(0)[..19].to_vec(),
        vec![0],
        [&request(0)[..], &[0]].concat(),
        success(&request(0), own),
    ];
    // What is neither of STUN nor of QUIC, and what only begins like it.
    let others = [
        vec![],
        with(0, 4),
        with(0, 20),
        with(0, 63),
        with(0, 64),
        vec![255],
    ];
    for datagram in stun.iter().chain(&others) {
        socket.send_to(datagram, server.udp).unwrap();
    }
    // One socket is read in order: what is answered first is the first that is answered.
    socket.send_to(&request(1), server.udp).unwrap();
    assert_eq!(
        answer(&socket).await,
        (success(&request(1), own), server.udp)
    );
    let counted = server.relay.snapshot();
    assert_eq!(counted.stun(Stun::Answered), 1);
    assert_eq!(counted.stun(Stun::Malformed), stun.len() as u64);
    assert_eq!(counted.stun(Stun::OverBudget), 0);
}

#[tokio::test]
async fn requests_that_arrive_in_one_batch_are_answered_one_by_one() {
    let server = Server::start(Config::default()).await;
    let socket = asker("127.0.0.1");
    let own = socket.local_addr().unwrap();
    let state = UdpSocketState::new((&socket).into()).unwrap();
    socket.set_nonblocking(false).unwrap();
    let other = [0x45; 20];
    let batch = [request(1), other, [2; 20], request(2), request(3), other];
    // Where the system sends no batches, quinn would not either.
    let at_once = state.max_gso_segments().min(batch.len());
    for some in batch.chunks(at_once) {
        let transmit = Transmit {
            destination: server.udp,
            ecn: None,
            contents: &some.concat(),
            segment_size: (some.len() > 1).then_some(20),
            src_ip: None,
        };
        state.send((&socket).into(), &transmit).unwrap();
    }
    for id in 1..=3 {
        let (answer, _) = answer(&socket).await;
        assert_eq!(answer, success(&request(id), own));
    }
    assert_eq!(server.relay.snapshot().stun(Stun::Malformed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_loses_nothing_while_the_same_socket_asks() {
    let mut server = Server::start(Config {
        unmetered: ["127.0.0.0/8".parse().unwrap()].into_iter().collect(),
        ..Config::default()
    })
    .await;
    // One address for both, so that the kernel may hand both over in one buffer.
    let socket = UdpSocket::bind(ANY_PORT).unwrap();
    let asking = socket.try_clone().unwrap();
    server.connect_from(socket);
    let session = fresh();
    let (mut one, _) = server.attach(Over::Quic, session, Role::Initiator).await;
    let (mut two, _) = server.attach(Over::Quic, session, Role::Joiner).await;
    one.notice().await;

    let udp = server.udp;
    let flood = std::thread::spawn(move || {
        let mut sent = 0;
        for round in 0..400u32 {
            for datagram in [&request(9)[..], &[2; 1_200], &[0; 20], &[30; 600]] {
                // The socket is quinn's as well and does not wait.
                sent += u32::from(asking.send_to(datagram, udp).is_ok());
            }
            if round % 8 == 0 {
                std::thread::yield_now();
            }
        }
        sent
    });
    let frame = |at: u32| {
        let payload = [&at.to_be_bytes()[..], &[0; 1_500]].concat();
        Frame::new(Lane::Reliable, &payload)
    };
    let send = async {
        for at in 0..2_000 {
            one.send(frame(at)).await;
        }
    };
    let receive = async {
        for at in 0..2_000 {
            assert_eq!(two.recv().await, frame(at), "frame {at}");
        }
    };
    tokio::join!(send, receive);
    let sent = flood.join().unwrap();
    assert!(sent > 100, "{sent}");
    let counted = server.relay.snapshot();
    let (answered, malformed) = (counted.stun(Stun::Answered), counted.stun(Stun::Malformed));
    assert!(answered > 0 && malformed > 0, "{answered} and {malformed}");
    assert_eq!(counted.frames[Lane::Reliable as usize], 2_000);
}

/// Peers may clear the bit that tells QUIC from STUN, if they are told so (RFC 9287).
#[tokio::test]
async fn no_packet_of_quic_is_taken_for_one_of_stun() {
    let server = Server::start(Config::default()).await;
    let (mut one, mut two, _) = server.pair((Over::Quic, Over::Quic)).await;
    // One by one, so that there are as many packets.
    for at in 0..500u32 {
        let frame = Frame::new(Lane::Reliable, &at.to_be_bytes());
        one.send(frame.clone()).await;
        assert_eq!(two.recv().await, frame);
        two.send(frame.clone()).await;
        assert_eq!(one.recv().await, frame);
    }
    let counted = server.relay.snapshot();
    assert_eq!(counted.stun, [0; Stun::ALL.len()]);
}

#[tokio::test]
async fn who_asks_too_often_hears_nothing_and_another_address_does() {
    let server = Server::start(Config::default()).await;
    let greedy = asker("127.0.0.1");
    let began = Instant::now();
    // In rounds that a socket's buffer holds.
    for round in 0..20 {
        for _ in 0..50 {
            greedy.send_to(&request(round), server.udp).unwrap();
        }
        tokio::task::yield_now().await;
    }
    let somebody = asker("127.0.1.1");
    somebody.send_to(&request(99), server.udp).unwrap();
    let (answer, _) = answer(&somebody).await;
    let own = somebody.local_addr().unwrap();
    assert_eq!(answer, success(&request(99), own));

    let took = began.elapsed().as_secs() + 1;
    let counted = server.relay.snapshot();
    let answered = counted.stun(Stun::Answered) - 1;
    let refused = counted.stun(Stun::OverBudget);
    assert!((128..=128 + 32 * took).contains(&answered), "{answered}");
    assert!(refused > 0 && answered + refused <= 1_000, "{refused}");
    // What was not answered stays so.
    greedy.set_nonblocking(true).unwrap();
    let heard = (0..2_000).map_while(|_| greedy.recv(&mut [0; 100]).ok());
    assert!(heard.count() as u64 <= answered);
}
