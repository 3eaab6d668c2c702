//! One connection to the relay: frames in, frames out.
//!
//! A leg tells its owner what happens by a function, never while the owner calls it. Another
//! transport is another variant: WebTransport connects to the endpoint of that kind, sends Hello
//! and reliable frames, length-prefixed, over one bidirectional stream, and datagrams as datagrams, as
//! docs/protocol.md says for QUIC; [`Leg::has_room`] is then what the stream's writer says.

mod ws;

pub(crate) use ws::bytes;

use bytes::Bytes;
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1::{RelayEndpoint, Transport};

use crate::failure::Failure;

/// What a leg tells its owner.
pub(crate) enum News {
    /// The transport is connected; Hello may be said.
    Open,
    /// A frame came, still unparsed.
    Frame(Bytes),
    /// It is over; with a number if somebody said one.
    Closed(Option<u16>, String),
}

/// A leg of whatever transport. Dropping it hangs up.
pub(crate) enum Leg {
    WebSocket(ws::Leg),
}

impl Leg {
    /// Begins to connect to the best endpoint that this crate has a transport for.
    pub(crate) fn connect(
        endpoints: &[RelayEndpoint],
        tell: impl Fn(News) + Clone + 'static,
    ) -> Result<Self, Failure> {
        let spoken = |it: &&RelayEndpoint| it.transport() == Transport::Websocket;
        let endpoint = endpoints.iter().find(spoken);
        let endpoint = endpoint.ok_or_else(|| {
            Failure::unreachable("the server offers no transport that a browser has")
        })?;
        ws::Leg::connect(&endpoint.url, tell).map(Self::WebSocket)
    }

    /// Whether another frame may be sent without too much waiting already.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::WebSocket(leg) => leg.has_room(),
        }
    }

    /// Whether everything sent has left this process.
    pub(crate) fn is_drained(&self) -> bool {
        match self {
            Self::WebSocket(leg) => leg.is_drained(),
        }
    }

    /// Sends a frame. A leg that cannot tells so by [`News::Closed`].
    pub(crate) fn send(&self, frame: Frame) {
        match self {
            Self::WebSocket(leg) => leg.send(&frame.into_bytes()),
        }
    }

    /// Ends it, and says why. What was sent before still leaves.
    pub(crate) fn hang_up(self, reason: CloseReason) {
        match self {
            Self::WebSocket(leg) => leg.hang_up(reason.number()),
        }
    }
}
