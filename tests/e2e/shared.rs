//! Several commands over one saved device at a time.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{noise, signal, soon};
use crate::saved::{Paired, text};

#[tokio::test]
async fn a_forwarded_port_goes_on_while_files_are_sent_and_their_command_is_killed() {
    let paired = Paired::new().await;
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = echo.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    let mut there = paired.start("b", &["forward", "--target", &target, "--with", "other"]);
    let listen = ["forward", "--listen", "127.0.0.1:0", "--with", "other"];
    let mut here = paired.start("a", &listen);
    there.event("serving").await;
    let address = here.event("listening").await["address"].clone();
    let mut stream = TcpStream::connect(address.as_str().unwrap()).await.unwrap();
    echoes(&mut stream, b"before").await;

    // The socket is for this user only.
    let socket = paired.dir.path().join("a/.other.sock");
    let metadata = fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);

    // What ends a command does not end who holds the connection for it: the same stream goes on below.
    for name in ["TERM", "HUP", "INT"] {
        for device in ["a", "b"] {
            signal_holder(&paired.dir.path().join(device), name);
        }
    }

    let file = paired.dir.path().join("file");
    let content = noise(30_000_000, 3);
    fs::write(&file, &content).unwrap();
    let send = ["send", "--to", "other", text(&file)];
    for victim in ["nobody", "sender", "receiver"] {
        let into = paired.dir.path().join(victim);
        let receive = ["receive", "--from", "other", "-y", "-o", text(&into)];
        let mut sender = paired.start("a", &send);
        let mut receiver = paired.start("b", &receive);
        receiver.event("progress").await;
        receiver.event("progress").await;
        echoes(&mut stream, victim.as_bytes()).await;
        if victim == "sender" {
            signal(&sender.child, "KILL");
            sender.end().await;
            sender = paired.start("a", &send);
        }
        if victim == "receiver" {
            signal(&receiver.child, "KILL");
            receiver.end().await;
            receiver = paired.start("b", &receive);
        }
        assert_eq!(receiver.end().await, (0, String::new()), "{victim}");
        assert_eq!(sender.end().await, (0, String::new()), "{victim}");
        assert!(fs::read(into.join("file")).unwrap() == content, "{victim}");
        // The same connection, over the same channel.
        echoes(&mut stream, b"after").await;
    }

    // The first command is killed: another one serves on over the same leg.
    let forward = ["forward", "--target", &target, "--with", "other"];
    let mut second = paired.start("b", &forward);
    second.event("serving").await;
    signal(&there.child, "KILL");
    there.end().await;
    let mut stream = TcpStream::connect(address.as_str().unwrap()).await.unwrap();
    echoes(&mut stream, b"again").await;
}

#[tokio::test]
async fn another_process_takes_over_when_the_holder_is_killed() {
    let paired = Paired::new().await;
    let file = paired.dir.path().join("file");
    let content = noise(60_000_000, 4);
    fs::write(&file, &content).unwrap();
    let into = paired.dir.path().join("into");
    let mut sender = paired.start("a", &["send", "--to", "other", text(&file)]);
    let receive = ["receive", "--from", "other", "-y", "-o", text(&into)];
    let mut receiver = paired.start("b", &receive);
    receiver.event("progress").await;
    receiver.event("progress").await;
    signal_holder(&paired.dir.path().join("a"), "KILL");
    sender.event("taken_over").await;
    assert_eq!(receiver.end().await, (0, String::new()));
    assert_eq!(sender.end().await, (0, String::new()));
    assert!(fs::read(into.join("file")).unwrap() == content);
}

#[tokio::test]
async fn a_device_that_keeps_receiving_takes_one_transfer_after_the_other() {
    let paired = Paired::new().await;
    let into = paired.dir.path().join("into");
    let receive = [
        "receive",
        "--from",
        "other",
        "--keep",
        "-y",
        "-o",
        text(&into),
    ];
    let mut receiver = paired.start("b", &receive);
    for number in 0..2 {
        let file = paired.dir.path().join(number.to_string());
        fs::write(&file, noise(1_000, number)).unwrap();
        let sender = paired.start("a", &["send", "--to", "other", text(&file)]);
        receiver.event("done").await;
        assert_eq!(sender.end().await, (0, String::new()));
    }
    signal(&receiver.child, "INT");
    assert_eq!(receiver.end().await.0, 130);
    assert!(into.join("0").exists() && into.join("1").exists());
    // Nothing holds the connection any more.
    let lock = paired.dir.path().join("b/.other.lock");
    soon(async {
        while fs::File::open(&lock).unwrap().try_lock().is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Sends a signal to the process that has this folder's device.
fn signal_holder(devices: &std::path::Path, name: &str) {
    let own = format!("PEERSOX_DEVICES={}", text(devices));
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let (line, variables) = (read("cmdline"), read("environ"));
        let holds = line.split(|&byte| byte == 0).nth(1) == Some(b"hold");
        let is_it = variables
            .split(|&byte| byte == 0)
            .any(|it| it == own.as_bytes());
        if holds && is_it {
            let pid = process.file_name();
            let killed = std::process::Command::new("kill")
                .args(["-s", name])
                .arg(pid)
                .status();
            assert!(killed.unwrap().success());
            return;
        }
    }
    panic!("nobody holds the device");
}

async fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    soon(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, text);
}
