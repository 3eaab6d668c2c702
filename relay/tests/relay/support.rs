//! A relay on ports of its own, and peers that say exactly what a test wants.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Either;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::session;
use peersox_core::ticket::{Claims, Signer, Verifier};
use peersox_core::time::Timestamp;
use peersox_proto::v1::{self, attach_request, attach_response, notice::Kind};
use peersox_relay::{
    ALPN, ATTACH, Config, HTTP2_WINDOW, PresenceEvent, Relay, SUBPROTOCOL, listen,
};
use prost::Message as _;
use quinn::VarInt;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tonic::transport::{Channel, Endpoint};

mod call;
mod within;

pub use call::Call;
pub use within::Within;

pub const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub const ANY_PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

pub static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::from_seed(&[1; 32]));

/// A running relay. Its listeners end with the test's runtime.
pub struct Server {
    pub relay: Relay,
    pub presence: mpsc::Receiver<PresenceEvent>,
    pub tcp: SocketAddr,
    pub udp: SocketAddr,
    client: quinn::Endpoint,
    cert: CertificateDer<'static>,
}

/// How a peer connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Ws,
    Quic,
    WebTransport,
    Grpc,
}

/// Every way to connect.
pub const EACH: [Over; 4] = [Over::Ws, Over::Quic, Over::WebTransport, Over::Grpc];

pub const EVERY_PAIR: [(Over, Over); 16] = {
    let mut pairs = [(Over::Ws, Over::Ws); 16];
    let mut at = 0;
    while at < pairs.len() {
        pairs[at] = (EACH[at / EACH.len()], EACH[at % EACH.len()]);
        at += 1;
    }
    pairs
};

impl Server {
    pub async fn start(config: Config) -> Self {
        let verifier = Verifier::new(&[SIGNER.public_key()]).unwrap();
        let (relay, presence) = Relay::new(config, verifier, || NOW);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap();
        tokio::spawn(serve_http(relay.clone(), listener));

        let (server, cert) = quic_server();
        let keys = listen::quic::Keys {
            reset: [3; 32],
            connection_ids: 4,
        };
        let socket = UdpSocket::bind(ANY_PORT).unwrap();
        let stun = listen::stun::Server::new(&relay);
        let endpoint = listen::quic::on_socket(server, &keys, socket, Some(stun)).unwrap();
        let udp = endpoint.local_addr().unwrap();
        tokio::spawn(listen::quic::serve(relay.clone(), endpoint));

        Self {
            relay,
            presence,
            tcp,
            udp,
            client: client_endpoint(UdpSocket::bind(ANY_PORT).unwrap(), &cert),
            cert,
        }
    }

    /// Peers that connect over QUIC from now on share this socket.
    pub fn connect_from(&mut self, socket: UdpSocket) {
        self.client = client_endpoint(socket, &self.cert);
    }

    /// An admitted peer, with what its Welcome said.
    pub async fn attach(&self, over: Over, session: u8, role: Role) -> (Peer, v1::Welcome) {
        let mut peer = self.connect(over).await;
        peer.send(hello(session, role)).await;
        match peer.notice().await {
            Kind::Welcome(welcome) => (peer, welcome),
            other => panic!("{other:?} instead of Welcome"),
        }
    }

    /// Two admitted peers of a fresh session; both know that the other is there.
    pub async fn pair(&self, overs: (Over, Over)) -> (Peer, Peer, u8) {
        let session = fresh();
        let (mut one, _) = self.attach(overs.0, session, Role::Initiator).await;
        let (two, welcome) = self.attach(overs.1, session, Role::Joiner).await;
        assert!(welcome.peer_online && !welcome.resumed);
        assert_eq!(one.notice().await, Kind::PeerOnline(v1::PeerOnline {}));
        (one, two, session)
    }

    /// A connection that has not said Hello.
    pub async fn connect(&self, over: Over) -> Peer {
        match over {
            Over::Ws => {
                let tcp = TcpStream::connect(self.tcp).await.unwrap();
                let request = request(self.tcp, Some(SUBPROTOCOL));
                let (ws, response) = tokio_tungstenite::client_async(request, tcp).await.unwrap();
                assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
                Peer::Ws(Box::new(ws))
            }
            Over::Quic => {
                let connection = self.quic().await;
                let (send, recv) = connection.open_bi().await.unwrap();
                Peer::Quic(connection, send, recv)
            }
            Over::WebTransport => {
                let session = self.webtransport("/v1/relay", &[]).await.unwrap();
                Peer::WebTransport(Box::new(Within::begin(session).await))
            }
            Over::Grpc => Peer::Grpc(Call::begin(self.http2().await).await.unwrap()),
        }
    }

