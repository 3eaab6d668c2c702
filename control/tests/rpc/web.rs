//! What browsers and strangers send: gRPC-Web over HTTP/1.1, preflights, junk.

use std::net::SocketAddr;

use bytes::Bytes;
use peersox_control::Config;
use peersox_proto::v1::*;
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::*;

const SERVICE: &str = "/peersox.v1.PairingService";
pub(crate) const WEB: &str = "content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n";
const GOOD: &str = "https://app.example";
/// The same origin, as an operator may write it.
const LISTED: &str = "https://App.example:443";

/// Sends one request and reads to the end of the connection.
pub(crate) async fn raw(address: SocketAddr, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let end = reply
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head");
    let body = reply.split_off(end + 4);
    let head = String::from_utf8(reply).unwrap().to_ascii_lowercase();
    let chunked = head.contains("transfer-encoding: chunked");
    (head, if chunked { dechunk(&body) } else { body })
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(line) = body.windows(2).position(|w| w == b"\r\n") {
        let length = std::str::from_utf8(&body[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.extend_from_slice(&body[line + 2..line + 2 + length]);
        body = &body[line + 2 + length + 2..];
    }
    whole
}

pub(crate) fn post(method: &str, headers: &str) -> String {
    format!("POST {SERVICE}/{method} HTTP/1.1\r\nhost: h.example\r\n{headers}")
}

pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &body].concat()
}

/// The message and the trailers of a gRPC-Web body.
pub(crate) fn unframed(mut body: &[u8]) -> (Option<Bytes>, String) {
    let (mut message, mut trailers) = (None, String::new());
    while let [flag, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (part, after) = rest.split_at(length);
        match flag {
            0 => message = Some(Bytes::copy_from_slice(part)),
            _ => trailers = String::from_utf8(part.to_vec()).unwrap(),
        }
        body = after;
    }
    (message, trailers)
}

#[tokio::test]
async fn a_browser_can_call() {
    let server = Server::start().await;
    let body = framed(&CreatePairingRequest::default());
    let (head, body) = raw(server.address, &post("CreatePairing", WEB), &body).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(
        head.contains("content-type: application/grpc-web+proto"),
        "{head}"
    );
    let (message, trailers) = unframed(&body);
    assert!(trailers.contains("grpc-status:0"), "{trailers}");
    let created = CreatePairingResponse::decode(message.unwrap()).unwrap();

    let credential = created.credential;
    let body = framed(&OpenSessionRequest {
        credential,
        ..Default::default()
    });
    let (_, reply) = raw(server.address, &post("OpenSession", WEB), &body).await;
    let session = OpenSessionResponse::decode(unframed(&reply).0.unwrap()).unwrap();
    assert_eq!(session.endpoints[0].url, "quic://h.example:80");
    assert_eq!(session.endpoints[1].url, "ws://h.example/v1/relay");

    for junk in ["u@h", "a b", "h/p?q", ""] {
        let head = post("OpenSession", WEB).replace("h.example", junk);
        let (head, reply) = raw(server.address, &head, &body).await;
        let told = format!("{head}{}", unframed(&reply).1);
        // hyper itself may refuse the worst of it.
        let refused = told.contains("grpc-status: 3") || head.starts_with("http/1.1 400");
        assert!(refused, "{junk}: {told}");
    }
}

#[tokio::test]
async fn an_error_reaches_a_browser_whole() {
    let server = Server::start().await;
    let nameplate = "12".to_owned();
    let body = framed(&JoinPairingRequest {
        nameplate,
        ..Default::default()
    });
    let (head, body) = raw(server.address, &post("JoinPairing", WEB), &body).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let told = format!("{head}{}", unframed(&body).1);
    assert!(told.contains("grpc-status: 3"), "{told}");
    assert!(told.contains("grpc-status-details-bin"), "{told}");
    assert!(told.contains("2%20digits"), "{told}");
}

#[tokio::test]
async fn only_listed_origins_may_call() {
    let listed = Config {
        allowed_origins: [LISTED.parse().unwrap()].into_iter().collect(),
        ..Config::default()
    };
    let listed = Server::with(listed).await;
    let unlisted = Server::start().await;
    for (server, origin, allowed) in [
        (&listed, GOOD, true),
        (&listed, LISTED, true),
        (&listed, "https://evil.example", false),
        (&listed, "http://app.example", false),
        (&listed, "https://app.example:8443", false),
        (&listed, "https://app.example.evil.example", false),
        (&listed, "null", false),
        (&unlisted, GOOD, false),
    ] {
        let preflight = format!(
            "OPTIONS {SERVICE}/CreatePairing HTTP/1.1\r\nhost: h.example\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\n\
             access-control-request-headers: content-type,x-grpc-web\r\n"
        );
        let (head, _) = raw(server.address, &preflight, b"").await;
        let yes = format!("access-control-allow-origin: {origin}\r\n").to_ascii_lowercase();
        assert_eq!(head.contains(&yes), allowed, "{head}");
        assert!(!head.contains("access-control-allow-origin: *"), "{head}");
        if allowed {
            assert!(head.contains("access-control-allow-headers: content-type,x-grpc-web"));
            assert!(head.contains("access-control-max-age: 7200"), "{head}");
        }

        let call = post("CreatePairing", &format!("{WEB}origin: {origin}\r\n"));
        let (head, _) = raw(
            server.address,
            &call,
            &framed(&CreatePairingRequest::default()),
        )
        .await;
        assert_eq!(head.contains(&yes), allowed, "{head}");
        let status = if allowed { "200" } else { "403" };
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
        if allowed {
            let exposed =
                "access-control-expose-headers: grpc-status,grpc-message,grpc-status-details-bin";
            assert!(head.contains(exposed), "{head}");
        }
    }
}

