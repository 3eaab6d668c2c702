//! What the machine asks for and tells.

use std::time::Duration;

use super::{Cause, LegId, Transport};
use crate::close::CloseReason;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Call OpenSession, and report with [`Attach::session_opened`](super::Attach::session_opened) or
    /// [`Attach::session_failed`](super::Attach::session_failed). An earlier call that has not been answered
    /// is not waited for any more.
    OpenSession {
        /// The relay of the latest answer could not be reached: the request names its epoch.
        unreached: bool,
    },
    /// Connect this leg by this transport, to the endpoint of the latest session.
    Connect(LegId, Transport),
    /// This leg is of no use any more: end it, with the number if there is one, and tell nothing more of it.
    HangUp(LegId, Option<CloseReason>),
    /// This happened.
    Tell(Event),
    /// It is over; nothing follows.
    End(End),
}

/// What happened to the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A leg was admitted; it takes the place of the one before.
    Attached {
        /// Which leg.
        leg: LegId,
        /// By which transport.
        transport: Transport,
        /// Whether it takes the place of an earlier leg in a living session.
        resumed: bool,
        /// Whether the other peer is attached.
        peer_online: bool,
    },
    /// The other peer has a leg: a path begins.
    PeerOnline,
    /// The other peer's leg was lost, and the relay waits this long for it.
    PeerAway(Duration),
    /// The relay stops after this time; another leg is being sought.
    Draining(Duration),
    /// The relay dropped so many datagrams on their way here.
    DatagramsDropped(u64),
    /// The time to the relay and back.
    Rtt(Duration),
    /// There is no leg any more. Another is sought after the pause.
    Lost {
        /// Why.
        cause: Cause,
        /// The pause before the next attempt; `None` while an attempt is under way.
        retry_in: Option<Duration>,
    },
    /// An attempt failed while there is no leg; the next one follows after the pause.
    Failed {
        /// Why.
        cause: Cause,
        /// The pause before the next attempt.
        retry_in: Duration,
    },
}

/// Why no leg is sought any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody hung up with a number that is final.
    HungUp(CloseReason),
    /// OpenSession failed for good, or for longer than the patience. The shell knows the error.
    Refused,
    /// No relay was reached for longer than the patience, or none can be.
    NoLeg(Cause),
}
