//! Handshakes of QUIC that are begun and abandoned: before the address is proven, and right after that.
//!
//! ```text
//! client            this proxy                server
//!   ── Initial ─────────►  ── Initial ──────────►
//!   ◄─────────── Retry ──  ◄─────────── Retry ──      abandoned here, or
//!   ── Initial, token ──►  ── Initial, token ───►     here: nothing else passes
//! ```
//!
//! `PEERSOX_ABANDONED` says how many handshakes of each kind there are.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Attacked;
use super::legs::client;
use crate::harness::soon;

/// What all of them together may cost.
const ROOM: u64 = 10 << 20;
/// So many are begun at a time: more than that may not fit in a socket's buffer.
const AT_ONCE: usize = 32;

#[tokio::test]
async fn handshakes_that_are_abandoned_cost_little_memory() {
    let given = std::env::var("PEERSOX_ABANDONED").ok();
    let many = given.map_or(400, |it| it.parse().expect("a number"));
    let attacked = Attacked::start(&[]).await;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, attacked.server.port));
    let before = attacked.memory();

    // The same first packet from another address is another handshake.
    let packets = first_packets(16).await;
    let mut begun = FuturesUnordered::new();
    for at in 0..many {
        begun.push(unproven(&packets[at % packets.len()], server, at));
        while begun.len() >= AT_ONCE || (at + 1 == many && !begun.is_empty()) {
            soon(begun.next()).await;
            attacked.memory();
        }
    }
    let unproven = attacked.most() - before;

    let mut passed = proxy(server).await;
    let client = client(Ipv4Addr::LOCALHOST);
    let mut begun = Vec::new();
    for at in 0..many {
        begun.push(client.connect(passed.address, "localhost").unwrap());
        if begun.len() == AT_ONCE || at + 1 == many {
            for _ in 0..begun.len() {
                soon(passed.proven.recv()).await.expect("the proxy lives");
            }
            // What they say of that does not pass.
            begun.clear();
            attacked.memory();
        }
    }
    let proven = attacked.most() - before;
    eprintln!("{many} abandoned at once cost {unproven} bytes, and as many later {proven}");
    assert!(
        unproven < ROOM && proven < ROOM,
        "{unproven} and {proven} bytes"
    );
    attacked.end().await;
}

/// Begins a handshake and answers nothing to the server's Retry. Says it again if it got lost.
async fn unproven(packet: &[u8], server: SocketAddr, at: usize) {
    let socket = UdpSocket::bind((host(at), 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    let mut answer = [0; 2_048];
    loop {
        socket.send(packet).await.unwrap();
        let got = timeout(Duration::from_secs(1), socket.recv(&mut answer)).await;
        if got.is_ok_and(|len| len.is_ok()) {
            assert!(is_retry(&answer));
            return;
        }
    }
}

/// An address of this machine; each network of 16 bits has few of them.
fn host(at: usize) -> Ipv4Addr {
    let [.., a, b] = at.to_be_bytes();
    Ipv4Addr::new(127, 4 + a % 64, b, 1)
}

/// What a client of QUIC sends first, for so many connections.
async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = client(Ipv4Addr::LOCALHOST);
    let to = sink.local_addr().unwrap();
    let begun: Vec<_> = (0..count)
        .map(|_| client.connect(to, "localhost").unwrap())
        .collect();
    let mut packets = HashMap::new();
    while packets.len() < count {
        let mut packet = vec![0; 2_048];
        let len = soon(sink.recv(&mut packet)).await.unwrap();
        packet.truncate(len);
        packets.entry(ids(&packet).0.to_vec()).or_insert(packet);
    }
    drop(begun);
    packets.into_values().collect()
}

/// A proxy that lets a handshake go on until the address is proven.
struct Proxy {
    address: SocketAddr,
    /// One for each handshake that has come so far.
    proven: mpsc::UnboundedReceiver<()>,
}

async fn proxy(server: SocketAddr) -> Proxy {
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = near.local_addr().unwrap();
    let (told, proven) = mpsc::unbounded_channel();
    tokio::spawn(pass(Arc::new(near), server, told));
    Proxy { address, proven }
}

async fn pass(near: Arc<UdpSocket>, server: SocketAddr, told: mpsc::UnboundedSender<()>) {
    // By the id that the client has chosen; none once it has proven its address.
    let mut begun: HashMap<Vec<u8>, Option<Far>> = HashMap::new();
    let mut number = 0;
    let mut packet = [0; 2_048];
    while let Ok((len, from)) = near.recv_from(&mut packet).await {
        let packet = &packet[..len];
        if packet[0] & 0xf0 != 0xc0 {
            continue;
        }
        let (source, token) = ids(packet);
        match begun.get_mut(source) {
            Some(known @ Some(_)) if token > 0 => {
                if let Some(far) = known.take() {
                    far.socket.send(packet).await.unwrap();
                    far.retries.abort();
                    let _ = told.send(());
                }
            }
            // Again, as a packet got lost.
            Some(Some(far)) => drop(far.socket.send(packet).await),
            // Among thousands two choose the same id.
            Some(None) | None if token == 0 => {
                number += 1;
                let far = Far::begin(host(number), server, Arc::clone(&near), from).await;
                far.socket.send(packet).await.unwrap();
                begun.insert(source.to_vec(), Some(far));
            }
            Some(None) | None => {}
        }
    }
}

/// The server's side of one handshake.
struct Far {
    socket: Arc<UdpSocket>,
    /// Hands on what the server says before the address is proven.
    retries: tokio::task::JoinHandle<()>,
}

impl Far {
    async fn begin(
        host: Ipv4Addr,
        server: SocketAddr,
        near: Arc<UdpSocket>,
        client: SocketAddr,
    ) -> Self {
        let socket = Arc::new(UdpSocket::bind((host, 0)).await.unwrap());
        socket.connect(server).await.unwrap();
        let far = Arc::clone(&socket);
        let retries = tokio::spawn(async move {
            let mut answer = [0; 2_048];
            while let Ok(len) = far.recv(&mut answer).await {
                if is_retry(&answer) {
                    near.send_to(&answer[..len], client).await.unwrap();
                }
            }
        });
        Self { socket, retries }
    }
}

/// A long header of the type Retry (RFC 9000, section 17.2.5).
fn is_retry(packet: &[u8]) -> bool {
    packet[0] & 0xf0 == 0xf0
}

/// The id that the sender of an Initial has chosen, and the length of its token as one byte tells it.
fn ids(packet: &[u8]) -> (&[u8], u8) {
    let (len, rest) = packet[5..].split_first().unwrap();
    let (len, rest) = rest[usize::from(*len)..].split_first().unwrap();
    let (source, rest) = rest.split_at(usize::from(*len));
    (source, rest[0])
}
