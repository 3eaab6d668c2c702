//! The socket by which an operator talks to a running server.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;

use crate::harness::{Peer, Server, binary, quiet, soon};

/// Runs a command that asks the server behind this socket.
async fn ask(socket: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--admin-socket").arg(socket);
    soon(quiet(&mut command).output()).await.expect("it runs")
}

/// What `peersox status --json` prints.
async fn status(socket: &Path) -> Value {
    let output = ask(socket, &["status", "--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[tokio::test]
async fn an_operator_sees_how_a_server_stands_and_drains_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin");
    let mut server = Server::start(&["--admin-socket", path.to_str().unwrap()]).await;
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let now = status(&path).await;
    assert_eq!(now["url"], server.url());
    assert_eq!((&now["legs"], &now["log"]), (&0.into(), &"info".into()));
    let mut one = Peer::start(&server.url(), &["connect"]);
    let code = one.code().await;
    let mut two = Peer::start(&server.url(), &["connect", &code]);
    two.event("connected").await;
    one.event("connected").await;
    let now = status(&path).await;
    assert_eq!((&now["sessions"], &now["legs"]), (&1.into(), &2.into()));
    let text = ask(&path, &["status"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("sessions: 1, legs: 2"), "{text}");

    // What it logs changes while it runs.
    let record = server.record();
    let refused = ask(&path, &["log", "peersox=nonsense"]).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(status(&path).await["log"], "info");
    let changed = ask(&path, &["log", "debug"]).await;
    assert_eq!(changed.stdout, b"debug\n", "{changed:?}");
    assert_eq!(status(&path).await["log"], "debug");

    // It lists pairings, and revokes one: both devices are hung up on.
    let listed = ask(&path, &["pairings", "--json"]).await;
    let pairing: Value = serde_json::from_slice(&listed.stdout).expect("one pairing");
    for of in ["joined", "initiator_online", "joiner_online"] {
        assert_eq!(pairing[of], true, "{pairing}");
    }
    let name = pairing["pairing"].as_str().unwrap();
    let listed = ask(&path, &["pairings"]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed, format!("{name} both online\n"));
    assert!(!listed.contains(&code[..6]));
    let revoked = ask(&path, &["revoke", name]).await;
    assert_eq!(revoked.status.code(), Some(0), "{revoked:?}");
    for peer in [one, two] {
        let (exit, said) = peer.end().await;
        assert_eq!(exit, 4, "{said}");
        assert!(said.contains("revoked"), "{said}");
    }
    assert_eq!(ask(&path, &["revoke", name]).await.status.code(), Some(2));
    assert_eq!(ask(&path, &["pairings"]).await.stdout, b"");

    // Each code that is made is told at the level that was asked for.
    let mut waits = Peer::start(&server.url(), &["ping"]);
    waits.code().await;

    // The command returns when the process is gone, so that the next one finds its port free.
    let port = server.port;
    let drained = ask(&path, &["drain"]).await;
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    assert!(!path.exists());
    let next = Server::start_at(port, &["--admin-socket", path.to_str().unwrap()]).await;
    let status = soon(server.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let said = record.end(next).await;
    assert!(said.contains("the operator asks to drain"), "{said}");
    assert!(said.contains("stopping; a second signal"), "{said}");
    assert!(said.contains("DEBUG"), "{said}");

    let nobody = ask(&path, &["drain"]).await;
    assert_eq!(nobody.status.code(), Some(5), "{nobody:?}");
}

#[tokio::test]
async fn a_socket_in_use_and_other_files_are_left_alone_and_a_stale_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin");
    let options = ["--admin-socket", path.to_str().unwrap()];
    let first = Server::start(&options).await;
    let second = ["serve", "--listen", "127.0.0.1:0"];
    let refused = ask(&path, &second).await;
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
    assert_eq!(status(&path).await["url"], first.url());

    // One that was removed is not taken away from the server that came after.
    fs::remove_file(&path).unwrap();
    let next = Server::start(&options).await;
    first.stop().await;
    assert_eq!(status(&path).await["url"], next.url());

    next.kill().await;
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    let third = Server::start(&options).await;
    assert_eq!(status(&path).await["url"], third.url());
    third.stop().await;

    fs::write(&path, "a letter").unwrap();
    let refused = ask(&path, &second).await;
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), b"a letter");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_no_question_is_answered_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin");
    let server = Server::start(&["--admin-socket", path.to_str().unwrap()]).await;
    let mut line = BufReader::new(UnixStream::connect(&path).await.unwrap());
    for (question, answer) in [
        ("{\"ask\":\"dance\"}", "does not understand"),
        ("nonsense", "does not understand"),
        ("{\"ask\":", "does not understand"),
        ("{\"ask\":\"log\"}", "missing field `filter`"),
        ("{\"ask\":\"status\"}", "\"sessions\":0"),
    ] {
        line.write_all(question.as_bytes()).await.unwrap();
        line.write_all(b"\n").await.unwrap();
        let mut told = String::new();
        soon(line.read_line(&mut told)).await.unwrap();
        assert!(told.contains(answer), "{question}: {told}");
    }
    // More than fits into a line ends the connection, and no other.
    let _ = line.write_all(&vec![b'x'; 2 << 20]).await;
    let mut told = String::new();
    let ended = soon(line.read_line(&mut told)).await;
    assert!(ended.unwrap_or(0) == 0, "{told}");
    assert_eq!(status(&path).await["url"], server.url());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin");
    let _silent = UnixListener::bind(&path).unwrap();
    let (standing, drained) = tokio::join!(ask(&path, &["status"]), ask(&path, &["drain"]));
    for output in [standing, drained] {
        assert_eq!(output.status.code(), Some(5), "{output:?}");
    }
}
