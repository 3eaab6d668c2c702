//! Servers behind proxies, and peers behind proxies.

use std::net::SocketAddr;

use http::{Response, StatusCode, header};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use peersox_client::{Error, Proxies, Server as Control, Trust};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::harness::{Peer, Server, quiet_port, soon};
use crate::proxy::{Kind, Proxy};

/// Two peers meet at a server and say something. One of them comes with an environment.
async fn meet(here: &str, there: &str, environment: &[(&str, &str)]) {
    let mut initiator = Peer::start_with(here, &["connect"], environment);
    let code = initiator.code().await;
    let mut joiner = Peer::start_with(there, &["connect", &code], environment);
    joiner.event("connected").await;
    let mut input = initiator.stdin.take().unwrap();
    input.write_all(b"through").await.unwrap();
    drop(input);
    assert_eq!(joiner.output().await, b"through");
    let ended = initiator.end().await;
    assert_eq!(ended.0, 0, "{}", ended.1);
}

#[tokio::test]
async fn peers_meet_behind_a_proxy_that_passes_http_1_1_only() {
    let server = Server::start(&["--no-quic"]).await;
    for kind in [Kind::Http1, Kind::SilentToHttp2] {
        let proxy = Proxy::start(kind, server.port).await;
        meet(&proxy.url(), &server.url(), &[]).await;
        assert!(proxy.passed() > 3, "{kind:?}: {}", proxy.passed());

        // Answers of the server are told apart as they are over HTTP/2.
        let unknown = Peer::start(&proxy.url(), &["connect", "000000"]);
        let (exit, said) = unknown.end().await;
        assert_eq!(exit, 3, "{said}");
    }
}

#[tokio::test]
async fn a_stream_passes_a_proxy_that_speaks_http_1_1_only() {
    use futures_util::StreamExt as _;
    use peersox_client::PairingEvent;

    let server = Server::start(&[]).await;
    let proxy = Proxy::start(Kind::Http1, server.port).await;
    let control = Control::connect(&proxy.url(), Trust::default())
        .await
        .unwrap();
    let created = control.create_pairing().await.unwrap();
    let mut events = Box::pin(control.watch(&created.pairing).await.unwrap());
    let mut next = async || soon(events.next()).await;
    assert_eq!(next().await.unwrap().unwrap(), PairingEvent::Waiting);
    control.join_pairing(&created.nameplate).await.unwrap();
    assert_eq!(next().await.unwrap().unwrap(), PairingEvent::Joined);
    control.delete_pairing(&created.pairing).await.unwrap();
    assert_eq!(next().await.unwrap().unwrap(), PairingEvent::Revoked);
    assert!(next().await.is_none());
    let gone = control.watch(&created.pairing).await.err();
    assert!(matches!(gone, Some(Error::CredentialInvalid)), "{gone:?}");
}

#[tokio::test]
async fn a_proxy_that_speaks_http_1_0_is_told_of_in_one_sentence() {
    let port = quiet_port();
    let proxy = Proxy::start(Kind::Http10, port).await;
    let server = Server::start_at(port, &["--no-quic", "--public-url", &proxy.url()]).await;
    let control = Control::connect(&proxy.url(), Trust::default())
        .await
        .unwrap();
    // Calls pass.
    control.create_pairing().await.unwrap();
    drop(control);

    let mut initiator = Peer::start(&proxy.url(), &["connect"]);
    let (exit, said) = match initiator.code_or_end().await {
        Some(_) | None => initiator.end().await,
    };
    assert_eq!(exit, 5, "{said}");
    assert!(said.contains("speaks HTTP/1.0"), "{said}");
    drop(server);
}

#[tokio::test]
async fn a_page_instead_of_the_server_is_called_by_its_type() {
    for (page, said) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\n\
             connection: close\r\n\r\n<h1>Log in",
            "answered with text/html,",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<h1>502",
            "answered with 502 Bad Gateway",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: https://portal.example/\r\nconnection: close\r\n\r\n",
            "answered with 302 Found, which points to https://portal.example/",
        ),
    ] {
        let proxy = Proxy::start(Kind::Page(page), 1).await;
        unreachable(&proxy.url(), said).await;
    }
}

