//! Signals and streams that end under a command: the other side hears of it, and nothing panics.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::harness::{Peer, Server, binary, noise, quiet, signal, soon};

#[tokio::test]
async fn the_other_side_hears_at_once_of_every_signal_that_ends_a_command() {
    let server = Server::start(&[]).await;
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        // A command whose starter ignores it ignores it, too: these tests may have been started by nohup.
        if name == "HUP" && ignores_hang_up() {
            continue;
        }
        let mut ends = Peer::start(&server.url(), &["connect"]);
        let code_shown = ends.code().await;
        let mut stays = Peer::start(&server.url(), &["connect", &code_shown]);
        stays.event("connected").await;
        ends.event("connected").await;
        let input = stays.stdin.take();
        signal(&ends.child, name);
        // It waits for minutes if it is not told.
        let (exit, said) = stays.end().await;
        assert_eq!(exit, 4, "{name}: {said}");
        drop(input);
        let (exit, said) = ends.end().await;
        assert_eq!((exit, said.as_str()), (code, "interrupted"), "{name}");
    }
}

pub fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 != 0
}

#[tokio::test]
async fn a_command_that_nohup_starts_outlives_its_terminal() {
    let server = Server::start(&[]).await;
    let mut command = Command::new("nohup");
    command
        .arg(binary())
        .args(["connect", "--json", "--server"]);
    let mut child = quiet(command.arg(server.url())).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut seen = String::new();
    while !seen.contains("\"code\"") {
        let mut piece = [0; 512];
        let read = soon(stderr.read(&mut piece)).await.unwrap();
        assert!(read > 0, "it ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    signal(&child, "HUP");
    let waited = tokio::time::timeout(Duration::from_millis(500), child.wait());
    assert!(waited.await.is_err(), "it ended by SIGHUP");
    signal(&child, "TERM");
    let status = soon(child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(143));
}

#[tokio::test]
async fn a_command_whose_thread_is_blocked_ends_by_a_signal() {
    let server = Server::start(&[]).await;
    let mut shows = Peer::start(&server.url(), &["ping"]);
    let code = shows.code().await;
    let mut measures = Peer::start(&server.url(), &["ping", &code, "-n", "100000", "-i", "1"]);
    measures.event("connected").await;
    // Nobody reads its standard output: after some 64 KiB it is blocked in writing.
    let pid = measures.child.id().unwrap();
    let blocked = async {
        loop {
            let wait = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
            let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            if wait.contains("pipe_w") || call.starts_with("1 0x1 ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(blocked).await;
    signal(&measures.child, "TERM");
    let status = soon(measures.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(143));
}

#[tokio::test]
async fn nobody_who_stops_reading_makes_a_command_panic() {
    let server = Server::start(&[]).await;
    let mut shows = Peer::start(&server.url(), &["ping"]);
    let code = shows.code().await;
    let url = server.url();
    let many = ["ping", &code, "-n", "1000", "-i", "1", "--server", &url];
    for args in [&["completions", "bash"][..], &["man"], &["--help"], &many] {
        let mut command = Command::new(binary());
        let mut child = quiet(command.args(args)).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        soon(stdout.read(&mut [0; 1])).await.unwrap();
        drop(stdout);
        let output = soon(child.wait_with_output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 141)), "{args:?}: {code:?} {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
    for args in [&["completions", "zsh"][..], &["--version"]] {
        let mut command = Command::new(binary());
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = quiet(command.args(args)).stdout(Stdio::from(full)).spawn();
        let output = soon(child.unwrap().wait_with_output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(7), "{args:?}: {said}");
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
}

#[tokio::test]
async fn a_server_goes_on_without_the_reader_of_its_log() {
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
    let mut child = quiet(&mut command).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut seen = String::new();
    let url = loop {
        let mut piece = [0; 4096];
        let read = soon(stderr.read(&mut piece)).await.unwrap();
        assert!(read > 0, "it ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        let ready = seen.split("PeerSox is ready at ").nth(1);
        if let Some(rest) = ready.filter(|rest| rest.contains(' ')) {
            break rest.split(' ').next().unwrap().to_owned();
        }
    };
    drop(stderr);
    let port = url.rsplit(':').next().unwrap();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))
            .await
            .unwrap();
        let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        let mut reply = String::new();
        soon(stream.read_to_string(&mut reply)).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
    // Sessions log in their own tasks.
    let mut shows = Peer::start(&url, &["connect"]);
    let code = shows.code().await;
    let mut types = Peer::start(&url, &["connect", &code]);
    shows
        .stdin
        .take()
        .unwrap()
        .write_all(b"heard")
        .await
        .unwrap();
    assert_eq!(types.output().await, b"heard");
}

#[tokio::test]
async fn standard_streams_may_be_closed_from_the_start() {
    let server = Server::start(&[]).await;
    let peersox = binary().display();
    let url = server.url();
    for (line, codes) in [
        (format!("{peersox} completions bash >&-"), [0, 7]),
        (format!("{peersox} devices <&- >&- 2>&-"), [0, 7]),
        (
            format!("{peersox} ping --wait 1 --server {url} 2>&-"),
            [5, 5],
        ),
        (format!("{peersox} receive --server {url} <&- 2>&-"), [2, 2]),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", &line]).env("HOME", "/nonexistent");
        let output = soon(quiet(&mut command).output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code().unwrap();
        assert!(codes.contains(&code), "{line}: {code} {said}");
        assert!(!said.contains("panicked"), "{line}: {said}");
    }
}

#[tokio::test]
async fn a_sender_hears_when_the_reader_of_its_stream_is_gone() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, noise(20_000_000, 1)).unwrap();
    let mut sends = Peer::start(&server.url(), &["send", file.to_str().unwrap()]);
    let code = sends.code().await;
    let mut receives = Peer::start(&server.url(), &["receive", &code, "-y", "-o", "-"]);
    let mut stdout = receives.stdout.take().unwrap();
    soon(stdout.read(&mut [0; 10])).await.unwrap();
    drop(stdout);
    let (exit, said) = sends.end().await;
    assert_eq!(exit, 4, "{said}");
    let (exit, said) = receives.end().await;
    assert_eq!(exit, 141, "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
