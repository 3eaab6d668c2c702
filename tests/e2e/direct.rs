//! Direct paths of native programs, on one machine; `nat` has those through networks.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use peersox_client::{DirectMode, Message, Options, PathKind, Priority};

use crate::client::try_pair_with;
use crate::harness::{Peer, Server, noise, signal, soon};
use crate::saved::Paired;

/// How many sockets of UDP a process has.
fn udp_sockets(peer: &Peer) -> usize {
    let pid = peer.child.id().expect("it runs");
    let inodes = ["udp", "udp6"].map(|table| {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).expect("Linux");
        let rows = table.lines().skip(1);
        let inodes = rows.filter_map(|row| row.split_whitespace().nth(9).map(str::to_owned));
        inodes.collect::<Vec<_>>()
    });
    let inodes = inodes.concat();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let is_udp = |target: &std::path::PathBuf| {
        let target = target.to_string_lossy();
        let inode = target
            .strip_prefix("socket:[")
            .and_then(|it| it.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|it| it == inode))
    };
    targets.filter(is_udp).count()
}

#[tokio::test]
async fn two_command_lines_send_straight_to_each_other() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let [from, into] = ["file", "into"].map(|name| dir.path().join(name));
    let sent = noise(40_000_000, 7);
    fs::write(&from, &sent).unwrap();
    let insist = ["--path", "direct"];
    let file = from.to_str().unwrap();
    let mut sender = Peer::start(&server.url(), &[&["send", file], &insist[..]].concat());
    let code = sender.code().await;
    let into = into.to_str().unwrap();
    let receive = ["receive", "-y", "-o", into, &code];
    let mut receiver = Peer::start(&server.url(), &[&receive[..], &insist].concat());
    for peer in [&mut receiver, &mut sender] {
        assert_eq!(peer.event("done").await["path"], "direct·quic");
    }
    assert_eq!(receiver.end().await.0, 0);
    assert_eq!(sender.end().await.0, 0);
    assert!(fs::read(dir.path().join("into/file")).unwrap() == sent);
}

#[tokio::test]
async fn whoever_keeps_to_the_relay_tells_no_address() {
    let server = Server::start(&[]).await;
    let over = ["--transport", "ws"];
    for (ours, theirs) in [("relay", "auto"), ("auto", "relay")] {
        let shows = [&["ping", "--path", ours], &over[..]].concat();
        let mut shows = Peer::start(&server.url(), &shows);
        let code = shows.code().await;
        let types = [
            &["ping", &code, "-n", "1000000", "-i", "10", "--path", theirs],
            &over[..],
        ];
        let mut types = Peer::start(&server.url(), &types.concat());
        // The side that may has looked in vain: the other one has no socket for it.
        let [keeps, looks] = match ours {
            "relay" => [&mut shows, &mut types],
            _ => [&mut types, &mut shows],
        };
        looks.event("direct_failed").await;
        assert_eq!(udp_sockets(keeps), 0, "{ours} {theirs}");
    }
}

#[tokio::test]
async fn whoever_insists_on_a_direct_path_is_told_why_there_is_none() {
    let server = Server::start(&[]).await;
    let mut shows = Peer::start(&server.url(), &["ping"]);
    let code = shows.code().await;
    let insists = Peer::start(&server.url(), &["ping", &code, "--path", "direct"]);
    let (exit, said) = insists.end().await;
    assert_eq!(exit, 5, "{said}");
    assert!(said.contains("--path auto takes the relay"), "{said}");
    drop(shows);
}