#[tokio::test]
async fn a_page_over_http_2_is_no_message() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let page = service_fn(async |_| {
                let mut page = Response::new("<h1>502 Bad Gateway</h1>".to_owned());
                *page.status_mut() = StatusCode::BAD_GATEWAY;
                let html = header::HeaderValue::from_static("text/html");
                page.headers_mut().insert(header::CONTENT_TYPE, html);
                Ok::<_, std::convert::Infallible>(page)
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = server.serve_connection(TokioIo::new(stream), page).await;
            });
        }
    });
    unreachable(
        &format!("http://{address}"),
        "answered with 502 Bad Gateway",
    )
    .await;
}

/// Whoever answers at this address is no server; the error is transient and says so.
async fn unreachable(url: &str, said: &str) {
    let refused = soon(Control::connect(url, Trust::default()))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused}");
    assert!(refused.is_transient());
    assert!(refused.to_string().contains(said), "{refused}");
    let (exit, text) = Peer::start(url, &["connect"]).end().await;
    assert_eq!(exit, 5, "{text}");
    assert!(
        text.contains(said) && !text.contains("compression"),
        "{text}"
    );
}

#[tokio::test]
async fn peers_meet_through_the_proxy_of_their_environment() {
    let server = Server::start(&[]).await;
    // Nobody but the proxy knows the name.
    let url = format!("http://peersox.test:{}", server.port);
    for (kind, scheme, variable) in [
        (Kind::Connect, "http", "HTTP_PROXY"),
        (Kind::Connect, "http", "all_proxy"),
        (Kind::Socks5, "socks5h", "ALL_PROXY"),
    ] {
        let proxy = Proxy::start(kind, server.port).await;
        let address = format!("{scheme}://user:p%40ss@127.0.0.1:{}", proxy.port);
        meet(&url, &url, &[(variable, &address)]).await;
        // gRPC and WebSocket of two peers.
        assert!(proxy.passed() >= 4, "{kind:?}: {}", proxy.passed());

        let wrong = format!("{scheme}://user:hunter2@127.0.0.1:{}", proxy.port);
        let environment = [(variable, wrong.as_str()), ("PEERSOX_LOG", "trace")];
        let refused = Peer::start_with(&url, &["connect"], &environment);
        let (exit, said) = refused.end().await;
        assert_eq!(exit, 5, "{said}");
        let named = format!("127.0.0.1:{}", proxy.port);
        assert!(said.contains(&named), "{said}");
        assert!(
            !said.contains("hunter2") && !said.contains("aHVudGVyMg"),
            "{said}"
        );
    }

    // Loopback is reached without, and so is what NO_PROXY names.
    let nowhere = [("ALL_PROXY", "http://127.0.0.1:1")];
    meet(&server.url(), &server.url(), &nowhere).await;
}

#[tokio::test]
async fn a_variable_that_names_no_proxy_is_named() {
    let environment = [("HTTPS_PROXY", "ftp://user:hunter2@proxy")];
    let peer = Peer::start_with("https://peersox.test", &["connect"], &environment);
    let (exit, said) = peer.end().await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("HTTPS_PROXY"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_server_below_a_path_is_reached_there() {
    // A proxy that takes the path away, and HTTP/1.1.
    let port = quiet_port();
    let proxy = Proxy::start(Kind::Below, port).await;
    let public = format!("{}/x/", proxy.url());
    let server = Server::start_at(port, &["--public-url", &public]).await;
    for url in [public.as_str(), public.trim_end_matches('/')] {
        meet(url, url, &[]).await;
    }
    unreachable(&proxy.url(), "answered with 404 Not Found").await;

    // One that passes the path on, and HTTP/2.
    let below = format!("{}/x", server.url());
    meet(&below, &server.url(), &[]).await;

    let control = Control::connect_through(&below, Trust::default(), Proxies::none()).await;
    assert_eq!(control.unwrap().url(), below);
    let (exit, said) = Peer::start(&format!("{below}/#123456"), &["connect"])
        .end()
        .await;
    assert_eq!(exit, 2, "{said}");
}