/// A browser sends these without asking first, and the page needs no reply to burn what the visitor has.
#[tokio::test]
async fn a_request_that_a_foreign_page_can_send_is_no_call() {
    let server = Server::start().await;
    let grpc = "content-type: application/grpc-web+proto\r\n";
    for (method, headers, expected) in [
        ("POST", "content-type: text/plain\r\n", 415),
        (
            "POST",
            "content-type: text/plain; application/grpc\r\n",
            415,
        ),
        (
            "POST",
            "content-type: application/x-www-form-urlencoded\r\n",
            415,
        ),
        (
            "POST",
            "content-type: multipart/form-data; boundary=x\r\n",
            415,
        ),
        ("POST", "content-type: application/grpcx\r\n", 415),
        ("POST", "", 415),
        ("GET", grpc, 405),
        (
            "POST",
            &format!("{grpc}origin: https://evil.example\r\n"),
            403,
        ),
        ("POST", &format!("{grpc}origin: null\r\n"), 403),
        (
            "POST",
            &format!("{grpc}sec-fetch-site: cross-site\r\n"),
            403,
        ),
        ("POST", &format!("{grpc}sec-fetch-site: same-site\r\n"), 403),
        (
            "POST",
            &format!("{grpc}sec-fetch-site: same-origin\r\n"),
            200,
        ),
        ("POST", &format!("{grpc}sec-fetch-site: none\r\n"), 200),
        (
            "POST",
            &format!("{grpc}origin: http://h.example\r\nsec-fetch-site: same-origin\r\n"),
            200,
        ),
        ("POST", grpc, 200),
    ] {
        for path in [
            &format!("{SERVICE}/CreatePairing"),
            "/grpc.health.v1.Health/Check",
        ] {
            let head = format!("{method} {path} HTTP/1.1\r\nhost: h.example\r\n{headers}");
            let (head, _) = raw(server.address, &head, &framed(&())).await;
            let status = format!("http/1.1 {expected} ");
            assert!(
                head.starts_with(&status),
                "{path} {method} {headers}: {head}"
            );
        }
    }
}

#[tokio::test]
async fn junk_gets_a_clear_answer() {
    let server = Server::start().await;
    let body = framed(&CreatePairingRequest::default());
    let too_large = framed(&JoinPairingRequest {
        nameplate: "1".repeat(70_000),
        ..Default::default()
    });
    let grpc = "content-type: application/grpc-web+proto\r\n";
    // Status 12 is UNIMPLEMENTED.
    for (method, headers, body, expected) in [
        (
            "JoinPairing",
            grpc,
            &b"\0\0\0\0\x05\xff\xff\xff\xff\xff"[..],
            "grpc-status",
        ),
        ("JoinPairing", grpc, b"garbage", "grpc-status"),
        ("JoinPairing", grpc, b"", "grpc-status"),
        ("JoinPairing", grpc, b"\0\xff\xff\xff\xff", "grpc-status"),
        ("JoinPairing", grpc, &too_large, "grpc-status"),
        ("NoSuchCall", grpc, &body, "grpc-status: 12"),
        (
            "CreatePairing",
            "content-type: text/plain\r\n",
            &body,
            "http/1.1 415",
        ),
        ("CreatePairing", "", &body, "http/1.1 415"),
    ] {
        let (head, reply) = raw(server.address, &post(method, headers), body).await;
        // A request that is no call is answered with a sentence.
        let told = match head.starts_with("http/1.1 200") {
            true => format!("{head}{}", unframed(&reply).1),
            false => head,
        };
        assert!(told.contains(expected), "{method} {body:.20?}: {told}");
        assert!(
            !told.contains("grpc-status: 0") && !told.contains("grpc-status:0"),
            "{told}"
        );
    }
    for path in ["/", "/peersox.v1.Other/Call", "/v1/relay"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\n{WEB}");
        let (head, _) = raw(server.address, &head, &body).await;
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
    }
    create(&mut server.client().await).await;
}
