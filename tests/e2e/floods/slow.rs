//! Connections that begin and do not go on, or go on byte by byte: each of them ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use peersox_core::role::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::legs::{Leg, Over, Session, UPGRADE, Wire, client, encode, tcp, upgrade};
use super::{Attacked, ROOM};
use crate::harness::soon;
use crate::tls::Certificates;

/// Sends one byte after the other, slowly, and the last one again and again, until the server hangs up.
async fn drip(tcp: &mut TcpStream, bytes: &[u8]) {
    let (mut read, mut write) = tcp.split();
    let last = bytes.last().expect("there are some");
    let drips = async {
        for byte in bytes.iter().chain(std::iter::repeat(last)) {
            if write.write_u8(*byte).await.is_err() {
                return;
            }
            tokio::time::sleep(PACE).await;
        }
    };
    let mut waste = Vec::new();
    // An error is an end, too.
    let ends = read.read_to_end(&mut waste);
    tokio::select! {
        () = drips => {}
        _ = ends => {}
    }
}

/// Says this at once, and nothing more.
async fn begin(port: u16, from: Ipv4Addr, bytes: &[u8]) {
    let mut tcp = tcp(port, from).await;
    tcp.write_all(bytes).await.unwrap();
    let _ = tcp.read_to_end(&mut Vec::new()).await;
}

/// How fast a sender is that means to hold a connection.
const PACE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn whoever_begins_and_does_not_go_on_is_hung_up() {
    const EACH: u8 = 24;
    let Certificates { cert, key, .. } = &Certificates::of_loopback();
    let secure = crate::harness::Server::start(&["--tls-cert", cert, "--tls-key", key]).await;
    let attacked = Attacked::start(&[]).await;
    let session = Session::open(&attacked.server).await;
    let hello = session.hello(Role::Initiator).into_bytes();
    let [by_websocket, by_quic] = [Over::WebSocket, Over::Quic].map(|over| encode(over, &hello));
    let port = attacked.server.port;
    // The first bytes of a ClientHello: TLS waits for the rest.
    let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // A call whose message never comes.
    let call = "POST /peersox.v1.PairingService/JoinPairing HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\
                content-type: application/grpc-web+proto\r\n\r\nx";
    let memory = (attacked.memory(), secure.memory());
    let each = (0..EACH).map(async |at| {
        let from = |kind| Ipv4Addr::new(127, 3, kind, 1 + at);
        let silent = begin(port, from(0), b"");
        let head = async { drip(&mut tcp(port, from(1)).await, &UPGRADE.as_bytes()[..100]).await };
        let http2 = begin(port, from(2), preface);
        let slow_call = begin(port, from(3), call.as_bytes());
        let half_open = begin(secure.port, from(4), b"");
        let handshake = begin(secure.port, from(5), &tls);
        let slow_handshake = async { drip(&mut tcp(secure.port, from(6)).await, &tls).await };
        let no_hello = async {
            let mut tcp = tcp(port, from(7)).await;
            upgrade(&mut tcp).await;
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        };
        let slow_hello = async {
            let mut tcp = tcp(port, from(8)).await;
            upgrade(&mut tcp).await;
            drip(&mut tcp, &by_websocket[..100]).await;
        };
        let no_stream = async {
            let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let client = client(from(9));
            let connection = client.connect(server, "localhost").unwrap().await;
            connection.unwrap().closed().await;
        };
        let slow_stream = async {
            let mut leg = Leg::connect(Over::Quic, port, from(10)).await;
            let Wire::Quic(connection, stream, _) = &mut leg.wire else {
                unreachable!("it was asked for");
            };
            for byte in &by_quic[..by_quic.len() - 1] {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(PACE).await;
            }
            connection.closed().await;
        };
        let tcps = async {
            tokio::join!(
                silent,
                head,
                http2,
                slow_call,
                half_open,
                handshake,
                slow_handshake
            )
        };
        let legs = async { tokio::join!(no_hello, slow_hello, no_stream, slow_stream) };
        soon(async { tokio::join!(tcps, legs) }).await;
    });
    let measure = async {
        loop {
            attacked.memory();
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::select! {
        _ = join_all(each) => {}
        () = measure => {}
    }
    let grown = (
        attacked.most() - memory.0,
        secure.memory().saturating_sub(memory.1),
    );
    assert!(grown.0 < ROOM && grown.1 < ROOM, "{grown:?} bytes");
    // There is room for everybody else.
    for over in [Over::WebSocket, Over::Quic] {
        soon(session.attach(over, Role::Initiator)).await;
    }
    attacked.end().await;
}
