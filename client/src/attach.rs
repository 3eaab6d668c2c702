//! Attaching to the relay: a ticket, a race of transports, Hello, Welcome.
//!
//! ```text
//! OpenSession ─┬─ QUIC connects ───────────────┐
//!              └─ 300 ms ─ WebSocket connects ─┴─ the first one says Hello
//! ```
//!
//! Only one of the racers says Hello, because the relay lets the newest leg of a role replace the
//! older one.

use std::time::Duration;

use peersox_core::close::{CloseReason, Then};
use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1;
use peersox_proto::v1::notice::Kind;
use peersox_proto::v1::{RelayEndpoint, Transport as Wire};
use prost::Message as _;

use crate::Error;
use crate::leg::{End, Leg, Transport};
use crate::server::{Pairing, Server};

/// Which transports to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// QUIC, and WebSocket if QUIC is not there within a short head start.
    #[default]
    Auto,
    /// This one and no other.
    Only(Transport),
}

/// A leg that was admitted.
pub(crate) struct Attached {
    pub(crate) leg: Leg,
    pub(crate) welcome: v1::Welcome,
}

/// Opens a session and attaches. Blocks for at most [`ATTEMPT`] after the ticket is there.
pub(crate) async fn attach(
    server: &Server,
    pairing: &Pairing,
    choice: Choice,
) -> Result<Attached, Error> {
    let session = server.open_session(pairing).await?;
    let attempt = async {
        let leg = race(&session.endpoints, server, choice).await?;
        hello(leg, session.ticket).await
    };
    match tokio::time::timeout(ATTEMPT, attempt).await {
        Ok(Ok(attached)) => Ok(attached),
        Ok(Err(end)) => Err(error(&end)),
        Err(_) => Err(Error::NoLeg(format!(
            "no answer within {} s",
            ATTEMPT.as_secs()
        ))),
    }
}

async fn race(endpoints: &[RelayEndpoint], server: &Server, choice: Choice) -> Result<Leg, End> {
    let find = |wire| {
        endpoints
            .iter()
            .find(|endpoint| endpoint.transport() == wire)
    };
    let (quic, ws) = match choice {
        Choice::Auto => (find(Wire::Quic), find(Wire::Websocket)),
        Choice::Only(Transport::Quic) => (find(Wire::Quic), None),
        Choice::Only(Transport::WebSocket) => (None, find(Wire::Websocket)),
    };
    let (quic, ws) = match (quic, ws) {
        (Some(quic), Some(ws)) => (quic, ws),
        (Some(only), None) | (None, Some(only)) => {
            return Leg::connect(only, server.trust()).await;
        }
        (None, None) => return Err(End::Lost("the server offers no transport we want".into())),
    };

    let quic = Leg::connect(quic, server.trust());
    tokio::pin!(quic);
    let early = tokio::time::timeout(HEAD_START, &mut quic).await;
    let quic_failed = match early {
        Ok(Ok(leg)) => return Ok(leg),
        Ok(Err(end)) => Some(end),
        Err(_) => None,
    };

    let ws = Leg::connect(ws, server.trust());
    tokio::pin!(ws);
    if let Some(quic_end) = quic_failed {
        return ws.await.map_err(|ws_end| both(&quic_end, &ws_end));
    }
    tokio::select! {
        won = &mut quic => match won {
            Ok(leg) => Ok(leg),
            Err(quic_end) => ws.await.map_err(|ws_end| both(&quic_end, &ws_end)),
        },
        won = &mut ws => match won {
            Ok(leg) => Ok(leg),
            Err(ws_end) => quic.await.map_err(|quic_end| both(&quic_end, &ws_end)),
        },
    }
}

async fn hello(mut leg: Leg, ticket: String) -> Result<Attached, End> {
    let hello = v1::Hello {
        ticket,
        agent: concat!("peersox/", env!("CARGO_PKG_VERSION")).into(),
    };
    leg.sink.feed(notice(Kind::Hello(hello))).await?;
    leg.sink.flush().await?;
    let frame = leg.source.next().await?;
    let kind = match frame.lane() {
        Lane::Notice => v1::Notice::decode(frame.payload())
            .ok()
            .and_then(|notice| notice.kind),
        Lane::Reliable | Lane::Datagram | Lane::Signal => None,
    };
    match kind {
        Some(Kind::Welcome(welcome)) => Ok(Attached { leg, welcome }),
        _ => Err(End::Lost("the relay did not begin with Welcome".into())),
    }
}

/// Wraps a notice in its frame.
pub(crate) fn notice(kind: Kind) -> Frame {
    Frame::encode(Lane::Notice, &v1::Notice { kind: Some(kind) })
}

fn error(end: &End) -> Error {
    match end {
        End::HungUp(reason) => match reason.then() {
            Then::Stop => Error::Closed(*reason),
            Then::Reattach | Then::Refresh => Error::NoLeg(reason.to_string()),
        },
        End::Lost(why) => Error::NoLeg(why.clone()),
    }
}

fn both(quic: &End, ws: &End) -> End {
    match (quic, ws) {
        (End::HungUp(reason), _) | (_, End::HungUp(reason)) => End::HungUp(*reason),
        (End::Lost(quic), End::Lost(ws)) => End::Lost(format!("{quic}; {ws}")),
    }
}

impl From<CloseReason> for Error {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

/// How long QUIC is tried alone. A QUIC handshake takes one round trip, a WebSocket three or four;
/// networks that drop UDP do so silently.
const HEAD_START: Duration = Duration::from_millis(300);

/// How long one attempt may take, from connecting to Welcome.
const ATTEMPT: Duration = Duration::from_secs(10);