    /// A connection of HTTP/2, which carries any number of calls.
    pub async fn http2(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.tcp)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub async fn quic(&self) -> quinn::Connection {
        self.try_quic().await.unwrap()
    }

    pub async fn try_quic(&self) -> Result<quinn::Connection, quinn::ConnectionError> {
        self.client.connect(self.udp, "localhost").unwrap().await
    }
}

/// A peer's end of a leg.
pub enum Peer {
    Ws(Box<WebSocketStream<TcpStream>>),
    Quic(quinn::Connection, quinn::SendStream, quinn::RecvStream),
    WebTransport(Box<Within>),
    Grpc(Call),
}

impl Peer {
    pub async fn send(&mut self, frame: Frame) {
        self.send_bytes(frame.into_bytes()).await;
    }

    /// Sends bytes as a frame, whatever they are.
    pub async fn send_bytes(&mut self, bytes: Bytes) {
        match self {
            // A relay that hangs up in mid-write is what some tests are about.
            Self::Ws(ws) => drop(ws.send(Message::Binary(bytes)).await),
            Self::Quic(_, send, _) => {
                let _ = send.write_all_chunks(&mut prefixed(bytes)).await;
            }
            Self::WebTransport(leg) => leg.say(bytes).await,
            Self::Grpc(call) => call.say(attach_request::Kind::Frame(bytes)).await,
        }
    }

    /// Sends on the datagram lane the way the transport does.
    pub async fn send_datagram(&mut self, payload: &[u8]) {
        let frame = Frame::new(Lane::Datagram, payload);
        match self {
            Self::Ws(_) | Self::Grpc(_) => self.send(frame).await,
            Self::Quic(connection, ..) => connection.send_datagram(frame.into_bytes()).unwrap(),
            Self::WebTransport(leg) => leg.session.send_datagram(frame.into_bytes()).unwrap(),
        }
    }

    /// The next frame that is no Pong of the transport.
    pub async fn recv(&mut self) -> Frame {
        let bytes = patiently(self.try_recv()).await.expect("a frame");
        Frame::parse(bytes).unwrap()
    }

    pub async fn notice(&mut self) -> Kind {
        let frame = self.recv().await;
        assert_eq!(frame.lane(), Lane::Notice);
        v1::Notice::decode(frame.payload()).unwrap().kind.unwrap()
    }

    /// The frame, or the number the leg was hung up with; zero if without one.
    pub async fn try_recv(&mut self) -> Result<Bytes, u16> {
        match self {
            Self::Ws(ws) => loop {
                match ws.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
                    _ => return Err(0),
                }
            },
            Self::Quic(connection, _, recv) => match next(connection.read_datagram(), recv).await {
                Some(bytes) => Ok(bytes),
                None => Err(number(&connection.closed().await)),
            },
            Self::WebTransport(leg) => leg.hear().await,
            Self::Grpc(call) => match call.hear().await {
                Some(attach_response::Kind::Frame(bytes)) => Ok(bytes),
                Some(attach_response::Kind::Close(number)) => {
                    assert_eq!(call.hear().await, None, "nothing comes behind it");
                    Err(u16::try_from(number).unwrap())
                }
                None => Err(0),
            },
        }
    }

    /// Waits until the relay hangs up, past any frames.
    pub async fn closed(&mut self) -> Option<CloseReason> {
        let number = patiently(async {
            loop {
                if let Err(number) = self.try_recv().await {
                    return number;
                }
            }
        });
        CloseReason::from_number(number.await)
    }

    /// Hangs up with a number and takes care that everything sent before arrives.
    pub async fn hang_up(mut self, number: u16) {
        match &mut self {
            Self::Ws(ws) => {
                let close = CloseFrame {
                    code: number.into(),
                    reason: "".into(),
                };
                WebSocketStream::close(ws, Some(close)).await.unwrap();
                while let Some(Ok(_)) = ws.next().await {}
            }
            Self::Quic(connection, send, _) => {
                send.finish().unwrap();
                send.stopped().await.unwrap();
                connection.close(VarInt::from_u32(number.into()), b"");
            }
            Self::WebTransport(leg) => leg.hang_up(number).await,
            Self::Grpc(call) => {
                call.say(attach_request::Kind::Close(number.into())).await;
                while call.hear().await.is_some() {}
            }
        }
    }
}

/// A frame as it stands on a stream of QUIC.
fn prefixed(frame: Bytes) -> [Bytes; 2] {
    let len = u32::try_from(frame.len()).unwrap().to_be_bytes();
    [Bytes::copy_from_slice(&len), frame]
}

