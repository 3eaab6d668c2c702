//! One pair beside others that take all they get.

use crate::harness::{Peer, Server, signal};

const MEMORY: u64 = 64 * 1024 * 1024;

/// A pair between which a file is on its way.
async fn bulk(server: &Server, file: &str, transport: &str) -> (Peer, Peer) {
    let url = server.url();
    let mut sender = Peer::start(&url, &["send", file, "--transport", transport]);
    let code = sender.code().await;
    let args = ["receive", "-y", &code, "-o", "-", "--transport", transport];
    let mut receiver = Peer::start(&url, &args);
    let mut data = receiver.stdout.take().unwrap();
    tokio::spawn(async move { tokio::io::copy(&mut data, &mut tokio::io::sink()).await });
    receiver.event("progress").await;
    (sender, receiver)
}

#[tokio::test]
async fn a_small_budget_of_memory_serves_a_ping_beside_bulk_and_readers_that_have_stopped() {
    let server = Server::start(&["--relay-memory", &MEMORY.to_string()]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, vec![7; 400_000_000]).unwrap();
    let file = file.to_str().unwrap();
    let mut busy = Vec::new();
    for transport in ["quic", "ws"] {
        let (sender, stopped) = bulk(&server, file, transport).await;
        signal(&stopped.child, "STOP");
        busy.push((sender, stopped));
        busy.push(bulk(&server, file, transport).await);
    }
    for transport in ["quic", "ws"] {
        let mut answering = Peer::start(&server.url(), &["ping", "--transport", transport]);
        let code = answering.code().await;
        let args = [
            "ping",
            &code,
            "-n",
            "10",
            "-i",
            "50",
            "--transport",
            transport,
        ];
        let asking = Peer::start(&server.url(), &args);
        let (exit, said) = asking.end().await;
        assert_eq!((exit, said.as_str()), (0, ""));
        assert_eq!(answering.end().await.0, 0);
    }
    let peak = server.peak_memory();
    assert!(peak < MEMORY, "{peak}");
    for (mut sender, _) in busy {
        assert_eq!(sender.child.try_wait().unwrap(), None, "it is under way");
    }
}
