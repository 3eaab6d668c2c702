//! A server that is killed and started again with the same state.

use std::os::unix::fs::PermissionsExt as _;

use peersox_test_redis::Redis;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};
use tokio::task::JoinHandle;

use crate::harness::{Peer, Server, binary, noise, quiet_port, soon};

/// One direction stands still with megabytes under way when the server is killed; the other flows,
/// so that its sender has something to say to the server that comes back.
#[tokio::test]
async fn peers_in_mid_stream_survive_a_killed_server() {
    for (here, there, kept) in [
        ("quic", "ws", Kept::in_a_file()),
        ("ws", "quic", Kept::in_redis()),
    ] {
        let options = kept.options();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let port = quiet_port();
        let server = Server::start_at(port, &options).await;
        let mut one = Peer::start(&server.url(), &["connect", "--transport", here]);
        let code = one.code().await;
        let mut two = Peer::start(&server.url(), &["connect", &code, "--transport", there]);
        one.event("connected").await;
        two.event("connected").await;
        let (over_quic, over_ws) = match here {
            "quic" => (&mut one, &mut two),
            _ => (&mut two, &mut one),
        };

        let (flowing, standing) = (noise(20_000_000, 5), noise(40_000_000, 6));
        let (before, after) = flowing.split_at(10_000_000);
        let first = write(over_quic.stdin.take().unwrap(), before.to_vec());
        let all = write(over_ws.stdin.take().unwrap(), standing.clone());
        let mut from_ws = over_quic.stdout.take().unwrap();
        let mut from_quic = over_ws.stdout.take().unwrap();
        let mut to_quic = vec![0; 5_000_000];
        soon(from_ws.read_exact(&mut to_quic)).await.unwrap();
        let mut to_ws = vec![0; 9_900_000];
        soon(from_quic.read_exact(&mut to_ws)).await.unwrap();
        let stdin = soon(first).await.unwrap();

        server.kill().await;
        let server = Server::start_at(port, &options).await;
        let rest = write(stdin, after.to_vec());
        let lost = over_quic.event("leg_lost").await["why"].to_string();
        assert!(lost.contains("reset by peer"), "{here}: {lost}");
        over_ws.event("leg_lost").await;
        for peer in [over_quic, over_ws] {
            peer.event("attached").await;
            assert_eq!(peer.event("connected").await["again"], true);
        }

        // Each task drops its end of the pipe when all is written.
        let reading = async {
            let (ws, quic) = tokio::join!(
                from_ws.read_to_end(&mut to_quic),
                from_quic.read_to_end(&mut to_ws),
            );
            (ws.unwrap(), quic.unwrap())
        };
        let ending = async {
            drop(rest.await.unwrap());
            drop(all.await.unwrap());
        };
        soon(async { tokio::join!(reading, ending) }).await;
        assert!(to_quic == standing, "{here}: {} bytes", to_quic.len());
        assert!(to_ws == flowing, "{here}: {} bytes", to_ws.len());
        assert_eq!(one.end().await, (0, String::new()), "{here} to {there}");
        assert_eq!(two.end().await, (0, String::new()), "{here} to {there}");
        drop(server);
    }
}

/// A code that is shown when the server dies can still be joined.
#[tokio::test]
async fn a_code_survives_a_killed_server() {
    for kept in [Kept::in_a_file(), Kept::in_redis()] {
        let options = kept.options();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let port = quiet_port();
        let server = Server::start_at(port, &options).await;
        let mut initiator = Peer::start(&server.url(), &["connect", "--transport", "ws"]);
        let code = initiator.code().await;
        initiator.event("attached").await;
        server.kill().await;
        let server = Server::start_at(port, &options).await;
        initiator.event("leg_lost").await;
        let mut joiner = Peer::start(&server.url(), &["connect", &code]);
        joiner.event("connected").await;
        initiator.event("connected").await;
    }
}

/// Where a server keeps what it has after a restart.
struct Kept {
    folder: TempDir,
    redis: Option<(Redis, String)>,
}

impl Kept {
    fn in_a_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            redis: None,
        }
    }

    fn in_redis() -> Self {
        let redis = Redis::start();
        let url = redis.url();
        let folder = tempfile::tempdir().unwrap();
        secret_in(&folder, &"5a".repeat(32));
        let redis = Some((redis, url));
        Self { folder, redis }
    }

    fn options(&self) -> Vec<String> {
        match &self.redis {
            None => vec!["--state".to_owned(), state_in(&self.folder)],
            Some((_, url)) => {
                let secret = path(&self.folder, "secret");
                vec![
                    "--redis".to_owned(),
                    url.clone(),
                    "--secret-file".to_owned(),
                    secret,
                ]
            }
        }
    }
}

#[tokio::test]
async fn without_a_state_file_a_restart_forgets_pairings() {
    let port = quiet_port();
    let server = Server::start_at(port, &[]).await;
    let mut initiator = Peer::start(&server.url(), &["connect", "--transport", "ws"]);
    let code = initiator.code().await;
    initiator.event("attached").await;
    server.kill().await;
    let server = Server::start_at(port, &[]).await;
    let joiner = Peer::start(&server.url(), &["connect", &code]);
    let (exit, said) = joiner.end().await;
    assert_eq!(exit, 3, "{said}");
    // Nobody has tried the code, so that another one costs no guess.
    initiator.event("code_expired").await;
    let other = initiator.code().await;
    assert_ne!(code, other);
    let mut joiner = Peer::start(&server.url(), &["connect", &other]);
    joiner.event("connected").await;
    initiator.event("connected").await;
}

#[tokio::test]
async fn a_state_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let used = state_in(&folder);
    let _server = Server::start(&["--state", &used]).await;
    let foreign = path(&folder, "notes.txt");
    std::fs::write(&foreign, "remember the milk").unwrap();
    let nowhere = path(&folder, "nowhere/state");
    for (file, expected) in [
        (&used, "stop the other one"),
        (&foreign, "no state file of PeerSox"),
        (&nowhere, "No such file"),
    ] {
        let serving = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--state", file])
            .output();
        let output = soon(serving).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(7), "{said}");
        assert!(said.contains(file.as_str()), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

/// Writes it all, and gives the pipe back open.
fn write(mut pipe: ChildStdin, bytes: Vec<u8>) -> JoinHandle<ChildStdin> {
    tokio::spawn(async move {
        pipe.write_all(&bytes).await.unwrap();
        pipe
    })
}

/// A file with a secret, readable by its owner only.
pub(crate) fn secret_in(folder: &TempDir, lines: &str) -> String {
    let file = path(folder, "secret");
    std::fs::write(&file, lines).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn state_in(folder: &TempDir) -> String {
    path(folder, "state")
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}
