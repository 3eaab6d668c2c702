//! What an endpoint asks of its shell, and tells the application.

use std::time::Duration;

use bytes::Bytes;

use crate::attach::{Cause, LegId, Transport};
use crate::channel;
use crate::close::CloseReason;
use crate::connect::Kind as PathKind;
use crate::direct::{Carrier, IceCandidate, SessionDescription, Why};
use crate::peer;
use crate::secure::Sas;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Call OpenSession and report the result. Keep the addresses and servers of the latest answer.
    OpenSession {
        /// The number to report with.
        call: u32,
        /// The relay of the latest answer could not be reached: the request names its epoch.
        unreached: bool,
    },
    /// Connect this leg to the endpoint of this transport, of the latest answer.
    Connect(LegId, Transport),
    /// End this leg and tell nothing more of it. With a reason: after the frames that
    /// [`Endpoint::poll_transmit`](super::Endpoint::poll_transmit) still has for it.
    HangUp(LegId, Option<CloseReason>),
    /// Make a connection of this carrier for this attempt.
    Make(u64, Carrier),
    /// Make an offer on it, and take it as the local description; `true` restarts ICE.
    Offer(u64, bool),
    /// Take the description of the other side.
    Accept(u64, SessionDescription),
    /// Make an answer, and take it as the local description.
    Answer(u64),
    /// Add a candidate of the other side.
    Add(u64, IceCandidate),
    /// Close the connection and tell nothing more of it.
    Drop(u64),
    /// Tell the application.
    Tell(Event),
    /// It is over; nothing follows.
    End(End),
}

/// What the application gets to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A leg to the relay was admitted.
    Attached {
        /// By which transport.
        transport: Transport,
        /// Whether it takes the place of an earlier leg in a living session.
        resumed: bool,
        /// Whether the other peer is attached.
        peer_online: bool,
    },
    /// There is no leg any more.
    LegLost {
        /// Why.
        cause: Cause,
        /// The pause before the next attempt; `None` while an attempt is under way.
        retry_in: Option<Duration>,
    },
    /// An attempt at another leg failed.
    AttemptFailed {
        /// Why.
        cause: Cause,
        /// The pause before the next attempt.
        retry_in: Duration,
    },
    /// The other peer is attached to the relay.
    PeerOnline,
    /// The other peer's leg was lost, and the relay waits this long for it.
    PeerAway(Duration),
    /// The relay stops after this time; another leg is being sought.
    Draining(Duration),
    /// The relay dropped so many datagrams on their way here.
    DatagramsDropped(u64),
    /// The time to the relay and back.
    RelayRtt(Duration),
    /// The code took a message of the other side, or of whoever poses as it. That is the one guess that a
    /// code gives: it is spent, however this ends. Told once, before anything is answered.
    CodeUsed,
    /// Fresh keys are in use. The first time, a peer that came with a code stores
    /// [`Endpoint::secret`](super::Endpoint::secret) now.
    Secured {
        /// The phrase for people to compare.
        sas: Sas,
        /// What the other peer gave as its hello.
        hello: Bytes,
    },
    /// Of the channels.
    Channel(channel::Event),
    /// Records take a path of this kind from now on, or none.
    Path(Option<PathKind>),
    /// A direct path was looked for and not found.
    DirectFailed(Why),
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// This side said goodbye; `flushed` if the other side took everything before.
    Closed {
        /// Whether nothing is lost.
        flushed: bool,
    },
    /// The other side said goodbye, and has everything.
    PeerClosed,
    /// Somebody hung up with a number that is final.
    HungUp(CloseReason),
    /// What the peers say to each other failed.
    Peer(peer::End),
    /// OpenSession failed for good, or for longer than the patience. The shell knows the error.
    Refused,
    /// No relay was reached for longer than the patience, or none can be.
    NoLeg(Cause),
}
