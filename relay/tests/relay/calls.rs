//! What is special about a leg over gRPC: how a call begins, shares its connection and ends.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_proto::v1::{self, attach_request, notice::Kind};
use peersox_relay::{ATTACH, Config, Refusal, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;

use crate::guards::sent_ahead;
use crate::support::{Call, Over, Peer, Server, fresh, hello, notice, patiently};

fn call(peer: Peer) -> Call {
    match peer {
        Peer::Grpc(call) => call,
        Peer::Ws(_) | Peer::Quic(..) | Peer::WebTransport(_) => {
            unreachable!("a call was asked for")
        }
    }
}

/// Attaches by a call on a connection that may carry others.
async fn attach(channel: &tonic::transport::Channel, session: u8, role: Role) -> Peer {
    let mut peer = Peer::Grpc(Call::begin(channel.clone()).await.unwrap());
    peer.send(hello(session, role)).await;
    assert!(matches!(peer.notice().await, Kind::Welcome(_)));
    peer
}

#[tokio::test]
async fn a_call_ends_with_a_status_that_fits_its_number() {
    let server = Server::start(Config::default()).await;
    let frame = |lane, len| Frame::new(lane, &vec![0; len]);
    let rows = [
        (
            frame(Lane::Signal, 20_000),
            CloseReason::FrameTooLarge,
            Code::InvalidArgument,
        ),
        (
            hello(0, Role::Joiner),
            CloseReason::NoticeForbidden,
            Code::InvalidArgument,
        ),
    ];
    for (sent, reason, code) in rows {
        let (mut peer, _) = server.attach(Over::Grpc, fresh(), Role::Initiator).await;
        peer.send(sent).await;
        assert_eq!(peer.closed().await, Some(reason));
        let status = call(peer).status.unwrap();
        assert_eq!((status.code(), status.message()), (code, reason.text()));
    }

    let (mut one, two, session) = server.pair((Over::Grpc, Over::Grpc)).await;
    let (_new, _) = server.attach(Over::Grpc, session, Role::Initiator).await;
    assert_eq!(one.closed().await, Some(CloseReason::Replaced));
    assert_eq!(call(one).status.unwrap().code(), Code::Aborted);
    // Whoever says that it is done hears OK, and so does the other one.
    let mut two = call(two);
    two.say(attach_request::Kind::Close(4000)).await;
    patiently(async { while two.hear().await.is_some() {} }).await;
    assert_eq!(two.status.unwrap().code(), Code::Ok);

    let (one, mut two, _) = server.pair((Over::Grpc, Over::Grpc)).await;
    one.hang_up(4000).await;
    assert_eq!(two.closed().await, Some(CloseReason::PeerLeft));
    assert_eq!(call(two).status.unwrap().code(), Code::Ok);
}

#[tokio::test]
async fn a_call_that_ends_without_a_number_is_a_lost_leg() {
    let server = Server::start(Config::default()).await;
    let (mut one, two, session) = server.pair((Over::Ws, Over::Grpc)).await;
    // The request ends, and the answer goes on until the relay has noticed.
    let mut two = call(two);
    two.finish();
    patiently(async { while two.hear().await.is_some() {} }).await;
    assert_eq!(two.status.unwrap().code(), Code::Aborted);
    let away = one.notice().await;
    assert!(matches!(away, Kind::PeerAway(_)), "{away:?}");

    // It is cancelled.
    let (two, _) = server.attach(Over::Grpc, session, Role::Joiner).await;
    assert!(matches!(one.notice().await, Kind::PeerOnline(_)));
    drop(two);
    let away = one.notice().await;
    assert!(matches!(away, Kind::PeerAway(_)), "{away:?}");
}

#[tokio::test]
async fn what_is_no_message_of_a_leg_ends_it() {
    let server = Server::start(Config::default()).await;
    let largest = vec![0; 70_000];
    for (what, bytes, reason) in [
        (
            "nothing in it",
            &[0, 0, 0, 0, 0][..],
            CloseReason::ProtocolError,
        ),
        (
            "another kind",
            &[0, 0, 0, 0, 2, 0x18, 1],
            CloseReason::ProtocolError,
        ),
        (
            "no protobuf",
            &[0, 0, 0, 0, 2, 0xff, 0xff],
            CloseReason::ProtocolError,
        ),
        (
            "compressed",
            &[1, 0, 0, 0, 2, 0x0a, 0],
            CloseReason::ProtocolError,
        ),
        (
            "too large",
            &[&[0, 0, 1, 0x11, 0x70], &largest[..]].concat(),
            CloseReason::FrameTooLarge,
        ),
        (
            "endless",
            &[0, 0xff, 0xff, 0xff, 0xff],
            CloseReason::FrameTooLarge,
        ),
    ] {
        let body = Full::from(Bytes::copy_from_slice(bytes));
        let response = over_http2(&server, request("application/grpc", body)).await;
        let said = patiently(response.into_body().collect()).await.unwrap();
        let trailers = said.trailers().unwrap();
        assert_eq!(trailers["grpc-message"], reason.text(), "{what}");
    }
}

#[tokio::test]
async fn what_cannot_become_a_leg_is_told_why() {
    let server = Server::start(Config {
        allowed_origins: Some(
            ["https://good.example".parse().unwrap()]
                .into_iter()
                .collect(),
        ),
        ..Config::default()
    })
    .await;
    for (kind, status, word) in [
        (
            "text/plain",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "application/grpc",
        ),
        (
            "application/grpc+json",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "application/grpc",
        ),
        ("application/grpc-web+proto", StatusCode::OK, "WebSocket"),
        ("application/grpc-web-text", StatusCode::OK, "WebSocket"),
    ] {
        let response = over_http2(&server, request(kind, Full::default())).await;
        told(response, status, word).await;
    }
    let mut get = request("application/grpc", Full::default());
    *get.method_mut() = Method::GET;
    told(
        over_http2(&server, get).await,
        StatusCode::METHOD_NOT_ALLOWED,
        "POST",
    )
    .await;
    for (origin, status) in [
        ("https://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
        ("https://good.example", StatusCode::OK),
    ] {
        let mut page = request("application/grpc", Full::default());
        page.headers_mut().insert("origin", origin.parse().unwrap());
        assert_eq!(over_http2(&server, page).await.status(), status, "{origin}");
    }
    // A proxy that speaks HTTP/1.1 to the server.
    let mut tcp = TcpStream::connect(server.tcp).await.unwrap();
    let head = "POST /peersox.v1.RelayService/Attach HTTP/1.1\r\nhost: x\r\n\
                content-type: application/grpc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    patiently(tcp.read_to_string(&mut answer)).await.unwrap();
    assert!(
        answer.contains("grpc-status: 12") && answer.contains("HTTP/2"),
        "{answer}"
    );
    assert_eq!(server.relay.snapshot().legs, 0);
}

async fn told(response: http::Response<hyper::body::Incoming>, status: StatusCode, word: &str) {
    assert_eq!(response.status(), status, "{word}");
    let message = response.headers().get("grpc-message").cloned();
    let text = match message {
        Some(message) => {
            assert_eq!(response.headers()["grpc-status"], "12");
            message.to_str().unwrap().to_owned()
        }
        None => {
            let body = patiently(response.into_body().collect()).await.unwrap();
            String::from_utf8(body.to_bytes().to_vec()).unwrap()
        }
    };
    assert!(text.contains(word), "{text}");
}

fn request(kind: &'static str, body: Full<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://relay.example{ATTACH}"));
    let request = request
        .version(Version::HTTP_2)
        .header("content-type", kind);
    request.body(body).unwrap()
}

/// Makes a request on a connection of its own.
async fn over_http2(
    server: &Server,
    request: Request<Full<Bytes>>,
) -> http::Response<hyper::body::Incoming> {
    let tcp = TokioIo::new(TcpStream::connect(server.tcp).await.unwrap());
    let http = hyper::client::conn::http2::handshake(TokioExecutor::new(), tcp).await;
    let (mut http, connection) = http.unwrap();
    tokio::spawn(connection);
    patiently(http.send_request(request)).await.unwrap()
}

#[tokio::test]
async fn a_full_relay_says_so_in_the_call() {
    let server = Server::start(Config {
        max_legs_per_address: 1,
        ..Config::default()
    })
    .await;
    let (_one, _) = server.attach(Over::Grpc, fresh(), Role::Initiator).await;
    let mut refused = server.connect(Over::Grpc).await;
    assert_eq!(refused.closed().await, Some(CloseReason::Overloaded));
    assert_eq!(
        call(refused).status.unwrap().code(),
        Code::ResourceExhausted
    );
    let snapshot = server.relay.snapshot();
    assert_eq!((snapshot.legs, snapshot.all_refused()), (1, 1));
    assert_eq!(snapshot.refused(Transport::Grpc, Refusal::Full), 1);
}

/// The windows of streams share that of their connection.
#[tokio::test]
async fn legs_that_are_not_read_leave_their_connection_to_others() {
    let server = Server::start(Config::default()).await;
    let channel = server.http2().await;
    let mut stalled = Vec::new();
    for _ in 0..3 {
        // Nobody takes what it sends.
        let mut lone = attach(&channel, fresh(), Role::Initiator).await;
        let frame = Frame::new(Lane::Reliable, &[7; 60_000]);
        let moment = Duration::from_millis(300);
        while timeout(moment, lone.send(frame.clone())).await.is_ok() {}
        stalled.push(lone);
    }
    let session = fresh();
    let mut one = attach(&channel, session, Role::Initiator).await;
    let mut two = attach(&channel, session, Role::Joiner).await;
    one.notice().await;
    for mark in 0..20 {
        let frame = Frame::new(Lane::Reliable, &[mark; 60_000]);
        patiently(one.send(frame.clone())).await;
        assert_eq!(two.recv().await, frame);
    }
}

#[tokio::test]
async fn who_sends_to_a_call_that_is_not_read_is_stopped_soon() {
    let server = Server::start(Config::default()).await;
    // The windows of the one who does not read are large: they are the client's own.
    for (overs, windows) in [
        ((Over::Grpc, Over::Grpc), 8 << 20),
        ((Over::Quic, Over::Grpc), 8 << 20),
    ] {
        let (one, two, _) = server.pair(overs).await;
        let sent = sent_ahead(one).await;
        assert!(sent < windows + (2 << 20), "{overs:?}: {sent}");
        drop(two);
    }
    // Without a reader there is nothing but the relay and the windows in front of it.
    let (lone, _) = server.attach(Over::Grpc, fresh(), Role::Initiator).await;
    let sent = sent_ahead(lone).await;
    assert!(sent < 1024 * 1024, "{sent}");
}

#[tokio::test]
async fn a_silent_call_is_given_up_but_one_that_pings_is_not() {
    let server = Server::start(Config {
        idle_timeout: Duration::from_millis(400),
        ping_interval: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    let (mut lively, mut silent, _) = server.pair((Over::Grpc, Over::Grpc)).await;
    let pings = async {
        loop {
            lively.send(notice(Kind::Ping(v1::Ping { nonce: 1 }))).await;
            match lively.notice().await {
                Kind::Pong(_) => {}
                other => return other,
            }
        }
    };
    let away = patiently(pings).await;
    assert!(matches!(away, Kind::PeerAway(_)), "{away:?}");
    assert_eq!(silent.closed().await, Some(CloseReason::IdleTimeout));
}

#[tokio::test]
async fn a_stream_that_its_peer_does_not_read_keeps_its_seat() {
    let server = Server::start(Config {
        linger: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    let (mut one, two, session) = server.pair((Over::Ws, Over::Grpc)).await;
    let frame = Frame::new(Lane::Reliable, &[7; 60_000]);
    let moment = Duration::from_millis(500);
    while timeout(moment, one.send(frame.clone())).await.is_ok() {}
    server
        .relay
        .revoke(PairingId::from_bytes([session; 16]))
        .await;
    assert_eq!(one.closed().await, Some(CloseReason::Revoked));
    drop(one);
    // When it returns, the relay has no task any more that waits for somebody.
    patiently(server.relay.drain(Duration::ZERO)).await;
    assert_eq!(server.relay.snapshot().legs, 1);
    drop(two);
    patiently(async {
        while server.relay.snapshot().legs > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
