//! STUN of the real server: who is told of it, and what it answers.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use peersox_proto::v1::{CreatePairingRequest, IceServer, OpenSessionRequest};
use tokio::net::UdpSocket;

use crate::harness::{Server, soon};

/// A Binding request without attributes, as browsers send it.
const REQUEST: [u8; 20] = *b"\0\x01\0\0\x21\x12\xa4\x42peersox-test";

/// The address that an answer tells, read as RFC 8489, section 14.2, has it.
fn told(answer: &[u8]) -> SocketAddr {
    assert_eq!(answer[..2], [1, 1], "it is a success");
    assert_eq!(usize::from(answer[3]), answer.len() - 20);
    assert_eq!(answer[4..20], REQUEST[4..]);
    assert_eq!(answer[20..22], [0, 0x20]);
    let port = u16::from_be_bytes([answer[26] ^ 0x21, answer[27] ^ 0x12]);
    let unmask = |at: usize| answer[28 + at] ^ REQUEST[4 + at];
    let ip: IpAddr = match (answer[25], answer.len()) {
        (1, 32) => std::array::from_fn::<_, 4, _>(unmask).into(),
        (2, 44) => std::array::from_fn::<_, 16, _>(unmask).into(),
        other => panic!("{other:?}"),
    };
    SocketAddr::new(ip, port)
}

/// Asks once a second, as a network may lose what is asked and answered, and takes nothing from anybody else.
async fn ask(from: IpAddr, server: SocketAddr) -> (SocketAddr, SocketAddr) {
    let socket = UdpSocket::bind((from, 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    let mut answer = [0; 100];
    let asking = async {
        loop {
            socket.send(&REQUEST).await.unwrap();
            let second = std::time::Duration::from_secs(1);
            if let Ok(len) = tokio::time::timeout(second, socket.recv(&mut answer)).await {
                return len.unwrap();
            }
        }
    };
    let len = soon(asking).await;
    (told(&answer[..len]), socket.local_addr().unwrap())
}

/// What a peer is told that reached the server as `localhost`, in the order of the server.
async fn announced(server: &Server) -> Vec<IceServer> {
    let url = format!("http://localhost:{}", server.port);
    let mut client = PairingServiceClient::connect(url).await.unwrap();
    let created = client.create_pairing(CreatePairingRequest::default());
    let credential = created.await.unwrap().into_inner().credential;
    let opened = client.open_session(OpenSessionRequest {
        credential,
        ..OpenSessionRequest::default()
    });
    opened.await.unwrap().into_inner().ice_servers
}

async fn urls(options: &[&str]) -> Vec<String> {
    let server = Server::start(options).await;
    let servers = announced(&server).await;
    let port = format!(":{}", server.port);
    let urls = servers.into_iter().flat_map(|it| it.urls);
    urls.map(|url| url.replace(&port, ":PORT")).collect()
}

#[tokio::test]
async fn a_server_names_itself_unless_it_is_told_otherwise() {
    let public = ["--public-url", "https://p.example/x"];
    for (options, expected) in [
        (&[][..], &["stun:localhost:PORT"][..]),
        (&public, &["stun:p.example:443"]),
        (&["--no-stun"], &[]),
        (&["--no-quic"], &[]),
        (&["--ice-server", "stun:s.example"], &["stun:s.example"]),
    ] {
        assert_eq!(urls(options).await, expected, "{options:?}");
    }
}

#[tokio::test]
async fn every_address_of_a_server_answers_from_itself() {
    // Both families on one socket, as by default.
    let server = Server::start_on("[::]:0", &[]).await;
    for (from, asked) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.3"),
        ("::1", "::1"),
    ] {
        let (from, asked): (IpAddr, IpAddr) = (from.parse().unwrap(), asked.parse().unwrap());
        if from == IpAddr::from(Ipv6Addr::LOCALHOST) && UdpSocket::bind((from, 0)).await.is_err() {
            // A machine without IPv6.
            continue;
        }
        let (told, own) = ask(from, SocketAddr::new(asked, server.port)).await;
        assert_eq!(told, own, "as seen by {asked}");
    }
}

#[tokio::test]
async fn a_server_on_one_address_answers_there() {
    let server = Server::start(&[]).await;
    let at = SocketAddr::from(([127, 0, 0, 1], server.port));
    let (told, own) = ask([127, 0, 0, 1].into(), at).await;
    assert_eq!(told, own);
}

#[tokio::test]
async fn whoever_says_no_stun_gets_none() {
    let server = Server::start(&["--no-stun"]).await;
    let at = SocketAddr::from(([127, 0, 0, 1], server.port));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(at).await.unwrap();
    socket.send(&REQUEST).await.unwrap();
    // QUIC is there and answers the second datagram: a version of QUIC that nobody speaks.
    let mut unknown = [0; 1_200];
    unknown[..7].copy_from_slice(&[0xc0, 0xfa, 0xfa, 0xfa, 0xfa, 8, 1]);
    unknown[14] = 8;
    socket.send(&unknown).await.unwrap();
    let mut answer = [0; 1_200];
    let len = soon(socket.recv(&mut answer)).await.unwrap();
    assert!(
        answer[0] >= 0x80 && answer[1..5] == [0; 4],
        "{:x?}",
        &answer[..len]
    );
}
