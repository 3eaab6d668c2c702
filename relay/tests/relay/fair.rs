//! No leg waits for more than a turn of each other one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use peersox_relay::Config;

use crate::runs::{of_this_thread, on_the_wire, reliable};
use crate::support::{Over, Peer, Server};

/// What one turn may bring (`session::wires::TURN`), and the read that goes beyond it: two of the largest
/// frames.
const TURN: usize = 128 * 1024 + 2 * 66 * 1024;

fn socket(peer: Peer) -> TcpStream {
    let Peer::Ws(ws) = peer else {
        unreachable!("a WebSocket was asked for")
    };
    let socket = ws.into_inner().into_std().unwrap();
    // Or the system keeps a small frame until the one before is acknowledged.
    socket.set_nodelay(true).unwrap();
    socket
}

/// Writes until the system takes no more. Answers how much that was.
fn fill(socket: &mut TcpStream, bytes: &[u8]) -> usize {
    let mut written = 0;
    loop {
        match socket.write(&bytes[written % bytes.len()..]) {
            Ok(len) => written += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
    }
}

/// How many bytes there are to read.
fn drain(socket: &mut TcpStream) -> usize {
    let mut waste = vec![0; 256 * 1024];
    let mut read = 0;
    loop {
        match socket.read(&mut waste) {
            Ok(len) => read += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return read,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Everything is on one thread: while the relay does not run, peers fill the buffers of the system.
#[test]
fn between_two_turns_of_a_leg_lies_a_turn_of_each_other_at_most() {
    const FLOODS: usize = 4;
    const ROUNDS: usize = 8;
    let runtime = of_this_thread();
    let (server, mut floods, (mut one, mut two)) = runtime.block_on(async {
        let server = Server::start(Config::default()).await;
        let mut floods = Vec::new();
        for _ in 0..FLOODS {
            let (from, to, _) = server.pair((Over::Ws, Over::Ws)).await;
            floods.push((socket(from), socket(to)));
        }
        let (one, two, _) = server.pair((Over::Ws, Over::Ws)).await;
        (server, floods, (socket(one), socket(two)))
    });
    let flood = on_the_wire(&reliable(1, 1_000)).repeat(1_000);
    let small = on_the_wire(&reliable(2, 10));
    for round in 0..ROUNDS {
        let mut waiting = 0;
        for (from, _) in &mut floods {
            waiting += fill(from, &flood);
        }
        assert!(round > 0 || waiting > FLOODS * 8 * TURN, "{waiting}");
        one.write_all(&small).unwrap();
        let mut meanwhile = 0;
        let arrived = async {
            while drain(&mut two) == 0 {
                tokio::task::yield_now().await;
            }
            for (_, to) in &mut floods {
                meanwhile += drain(to);
            }
        };
        runtime.block_on(arrived);
        // A leg may be in the middle of its turn's batch when the frame comes, and have its next before it.
        assert!(
            meanwhile <= FLOODS * 2 * TURN,
            "{meanwhile} bytes before a small frame"
        );
    }
    drop(server);
}
