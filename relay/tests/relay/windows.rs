//! Windows of QUIC legs: wide for a reader far away, narrow for one that has stalled.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peersox_core::frame::{Frame, Lane};
use peersox_relay::Config;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::guards::sent_ahead;
use crate::support::{ANY_PORT, Over, Server, patiently};

/// Passes what one client sends to a server on, and what it answers, each after `delay`.
async fn far_from(server: SocketAddr, delay: Duration) -> SocketAddr {
    let near = Arc::new(UdpSocket::bind(ANY_PORT).await.unwrap());
    let far = Arc::new(UdpSocket::bind(ANY_PORT).await.unwrap());
    let address = near.local_addr().unwrap();
    let (forth, back) = (
        line(Arc::clone(&far), delay),
        line(Arc::clone(&near), delay),
    );
    tokio::spawn(async move {
        let (mut one, mut two) = ([0; 2048], [0; 2048]);
        let mut client = None;
        loop {
            tokio::select! {
                came = near.recv_from(&mut one) => {
                    let (len, from) = came.unwrap();
                    client = Some(from);
                    forth.send((one[..len].into(), server)).unwrap();
                }
                Ok((len, _)) = far.recv_from(&mut two) => {
                    if let Some(client) = client {
                        back.send((two[..len].into(), client)).unwrap();
                    }
                }
            }
        }
    });
    address
}

/// Sends each packet on after `delay`, in order.
fn line(socket: Arc<UdpSocket>, delay: Duration) -> mpsc::UnboundedSender<(Vec<u8>, SocketAddr)> {
    let (send, mut packets) = mpsc::unbounded_channel::<(Vec<u8>, SocketAddr)>();
    let (timed, mut waiting) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(packet) = packets.recv().await {
            timed.send((Instant::now() + delay, packet)).unwrap();
        }
    });
    tokio::spawn(async move {
        while let Some((due, (packet, to))) = waiting.recv().await {
            sleep_until(due).await;
            // What the system does not take is lost, as packets are.
            let _ = socket.send_to(&packet, to).await;
        }
    });
    send
}

#[tokio::test]
async fn windows_are_wide_for_who_reads_far_away_and_not_for_who_has_stalled() {
    let mut server = Server::start(Config::default()).await;
    server.udp = far_from(server.udp, Duration::from_millis(20)).await;
    let (one, _silent, _) = server.pair((Over::Quic, Over::Quic)).await;
    assert!(sent_ahead(one).await > 1024 * 1024);
    let stalled = server.relay.snapshot().memory;
    assert!(stalled > 0 && stalled < 512 * 1024, "{stalled}");

    let (mut one, mut two, _) = server.pair((Over::Quic, Over::Quic)).await;
    let sends = async {
        loop {
            one.send(Frame::new(Lane::Reliable, &[7; 60_000])).await;
        }
    };
    let reads = async {
        while server.relay.snapshot().memory < stalled + 2 * 1024 * 1024 {
            two.recv().await;
        }
    };
    tokio::select! {
        () = sends => unreachable!("it has no end"),
        () = patiently(reads) => {}
    }
}
