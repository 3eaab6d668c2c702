//! `peersox send` and `peersox receive`: what arrives is what was sent.

use std::fs;
use std::path::Path;

use tokio::io::AsyncWriteExt as _;

use crate::gate::Gate;
use crate::harness::{Peer, Server, noise, signal};

#[tokio::test]
async fn a_folder_arrives_over_every_mix_of_transports() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    fs::write(folder.join("big"), noise(5_000_000, 1)).unwrap();
    fs::write(folder.join("deep/er/ünïcode name"), noise(70_000, 2)).unwrap();
    fs::write(folder.join("nothing"), b"").unwrap();

    for (here, there) in [
        ("quic", "quic"),
        ("ws", "ws"),
        ("quic", "ws"),
        ("ws", "quic"),
    ] {
        let into = dir.path().join(format!("{here}-{there}"));
        let mut sender = Peer::start(&server.url(), &["send", text(&folder), "--transport", here]);
        let code = sender.code().await;
        let options = [
            "receive",
            "-y",
            &code,
            "-o",
            text(&into),
            "--transport",
            there,
        ];
        let mut receiver = Peer::start(&server.url(), &options);
        let done = receiver.event("done").await;
        assert_eq!(
            (&done["bytes"], &done["files"]),
            (&5_070_000.into(), &3.into())
        );
        assert_eq!(receiver.end().await.0, 0);
        assert_eq!(sender.end().await.0, 0);
        assert_eq!(tree(&folder), tree(&into.join("folder")), "{here}-{there}");
        assert_eq!(
            fs::read_dir(&into).unwrap().count(),
            1,
            "no partial files are left"
        );
    }
}

#[tokio::test]
async fn standard_input_arrives_at_standard_output() {
    let server = Server::start(&[]).await;
    let mut sender = Peer::start(&server.url(), &["send", "-"]);
    let code = sender.code().await;
    let bytes = noise(3_000_000, 3);
    let mut stdin = sender.stdin.take().unwrap();
    let written = bytes.clone();
    tokio::spawn(async move { stdin.write_all(&written).await });
    let mut receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", "-"]);
    assert!(receiver.output().await == bytes);
    assert_eq!(receiver.end().await.0, 0);
    assert_eq!(sender.end().await.0, 0);
}

#[tokio::test]
async fn a_broken_network_only_delays_a_transfer() {
    let server = Server::start(&[]).await;
    let gate = Gate::to(server.port).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, noise(60_000_000, 4)).unwrap();
    let into = dir.path().join("into");

    let mut sender = Peer::start(&gate.url(), &["send", text(&file), "--transport", "ws"]);
    let code = sender.code().await;
    let mut receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(&into)]);
    receiver.event("progress").await;
    gate.shut();
    sender.event("leg_lost").await;
    receiver.event("peer_away").await;
    gate.open();
    receiver.event("done").await;
    assert_eq!(receiver.end().await.0, 0);
    assert_eq!(sender.end().await.0, 0);
    assert!(fs::read(into.join("file")).unwrap() == noise(60_000_000, 4));
}

#[tokio::test]
async fn what_was_broken_off_is_resumed_by_another_attempt() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, noise(80_000_000, 5)).unwrap();
    let into = dir.path().join("into");

    let mut sender = Peer::start(&server.url(), &["send", text(&file)]);
    let code = sender.code().await;
    let mut receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(&into)]);
    // The first report is of the beginning; by the second, a part is on the disk.
    receiver.event("progress").await;
    receiver.event("progress").await;
    signal(&receiver.child, "KILL");
    drop(sender);
    assert!(!into.join("file").exists());

    let mut sender = Peer::start(&server.url(), &["send", text(&file)]);
    let code = sender.code().await;
    let mut receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(&into)]);
    let done = receiver.event("done").await;
    assert!(done["resumed"].as_u64().unwrap() > 0, "{done}");
    assert_eq!(receiver.end().await.0, 0);
    assert_eq!(sender.end().await.0, 0);
    assert!(fs::read(into.join("file")).unwrap() == noise(80_000_000, 5));
}

#[tokio::test]
async fn files_that_cannot_be_read_or_stored_have_their_exit_code() {
    let server = Server::start(&[]).await;
    let (exit, said) = Peer::start(&server.url(), &["send", "/no/such/file"])
        .end()
        .await;
    assert_eq!(exit, 7, "{said}");
    assert!(said.contains("/no/such/file"), "{said}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"content").unwrap();
    let mut sender = Peer::start(&server.url(), &["send", text(&file)]);
    let code = sender.code().await;
    let receiver = Peer::start(&server.url(), &["receive", "-y", &code, "-o", text(&file)]);
    let (exit, said) = receiver.end().await;
    assert_eq!(exit, 7, "{said}");
    assert_eq!(
        sender.end().await.0,
        4,
        "the sender hears that it was declined"
    );
    assert_eq!(fs::read(&file).unwrap(), b"content");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every path below a folder, with the content of files.
fn tree(root: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for child in fs::read_dir(folder).unwrap() {
            let path = child.unwrap().path();
            let name = text(path.strip_prefix(root).unwrap()).to_owned();
            if path.is_dir() {
                found.push((name, None));
                folders.push(path);
            } else {
                found.push((name, Some(fs::read(path).unwrap())));
            }
        }
    }
    found.sort();
    found
}
