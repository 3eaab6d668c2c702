//! Several commands over one saved device at a time.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Peer, noise, signal, soon};
use crate::saved::{Paired, text};

#[tokio::test]
async fn a_forwarded_port_goes_on_while_files_are_sent_and_their_command_is_killed() {
    let paired = Paired::new().await;
    let target = echo().await;
    let (_here, there, address) = forwards(&paired, &target).await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
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
    let mut stream = TcpStream::connect(&address).await.unwrap();
    echoes(&mut stream, b"again").await;
}

/// Two that both send would wait for each other: a person is told what is missing.
#[tokio::test]
async fn two_devices_that_both_send_are_told_so() {
    let paired = Paired::new().await;
    let send = ["send", "--to", "other", "/bin/true"];
    let mut here = paired.start("a", &send);
    let mut there = paired.start("b", &send);
    let told = tokio::select! {
        told = here.event("wanted") => told,
        told = there.event("wanted") => told,
    };
    assert_eq!(told["command"], "receive", "{told}");
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
async fn what_is_forwarded_goes_on_when_the_holders_are_killed() {
    let paired = Paired::new().await;
    let target = echo().await;
    let (mut here, mut there, address) = forwards(&paired, &target).await;
    // More than a holder keeps for commands that have not come.
    let mut quiet = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        echoes(&mut stream, b"before").await;
        quiet.push(stream);
    }

    // One that is busy both ways all the time.
    let busy = TcpStream::connect(&address).await.unwrap();
    let content = noise(40_000_000, 5);
    let (mut read, mut write) = busy.into_split();
    let (progress, mut seen) = tokio::sync::watch::channel(0);
    let sent = content.clone();
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let reading = tokio::spawn(async move {
        let mut back = Vec::new();
        while read.read_buf(&mut back).await.unwrap() > 0 {
            progress.send_replace(back.len());
        }
        back
    });
    for (victim, at) in [("a", 1), ("b", 10_000_000), ("a", 20_000_000)] {
        soon(seen.wait_for(|&read| read >= at)).await.unwrap();
        signal_holder(&paired.dir.path().join(victim), "KILL");
        let command = if victim == "a" { &mut here } else { &mut there };
        command.event("taken_over").await;
        for stream in &mut quiet {
            echoes(stream, victim.as_bytes()).await;
        }
    }
    soon(writing).await.unwrap();
    assert!(soon(reading).await.unwrap() == content);

    // What has nobody on the other side any more breaks, and does not look complete. Another command keeps
    // the holder alive, which says so at once.
    let forward = ["forward", "--target", &target, "--with", "other"];
    let mut second = paired.start("b", &forward);
    second.event("serving").await;
    signal(&there.child, "KILL");
    breaks(&mut quiet[0]).await;
}

#[tokio::test]
async fn a_service_that_is_not_there_costs_one_connection_and_not_the_command() {
    let paired = Paired::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let (mut here, mut there, address) = forwards(&paired, &target).await;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        breaks(&mut stream).await;
        here.event("broken").await;
        there.event("unreachable").await;
    }
    signal(&here.child, "INT");
    assert_eq!(here.end().await.0, 130);
}

#[tokio::test]
async fn a_pipe_goes_on_when_the_holders_are_killed() {
    let paired = Paired::new().await;
    let pipe = ["connect", "--with", "other"];
    let mut a = paired.start("a", &pipe);
    let mut b = paired.start("b", &pipe);
    a.event("connected").await;
    b.event("connected").await;
    for (round, victim) in [("one", "a"), ("two", "b"), ("three", "b")] {
        pass(&mut a, &mut b, &format!("{round} from a\n")).await;
        pass(&mut b, &mut a, &format!("{round} from b\n")).await;
        signal_holder(&paired.dir.path().join(victim), "KILL");
        // What is said before anybody notices arrives, too.
        pass(&mut a, &mut b, "meanwhile\n").await;
    }
    drop((a.stdin.take(), b.stdin.take()));
    assert_eq!(a.end().await, (0, String::new()));
    assert_eq!(b.end().await, (0, String::new()));
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

/// A port of device a that leads to a target of device b: both commands, and its address.
async fn forwards(paired: &Paired, target: &str) -> (Peer, Peer, String) {
    let mut there = paired.start("b", &["forward", "--target", target, "--with", "other"]);
    let listen = ["forward", "--listen", "127.0.0.1:0", "--with", "other"];
    let mut here = paired.start("a", &listen);
    there.event("serving").await;
    let address = here.event("listening").await["address"].clone();
    (here, there, address.as_str().unwrap().to_owned())
}

/// A service that sends back what it gets; its address.
async fn echo() -> String {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = echo.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

/// What one command reads the other one writes.
async fn pass(from: &mut Peer, to: &mut Peer, line: &str) {
    let stdin = from.stdin.as_mut().unwrap();
    stdin.write_all(line.as_bytes()).await.unwrap();
    let mut read = vec![0; line.len()];
    let stdout = to.stdout.as_mut().unwrap();
    soon(stdout.read_exact(&mut read)).await.unwrap();
    assert_eq!(read, line.as_bytes());
}

/// A connection is reset, and does not look complete.
async fn breaks(stream: &mut TcpStream) {
    let broken = soon(stream.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(broken.kind(), std::io::ErrorKind::ConnectionReset);
}

async fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    soon(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, text);
}