#[tokio::test]
async fn a_direct_path_goes_on_without_the_server() {
    let server = Server::start(&[]).await;
    let (_, a, mut b, _) = soon(try_pair_with(&server.url(), Options::default()))
        .await
        .unwrap();
    let mut status = a.status();
    let direct = status.wait_for(|it| it.path == Some(PathKind::Direct));
    assert_eq!(soon(direct).await.unwrap().why_relayed, None);
    let here = a.open("numbers", Priority::Bulk).await.unwrap();
    let mut there = soon(b.accept()).await.unwrap();
    server.kill().await;
    for number in 0..200u32 {
        let piece = [&number.to_be_bytes()[..], &noise(20_000, number.into())].concat();
        let piece = Message::Binary(Bytes::from(piece));
        soon(here.send(piece.clone())).await.unwrap();
        assert!(soon(there.recv()).await.unwrap() == Some(piece), "{number}");
    }
    let status = *a.status().borrow();
    assert_eq!(
        (status.path, status.connected),
        (Some(PathKind::Direct), true)
    );
    // Both know that nothing is lost, though no relay tells it: this takes no 30 s, as a farewell without an
    // answer does.
    let farewell = async { tokio::join!(a.close(), b.ended()) };
    let ended = tokio::time::timeout(Duration::from_secs(20), farewell).await;
    assert_eq!(ended.expect("both end"), (Ok(()), Ok(())));
}

/// As when its lid is closed for a moment.
#[tokio::test]
async fn a_device_that_was_stopped_goes_back_to_the_direct_path_and_misses_nothing() {
    let server = Server::start(&[]).await;
    let auto = ["--path", "auto"];
    let mut shows = Peer::start(&server.url(), &[&["ping"], &auto[..]].concat());
    let code = shows.code().await;
    let types = ["ping", &code, "-n", "1000000", "-i", "50"];
    let mut types = Peer::start(&server.url(), &[&types[..], &auto].concat());
    let path =
        async |peer: &mut Peer, kind: &str| while peer.event("path").await["kind"] != kind {};
    path(&mut types, "direct").await;
    path(&mut shows, "direct").await;
    signal(&shows.child, "STOP");
    // It is silent: the other one notices, and it does not.
    while types.event("path").await["kind"] == "direct" {}
    signal(&shows.child, "CONT");
    path(&mut types, "direct").await;
    signal(&types.child, "INT");
    let answers = String::from_utf8(types.output().await).unwrap();
    let numbers = answers.lines().filter_map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        event["seq"].as_u64()
    });
    let numbers: Vec<_> = numbers.collect();
    assert!(!numbers.is_empty());
    assert!(
        numbers.iter().copied().eq(1..=numbers.len() as u64),
        "{numbers:?}"
    );
}

#[tokio::test]
async fn only_one_that_offers_finds_one_that_answers() {
    let server = Server::start(&[]).await;
    let options = Options {
        direct: DirectMode::Manual,
        ..Options::default()
    };
    let (_, a, b, _) = soon(try_pair_with(&server.url(), options)).await.unwrap();
    assert_eq!(a.status().borrow().path, Some(PathKind::Relay));
    assert!(soon(b.upgrade()).await.unwrap());
    for peer in [&a, &b] {
        let mut status = peer.status();
        soon(status.wait_for(|it| it.path == Some(PathKind::Direct)))
            .await
            .unwrap();
    }
}

/// A guest that keeps to the relay is not served by a holder that does not.
#[tokio::test]
async fn a_saved_device_keeps_to_the_relay_for_all_commands_or_says_so() {
    let paired = Paired::new().await;
    let waits = |path| ["connect", "--with", "other", "--path", path];
    let ping = |path| ["ping", "--with", "other", "-n", "1", "--path", path];
    for (holds, asks, exit, says) in [
        (
            "auto",
            "relay",
            2,
            "another command uses other with direct paths",
        ),
        (
            "relay",
            "direct",
            5,
            "direct paths are turned off on this side",
        ),
        ("relay", "relay", 0, ""),
    ] {
        let mut there = paired.start("b", &waits("relay"));
        let mut first = paired.start("a", &waits(holds));
        first.event("connected").await;
        let ended = paired.start("a", &ping(asks)).end().await;
        assert_eq!(ended.0, exit, "{}", ended.1);
        assert!(ended.1.contains(says), "{}", ended.1);
        // Both have said all that they had to say.
        drop((first.stdin.take(), there.stdin.take()));
        for peer in [first, there] {
            assert_eq!(peer.end().await, (0, String::new()));
        }
    }
}
