//! Servers behind real proxies, by the configuration that `docs/operations.md` shows: its blocks and the
//! commands below them, with other names and ports.

mod front;

use std::net::{Ipv4Addr, SocketAddr};

use hyper_util::rt::TokioIo;
use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use peersox_proto::v1::{CreatePairingRequest, JoinPairingRequest, OpenSessionRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::calls::Leg;
use crate::harness::{Peer, Server, noise, soon};
use front::{Front, Kind};

#[tokio::test]
async fn nginx_carries_all_but_legs_over_grpc_below_a_path() {
    let Some(front) = Front::start(Kind::Nginx, 0).await else {
        return;
    };
    assert_eq!(front.path(), "/p");
    carries_a_page(&front).await;
    carries_a_pair(&front).await;
    keeps_a_budget_for_each_client(&front).await;
}

#[tokio::test]
async fn nginx_carries_all_by_http_2() {
    if let Some(front) = Front::start(Kind::Nginx, 1).await {
        carries_all(&front).await;
    }
}

#[tokio::test]
async fn haproxy_carries_all_where_the_server_speaks_tls() {
    haproxy_carries_all(0).await;
}

#[tokio::test]
async fn haproxy_carries_all_where_it_speaks_tls() {
    haproxy_carries_all(1).await;
}

#[tokio::test]
async fn caddy_carries_all() {
    if let Some(front) = Front::start(Kind::Caddy, 0).await {
        carries_all(&front).await;
    }
}

async fn haproxy_carries_all(which: usize) {
    let Some(mut front) = Front::start(Kind::Haproxy, which).await else {
        return;
    };
    front.is_found_healthy().await;
    carries_all(&front).await;
    believes_proxies_only(&mut front).await;
}

async fn carries_all(front: &Front) {
    carries_a_page(front).await;
    carries_a_pair(front).await;
    carries_legs_over_grpc(front).await;
    keeps_a_budget_for_each_client(front).await;
}

/// The page, and each part that it names, relative to its own address.
async fn carries_a_page(front: &Front) {
    let path = front.path();
    let page = front.get(&format!("{path}/")).await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    if !path.is_empty() {
        let moved = front.get(&path).await.to_lowercase();
        let to = format!("location: {}/\r\n", front.url());
        assert!(
            moved.starts_with("http/1.1 30") && moved.contains(&to),
            "{moved}"
        );
    }
    let named = ["src=\"", "href=\""].map(|mark| page.split(mark).skip(1));
    let named = named
        .into_iter()
        .flatten()
        .filter_map(|rest| rest.split('"').next());
    let parts: Vec<&str> = named
        .filter(|it| *it != "./" && !it.starts_with('#'))
        .collect();
    assert!(parts.len() >= 2, "{page}");
    for part in parts {
        let told = front.get(&format!("{path}/{part}")).await;
        assert!(told.starts_with("HTTP/1.1 200"), "{part}: {told}");
    }
}

/// Two command lines meet through the proxy over WebSocket, and talk both ways.
async fn carries_a_pair(front: &Front) {
    let options = ["--transport", "ws", "--ca-cert", front.authority()];
    let mut one = Peer::start(&front.url(), &[&["connect"], &options[..]].concat());
    let code = one.code().await;
    let mut two = Peer::start(&front.url(), &[&["connect", &code], &options[..]].concat());
    for peer in [&mut one, &mut two] {
        peer.event("connected").await;
    }
    let said = [noise(30_000, 1), noise(20_000, 2)];
    for (peer, said) in [&mut one, &mut two].into_iter().zip(&said) {
        let mut input = peer.stdin.take().unwrap();
        soon(input.write_all(said)).await.unwrap();
    }
    assert!(two.output().await == said[0]);
    assert!(one.output().await == said[1]);
    assert_eq!((one.end().await.0, two.end().await.0), (0, 0));
}

/// Calls by gRPC over HTTP/2, among them two legs that carry more than any bound of a body.
async fn carries_legs_over_grpc(front: &Front) {
    let channel = channel(front).await;
    let mut control = PairingServiceClient::new(channel.clone());
    let first = control
        .create_pairing(CreatePairingRequest::default())
        .await;
    let first = first.unwrap().into_inner();
    let second = control.join_pairing(JoinPairingRequest {
        nameplate: first.nameplate,
        ..JoinPairingRequest::default()
    });
    let second = second.await.unwrap().into_inner();
    let mut legs = Vec::new();
    for credential in [first.credential, second.credential] {
        let session = control.open_session(OpenSessionRequest {
            credential,
            ..OpenSessionRequest::default()
        });
        let session = session.await.unwrap().into_inner();
        assert_eq!(Leg::endpoint(&session).url, front.url());
        legs.push(Leg::attach_by(channel.clone(), session.ticket).await);
    }
    let [one, two] = &mut legs[..] else {
        unreachable!("two were made");
    };
    for at in 0..40 {
        let frame = Frame::new(Lane::Reliable, &vec![at; 60_000]);
        one.send(frame.clone()).await;
        assert_eq!(two.recv().await, frame);
    }
    let answer = Frame::new(Lane::Reliable, b"over");
    two.send(answer.clone()).await;
    assert_eq!(one.recv().await, answer);
}

/// A connection of HTTP/2 to the proxy, which speaks TLS.
async fn channel(front: &Front) -> Channel {
    let port = front.port;
    let tls = service_fn(move |_: Uri| async move {
        let stream = front::tls(LOCALHOST, port, b"h2").await?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    });
    // The connector brings TLS itself.
    let endpoint = Endpoint::from_shared(format!("http://localhost:{port}")).unwrap();
    soon(endpoint.connect_with_connector(tls)).await.unwrap()
}

/// This test is the proxy: it says who calls, or that it does not know.
#[tokio::test]
async fn whom_a_trusted_proxy_does_not_name_no_header_names() {
    let options = ["--proxy-protocol", "--trust-proxy", "127.0.0.1"];
    let server = Server::start(&options).await;
    let guess = async |header: &str, at: usize, lines: &str| {
        let request = [header.as_bytes(), &front::guess("", at, lines)].concat();
        front::status(&direct(&server, LOCALHOST, &request).await)
    };
    let named = |last: usize| format!("PROXY TCP4 203.0.113.{last} 127.0.0.1 51000 3000\r\n");
    let written = |last: usize| format!("x-forwarded-for: 198.51.100.{last}\r\n");
    for at in 0..20 {
        let of_another = guess("PROXY UNKNOWN\r\n", at, &written(at)).await;
        assert_eq!(of_another, NOT_FOUND, "{at}");
    }
    let spent = guess("PROXY UNKNOWN\r\n", 20, &written(20)).await;
    assert_eq!(
        spent, EXHAUSTED,
        "who wrote a header had a budget of its own"
    );
    assert_eq!(guess(&named(9), 21, "").await, NOT_FOUND);
}

/// A person who guesses too often is refused, whatever the request says; the next one is not.
async fn keeps_a_budget_for_each_client(front: &Front) {
    let forged = "x-forwarded-for: 203.0.113.7\r\nforwarded: for=203.0.113.7\r\n";
    for at in 0..20 {
        assert_eq!(front.guess([127, 0, 0, 2], at, "").await, NOT_FOUND, "{at}");
    }
    for header in ["", forged] {
        assert_eq!(front.guess([127, 0, 0, 2], 20, header).await, EXHAUSTED);
    }
    assert_eq!(front.guess([127, 0, 0, 3], 21, "").await, NOT_FOUND);
}

/// Only a trusted proxy may begin with a PROXY header, and it has to.
async fn believes_proxies_only(front: &mut Front) {
    const V1: &[u8] = b"PROXY TCP4 203.0.113.9 127.0.0.1 51000 443\r\n";
    const V2: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\xc7\x38\x01\xbb";
    const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    for header in [V1, V2] {
        let answer = direct(&front.server, [127, 0, 0, 9], &[header, GET].concat()).await;
        assert_eq!(answer, "", "a header from anybody is believed");
    }
    front.server.says("name it with --trust-proxy").await;
    let answer = direct(&front.server, [127, 0, 0, 9], GET).await;
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    let answer = direct(&front.server, [127, 0, 0, 1], GET).await;
    assert_eq!(answer, "", "a trusted proxy has to send one");
    front.server.says("begins without a PROXY header").await;
}

const NOT_FOUND: &str = "5";
const EXHAUSTED: &str = "8";
const LOCALHOST: [u8; 4] = [127, 0, 0, 1];

/// What the server answers to these bytes, from an address of this machine, until it hangs up.
async fn direct(server: &Server, from: [u8; 4], bytes: &[u8]) -> String {
    let mut stream = soon(connect(from, server.port)).await.unwrap();
    let mut told = Vec::new();
    // It may hang up before it has read all.
    let _ = stream.write_all(bytes).await;
    let _ = soon(stream.read_to_end(&mut told)).await;
    String::from_utf8(told).unwrap()
}

async fn connect(from: [u8; 4], port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(to).await
}
