//! How two peers come to a relay. What they say to meet is not measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;

use super::ends::{End, Pair, frame};
use super::target::Form;
use super::wire::Wire;
use crate::ancestor::Ancestors;
use crate::args::Transport;
use crate::couple::{Couple as _, Devices};
use crate::failure::{At as _, Failure};
use crate::leg::{Leg, WebSocket, quic, websocket};
use crate::reference::{ALPN, MET, TOKEN_BYTES};

/// Connects pairs one after the other.
pub(crate) enum Joiner {
    Tcp(SocketAddr),
    WebSocket(Uri),
    /// The two peers have a socket each, as devices have.
    Quic(Uri, [Option<quinn::Endpoint>; 2]),
    Proxy(SocketAddr, TcpListener),
    PeerSox(Box<Devices>, [Transport; 2]),
    Ancestor(Box<Ancestors>),
}

/// Those that connect pairs at the same time.
pub(crate) struct Joiners(Vec<Joiner>);

impl Joiners {
    /// As many as are useful for so many pairs.
    pub(crate) async fn new(form: &Form, pairs: usize) -> Result<Self, Failure> {
        let count = match form {
            // They share one port.
            Form::Proxy(..) => 1,
            _ => pairs.clamp(1, AT_ONCE),
        };
        let joiners = (0..count).map(|_| Joiner::new(form));
        let joiners = joiners.collect::<FuturesUnordered<_>>();
        Ok(Self(joiners.try_collect().await?))
    }

    /// Connects so many pairs, each of which is proven by a frame.
    pub(crate) async fn pairs(&mut self, count: usize) -> Result<Vec<Pair>, Failure> {
        let left = std::cell::Cell::new(count);
        let working = self.0.iter_mut().map(|joiner| {
            let left = &left;
            async move {
                let mut pairs = Vec::new();
                while let Some(less) = left.get().checked_sub(1) {
                    left.set(less);
                    let pair = tokio::time::timeout(PATIENCE, joiner.proven());
                    pairs.push(pair.await.at("a pair")??);
                }
                Ok::<_, Failure>(pairs)
            }
        });
        let mut working = working.collect::<FuturesUnordered<_>>();
        let mut pairs = Vec::with_capacity(count);
        while let Some(more) = working.next().await {
            pairs.extend(more?);
        }
        Ok(pairs)
    }
}

impl Joiner {
    async fn new(form: &Form) -> Result<Self, Failure> {
        Ok(match form {
            Form::Tcp(relay) => Self::Tcp(*relay),
            Form::WebSocket(uri) => Self::WebSocket(uri.clone()),
            Form::Quic(uri) => Self::Quic(uri.clone(), [None, None]),
            Form::Proxy(relay, port) => {
                let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).await;
                Self::Proxy(*relay, backend.at("the proxy's backend")?)
            }
            Form::PeerSox(uri, transports) => {
                let devices = Devices::connect(uri, uri).await?;
                Self::PeerSox(Box::new(devices), *transports)
            }
            Form::Ancestor(uri) => Self::Ancestor(Box::new(Ancestors::connect(uri, uri).await?)),
        })
    }

    async fn proven(&mut self) -> Result<Pair, Failure> {
        let mut pair = self.pair().await?;
        let mut bytes = Vec::new();
        pair.one.sender.put(&frame(16), &mut bytes);
        pair.one.sender.write(&bytes).await.at("first frame")?;
        pair.two.receiver.count().await.at("first frame")?;
        Ok(pair)
    }

    async fn pair(&mut self) -> Result<Pair, Failure> {
        static PAIRS: AtomicU64 = AtomicU64::new(0);
        let number = PAIRS.fetch_add(1, Ordering::Relaxed);
        let token = format!("{:0width$x}", number, width = TOKEN_BYTES);
        let (one, two) = match self {
            Self::Tcp(relay) => tokio::try_join!(tcp(*relay, &token), tcp(*relay, &token))?,
            Self::WebSocket(uri) => {
                let mut parts = uri.clone().into_parts();
                parts.path_and_query = Some(format!("/{token}").parse().at("path")?);
                let uri = Uri::from_parts(parts).at("path")?;
                let one = bare(websocket(&uri, None).await?);
                (one, bare(websocket(&uri, None).await?))
            }
            Self::Quic(uri, [one, two]) => {
                tokio::try_join!(spliced(uri, one, &token), spliced(uri, two, &token))?
            }
            Self::Proxy(relay, backend) => {
                let one = TcpStream::connect(*relay).await.at("proxy")?;
                let (two, _) = backend.accept().await.at("proxy")?;
                (plain(one)?, plain(two)?)
            }
            Self::PeerSox(devices, transports) => {
                let (one, two) = devices.attach(*transports).await?;
                (leg(one), leg(two))
            }
            Self::Ancestor(devices) => {
                let (one, two) = devices.set_up(Transport::Ws).await?;
                (bare(one), bare(two))
            }
        };
        Ok(Pair { one, two })
    }
}

async fn tcp(relay: SocketAddr, token: &str) -> Result<End, Failure> {
    let mut stream = TcpStream::connect(relay).await.at("tcp")?;
    stream.write_all(token.as_bytes()).await.at("tcp")?;
    match stream.read_u8().await.at("tcp")? {
        MET => plain(stream),
        other => Err(Failure::new("tcp", format_args!("the relay said {other}"))),
    }
}

fn plain(stream: TcpStream) -> Result<End, Failure> {
    stream.set_nodelay(true).at("tcp")?;
    let (from, to) = stream.into_split();
    Ok(End::new(Wire::Length, from, to, ()))
}

async fn spliced(
    uri: &Uri,
    socket: &mut Option<quinn::Endpoint>,
    token: &str,
) -> Result<End, Failure> {
    let (connection, mut to, mut from) = quic(uri, ALPN, socket).await?;
    to.write_all(token.as_bytes()).await.at("quic")?;
    let mut said = [0];
    from.read_exact(&mut said).await.at("quic")?;
    match said {
        [MET] => Ok(End::new(Wire::Length, from, to, connection)),
        [other] => Err(Failure::new("quic", format_args!("the relay said {other}"))),
    }
}

fn leg(leg: Leg) -> End {
    match leg {
        Leg::WebSocket(socket) => bare(*socket),
        Leg::Quic(connection, to, from) => End::new(Wire::Length, from, to, connection),
    }
}

/// What tungstenite has read and not told yet is lost. That is at most a whole notice: no peer sends before
/// both have met.
fn bare(socket: WebSocket) -> End {
    let stream = WebSocketStream::into_inner(socket);
    let (from, to) = split(stream);
    End::new(Wire::Message, from, to, ())
}

/// How many pairs are being connected at any time.
const AT_ONCE: usize = 16;

/// A pair that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
