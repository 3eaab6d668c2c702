//! The TCP side: one port for HTTP/1.1, HTTP/2 and, if configured, TLS.
//!
//! ```text
//! accept ── permit ── first byte 0x16? ─ yes ─ TLS (ALPN h2, http/1.1) ─┐
//!                                      └ no ────────────────────────────┴─ hyper ── router
//! ```
//!
//! Every wait ends: a connection that has not completed its first request after
//! [`FIRST_REQUEST`] is dropped, whichever stage it idles in, and the number of connections is
//! bounded.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Redirect};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use peersox_control::ClientAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::prefix::{Prefix, Way};

/// What the accept loop needs.
pub(crate) struct Http {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) router: Router,
    /// The path that a proxy may pass on.
    pub(crate) prefix: Prefix,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Arc<[IpAddr]>,
}

impl Http {
    /// Accepts until `stop`, then lets connections finish what they are doing. The caller bounds
    /// the time of that: upgraded connections and streams may go on for as long as they like.
    pub(crate) async fn run(self, stop: CancellationToken, tasks: TaskTracker) {
        let Self {
            listener,
            tls,
            router,
            prefix,
            trusted_proxies,
        } = self;
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly "too many open files": a short pause lets some close.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                tracing::warn!("connection refused: {MAX_CONNECTIONS} are open");
                continue;
            };
            let connection = Connection {
                address,
                router: router.clone(),
                prefix: prefix.clone(),
                trusted_proxies: Arc::clone(&trusted_proxies),
                served: AtomicBool::new(false),
            };
            let (tls, stop) = (tls.clone(), stop.clone());
            tasks.spawn(async move {
                if let Err(error) = Arc::new(connection).run(stream, tls, stop).await {
                    tracing::debug!(%error, "connection ended");
                }
                drop(permit);
            });
        }
    }
}

/// One TCP connection.
struct Connection {
    address: SocketAddr,
    router: Router,
    prefix: Prefix,
    trusted_proxies: Arc<[IpAddr]>,
    /// Whether a request has come in.
    served: AtomicBool,
}

impl Connection {
    async fn run(
        self: Arc<Self>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(20))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;

        let this = Arc::clone(&self);
        let watchdog = async move {
            tokio::time::sleep(FIRST_REQUEST).await;
            if this.served.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = self.serve(stream, tls, stop) => ended,
            () = watchdog => anyhow::bail!("no request within {} s", FIRST_REQUEST.as_secs()),
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let Some(tls) = tls else {
            return self.speak_http(stream, stop, false).await;
        };
        let mut first = [0; 1];
        let _ = stream.peek(&mut first).await?;
        if first[0] == TLS_HANDSHAKE {
            let stream = tls.accept(stream).await?;
            return self.speak_http(stream, stop, false).await;
        }
        self.speak_http(stream, stop, true).await
    }

    async fn speak_http<S>(
        self: Arc<Self>,
        stream: S,
        stop: CancellationToken,
        redirect: bool,
    ) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| {
            let this = Arc::clone(&self);
            async move { Ok::<_, std::convert::Infallible>(this.answer(request, redirect).await) }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_buf_size(64 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .max_concurrent_streams(128)
            .max_header_list_size(16 * 1024)
            .keep_alive_interval(Some(Duration::from_secs(20)))
            .keep_alive_timeout(Duration::from_secs(20));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(|error| anyhow::anyhow!("{error}"))
    }

    async fn answer(&self, request: Request<Incoming>, redirect: bool) -> Response<Body> {
        self.served.store(true, Ordering::Relaxed);
        if redirect {
            return to_https(&request);
        }
        let mut request = request.map(Body::new);
        match self.prefix.way(std::mem::take(request.uri_mut())) {
            Way::Route(uri) => *request.uri_mut() = uri,
            Way::Redirect(to) => return to.into_response(),
        }
        let address = self.client_address(request.headers());
        request.extensions_mut().insert(ClientAddr(address));
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The address that budgets are kept by: the nearest one that no trusted proxy vouches for.
    fn client_address(&self, headers: &http::HeaderMap) -> IpAddr {
        let mut address = self.address.ip().to_canonical();
        let forwarded = headers.get_all("x-forwarded-for");
        let hops = forwarded.iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = hops.flat_map(|value| value.split(',')).collect();
        for hop in hops.iter().rev() {
            if !self.trusted_proxies.contains(&address) {
                break;
            }
            let Ok(next) = hop.trim().parse::<IpAddr>() else {
                break;
            };
            address = next.to_canonical();
        }
        address
    }
}

/// Answers plain HTTP on a port that speaks TLS.
fn to_https(request: &Request<Incoming>) -> Response<Body> {
    let host = request
        .headers()
        .get("host")
        .and_then(|host| host.to_str().ok());
    match host.map(|host| format!("https://{host}{}", request.uri().path())) {
        Some(url) if url.parse::<http::Uri>().is_ok() => Redirect::permanent(&url).into_response(),
        _ => (
            StatusCode::BAD_REQUEST,
            "this port speaks TLS: use https://\n",
        )
            .into_response(),
    }
}

/// The first byte of a TLS record that carries a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Two sockets per pair leave room for some thousands of pairs within common file limits.
const MAX_CONNECTIONS: usize = 16_384;

/// How long TLS, version detection and the first request may take together.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long the headers of a later request may take.
const HEADERS: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, trusted: &[&str], forwarded: &[&str]) -> String {
        let connection = Connection {
            address: SocketAddr::new(peer.parse().unwrap(), 1),
            router: Router::new(),
            prefix: Prefix::default(),
            trusted_proxies: trusted.iter().map(|ip| ip.parse().unwrap()).collect(),
            served: AtomicBool::new(false),
        };
        let mut headers = http::HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        connection.client_address(&headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("9.9.9.9", &[], &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(address("::ffff:9.9.9.9", &[], &[]), "9.9.9.9");
        assert_eq!(
            address("10.0.0.1", &["10.0.0.1"], &["1.1.1.1, 2.2.2.2"]),
            "2.2.2.2"
        );
        assert_eq!(
            address(
                "10.0.0.1",
                &["10.0.0.1", "10.0.0.2"],
                &["1.1.1.1", "10.0.0.2"]
            ),
            "1.1.1.1"
        );
        assert_eq!(address("10.0.0.1", &["10.0.0.1"], &["junk"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["10.0.0.1"], &[]), "10.0.0.1");
    }
}
