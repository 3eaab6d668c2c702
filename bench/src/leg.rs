//! A leg to the relay, as `docs/protocol.md` describes it, without a peer's rules behind it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Uri};
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1::notice::Kind;
use peersox_proto::v1::{self, RelayEndpoint};
use prost::Message as _;
use quinn::VarInt;
use quinn::crypto::rustls::QuicClientConfig;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use crate::dial::{address, dial, host, tls};
use crate::failure::{At as _, Failure};

/// A WebSocket to any server.
pub(crate) type WebSocket = WebSocketStream<crate::dial::Stream>;

/// A leg that was admitted.
pub(crate) enum Leg {
    WebSocket(Box<WebSocket>),
    Quic(quinn::Connection, quinn::SendStream, quinn::RecvStream),
}

impl Leg {
    /// Connects, and shows the ticket. Legs over QUIC share the device's socket.
    pub(crate) async fn attach(
        endpoint: &RelayEndpoint,
        ticket: String,
        socket: &mut Option<quinn::Endpoint>,
    ) -> Result<Self, Failure> {
        let uri: Uri = endpoint.url.parse().at("leg")?;
        let mut leg = match endpoint.transport() {
            v1::Transport::Quic => {
                let (connection, to, from) = quic(&uri, PROTOCOL.as_bytes(), socket).await?;
                Self::Quic(connection, to, from)
            }
            _ => Self::WebSocket(Box::new(websocket(&uri, Some(PROTOCOL)).await?)),
        };
        let agent = concat!("peersox-bench/", env!("CARGO_PKG_VERSION")).to_owned();
        let kind = Some(Kind::Hello(v1::Hello {
            ticket,
            agent,
            ..v1::Hello::default()
        }));
        leg.send(Frame::encode(Lane::Notice, &v1::Notice { kind }))
            .await?;
        let welcome = leg.next().await?;
        match v1::Notice::decode(welcome.payload()).at("leg")?.kind {
            Some(Kind::Welcome(_)) => Ok(leg),
            _ => Err(Failure::new("leg", "no Welcome")),
        }
    }

    pub(crate) async fn send(&mut self, frame: Frame) -> Result<(), Failure> {
        let bytes = frame.into_bytes();
        match self {
            Self::WebSocket(socket) => socket.send(Message::Binary(bytes)).await.at("leg"),
            Self::Quic(_, stream, _) => {
                let length = u32::try_from(bytes.len()).at("leg")?.to_be_bytes();
                let pieces = &mut [Bytes::copy_from_slice(&length), bytes];
                stream.write_all_chunks(pieces).await.at("leg")
            }
        }
    }

    /// The next frame, on the reliable lane or a notice.
    pub(crate) async fn next(&mut self) -> Result<Frame, Failure> {
        let bytes = match self {
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => break bytes,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(Some(close)))) => {
                        return Err(Failure::new("leg", format_args!("closed {}", close.code)));
                    }
                    Some(Err(error)) => return Err(Failure::new("leg", error)),
                    Some(Ok(_)) | None => return Err(Failure::new("leg", "ended")),
                }
            },
            Self::Quic(_, _, stream) => {
                let mut length = [0; 4];
                stream.read_exact(&mut length).await.at("leg")?;
                let length = usize::try_from(u32::from_be_bytes(length)).at("leg")?;
                let mut bytes = vec![0; length.min(MAX_FRAME_BYTES)];
                stream.read_exact(&mut bytes).await.at("leg")?;
                bytes.into()
            }
        };
        Frame::parse(bytes).at("leg")
    }

    /// Says that this peer is done, and waits until the relay knows it.
    pub(crate) async fn hang_up(self) {
        let number = CloseReason::Done.number();
        match self {
            Self::WebSocket(mut socket) => {
                let code = CloseCode::from(number);
                let reason = CloseReason::Done.text().into();
                let close = Message::Close(Some(CloseFrame { code, reason }));
                let _ = socket.send(close).await;
                while let Some(Ok(_)) = socket.next().await {}
            }
            Self::Quic(connection, mut stream, _) => {
                let _ = stream.finish();
                let _ = stream.stopped().await;
                connection.close(VarInt::from_u32(number.into()), b"");
            }
        }
    }

    /// Waits until the relay hangs up.
    pub(crate) async fn closed(mut self) {
        while self.next().await.is_ok() {}
        if let Self::WebSocket(mut socket) = self {
            while let Some(Ok(_)) = socket.next().await {}
        }
    }
}

/// Opens a WebSocket, and offers this subprotocol.
pub(crate) async fn websocket(uri: &Uri, subprotocol: Option<&str>) -> Result<WebSocket, Failure> {
    let mut request = uri.into_client_request().at("WebSocket")?;
    if let Some(subprotocol) = subprotocol {
        let subprotocol = HeaderValue::from_str(subprotocol).at("WebSocket")?;
        request
            .headers_mut()
            .insert("sec-websocket-protocol", subprotocol);
    }
    let stream = dial(uri, b"http/1.1").await.at("WebSocket")?;
    // Frames are small here, and a buffer costs the generator more than the frame does.
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    let (socket, _) = opened.at("WebSocket")?;
    Ok(socket)
}

/// Connects by QUIC, from a socket that is made with the first connection, and opens a stream.
pub(crate) async fn quic(
    uri: &Uri,
    alpn: &[u8],
    socket: &mut Option<quinn::Endpoint>,
) -> Result<(quinn::Connection, quinn::SendStream, quinn::RecvStream), Failure> {
    let remote = address(uri).await.at("QUIC")?;
    let local: SocketAddr = match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    if socket.is_none() {
        *socket = Some(quinn::Endpoint::client(local).at("QUIC")?);
    }
    let endpoint = socket.as_ref().expect("it was made above");
    let mut tls = tls();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).at("QUIC")?;
    // A fresh configuration remembers no token of an earlier connection: each begins with a Retry.
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let name = host(uri).at("QUIC")?;
    let connecting = endpoint.connect_with(config, remote, &name).at("QUIC")?;
    let connection = connecting.await.at("QUIC")?;
    let (send, receive) = connection.open_bi().await.at("QUIC")?;
    Ok((connection, send, receive))
}

/// The subprotocol of WebSockets, and the ALPN of QUIC.
const PROTOCOL: &str = "peersox.v1";

/// Nothing that is sent here is longer.
const MAX_FRAME_BYTES: usize = 65_536;
