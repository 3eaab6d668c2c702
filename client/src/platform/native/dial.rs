//! Connections to servers: TCP, through a proxy where one is set, and TLS on it where the address says so.
//!
//! ```text
//! TCP ─┬──────────────────────────────────────┬─ TLS, if https or wss ─► Stream
//!      └─ (TLS to the proxy) CONNECT │ SOCKS5 ┘
//! ```
//!
//! gRPC, gRPC-Web and WebSocket dial alike.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tower::{Service as _, ServiceExt as _};
use url::Url;

use super::eyeballs;
use super::proxy::{self, Proxies};
use super::tls::Trust;

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialer(Arc<Inner>);

struct Inner {
    trust: Trust,
    proxies: Proxies,
    /// Made with the first TLS connection, as the machine's roots are many files.
    verifying: OnceLock<ClientConfig>,
}

/// The protocol to speak on a connection, for ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speak {
    Http1,
    Http2,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The name has no address, or nothing accepts at the address.
    #[error("{0}")]
    Tcp(String),
    /// The proxy is not there, or does not lead on.
    #[error("the proxy {proxy} does not lead there: {why}")]
    Proxy {
        /// Its address, without credentials.
        proxy: String,
        why: String,
    },
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(String),
    /// TLS is there, and chose HTTP/1.1.
    #[error("HTTP/2 is not spoken there")]
    NotHttp2,
    /// It took longer than [`DIAL_TIMEOUT`].
    #[error("no connection within {} s", DIAL_TIMEOUT.as_secs())]
    Late,
}

impl Dialer {
    pub(crate) fn new(trust: Trust, proxies: Proxies) -> Self {
        let verifying = OnceLock::new();
        Self(Arc::new(Inner {
            trust,
            proxies,
            verifying,
        }))
    }

    /// What goes through the proxies that [`Proxies::from_env`] finds.
    pub(crate) fn from_env(trust: &Trust) -> Result<Self, crate::Error> {
        Ok(Self::new(trust.clone(), Proxies::from_env()?))
    }

    /// Whether a proxy leads to this address, if it is called as this server is: with or without TLS.
    pub(crate) fn is_proxied(&self, url: &Url, server: &str) -> bool {
        let proxy = self.0.proxies.towards(&proxy::called_as(url, server));
        proxy.is_some()
    }

    /// Connects to an `http`, `https`, `ws` or `wss` address, verifying against the trusted authorities.
    pub(crate) async fn dial(&self, url: &Url, speak: Speak) -> Result<Stream, DialError> {
        let tls = match url.scheme() {
            "https" | "wss" => Some(self.verifying().clone()),
            _ => None,
        };
        self.dial_with(url, speak, tls).await
    }

    /// The same with another configuration of TLS; none for an address without TLS.
    pub(crate) async fn dial_with(
        &self,
        url: &Url,
        speak: Speak,
        tls: Option<ClientConfig>,
    ) -> Result<Stream, DialError> {
        let dialing = async {
            let stream = match self.0.proxies.towards(url) {
                Some(proxy) => self.through(&proxy, url).await?,
                None => {
                    let target = proxy::target(url).ok_or_else(|| no_host(url))?;
                    tcp(target).await.map_err(DialError::Tcp)?
                }
            };
            match tls {
                Some(tls) => secure(stream, url, speak, tls).await,
                None => Ok(stream),
            }
        };
        let dialed = tokio::time::timeout(DIAL_TIMEOUT, dialing).await;
        dialed.unwrap_or(Err(DialError::Late))
    }

