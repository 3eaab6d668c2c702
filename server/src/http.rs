//! The TCP side: one port for HTTP/1.1, HTTP/2 and, if configured, TLS.
//!
//! ```text
//! accept ── permit ── PROXY header ── first byte 0x16? ─ yes ─ TLS (ALPN h2, http/1.1) ─┐
//!                     where one is due                 └ no ────────────────────────────┴─ hyper ── router
//! ```
//!
//! Every wait ends: a connection that has not completed its first request after
//! [`FIRST_REQUEST`] is dropped, whichever stage it idles in, and one that carries nothing for
//! [`IDLE`] is closed. The number of connections is bounded, and so is the share of a host and a network. A
//! connection is counted until the last leg that it carries is gone.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Redirect};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use peersox_control::ClientAddr;
use peersox_core::limit::{Full, Networks, Place, Pool};
use peersox_relay::{Companion, HTTP2_WINDOW};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::certificate::acme::ACME_TLS;
use crate::forwarded::Forwarded;
use crate::metrics::{Connections, Failed, Open};
use crate::prefix::{Prefix, Way};
use crate::proxied::Proxied;

/// What the accept loop needs.
pub(crate) struct Http {
    pub(crate) listener: TcpListener,
    /// How many connections there may be.
    pub(crate) most: u64,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) router: Router,
    /// The path that a proxy may pass on.
    pub(crate) prefix: Prefix,
    /// Who is believed about the address of a client.
    pub(crate) forwarded: Forwarded,
    /// Who names the clients of its connections, if anybody does.
    pub(crate) proxied: Option<Proxied>,
    /// Networks without a share of their own; trusted proxies have none either.
    pub(crate) unmetered: Networks,
    /// With TLS: for how long browsers that have seen this server call it by no other way.
    pub(crate) hsts: Duration,
    /// Where connections are counted.
    pub(crate) connections: Connections,
}

