//! Messages in pieces that never end.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use peersox_core::role::Role;

use super::legs::{Leg, Over, Session, put_masked};
use super::{Attacked, ROOM};
use crate::harness::soon;

/// A piece of a message that is not its last.
fn piece(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    put_masked(&mut bytes, payload);
    bytes
}

#[tokio::test]
async fn endless_rows_of_tiny_pieces_end_and_cost_little() {
    const LEGS: usize = 24;
    let attacked = Attacked::start(&[]).await;
    let ping = {
        let mut bytes = vec![0x89];
        put_masked(&mut bytes, b"");
        bytes
    };
    // What is repeated without an end.
    let rows = [
        piece(0x00, b""),
        piece(0x00, b"x"),
        [piece(0x00, b""), ping.clone()].concat(),
        [piece(0x00, b"x"), ping.repeat(3)].concat(),
    ];
    let server = &attacked.server;
    let sessions = join_all((0..LEGS).map(|_| Session::open(server))).await;
    // The first round shows what so many legs need by themselves.
    let mut before = 0;
    for round in 0..3 {
        let floods = sessions.iter().enumerate().map(async |(at, session)| {
            let from = Ipv4Addr::new(127, 1, u8::try_from(at).unwrap(), 1);
            let mut leg = Leg::connect(Over::WebSocket, server.port, from).await;
            leg.send(&session.hello(Role::Initiator)).await;
            soon(leg.next()).await.expect("it is admitted");
            leg.write(&piece(0x02, b"")).await;
            let flood = rows[at % rows.len()].repeat(1_000);
            // The socket is closed while it takes no more than it may.
            soon(async { while leg.write(&flood).await {} }).await;
            attacked.memory();
        });
        join_all(floods).await;
        if round == 0 {
            before = attacked.most();
        }
    }
    let grown = attacked.most() - before;
    assert!(grown < ROOM, "{grown} bytes");
    attacked.end().await;
}
