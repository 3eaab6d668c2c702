//! A gigabyte through a relay that is killed ten times, over legs that change with every kill.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::gate::{Gate, Udp};
use crate::harness::{Peer, Server, noise, quiet_port};

const SIZE: u64 = 1_000_000_000;
const KILLS: u64 = 10;
const PIECE: usize = 1_000_000;

#[tokio::test]
async fn a_gigabyte_outlives_ten_killed_relays_and_legs_that_change() {
    let folder = tempfile::tempdir().unwrap();
    let (file, into) = (folder.path().join("file"), folder.path().join("into"));
    write(&file);
    let state = folder.path().join("state");
    let options = ["--state", state.to_str().unwrap()];
    let port = quiet_port();
    let mut server = Server::start_at(port, &options).await;
    let gate = Gate::with_udp(port).await;

    let mut sender = Peer::start(&gate.url(), &["send", file.to_str().unwrap()]);
    let code = sender.code().await;
    let mut legs = vec![leg(&mut sender).await];
    let args = ["receive", "-y", &code, "-o", into.to_str().unwrap()];
    let mut receiver = Peer::start(&server.url(), &args);
    for kill in 0..KILLS {
        let share = SIZE * (kill + 1) / (KILLS + 2);
        while receiver.event("progress").await["bytes"].as_u64().unwrap() < share {}
        // The leg that dies learns of it at once; the next one finds QUIC open, or not.
        let blocked = kill % 2 == 0;
        gate.udp(if blocked {
            Udp::OldFlowsPass
        } else {
            Udp::Passes
        });
        server.kill().await;
        server = Server::start_at(port, &options).await;
        legs.push(leg(&mut sender).await);
        assert_eq!(receiver.event("connected").await["again"], true);
    }
    let done = receiver.event("done").await;
    assert_eq!(done["bytes"], SIZE);
    assert_eq!(done["resumed"], 0, "one transfer from beginning to end");
    assert_eq!(receiver.end().await, (0, String::new()));
    assert_eq!(sender.end().await, (0, String::new()));

    let expected = (0..=KILLS).map(|kill| ["quic", "websocket"][usize::from(kill % 2 == 1)]);
    assert_eq!(legs, expected.collect::<Vec<_>>());
    compare(&into.join("file"));
    drop(server);
}

/// The transport of the next leg.
async fn leg(peer: &mut Peer) -> String {
    let attached = peer.event("attached").await;
    attached["transport"].as_str().unwrap().to_owned()
}

fn pieces() -> impl Iterator<Item = Vec<u8>> {
    (0..SIZE / PIECE as u64).map(|number| noise(PIECE, number))
}

fn write(path: &Path) {
    let mut file = File::create(path).unwrap();
    for piece in pieces() {
        file.write_all(&piece).unwrap();
    }
}

fn compare(path: &Path) {
    let mut file = File::open(path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), SIZE);
    let mut got = vec![0; PIECE];
    for (number, piece) in pieces().enumerate() {
        file.read_exact(&mut got).unwrap();
        assert!(got == piece, "megabyte {number} differs");
    }
}