    /// A tunnel through a proxy.
    async fn through(&self, proxy: &Intercept, url: &Url) -> Result<Stream, DialError> {
        let address = proxy.uri().to_string();
        let address = address.trim_end_matches('/');
        let failed = |why: String| DialError::Proxy {
            proxy: address.to_owned(),
            why,
        };
        let target = proxy::target(url).ok_or_else(|| no_host(url))?;
        let this = self.clone();
        let towards = address.to_owned();
        let connector = tower::service_fn(move |uri: Uri| {
            let (this, towards) = (this.clone(), towards.clone());
            Box::pin(async move {
                let stream = tcp(uri).await.map_err(DialError::Tcp)?;
                let stream = match Url::parse(&towards) {
                    Ok(url) if url.scheme() == "https" => {
                        let tls = this.verifying().clone();
                        secure(stream, &url, Speak::Http1, tls).await?
                    }
                    _ => stream,
                };
                Ok(TokioIo::new(stream))
            }) as BoxFuture<'static, Result<TokioIo<Stream>, DialError>>
        });

        let mut refusal = "the name has no address".to_owned();
        match proxy.uri().scheme_str() {
            Some(scheme @ ("socks5" | "socks5h")) => {
                let targets = match scheme {
                    "socks5" => resolved(&target).await.map_err(DialError::Tcp)?,
                    _ => vec![target],
                };
                let mut socks = SocksV5::new(proxy.uri().clone(), connector);
                if let Some((user, password)) = proxy.raw_auth() {
                    if user.len() > 255 || password.len() > 255 {
                        return Err(failed("user name or password is too long".into()));
                    }
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                for target in targets {
                    match socks.call(target).await {
                        Ok(stream) => return Ok(stream.into_inner()),
                        Err(error) => refusal = deepest(&error),
                    }
                }
            }
            _ => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                match tunnel.call(target).await {
                    Ok(stream) => return Ok(stream.into_inner()),
                    Err(error) => refusal = deepest(&error),
                }
            }
        }
        Err(failed(refusal))
    }

    fn verifying(&self) -> &ClientConfig {
        self.0.verifying.get_or_init(|| self.0.trust.config())
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxies = &self.0.proxies;
        f.debug_struct("Dialer")
            .field("proxies", proxies)
            .finish_non_exhaustive()
    }
}

/// Dials one server whenever a client of HTTP wants a connection, which names it once more.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) dialer: Dialer,
    pub(super) url: Url,
    pub(super) speak: Speak,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Self::Response, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let stream = this.dialer.dial(&this.url, this.speak).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Connects to the first address of a name that answers, IPv6 and IPv4 in turn (RFC 8305).
async fn tcp(target: Uri) -> Result<Stream, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_happy_eyeballs_timeout(Some(eyeballs::HEAD_START));
    let connected = connector.oneshot(target).await;
    let stream = connected.map_err(|error| deepest(&error))?;
    Ok(Stream(Box::new(stream.into_inner())))
}

/// The addresses of a name, each as something that a proxy can be asked for.
async fn resolved(target: &Uri) -> Result<Vec<Uri>, String> {
    let host = target.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = target.port_u16().unwrap_or(443);
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| error.to_string())?;
    let uri = |address: SocketAddr| format!("https://{address}/").parse().ok();
    Ok(found.filter_map(uri).collect())
}

async fn secure(
    stream: Stream,
    url: &Url,
    speak: Speak,
    mut tls: ClientConfig,
) -> Result<Stream, DialError> {
    let protocol: &[&[u8]] = match speak {
        Speak::Http1 => &[b"http/1.1"],
        // A server that speaks HTTP/1.1 only then says so instead of hanging up.
        Speak::Http2 => &[H2, b"http/1.1"],
    };
    tls.alpn_protocols = protocol.iter().map(|it| it.to_vec()).collect();
    let host = url.host_str().ok_or_else(|| no_host(url))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| DialError::Tls(error.to_string()))?;
    let secured = TlsConnector::from(Arc::new(tls)).connect(name, stream);
    let secured = secured.await;
    let secured = secured.map_err(|error| DialError::Tls(deepest(&error)))?;
    if speak == Speak::Http2 && secured.get_ref().1.alpn_protocol() != Some(H2) {
        return Err(DialError::NotHttp2);
    }
    Ok(Stream(Box::new(secured)))
}

fn no_host(url: &Url) -> DialError {
    DialError::Tcp(format!("{url} has no host"))
}

/// The last cause in a chain of errors: the one that says what happened.
pub(super) fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A connection of whichever kind.
pub(crate) struct Stream(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

const H2: &[u8] = b"h2";

/// How long TCP may take to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long TCP, proxy and TLS may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