impl Http {
    /// Accepts until `stop`, then lets connections finish what they are doing. The caller bounds
    /// the time of that: upgraded connections and streams may go on for as long as they like.
    pub(crate) async fn run(self, stop: CancellationToken, tasks: TaskTracker) {
        let Self {
            listener,
            most,
            tls,
            router,
            prefix,
            forwarded,
            proxied,
            unmetered,
            hsts,
            connections,
        } = self;
        let hsts = tls.is_some().then(|| hsts_header(hsts));
        let (forwarded, proxied) = (Arc::new(forwarded), Arc::new(proxied));
        let pool = Pool::new(most, &unmetered);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let (mut stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly "too many open files": a short pause lets some close.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let place = match pool.take(address.ip(), 1) {
                Ok(place) => place,
                Err(Full::Cap) => {
                    tracing::warn!("connection refused: {most} are open");
                    connections.failed(Failed::Full);
                    continue;
                }
                Err(Full::Share) => {
                    tracing::debug!(%address, "connection refused: its network has its share");
                    connections.failed(Failed::Share);
                    continue;
                }
            };
            let (router, prefix, hsts) = (router.clone(), prefix.clone(), hsts.clone());
            let (tls, stop, pool) = (tls.clone(), stop.clone(), pool.clone());
            let (forwarded, proxied) = (Arc::clone(&forwarded), Arc::clone(&proxied));
            let connections = connections.clone();
            tasks.spawn(async move {
                let open = connections.opened();
                let served = async {
                    let caller = (address.ip(), place);
                    let (client, place) = match &*proxied {
                        Some(proxied) => {
                            let named = named(proxied, &pool, &mut stream, caller).await;
                            named.map_err(|(failed, error)| {
                                connections.failed(failed);
                                error
                            })?
                        }
                        None => (Some(caller.0), caller.1),
                    };
                    let connection = Connection {
                        address: client.unwrap_or(address.ip()),
                        router,
                        prefix,
                        // Where nobody is named, headers of HTTP are whoever's.
                        forwarded: client.map_or_else(Arc::default, |_| forwarded),
                        hsts,
                        served: AtomicBool::new(false),
                        load: Load::new(place, open),
                        idle: IDLE,
                        connections,
                    };
                    Arc::new(connection).run(stream, tls, stop).await
                };
                if let Err(error) = served.await {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
    }
}

/// The client of a connection, if somebody is named, and its place among those of its own network instead of
/// its proxy's.
async fn named(
    proxied: &Proxied,
    pool: &Pool,
    stream: &mut TcpStream,
    (address, place): (IpAddr, Place),
) -> Result<(Option<IpAddr>, Place), (Failed, Box<dyn Error + Send + Sync>)> {
    let client = tokio::time::timeout(FIRST_REQUEST, proxied.client(stream, address)).await;
    let client = client.map_err(|_| {
        let failed = match proxied.trusts(address) {
            true => Failed::Proxy,
            false => Failed::Silent,
        };
        let late = format!("no PROXY header within {} s", FIRST_REQUEST.as_secs());
        (failed, late.into())
    })?;
    let client = client.map_err(|error| (Failed::Proxy, error.into()))?;
    let Some(named) = client.filter(|it| *it != address.to_canonical()) else {
        return Ok((client, place));
    };
    drop(place);
    let place = pool.take(named, 1).map_err(|full| {
        let failed = match full {
            Full::Cap => Failed::Full,
            Full::Share => Failed::Share,
        };
        (failed, full.into())
    })?;
    Ok((client, place))
}

/// Why a connection ended, for the log.
type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// One TCP connection.
struct Connection {
    /// Of the client, or of the nearest proxy that says nothing of TCP.
    address: IpAddr,
    router: Router,
    prefix: Prefix,
    forwarded: Arc<Forwarded>,
    /// What browsers are told, if the port speaks TLS.
    hsts: Option<HeaderValue>,
    /// Whether a request has come in.
    served: AtomicBool,
    load: Arc<Load>,
    /// How long the connection may carry nothing.
    idle: Duration,
    connections: Connections,
}

/// What a connection carries. Of a connection that became a leg nothing else is left.
struct Load {
    /// Requests whose answer is not complete, and legs.
    in_flight: AtomicUsize,
    /// The first of several is there, or the last is gone.
    changed: Notify,
    /// Given back when the connection and the last leg in it are gone.
    _place: Place,
    /// Counted for as long.
    _open: Open,
}

impl Load {
    fn new(place: Place, open: Open) -> Arc<Self> {
        Arc::new(Self {
            in_flight: AtomicUsize::new(0),
            changed: Notify::new(),
            _place: place,
            _open: open,
        })
    }

    /// Waits until there is something, or nothing.
    async fn becomes(&self, busy: bool) {
        loop {
            let changed = self.changed.notified();
            if (self.in_flight.load(Ordering::SeqCst) > 0) == busy {
                return;
            }
            changed.await;
        }
    }
}

/// A request that is being answered, or the leg that it became.
struct InFlight(Arc<Load>);

impl InFlight {
    fn new(load: &Arc<Load>) -> Arc<Self> {
        if load.in_flight.fetch_add(1, Ordering::SeqCst) == 0 {
            load.changed.notify_one();
        }
        Arc::new(Self(Arc::clone(load)))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.changed.notify_one();
        }
    }
}

impl Connection {
    async fn run(
        self: Arc<Self>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) -> Ended {
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
            ended = Arc::clone(&self).serve(stream, tls, stop) => ended,
            () = watchdog => {
                self.connections.failed(Failed::Silent);
                Err(format!("no request within {} s", FIRST_REQUEST.as_secs()).into())
            }
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) -> Ended {
        let Some(tls) = tls else {
            return self.speak_http(stream, stop, false).await;
        };
        let mut first = [0; 1];
        let _ = stream.peek(&mut first).await?;
        if first[0] == TLS_HANDSHAKE {
            let accepted = tls.accept(stream).await;
            let mut stream = accepted.inspect_err(|_| self.connections.failed(Failed::Tls))?;
            // It has seen the certificate that it came for (RFC 8737, section 3).
            if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) {
                return Ok(stream.shutdown().await?);
            }
            return self.speak_http(stream, stop, false).await;
        }
        self.speak_http(stream, stop, true).await
    }

    async fn speak_http<S>(
        self: Arc<Self>,
        stream: S,
        stop: CancellationToken,
        redirect: bool,
    ) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let this = Arc::clone(&self);
        let service = service_fn(move |request| {
            let this = Arc::clone(&this);
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
            .initial_stream_window_size(HTTP2_WINDOW)
            .initial_connection_window_size(4 * HTTP2_WINDOW)
            .max_send_buf_size(HTTP2_WINDOW as usize)
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
            () = self.idled() => {
                connection.as_mut().graceful_shutdown();
                // Over HTTP/2 that waits for an answer, which a stranger may never give.
                let patience = self.idle.min(FAREWELL);
                tokio::time::timeout(patience, connection).await.unwrap_or(Ok(()))
            }
        };
        ended
    }

    /// Resolves when nothing has been in flight for a while.
    async fn idled(&self) {
        loop {
            self.load.becomes(false).await;
            let busy = self.load.becomes(true);
            if tokio::time::timeout(self.idle, busy).await.is_err() {
                return;
            }
        }
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        redirect: bool,
    ) -> Response<Body> {
        self.served.store(true, Ordering::Relaxed);
        if redirect {
            return to_https(&request);
        }
        let mut request = request.map(Body::new);
        match self.prefix.way(std::mem::take(request.uri_mut())) {
            Way::Route(uri) => *request.uri_mut() = uri,
            Way::Redirect(to) => return to.into_response(),
        }
        let address = self.forwarded.client(self.address, request.headers());
        request.extensions_mut().insert(ClientAddr(address));
        let in_flight = InFlight::new(&self.load);
        let companion = Companion::new(Arc::clone(&in_flight) as _);
        request.extensions_mut().insert(companion);
        let named_localhost = is_localhost(&request);
        let mut response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if let Some(hsts) = self.hsts.as_ref().filter(|_| !named_localhost) {
            let headers = response.headers_mut();
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        // The request is in flight until its answer is complete. An error is passed on as it is.
        response.map(|body| {
            Body::new(body.map_err(move |error| {
                let _held = &in_flight;
                error
            }))
        })
    }
}

/// Strict-Transport-Security (RFC 6797). With no time at all browsers forget what they were told before.
fn hsts_header(age: Duration) -> HeaderValue {
    let text = format!("max-age={}", age.as_secs());
    text.try_into().expect("a number is visible ASCII")
}

/// Whether the caller calls this machine `localhost`: other servers there may speak plain HTTP, and a browser
/// would take what it is told for all ports.
fn is_localhost<B>(request: &Request<B>) -> bool {
    let host = || request.headers().get(header::HOST)?.to_str().ok();
    let asked = request.uri().host().or_else(host);
    asked.is_some_and(|asked| asked.split(':').next() == Some("localhost"))
}

/// Answers plain HTTP where only TLS is of use.
pub(crate) fn to_https<B>(request: &Request<B>) -> Response<Body> {
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

/// How long a connection may carry nothing.
const IDLE: Duration = Duration::from_secs(60);

/// How long the other side may take to end an idle connection.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long TLS, version detection and the first request may take together, and a PROXY header before them.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long the headers of a later request may take.
const HEADERS: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
