//! Legs without a peer behind them: bytes go out as a test wants them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use peersox_core::frame::{Frame, Lane};
use peersox_core::role::Role;
use peersox_proto::v1::notice::Kind;
use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use peersox_proto::v1::{self, CreatePairingRequest, JoinPairingRequest, OpenSessionRequest};
use prost::Message as _;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::Server;

/// How a leg connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    WebSocket,
    Quic,
}

/// A pairing, and the right to attach in both roles.
#[derive(Clone)]
pub struct Session {
    port: u16,
    credentials: [Bytes; 2],
    tickets: [String; 2],
}

impl Session {
    pub async fn open(server: &Server) -> Self {
        let mut client = PairingServiceClient::connect(server.url()).await.unwrap();
        let created = client.create_pairing(CreatePairingRequest::default()).await;
        let created = created.unwrap().into_inner();
        let joined = client.join_pairing(JoinPairingRequest {
            nameplate: created.nameplate,
            ..JoinPairingRequest::default()
        });
        let joined = joined.await.unwrap().into_inner();
        let mut session = Self {
            port: server.port,
            credentials: [created.credential, joined.credential],
            tickets: Default::default(),
        };
        session.renew(server).await;
        session
    }

    /// Gets tickets that are good for some minutes.
    pub async fn renew(&mut self, server: &Server) {
        let mut client = PairingServiceClient::connect(server.url()).await.unwrap();
        for (credential, ticket) in self.credentials.iter().zip(&mut self.tickets) {
            let opened = client.open_session(OpenSessionRequest {
                credential: credential.clone(),
                ..OpenSessionRequest::default()
            });
            *ticket = opened.await.unwrap().into_inner().ticket;
        }
    }

    /// What a leg says first.
    pub fn hello(&self, role: Role) -> Frame {
        let kind = Some(Kind::Hello(v1::Hello {
            ticket: self.tickets[role.index()].clone(),
            agent: "flood".to_owned(),
            ..v1::Hello::default()
        }));
        Frame::encode(Lane::Notice, &v1::Notice { kind })
    }

    /// A leg from 127.0.0.1 that is admitted.
    pub async fn attach(&self, over: Over, role: Role) -> Leg {
        let mut leg = Leg::connect(over, self.port, Ipv4Addr::LOCALHOST).await;
        leg.send(&self.hello(role)).await;
        let welcome = leg.next().await.expect("an answer");
        let notice = v1::Notice::decode(welcome.payload()).unwrap();
        assert!(matches!(notice.kind, Some(Kind::Welcome(_))), "{notice:?}");
        leg
    }
}

/// A leg, its bytes both ways, and what came and is not a whole frame yet.
pub struct Leg {
    pub wire: Wire,
    came: BytesMut,
    /// The other end has asked by a ping of WebSocket whether this one lives.
    is_asked: bool,
    /// It has said by a close frame that it hangs up.
    is_over: bool,
}

pub enum Wire {
    WebSocket(TcpStream),
    Quic(quinn::Connection, quinn::SendStream, quinn::RecvStream),
}

impl Leg {
    /// Connects from an address of this machine.
    pub async fn connect(over: Over, port: u16, from: Ipv4Addr) -> Self {
        match over {
            Over::WebSocket => {
                let mut tcp = tcp(port, from).await;
                upgrade(&mut tcp).await;
                Self::of(Wire::WebSocket(tcp))
            }
            Over::Quic => Self::connect_by(&client(from), port).await,
        }
    }

    /// Connects by a socket that others use, too.
    pub async fn connect_by(client: &quinn::Endpoint, port: u16) -> Self {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connection = client.connect(server, "localhost").unwrap().await;
        let connection = connection.unwrap();
        let (send, receive) = connection.open_bi().await.unwrap();
        Self::of(Wire::Quic(connection, send, receive))
    }

    fn of(wire: Wire) -> Self {
        Self {
            wire,
            came: BytesMut::new(),
            is_asked: false,
            is_over: false,
        }
    }

    pub fn over(&self) -> Over {
        match self.wire {
            Wire::WebSocket(_) => Over::WebSocket,
            Wire::Quic(..) => Over::Quic,
        }
    }

    /// Sends a frame; the other end may have hung up.
    pub async fn send(&mut self, frame: &Frame) {
        let bytes = encode(self.over(), &frame.clone().into_bytes());
        self.write(&bytes).await;
    }

