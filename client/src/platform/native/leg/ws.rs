//! A leg over WebSocket: one binary message is one frame.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1::RelayEndpoint;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::{End, Leg, MAX_FRAME_BYTES};
use crate::platform::native::tls::{self, Trust};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) struct Source(SplitStream<Stream>);
pub(crate) struct Sink(SplitSink<Stream, Message>);

pub(super) async fn connect(endpoint: &RelayEndpoint, trust: &Trust) -> Result<Leg, End> {
    let mut request = endpoint
        .url
        .as_str()
        .into_client_request()
        .map_err(|error| End::Lost(error.to_string()))?;
    request.headers_mut().insert(
        "sec-websocket-protocol",
        HeaderValue::from_static(SUBPROTOCOL),
    );

    let hashes = super::quic::hashes(endpoint);
    let tls = if hashes.is_empty() {
        trust.config()
    } else {
        tls::pinned(hashes)
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(64 * 1024)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let (stream, response) = tokio_tungstenite::connect_async_tls_with_config(
        request,
        Some(config),
        true,
        Some(Connector::Rustls(Arc::new(tls))),
    )
    .await
    .map_err(|error| {
        End::Lost(format!(
            "WebSocket to {}: {}",
            endpoint.url,
            refused(&error)
        ))
    })?;
    if response
        .headers()
        .get("sec-websocket-protocol")
        .is_none_or(|it| it != SUBPROTOCOL)
    {
        return Err(End::Lost(format!(
            "{} does not speak {SUBPROTOCOL}",
            endpoint.url
        )));
    }

    let (sink, source) = stream.split();
    Ok(Leg {
        source: super::Source::WebSocket(Box::new(Source(source))),
        sink: super::Sink::WebSocket(Box::new(Sink(sink))),
    })
}

impl Source {
    pub(super) async fn next(&mut self) -> Result<Bytes, End> {
        loop {
            let message = match self.0.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(lost(&error)),
                None => return Err(End::Lost("the WebSocket ended".into())),
            };
            match message {
                Message::Binary(bytes) => return Ok(bytes),
                Message::Close(frame) => return Err(closed(frame)),
                // tungstenite answers pings by itself.
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Text(_) | Message::Frame(_) => {
                    return Err(End::Lost("the relay sent a text message".into()));
                }
            }
        }
    }
}

impl Sink {
    pub(super) async fn feed(&mut self, frame: Frame) -> Result<(), End> {
        self.0
            .feed(Message::Binary(frame.into_bytes()))
            .await
            .map_err(|error| lost(&error))
    }

    pub(super) async fn flush(&mut self) -> Result<(), End> {
        self.0.flush().await.map_err(|error| lost(&error))
    }

    pub(super) async fn hang_up(mut self, reason: CloseReason) {
        let frame = CloseFrame {
            code: reason.number().into(),
            reason: reason.text().into(),
        };
        // The relay may be gone already: then there is nobody to tell.
        let _ = tokio::time::timeout(FAREWELL, self.0.send(Message::Close(Some(frame)))).await;
    }
}

fn closed(frame: Option<CloseFrame>) -> End {
    match frame {
        Some(frame) => End::Closed(frame.code.into()),
        None => End::Lost("the WebSocket was closed".into()),
    }
}

fn lost(error: &WsError) -> End {
    End::Lost(format!("the WebSocket failed: {error}"))
}

/// The sentence of a server that answered the upgrade with an error of HTTP.
fn refused(error: &WsError) -> String {
    let WsError::Http(response) = error else {
        return error.to_string();
    };
    let body = response
        .body()
        .as_deref()
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    format!("{} {}", response.status(), body.trim())
}

const SUBPROTOCOL: &str = "peersox.v1";

/// For how long a farewell may wait for the network.
const FAREWELL: Duration = Duration::from_secs(2);
