//! Attaching to the relay: a ticket, a race of transports, Hello, Welcome.
//!
//! ```text
//! OpenSession ─┬─ QUIC connects ───────────────┐
//!              └─ 300 ms ─ WebSocket connects ─┴─ the first one says Hello
//! ```
//!
//! Only one of the racers says Hello, because the relay lets the newest leg of a role replace the
//! older one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use peersox_core::close::Then;
use peersox_core::frame::{Frame, Lane};
use peersox_core::time::Timestamp;
use peersox_proto::v1;
use peersox_proto::v1::notice::Kind;
use peersox_proto::v1::{RelayEndpoint, Transport as Wire};
use prost::Message as _;

use crate::options::{Choice, Transport};
use crate::platform::{End, Leg};
use crate::server::{Pairing, Server};
use crate::{Error, NoLeg};

/// A leg that was admitted.
pub(crate) struct Attached {
    pub(crate) leg: Leg,
    pub(crate) welcome: v1::Welcome,
    /// What it was admitted with.
    pub(crate) session: Arc<Session>,
}

/// What OpenSession answered: where to attach, and the right to.
pub(crate) struct Session(v1::OpenSessionResponse);

impl Session {
    /// Whether one of the endpoints is of this transport.
    pub(crate) fn offers(&self, transport: Transport) -> bool {
        find(&self.0.endpoints, transport).is_some()
    }

    /// Whether its ticket is still good for an attempt.
    fn is_valid(&self) -> bool {
        now_millis() < self.0.ticket_expires_at_millis
    }
}

/// Opens a session and attaches. Blocks for at most [`ATTEMPT`] after the ticket is there.
///
/// Where control cannot be reached, the session `known` from an earlier leg is used for as long as its
/// ticket is valid: a leg is replaced also while control restarts. Control is asked first, because a
/// relay that was restarted may have other certificates.
pub(crate) async fn attach(
    server: &Server,
    pairing: &Pairing,
    choice: Choice,
    known: Option<Arc<Session>>,
) -> Result<Attached, Error> {
    let session = match server.open_session(pairing).await {
        Ok(opened) => Arc::new(Session(opened)),
        Err(error) if error.is_transient() => {
            known.filter(|known| known.is_valid()).ok_or(error)?
        }
        Err(error) => return Err(error),
    };
    let attempt = async {
        let leg = race(&session.0.endpoints, server, choice).await?;
        Ok(hello(leg, session.0.ticket.clone()).await?)
    };
    match tokio::time::timeout(ATTEMPT, attempt).await {
        Ok(Ok((leg, welcome))) => Ok(Attached {
            leg,
            welcome,
            session,
        }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(NoLeg::TimedOut { after: ATTEMPT }.into()),
    }
}

async fn race(endpoints: &[RelayEndpoint], server: &Server, choice: Choice) -> Result<Leg, Error> {
    let find = |transport| find(endpoints, transport);
    let (quic, ws) = match choice {
        Choice::Auto => (find(Transport::Quic), find(Transport::WebSocket)),
        Choice::Only(Transport::Quic) => (find(Transport::Quic), None),
        Choice::Only(Transport::WebSocket) => (None, find(Transport::WebSocket)),
    };
    let (quic, ws) = match (quic, ws) {
        (Some(quic), Some(ws)) => (quic, ws),
        (Some(only), None) | (None, Some(only)) => {
            return Ok(Leg::connect(only, server.trust(), server.dialer()).await?);
        }
        (None, None) => return Err(NoLeg::NotOffered.into()),
    };

    let quic = Leg::connect(quic, server.trust(), server.dialer());
    tokio::pin!(quic);
    let early = tokio::time::timeout(HEAD_START, &mut quic).await;
    let quic_failed = match early {
        Ok(Ok(leg)) => return Ok(leg),
        Ok(Err(end)) => Some(end),
        Err(_) => None,
    };

    let ws = Leg::connect(ws, server.trust(), server.dialer());
    tokio::pin!(ws);
    if let Some(quic_end) = quic_failed {
        return ws.await.map_err(|ws_end| both(quic_end, ws_end));
    }
    tokio::select! {
        won = &mut quic => match won {
            Ok(leg) => Ok(leg),
            Err(quic_end) => ws.await.map_err(|ws_end| both(quic_end, ws_end)),
        },
        won = &mut ws => match won {
            Ok(leg) => Ok(leg),
            Err(ws_end) => quic.await.map_err(|quic_end| both(quic_end, ws_end)),
        },
    }
}

fn find(endpoints: &[RelayEndpoint], transport: Transport) -> Option<&RelayEndpoint> {
    let wire = match transport {
        Transport::Quic => Wire::Quic,
        Transport::WebSocket => Wire::Websocket,
    };
    endpoints
        .iter()
        .find(|endpoint| endpoint.transport() == wire)
}

async fn hello(mut leg: Leg, ticket: String) -> Result<(Leg, v1::Welcome), End> {
    let hello = v1::Hello {
        ticket,
        agent: AGENT.into(),
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
        Some(Kind::Welcome(welcome)) => Ok((leg, welcome)),
        _ => Err(End::Lost("the relay did not begin with Welcome".into())),
    }
}

/// Wraps a notice in its frame.
pub(crate) fn notice(kind: Kind) -> Frame {
    Frame::encode(Lane::Notice, &v1::Notice { kind: Some(kind) })
}

impl From<End> for Error {
    fn from(end: End) -> Self {
        match end {
            End::HungUp(reason) => match reason.then() {
                Then::Stop => Self::Closed(reason),
                Then::Reattach | Then::Refresh => NoLeg::HungUp(reason).into(),
            },
            End::Lost(why) => NoLeg::Transport { why }.into(),
        }
    }
}

/// What became of both transports: a reason of the relay says more than a failure on the way to it.
fn both(quic: End, ws: End) -> Error {
    match (quic, ws) {
        (End::HungUp(reason), _) | (_, End::HungUp(reason)) => End::HungUp(reason).into(),
        (End::Lost(quic), End::Lost(ws)) => End::Lost(format!("{quic}; {ws}")).into(),
    }
}

/// This side's clock, as tickets are dated. A wrong one costs an attempt.
fn now_millis() -> i64 {
    Timestamp::from(SystemTime::now()).as_proto()
}

/// Name and version of this software, told to the relay and, sealed, to the other peer.
pub(crate) const AGENT: &str = concat!("peersox/", env!("CARGO_PKG_VERSION"));

/// How long QUIC is tried alone. A QUIC handshake takes one round trip, a WebSocket three or four;
/// networks that drop UDP do so silently.
const HEAD_START: Duration = Duration::from_millis(300);

/// How long one attempt may take, from connecting to Welcome.
const ATTEMPT: Duration = Duration::from_secs(10);
