//! Two `peersox connect` joined, over every mix of transports and over a broken network.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::gate::Gate;
use crate::harness::{Peer, Server, noise, signal, soon};

async fn pair(server: &Server, here: &str, there: &str) -> (Peer, Peer) {
    let mut initiator = Peer::start(&server.url(), &["connect", "--transport", here]);
    let code = initiator.code().await;
    let mut joiner = Peer::start(&server.url(), &["connect", &code, "--transport", there]);
    initiator.event("connected").await;
    joiner.event("connected").await;
    (initiator, joiner)
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_direction_ends_by_itself() {
    let server = Server::start(&[]).await;
    for (here, there) in [
        ("quic", "quic"),
        ("ws", "ws"),
        ("quic", "ws"),
        ("ws", "quic"),
    ] {
        let (mut initiator, mut joiner) = pair(&server, here, there).await;
        let (a, b) = (noise(3_000_000, 1), noise(2_000_000, 2));
        let (mut a_in, mut b_in) = (
            initiator.stdin.take().unwrap(),
            joiner.stdin.take().unwrap(),
        );
        let write_a = async {
            a_in.write_all(&a).await.unwrap();
            drop(a_in);
        };
        let write_b = async {
            b_in.write_all(&b).await.unwrap();
            drop(b_in);
        };
        let ((), (), to_initiator, to_joiner) =
            soon(async { tokio::join!(write_a, write_b, initiator.output(), joiner.output()) })
                .await;
        assert!(
            to_joiner == a,
            "{here} to {there}: {} bytes",
            to_joiner.len()
        );
        assert!(
            to_initiator == b,
            "{there} to {here}: {} bytes",
            to_initiator.len()
        );
        assert_eq!(initiator.end().await, (0, String::new()), "{here}-{there}");
        assert_eq!(joiner.end().await, (0, String::new()), "{here}-{there}");
    }
}

#[tokio::test]
async fn a_lost_leg_is_parked_and_resumed_without_loss() {
    let server = Server::start(&[]).await;
    let gate = Gate::to(server.port).await;
    let mut initiator = Peer::start(&server.url(), &["connect", "--transport", "ws"]);
    let code = initiator.code().await;
    let mut joiner = Peer::start(&gate.url(), &["connect", &code, "--transport", "ws"]);
    initiator.event("connected").await;
    joiner.event("connected").await;

    let sent = noise(40_000_000, 3);
    let mut stdin = initiator.stdin.take().unwrap();
    let whole = sent.clone();
    let writing = tokio::spawn(async move {
        stdin.write_all(&whole).await.unwrap();
        drop(stdin);
    });
    let mut stdout = joiner.stdout.take().unwrap();
    let mut got = vec![0; 5_000_000];
    soon(stdout.read_exact(&mut got)).await.unwrap();

    // In mid-stream, with megabytes under way.
    gate.shut();
    joiner.event("leg_lost").await;
    let away = initiator.event("peer_away").await;
    assert_eq!(away["grace_ms"], 30_000);
    gate.open();
    assert_eq!(joiner.event("attached").await["resumed"], true);
    assert_eq!(joiner.event("connected").await["again"], true);
    assert_eq!(initiator.event("connected").await["again"], true);

    drop(joiner.stdin.take());
    soon(stdout.read_to_end(&mut got)).await.unwrap();
    soon(writing).await.unwrap();
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    assert_eq!(joiner.end().await, (0, String::new()));
    assert_eq!(initiator.end().await, (0, String::new()));
}

#[tokio::test]
async fn a_receiver_that_does_not_read_slows_the_sender_and_costs_the_server_little() {
    const TOTAL: usize = 150_000_000;
    let server = Server::start(&[]).await;
    for transport in ["ws", "quic"] {
        let (mut initiator, mut joiner) = pair(&server, transport, transport).await;
        let mut stdin = initiator.stdin.take().unwrap();
        let (progress, mut written) = tokio::sync::watch::channel(0);
        let writing = tokio::spawn(async move {
            let piece = noise(1_000_000, 4);
            for count in 1..=TOTAL / piece.len() {
                stdin.write_all(&piece).await.unwrap();
                progress.send_replace(count * piece.len());
            }
        });
        // Nobody reads the joiner's output: the sender must come to a halt.
        let halted = loop {
            let before = *written.borrow_and_update();
            let more = tokio::time::timeout(std::time::Duration::from_secs(2), written.changed());
            if more.await.is_err() {
                break before;
            }
        };
        assert!(
            halted < TOTAL / 2,
            "{halted} bytes were taken from the sender"
        );
        let memory = server.memory();
        assert!(memory < 64 << 20, "{transport}: {memory} bytes of memory");

        let got = joiner.output().await;
        soon(writing).await.unwrap();
        assert_eq!(got.len(), TOTAL);
        assert!(
            got.chunks(1_000_000)
                .all(|piece| piece == noise(1_000_000, 4))
        );
        assert_eq!(joiner.end().await, (0, String::new()));
        assert_eq!(initiator.end().await, (0, String::new()));
    }
}

#[tokio::test]
async fn where_udp_is_blocked_a_websocket_takes_over() {
    let server = Server::start(&[]).await;
    // Only TCP passes the gate.
    let gate = Gate::to(server.port).await;
    let mut initiator = Peer::start(&server.url(), &["connect"]);
    let code = initiator.code().await;
    assert_eq!(initiator.event("attached").await["transport"], "quic");
    let mut joiner = Peer::start(&gate.url(), &["connect", &code]);
    assert_eq!(joiner.event("attached").await["transport"], "websocket");
    joiner.event("connected").await;
}

#[tokio::test]
async fn whoever_is_interrupted_lets_the_other_side_go() {
    let server = Server::start(&[]).await;
    let (initiator, joiner) = pair(&server, "quic", "ws").await;
    signal(&joiner.child, "INT");
    assert_eq!(joiner.end().await.0, 130);
    let (exit, said) = initiator.end().await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("left"), "{said}");
}

#[tokio::test]
async fn ping_measures_and_sums_up() {
    let server = Server::start(&[]).await;
    let mut answering = Peer::start(&server.url(), &["ping"]);
    let code = answering.code().await;
    let mut measuring = Peer::start(&server.url(), &["ping", &code, "-n", "5", "-i", "10"]);
    let output = String::from_utf8(measuring.output().await).unwrap();
    let lines: Vec<serde_json::Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 6, "{output}");
    assert!(
        lines[..5]
            .iter()
            .all(|line| line["rtt_us"].as_u64().unwrap() > 0)
    );
    assert_eq!(lines[5]["count"], 5);
    assert_eq!(measuring.end().await.0, 0);
    assert_eq!(answering.end().await.0, 0);
}

#[tokio::test]
async fn a_server_that_stops_tells_its_peers() {
    let server = Server::start(&["--drain-grace", "1"]).await;
    let (mut initiator, mut joiner) = pair(&server, "quic", "ws").await;
    let stopping = tokio::spawn(server.stop());
    initiator.event("draining").await;
    joiner.event("draining").await;
    assert!(soon(stopping).await.unwrap().success());
}