    /// Sends bytes as they are. Says whether the other end still takes any.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        match &mut self.wire {
            Wire::WebSocket(tcp) => tcp.write_all(bytes).await.is_ok(),
            Wire::Quic(_, stream, _) => stream.write_all(bytes).await.is_ok(),
        }
    }

    /// The next frame; none once the leg has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.take();
            if std::mem::take(&mut self.is_asked) {
                let mut pong = vec![0x8a];
                put_masked(&mut pong, b"");
                self.write(&pong).await;
            }
            if frame.is_some() {
                return frame;
            }
            if self.is_over {
                return None;
            }
            self.read().await?;
        }
    }

    pub async fn next_but_notices(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.lane() != Lane::Notice {
                return Some(frame);
            }
        }
    }

    /// Waits until the other end hangs up, and takes what it says until then. A WebSocket says that it hangs
    /// up, and then waits for an answer.
    pub async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Takes more bytes; none at the end.
    async fn read(&mut self) -> Option<()> {
        match &mut self.wire {
            Wire::WebSocket(tcp) => {
                let read = tcp.read_buf(&mut self.came).await.ok()?;
                (read > 0).then_some(())
            }
            Wire::Quic(connection, _, stream) => {
                tokio::select! {
                    biased;
                    chunk = stream.read_chunk(64 * 1024, true) => {
                        self.came.extend_from_slice(&chunk.ok()??.bytes);
                    }
                    datagram = connection.read_datagram() => drop(datagram.ok()?),
                }
                Some(())
            }
        }
    }

    /// The next frame of what came.
    fn take(&mut self) -> Option<Frame> {
        loop {
            let (size, len, first) = match self.wire {
                Wire::WebSocket(_) => {
                    let (&[first, second], long) = self.came.split_first_chunk()?;
                    let (size, len) = match second {
                        126 => (4, u16::from_be_bytes(*long.first_chunk()?).into()),
                        127 => (10, u64::from_be_bytes(*long.first_chunk()?)),
                        len => (2, len.into()),
                    };
                    (size, len, first)
                }
                Wire::Quic(..) => (
                    4,
                    u32::from_be_bytes(*self.came.first_chunk()?).into(),
                    FRAME,
                ),
            };
            let end = size + usize::try_from(len).unwrap();
            if self.came.len() < end {
                return None;
            }
            let frame = self.came.split_to(end).freeze().slice(size..);
            self.is_asked |= first == PING;
            self.is_over |= first == CLOSE;
            if first == FRAME {
                return Some(Frame::parse(frame).unwrap());
            }
        }
    }
}

/// A frame as this transport carries it.
pub fn encode(over: Over, frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(14 + frame.len());
    match over {
        Over::WebSocket => {
            bytes.push(0x82);
            put_masked(&mut bytes, frame);
        }
        Over::Quic => {
            bytes.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(frame);
        }
    }
    bytes
}

/// The rest of a client's frame of a WebSocket, behind its first byte.
pub fn put_masked(bytes: &mut Vec<u8>, payload: &[u8]) {
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
}

/// How frames of a WebSocket begin: a binary message, a ping, and the last one.
const FRAME: u8 = 0x82;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;
const MASK: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

/// What opens a WebSocket.
pub const UPGRADE: &str = "GET /v1/relay HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
    sec-websocket-protocol: peersox.v1\r\n\r\n";

/// A connection from an address of this machine.
pub async fn tcp(port: u16, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let tcp = socket.connect(to).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

/// Makes a connection a WebSocket.
pub async fn upgrade(tcp: &mut TcpStream) {
    tcp.write_all(UPGRADE.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

/// A socket for connections of QUIC.
pub fn client(from: Ipv4Addr) -> quinn::Endpoint {
    let mut endpoint = quinn::Endpoint::client((from, 0).into()).unwrap();
    let crypto = QuicClientConfig::try_from(trusting()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint
}

/// TLS 1.3 that takes any certificate.
pub fn trusting() -> rustls::ClientConfig {
    TLS.clone()
}

static TLS: LazyLock<rustls::ClientConfig> = LazyLock::new(|| {
    let provider = Arc::new(ring::default_provider());
    let anybody = Arc::new(Anybody(Arc::clone(&provider)));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(anybody)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"peersox.v1".to_vec()];
    // A session that is resumed shows the certificate with which it began.
    tls.resumption = Resumption::disabled();
    tls
});

/// Takes any certificate: a flood does not care whom it hits.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("QUIC has TLS 1.3")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
