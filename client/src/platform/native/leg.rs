//! One connection, to the relay or straight to the other peer: frames in, frames out, over any transport.
//!
//! Reading may be cancelled at any await: [`Source::next`] loses nothing. Writing may not, so the
//! [`Sink`] belongs to a task of its own that is never interrupted half-way through a frame.

mod open;
pub(super) mod quic;
mod ws;

use std::time::Duration;

use bytes::Bytes;
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1::RelayEndpoint;

use super::Dialer;
use super::direct::webrtc;
use super::tls::Trust;

pub(crate) use open::Open;

/// A transport that is connected, before the relay was told who is there.
pub(crate) struct Leg {
    pub(crate) source: Source,
    pub(crate) sink: Sink,
}

/// The receiving half.
pub(crate) enum Source {
    Quic(Box<quic::Source>),
    WebSocket(Box<ws::Source>),
    WebRtc(webrtc::Source),
}

/// The sending half.
pub(crate) enum Sink {
    Quic(quic::Sink),
    WebSocket(Box<ws::Sink>),
    WebRtc(webrtc::Sink),
}

/// Why a leg ended, or could not begin.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum End {
    /// The relay closed it with this number.
    #[error("the connection was closed ({0})")]
    Closed(u16),
    /// The transport failed.
    #[error("{0}")]
    Lost(String),
}

impl Leg {
    /// Connects one endpoint's transport. Dropping the future gives the attempt up.
    pub(crate) async fn connect(
        endpoint: &RelayEndpoint,
        trust: &Trust,
        dialer: &Dialer,
    ) -> Result<Self, End> {
        use peersox_proto::v1::Transport as Wire;
        match endpoint.transport() {
            Wire::Quic => quic::connect(endpoint, trust).await,
            Wire::Websocket => ws::connect(endpoint, dialer).await,
            Wire::Webtransport | Wire::Grpc | Wire::Unspecified => {
                Err(End::Lost(format!("{} is not spoken here", endpoint.url)))
            }
        }
    }
}

impl Source {
    /// The next frame from the other end. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Bytes, End> {
        match self {
            Self::Quic(source) => source.next().await,
            Self::WebSocket(source) => source.next().await,
            Self::WebRtc(source) => source.next().await,
        }
    }

    /// The round trip, and the largest packet of UDP that was seen to pass, in bytes of payload; nothing
    /// where the transport does not measure them.
    pub(super) fn measured(&self) -> Option<(Duration, u16)> {
        match self {
            Self::Quic(source) => Some(source.measured()),
            Self::WebSocket(_) | Self::WebRtc(_) => None,
        }
    }
}

impl Sink {
    /// Hands a frame to the transport; it may wait in a buffer until [`Sink::flush`].
    pub(crate) async fn feed(&mut self, frame: Frame) -> Result<(), End> {
        match self {
            Self::Quic(sink) => sink.feed(frame).await,
            Self::WebSocket(sink) => sink.feed(frame).await,
            Self::WebRtc(sink) => sink.feed(frame).await,
        }
    }

    /// Lets everything fed so far leave.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        match self {
            // These send what they have by themselves.
            Self::Quic(_) | Self::WebRtc(_) => Ok(()),
            Self::WebSocket(sink) => sink.flush().await,
        }
    }

    /// Tells the other end why this ends, and waits a moment for it to arrive.
    pub(crate) async fn hang_up(self, reason: CloseReason) {
        match self {
            Self::Quic(sink) => sink.hang_up(reason).await,
            Self::WebSocket(sink) => sink.hang_up(reason).await,
            Self::WebRtc(sink) => sink.hang_up().await,
        }
    }
}

/// A frame from a relay is never longer; a longer one is the relay's mistake.
const MAX_FRAME_BYTES: usize = 1 << 20;
