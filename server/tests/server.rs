//! A server in the process of its embedder, over real sockets.

#![allow(clippy::unwrap_used)]

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use peersox_server::axum::extract::Extension;
use peersox_server::axum::middleware::map_response;
use peersox_server::axum::response::Response;
use peersox_server::axum::{Router, routing::get};
use peersox_server::state::{self, OpenError};
use peersox_server::{BindError, ClientAddr, Server, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// On a port of this machine that the system chooses.
fn local() -> ServerConfig {
    ServerConfig {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..ServerConfig::default()
    }
}

/// The whole answer to a request for a path, as text.
async fn get_text(server: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    told
}

async fn marked(mut response: Response) -> Response {
    let marks = response.headers_mut();
    marks.append("x-mark", "yes".parse().unwrap());
    response
}

#[tokio::test]
async fn routes_of_the_embedder_stand_beside_ours_and_layers_around_both() {
    let client = async |Extension(ClientAddr(address)): Extension<ClientAddr>| address.to_string();
    let routes = Router::new()
        .route("/client", get(client))
        // Ours has precedence, and two of them are no reason to panic.
        .route("/healthz", get(async || "theirs"))
        .fallback(async || "elsewhere");
    let config = ServerConfig {
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        ..local()
    };
    let server = Server::builder().config(config).routes(routes);
    let server = server.layer(map_response(marked)).bind().await.unwrap();
    let at = server.local_addr();
    for (path, body) in [
        ("/client", "127.0.0.1"),
        ("/healthz", "alive\n"),
        ("/readyz", "ready\n"),
        ("/else", "elsewhere"),
    ] {
        let told = get_text(at, path).await;
        assert!(told.ends_with(&format!("\r\n\r\n{body}")), "{path}: {told}");
        assert!(told.contains("x-mark: yes\r\n"), "{path}: {told}");
    }
    assert_eq!(server.url(), format!("http://{at}"));
    server.shutdown(Duration::ZERO).await;
    assert!(TcpStream::connect(at).await.is_err());
}

#[tokio::test]
async fn without_probes_their_paths_are_the_embedders() {
    let config = ServerConfig {
        probes: false,
        ..local()
    };
    let routes = Router::new().route("/healthz", get(async || "theirs"));
    let server = Server::builder().config(config).routes(routes).bind();
    let server = server.await.unwrap();
    let told = get_text(server.local_addr(), "/healthz").await;
    assert!(told.ends_with("theirs"), "{told}");
    let told = get_text(server.local_addr(), "/status.json").await;
    assert!(told.starts_with("HTTP/1.1 404"), "{told}");
}

#[tokio::test]
async fn two_servers_run_in_one_process_and_each_ends_for_itself() {
    let one = Server::builder().config(local()).bind().await.unwrap();
    let two = Server::builder().config(local()).bind().await.unwrap();
    let (gone, stays) = (one.local_addr(), two.local_addr());
    // Dropping is stopping.
    drop(one);
    let patience = tokio::time::timeout(Duration::from_secs(10), async {
        while TcpStream::connect(gone).await.is_ok() || UdpSocket::bind(gone).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    patience
        .await
        .expect("the sockets of a dropped server are closed");
    assert!(get_text(stays, "/readyz").await.starts_with("HTTP/1.1 200"));
    let status = two.status();
    assert_eq!(
        (status.sessions, status.legs, status.draining),
        (0, 0, false)
    );
}

#[tokio::test]
async fn a_state_file_is_free_once_the_server_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    for _ in 0..2 {
        let config = local();
        let (store, secret) = state::open(&file, &config.pairing).await.unwrap();
        let taken = state::open(&file, &config.pairing).await.unwrap_err();
        assert!(matches!(taken, OpenError::InUse(_)), "{taken:?}");
        let server = Server::builder().config(config).store(store).secret(secret);
        let server = server.bind().await.unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        // A connection that goes on does not hold the file.
        let _open = TcpStream::connect(address).await.unwrap();
        assert!(handle.pairings(None, 1).await.unwrap().is_empty());
        drop(handle);
        server.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn what_keeps_a_server_from_starting_is_named() {
    let (taken, address) = loop {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        // Its number is needed for UDP, too.
        if UdpSocket::bind(address).await.is_ok() {
            break (taken, address);
        }
    };
    let on = |listen| ServerConfig {
        listen: Some(listen),
        ..ServerConfig::default()
    };
    let error = Server::builder()
        .config(on(address))
        .bind()
        .await
        .unwrap_err();
    assert!(matches!(error, BindError::Listen { .. }), "{error:?}");
    assert!(error.to_string().contains("`listen`"), "{error}");
    assert!(
        error.source().unwrap().to_string().contains("in use"),
        "{error:?}"
    );
    drop(taken);

    let taken = UdpSocket::bind(address).await.unwrap();
    let error = Server::builder()
        .config(on(address))
        .bind()
        .await
        .unwrap_err();
    assert!(matches!(error, BindError::Quic { .. }), "{error:?}");
    assert!(error.to_string().contains("`quic`"), "{error}");
    // What failed has left no socket behind.
    drop(taken);
    let server = Server::builder().config(on(address)).bind().await.unwrap();
    assert_eq!(server.local_addr(), address);

    let config = ServerConfig { hold: 1, ..local() };
    let error = Server::builder().config(config).bind().await.unwrap_err();
    assert!(
        error.to_string().starts_with("`hold` cannot be 1 bytes"),
        "{error}"
    );
}
