//! What is sent to an address before it has answered: at most three times what came from it (RFC 9000,
//! section 8.1). Anybody can write another one's address as the sender of a packet.

use peersox_core::role::Role;
use peersox_relay::Config;
use tokio::net::UdpSocket;

use crate::support::{ANY_PORT, Over, Server, first_packets, fresh, patiently};

/// A packet with a long header (RFC 9000, section 17.2), filled up to a length.
fn long(first: u8, version: u32, to: &[u8], from: &[u8], len: usize) -> Vec<u8> {
    let mut packet = vec![first];
    packet.extend_from_slice(&version.to_be_bytes());
    for id in [to, from] {
        packet.push(u8::try_from(id.len()).unwrap());
        packet.extend_from_slice(id);
    }
    packet.resize(len.max(packet.len()), 0x5a);
    packet
}

/// First packets as nobody sends them, or as a client does; the latter are cut, changed and put together.
fn awkward(genuine: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut row = |what: String, packet: Vec<u8>| rows.push((what, packet));
    let one = &genuine[0];
    assert_eq!(one.len(), 1_200);
    row("an Initial".into(), one.clone());
    for len in [1_199, 1_000, 600, 200, 100, 60, 43, 30, 21, 7, 5, 1] {
        row(format!("{len} bytes of an Initial"), one[..len].to_vec());
    }
    row(
        "two Initials in one".into(),
        [&one[..], &genuine[1]].concat(),
    );
    row(
        "an Initial and the beginning of one".into(),
        [&one[..], &genuine[1][..40]].concat(),
    );
    for at in [0, 5, 30, 60, 1_000] {
        let mut packet = one.clone();
        packet[at] ^= 0x11;
        row(format!("an Initial with byte {at} changed"), packet);
    }
    // Behind the ids stands the length of a token.
    let token_at = 7 + usize::from(one[5]) + usize::from(one[6 + usize::from(one[5])]);
    for len in [1_u8, 32, 63] {
        let mut packet = one.clone();
        packet[token_at] = len;
        row(format!("an Initial with {len} bytes of a token"), packet);
    }
    for (what, version) in [
        ("unknown", 0x1a2a_3a4a),
        ("no", 0),
        ("a later", 0x6b33_43cf),
        ("the", 1),
    ] {
        for len in [0, 22, 30, 100, 1_199, 1_200, 1_472] {
            for id in [0, 1, 7, 8, 20, 21, 255] {
                let id = vec![0x77; id];
                let packet = long(0xc0, version, &id, &id, len);
                row(
                    format!("{what} version, ids of {} bytes, {len} bytes", id.len()),
                    packet,
                );
            }
        }
    }
    for (what, first) in [
        ("0-RTT", 0xd0),
        ("Handshake", 0xe0),
        ("Retry", 0xf0),
        ("no fixed bit", 0x80),
    ] {
        for len in [30, 1_200] {
            let packet = long(first, 1, &[0x77; 8], &[0x78; 8], len);
            row(format!("{what} of {len} bytes"), packet);
        }
    }
    for len in [1, 9, 21, 22, 38, 39, 40, 43, 44, 100, 1_200] {
        for first in [0x40, 0x7f, 0xff, 0x00] {
            let packet = (0..len).map(|at| first ^ (at as u8).wrapping_mul(29));
            row(format!("{len} bytes from {first:#x} on"), packet.collect());
        }
    }
    rows
}

/// A socket of somebody who has sent something, and bytes each way.
struct Stranger {
    what: String,
    socket: UdpSocket,
    sent: usize,
    received: usize,
}

impl Stranger {
    async fn send(&mut self, packet: &[u8]) {
        self.sent += self.socket.send(packet).await.unwrap();
    }

    /// Takes what has come until a packet for this connection comes, and leaves that one out.
    async fn take_until(&mut self, id: &[u8]) {
        let mut packet = [0; 2_048];
        loop {
            let len = patiently(self.socket.recv(&mut packet)).await.unwrap();
            if packet[..len].get(6..6 + id.len()) == Some(id) {
                return;
            }
            self.received += len;
        }
    }

    fn take(&mut self) {
        while let Ok(len) = self.socket.try_recv(&mut [0; 2_048]) {
            self.received += len;
        }
    }

    #[track_caller]
    fn judge(&self) {
        let Self {
            what,
            sent,
            received,
            ..
        } = self;
        assert!(
            received <= &(3 * sent),
            "{received} bytes for {sent}: {what}"
        );
    }
}

#[tokio::test]
async fn no_first_packet_makes_the_server_send_more_than_three_times_as_much() {
    let server = Server::start(Config::default()).await;
    let genuine = first_packets(2).await;
    let rows = awkward(&genuine);
    // What is answered after everything that the same socket has sent before.
    let fences = first_packets(rows.len()).await;
    let mut strangers = Vec::new();
    for ((what, packet), fence) in rows.into_iter().zip(fences) {
        let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
        socket.connect(server.udp).await.unwrap();
        let mut stranger = Stranger {
            what,
            socket,
            sent: 0,
            received: 0,
        };
        for _ in 0..3 {
            stranger.send(&packet).await;
        }
        stranger.socket.send(&fence).await.unwrap();
        // The server answers to the id that the client has given itself.
        let at = 6 + usize::from(fence[5]);
        let id = &fence[at + 1..at + 1 + usize::from(fence[at])];
        stranger.take_until(id).await;
        stranger.judge();
        strangers.push(stranger);
    }
    // Neither later, nor to those who do finish.
    patiently(server.attach(Over::Quic, fresh(), Role::Initiator)).await;
    let mut worst = (0, 1);
    for mut stranger in strangers {
        stranger.take();
        stranger.judge();
        if stranger.received * worst.1 > worst.0 * stranger.sent {
            worst = (stranger.received, stranger.sent);
            eprintln!("{} bytes for {}: {}", worst.0, worst.1, stranger.what);
        }
    }
    assert!(worst.0 > 0, "nothing is answered");
}