/// The next datagram, or the next frame of the stream. Not cancel-safe, but no test has both at once.
async fn next<E>(
    datagram: impl Future<Output = Result<Bytes, E>>,
    stream: &mut (impl AsyncRead + Unpin),
) -> Option<Bytes> {
    let datagram = async { datagram.await.ok() };
    let frame = async {
        let len = stream.read_u32().await.ok()?;
        let mut bytes = vec![0; len as usize];
        stream.read_exact(&mut bytes).await.ok()?;
        Some(Bytes::from(bytes))
    };
    tokio::select! {
        biased;
        Some(bytes) = datagram => Some(bytes),
        frame = frame => frame,
    }
}

fn number(error: &quinn::ConnectionError) -> u16 {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            u16::try_from(close.error_code.into_inner()).unwrap()
        }
        _ => 0,
    }
}

/// What a client of QUIC sends first, for many connections.
pub async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let sink = tokio::net::UdpSocket::bind(ANY_PORT).await.unwrap();
    let to = sink.local_addr().unwrap();
    let client = client_endpoint(UdpSocket::bind(ANY_PORT).unwrap(), &quic_server().1);
    // By the id that the client has drawn for the server: it also says that it gave up.
    let mut packets = HashMap::new();
    while packets.len() < count {
        let connecting = client.connect(to, "localhost").unwrap();
        let mut packet = vec![0; 2_048];
        let len = patiently(sink.recv(&mut packet)).await.unwrap();
        packet.truncate(len);
        let id = packet[6..6 + usize::from(packet[5])].to_vec();
        packets.entry(id).or_insert(packet);
        drop(connecting);
    }
    packets.into_values().collect()
}

pub async fn patiently<T>(future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.expect("this takes no time unless something hangs")
}

pub fn hello(session: u8, role: Role) -> Frame {
    hello_with(&ticket(&SIGNER, session, role, NOW))
}

pub fn hello_with(ticket: &str) -> Frame {
    notice(Kind::Hello(v1::Hello {
        ticket: ticket.to_owned(),
        agent: "test".to_owned(),
        ..v1::Hello::default()
    }))
}

pub fn ticket(signer: &Signer, session: u8, role: Role, at: Timestamp) -> String {
    let session = PairingId::from_bytes([session; 16]);
    let claims = Claims {
        session,
        role,
        epoch: 0,
    };
    signer.sign(claims, None, at, Duration::from_secs(60))
}

pub fn notice(kind: Kind) -> Frame {
    Frame::encode(Lane::Notice, &v1::Notice { kind: Some(kind) })
}

/// A session that no other pair of this process has.
pub fn fresh() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Parking as short as a test can bear to wait for.
pub fn brief() -> Config {
    Config {
        session: session::Config {
            park_grace: Duration::from_millis(200),
            ..session::Config::default()
        },
        ..Config::default()
    }
}

pub fn request(address: SocketAddr, protocol: Option<&'static str>) -> http::Request<()> {
    let url = format!("ws://{address}/v1/relay");
    let mut request = url.into_client_request().unwrap();
    if let Some(protocol) = protocol {
        let value = http::HeaderValue::from_static(protocol);
        request
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    request
}

async fn serve_http(relay: Relay, listener: TcpListener) {
    while let Ok((stream, remote)) = listener.accept().await {
        let relay = relay.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                let response = match request.uri().path() {
                    ATTACH => relay.attach_grpc(request, remote).map(Either::Left),
                    _ => relay.attach_websocket(request, remote).map(Either::Right),
                };
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            // As the server does it.
            builder
                .http2()
                .enable_connect_protocol()
                .initial_stream_window_size(HTTP2_WINDOW)
                .initial_connection_window_size(4 * HTTP2_WINDOW)
                .max_send_buf_size(HTTP2_WINDOW as usize);
            let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            // Garbage is some tests' business.
            let _ = serving.await;
        });
    }
}

/// A server's configuration, and its certificate.
pub fn quic_server() -> (quinn::ServerConfig, CertificateDer<'static>) {
    let names = vec!["localhost".to_owned()];
    let cert = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(cert.signing_key.serialize_der()).unwrap();
    let cert = cert.cert.der().clone();
    let config = listen::quic::server_config(vec![cert.clone()], key).unwrap();
    (config, cert)
}

fn client_endpoint(socket: UdpSocket, cert: &CertificateDer<'static>) -> quinn::Endpoint {
    let (config, runtime) = (quinn::EndpointConfig::default(), quinn::TokioRuntime);
    let endpoint = quinn::Endpoint::new(config, None, socket, Arc::new(runtime));
    let mut endpoint = endpoint.unwrap();
    endpoint.set_default_client_config(quic_client(cert));
    endpoint
}

pub fn quic_client(cert: &CertificateDer<'static>) -> quinn::ClientConfig {
    quic_client_of(cert, ALPN)
}

fn quic_client_of(cert: &CertificateDer<'static>, alpn: &[u8]) -> quinn::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    quinn::ClientConfig::new(Arc::new(crypto))
}
