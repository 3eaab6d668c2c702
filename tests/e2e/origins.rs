//! Which pages may call a server: every judge gives the same answer about an origin, however it is written.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Server, soon};

/// One origin, as a browser sends it and as an operator may write it.
const SENT: &str = "https://app.example";
const WRITTEN: &str = "https://App.example:443";

#[tokio::test]
async fn an_origin_may_be_written_in_capitals_and_with_its_port() {
    let server = Server::start(&["--allow-origin", WRITTEN]).await;
    for origin in [SENT, WRITTEN] {
        let reply = preflight(&server, origin).await;
        let allowed = format!("access-control-allow-origin: {origin}\r\n");
        assert!(reply.contains(&allowed), "{reply}");
        let reply = upgrade(&server, origin, "p.example").await;
        assert!(reply.starts_with("HTTP/1.1 101"), "{origin}: {reply}");
    }
    // Browsers name the origin of a page of the server itself, too.
    let reply = preflight(&server, "http://p.example").await;
    assert!(reply.contains("access-control-allow-origin"), "{reply}");
    for origin in ["https://app.example:8443", "http://app.example", "null"] {
        let reply = preflight(&server, origin).await;
        assert!(!reply.contains("access-control-allow-origin"), "{reply}");
        let reply = upgrade(&server, origin, "p.example").await;
        assert!(reply.starts_with("HTTP/1.1 403"), "{origin}: {reply}");
    }
}

/// Once for each origin, so that whoever looks for the reason finds it, and nobody fills the log.
#[tokio::test]
async fn the_log_names_each_origin_that_was_refused() {
    let mut server = Server::start(&[]).await;
    let record = server.record();
    for origin in [
        "https://one.example",
        "https://two.example",
        "https://one.example",
    ] {
        preflight(&server, origin).await;
    }
    let log = record.end(server).await;
    for origin in ["https://one.example", "https://two.example"] {
        let lines = log.lines().filter(|line| line.contains(origin));
        let lines: Vec<_> = lines.filter(|line| line.contains("INFO")).collect();
        assert_eq!(lines.len(), 1, "{log}");
        assert!(lines[0].contains("may not call"), "{log}");
    }
}

#[tokio::test]
async fn pages_of_the_server_itself_may_attach_and_a_page_under_its_public_url_too() {
    let server = Server::start(&["--public-url", "https://Public.example/below"]).await;
    for (origin, host, status) in [
        ("https://p.example", "p.example", 101),
        ("https://P.example:443", "p.example:443", 101),
        ("http://localhost:3000", "localhost:3000", 101),
        ("http://localhost:3001", "localhost:3000", 403),
        ("https://public.example", "127.0.0.1:3000", 101),
        ("http://public.example", "127.0.0.1:3000", 403),
    ] {
        let reply = upgrade(&server, origin, host).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(reply.starts_with(&expected), "{origin} at {host}: {reply}");
    }
}

/// What a browser asks before a page of `origin` may call by gRPC-Web.
async fn preflight(server: &Server, origin: &str) -> String {
    let request = format!(
        "OPTIONS /peersox.v1.PairingService/CreatePairing HTTP/1.1\r\nhost: p.example\r\n\
         origin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: content-type,x-grpc-web\r\n\r\n"
    );
    reply(server, &request).await
}

async fn upgrade(server: &Server, origin: &str, host: &str) -> String {
    let request = format!(
        "GET /v1/relay HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: peersox.v1\r\n\r\n"
    );
    reply(server, &request).await
}

/// The head of the reply to a request that is sent as it stands.
async fn reply(server: &Server, request: &str) -> String {
    let mut tcp = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(tcp.read_u8()).await.expect("a whole head"));
    }
    String::from_utf8(head).unwrap()
}
