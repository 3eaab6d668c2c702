//! What people and scripts are told when something is wrong.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::Command;

use crate::harness::{Peer, Server, binary, noise, soon};

#[tokio::test]
async fn a_code_that_cannot_be_joined_says_why_and_has_an_exit_code() {
    let server = Server::start(&["--code-ttl", "1", "--code-max", "1"]).await;
    let join = async |code: &str| {
        let joiner = Peer::start(&server.url(), &["connect", code]);
        joiner.end().await
    };

    let (exit, said) = join("12-tulip-ember").await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("digits"), "{said}");
    let (exit, said) = join("481920-tulipx-ember").await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("word 1"), "{said}");

    let (exit, unknown) = join("000000").await;
    assert_eq!(exit, 3, "{unknown}");

    // Expired: the initiator shows another one by itself.
    let mut initiator = Peer::start(&server.url(), &["connect"]);
    let first = initiator.code().await;
    initiator.event("code_expired").await;
    let second = initiator.code().await;
    assert_ne!(first, second);
    let (exit, expired) = join(&first).await;
    assert_eq!(
        (exit, expired.as_str()),
        (3, unknown.as_str()),
        "expired is like unknown"
    );
}

#[tokio::test]
async fn a_used_code_is_like_an_unknown_one_and_the_pair_goes_on() {
    let server = Server::start(&[]).await;
    let mut initiator = Peer::start(&server.url(), &["connect"]);
    let code = initiator.code().await;
    let mut joiner = Peer::start(&server.url(), &["connect", &code]);
    joiner.event("connected").await;

    let (exit, said) = Peer::start(&server.url(), &["connect", &code]).end().await;
    assert_eq!(exit, 3, "{said}");

    initiator
        .stdin
        .take()
        .unwrap()
        .write_all(b"still here")
        .await
        .unwrap();
    assert_eq!(joiner.output().await, b"still here");
}

#[tokio::test]
async fn wrong_words_are_answered_with_two_codes_more_and_then_the_command_ends() {
    let server = Server::start(&[]).await;
    let file = binary().to_str().unwrap();
    for command in [&["connect"][..], &["send", file]] {
        let mut shows = Peer::start(&server.url(), command);
        let mut codes = Vec::new();
        while let Some(code) = shows.code_or_end().await {
            assert!(codes.len() < 3, "{command:?} offers a fourth guess");
            assert!(!codes.contains(&code), "{command:?} shows {code} again");
            let guess = Peer::start(&server.url(), &["connect", &with_a_wrong_word(&code)]);
            let (exit, said) = guess.end().await;
            assert_eq!(exit, 3, "{said}");
            codes.push(code);
        }
        let (exit, said) = shows.end().await;
        assert_eq!((exit, codes.len()), (3, 3), "{command:?}: {said}");
        assert!(said.contains("mistyped"), "{said}");
    }
}

/// The same nameplate, and other words.
fn with_a_wrong_word(code: &str) -> String {
    let (nameplate, words) = code.split_once('-').unwrap();
    let (first, rest) = words.split_once('-').unwrap();
    let wrong = if first == "tulip" { "ember" } else { "tulip" };
    format!("{nameplate}-{wrong}-{rest}")
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_a_hint() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let (exit, said) = Peer::start(&url, &["connect"]).end().await;
    assert_eq!(exit, 5, "{said}");
    assert!(
        said.contains(&url) && said.contains("peersox serve"),
        "{said}"
    );

    let (exit, said) = Peer::start("localhost:3000", &["connect"]).end().await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("http://"), "{said}");
}

#[tokio::test]
async fn servers_for_ice_that_no_peer_could_use_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [own, shown] = [("own", 0o600), ("shown", 0o644)].map(|(name, mode)| {
        let path = folder.path().join(name);
        std::fs::write(&path, "north\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    });
    for (options, code, why) in [
        (&["turn:turn.example"][..], 2, "--turn-secret-file FILE"),
        (&["stun:stun.example:0"], 2, "turn:turn.example:3478"),
        (
            &["stun:stun.example", "--turn-secret-file", &own],
            2,
            "--ice-server turn:",
        ),
        (
            &["stun:stun.example", "--turn-lifetime", "60"],
            2,
            "--turn-secret-file",
        ),
        (
            &["turn:turn.example", "--turn-secret-file", &shown],
            7,
            "chmod 600",
        ),
    ] {
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--ice-server"]);
        let output = soon(command.args(options).kill_on_drop(true).output());
        let output = output.await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn garbage_on_every_port_harms_nobody() {
    let server = Server::start(&[]).await;
    let mut initiator = Peer::start(&server.url(), &["connect"]);
    let code = initiator.code().await;
    let mut joiner = Peer::start(&server.url(), &["connect", &code]);
    joiner.event("connected").await;

    let address = format!("127.0.0.1:{}", server.port);
    for seed in 0..50 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // The server may hang up before all of it is written.
        let _ = stream.write_all(&noise(2_000, seed)).await;
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&noise(1_200, seed), &address).await.unwrap();
    }

    initiator
        .stdin
        .take()
        .unwrap()
        .write_all(b"unharmed")
        .await
        .unwrap();
    assert_eq!(joiner.output().await, b"unharmed");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut reply = String::new();
    soon(stream.read_to_string(&mut reply)).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}
