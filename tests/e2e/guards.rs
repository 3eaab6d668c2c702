//! Strangers at full effort, and people who come meanwhile, at the real server.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Peer, Server, soon};

/// Opens a leg from an address of this machine and says nothing. Gives the socket and the first line of the
/// answer.
async fn silent(server: &Server, from: [u8; 4]) -> (TcpStream, String) {
    let request = "GET /v1/relay HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                   sec-websocket-protocol: peersox.v1\r\n\r\n";
    let mut tcp = connect(server, from).await;
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(soon(tcp.read_u8()).await.expect("an answer"));
    }
    (tcp, String::from_utf8(line).unwrap())
}

async fn connect(server: &Server, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    soon(socket.connect(to)).await.unwrap()
}

#[tokio::test]
async fn a_person_pairs_while_one_address_holds_all_legs_that_it_can_get() {
    let server = Server::start(&[]).await;
    let mut held = Vec::new();
    loop {
        let (socket, line) = silent(&server, [127, 0, 0, 2]).await;
        held.push(socket);
        if line.starts_with("HTTP/1.1 503") {
            break;
        }
        assert!(line.starts_with("HTTP/1.1 101"), "{line}");
        assert!(held.len() < 1_000, "one address gets all places");
    }
    for transport in ["ws", "quic"] {
        let options = ["--transport", transport];
        let mut one = Peer::start(&server.url(), &[&["connect"], &options[..]].concat());
        let code = one.code().await;
        let mut two = Peer::start(&server.url(), &[&["connect", &code], &options[..]].concat());
        two.event("connected").await;
        one.event("connected").await;
    }
    drop(held);
}

/// The whole answer to a call by gRPC-Web.
async fn call(server: &Server, method: &str, header: &str, body: &[u8]) -> String {
    let head = format!(
        "POST /{method} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
         content-type: application/grpc-web+proto\r\n{header}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut tcp = connect(server, [127, 0, 0, 1]).await;
    tcp.write_all(&[head.as_bytes(), body].concat())
        .await
        .unwrap();
    let mut told = Vec::new();
    soon(tcp.read_to_end(&mut told)).await.unwrap();
    String::from_utf8_lossy(&told).into_owned()
}

/// The gRPC status of a guess that a proxy passes on.
async fn guess(server: &Server, at: usize, header: &str) -> String {
    let nameplate = format!("{at:06}");
    let body = [&[0, 0, 0, 0, 8, 0x0a, 6][..], nameplate.as_bytes()].concat();
    let told = call(
        server,
        "peersox.v1.PairingService/JoinPairing",
        header,
        &body,
    )
    .await;
    let status = told.split("grpc-status").nth(1).expect("a status");
    let digits = status.trim_start_matches([':', ' ']).chars();
    digits.take_while(char::is_ascii_digit).collect()
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_budgets_of_their_own() {
    const NOT_FOUND: &str = "5";
    const EXHAUSTED: &str = "8";
    let server = Server::start(&["--trust-proxy", "127.0.0.0/8"]).await;
    for at in 0..25 {
        // What stands left of the proxy's entry was written by the client.
        let header = format!("x-forwarded-for: 203.0.113.{at}, [2001:db8::1]:443");
        let expected = if at < 20 { NOT_FOUND } else { EXHAUSTED };
        assert_eq!(guess(&server, at, &header).await, expected, "{at}");
    }
    for at in 0..25 {
        let header = format!("x-forwarded-for: 198.51.{at}.9:51000");
        assert_eq!(guess(&server, at, &header).await, NOT_FOUND, "{at}");
    }
}

#[tokio::test]
async fn reflection_is_a_choice_of_the_operator() {
    let method = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for (options, is_served) in [(&[][..], false), (&["--reflection"], true)] {
        let server = Server::start(options).await;
        let told = call(&server, method, "accept: */*", &[]).await;
        assert_eq!(told.starts_with("HTTP/1.1 200"), is_served, "{told}");
    }
}

#[tokio::test]
async fn both_families_reach_a_server_that_listens_on_all_addresses() {
    let mut server = Server::start_on("[::]:0", &[]).await;
    for host in ["127.0.0.1", "[::1]"] {
        for transport in ["quic", "ws"] {
            let url = format!("http://{host}:{}", server.port);
            let options = ["--transport", transport];
            let mut one = Peer::start(&url, &[&["connect"], &options[..]].concat());
            let code = one.code().await;
            let mut two = Peer::start(&url, &[&["connect", &code], &options[..]].concat());
            two.event("connected").await;
        }
    }
    // The log says once that somebody seems to be a proxy.
    for at in 0..3 {
        guess(&server, at, "x-forwarded-for: 198.51.100.1").await;
    }
    let warnings = server.log_until_stopped().await;
    let named = warnings
        .iter()
        .filter(|line| line.contains("--trust-proxy"));
    assert_eq!(named.count(), 1, "{warnings:?}");
}
