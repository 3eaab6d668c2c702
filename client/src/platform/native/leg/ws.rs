//! A leg over WebSocket: one binary message is one frame.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1::RelayEndpoint;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use url::Url;

use super::{End, Leg, MAX_FRAME_BYTES};
use crate::platform::native::{Dialer, Speak, tls};

type Stream = WebSocketStream<crate::platform::native::Stream>;

pub(crate) struct Source(SplitStream<Stream>);
pub(crate) struct Sink(SplitSink<Stream, Message>);

pub(super) async fn connect(endpoint: &RelayEndpoint, dialer: &Dialer) -> Result<Leg, End> {
    let mut request = endpoint
        .url
        .as_str()
        .into_client_request()
        .map_err(|error| End::Lost(error.to_string()))?;
    request.headers_mut().insert(
        "sec-websocket-protocol",
        HeaderValue::from_static(SUBPROTOCOL),
    );

    let lost = |why: String| End::Lost(format!("WebSocket to {}: {why}", endpoint.url));
    let url = Url::parse(&endpoint.url).map_err(|error| lost(error.to_string()))?;
    let hashes = super::quic::hashes(endpoint);
    let dialed = match hashes.is_empty() || url.scheme() != "wss" {
        true => dialer.dial(&url, Speak::Http1).await,
        false => {
            let tls = Some(tls::pinned(hashes));
            dialer.dial_with(&url, Speak::Http1, tls).await
        }
    };
    let stream = dialed.map_err(|error| lost(error.to_string()))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(64 * 1024)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let (stream, response) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(config))
            .await
            .map_err(|error| lost(refused(&error)))?;
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

/// What an upgrade that failed says: the sentence of a server, or what a proxy lacks.
fn refused(error: &WsError) -> String {
    match error {
        WsError::Protocol(ProtocolError::WrongHttpVersion) => {
            "the proxy in between speaks HTTP/1.0, which carries no WebSocket".into()
        }
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body);
            let line = text.trim().lines().next().unwrap_or_default();
            // A page of a proxy says nothing to a person at a terminal.
            let line = if line.starts_with('<') { "" } else { line };
            let shown = line.chars().filter(|it| !it.is_control()).take(200);
            format!("{} {}", response.status(), shown.collect::<String>())
        }
        _ => error.to_string(),
    }
}

const SUBPROTOCOL: &str = "peersox.v1";

/// For how long a farewell may wait for the network.
const FAREWELL: Duration = Duration::from_secs(2);
