//! What a [`Peer`](crate::Peer) tells of itself.

use std::time::Duration;

use peersox_core::attach::{Cause, Transport};
use peersox_core::connect::Kind;
use peersox_core::direct::{Carrier, Why};
use peersox_core::secure::{PairingSecret, Sas};

/// What happens to a peer, for people and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A leg to the relay was admitted.
    Attached {
        /// Over which transport.
        transport: Transport,
        /// Whether it takes the place of an earlier leg of a living session.
        resumed: bool,
    },
    /// The leg was lost; another is being sought.
    LegLost {
        /// Why.
        cause: Cause,
        /// The same for people, in the words of the transport if it said any.
        why: String,
        /// The pause before the next attempt; `None` while an attempt is under way.
        retry_in: Option<Duration>,
    },
    /// An attempt at another leg failed; the next one follows.
    AttemptFailed {
        /// Why.
        cause: Cause,
        /// The same for people, in the words of the transport or the server if it said any.
        why: String,
        /// The pause before the next attempt.
        retry_in: Duration,
    },
    /// The other peer is attached to the relay.
    PeerOnline,
    /// The code took a message of the other side, or of whoever poses as it. That is the one guess that a
    /// code gives: it is spent, however this ends.
    CodeUsed,
    /// The other peer's leg was lost; the relay waits for it.
    PeerAway {
        /// For how long.
        grace: Duration,
    },
    /// The peers have agreed on keys. From now on the pairing can be restored without its code.
    Secured {
        /// Three words for people to compare.
        phrase: Sas,
    },
    /// Messages flow: for the first time, or again, with nothing lost in between.
    Connected,
    /// The other peer is another process than before; channels are gone.
    PeerRestarted,
    /// The relay is about to stop; another leg is being sought.
    Draining,
    /// Messages take a path of this kind from now on, or there is none.
    Path(Option<Kind>),
    /// A direct path was looked for and not found.
    DirectFailed(Why),
    /// The relay dropped datagrams that were on their way here.
    DatagramsDropped(u64),
}

/// Where the other peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Not attached, as far as is known.
    #[default]
    Absent,
    /// Attached.
    Online,
    /// Its leg was lost and the relay waits for it.
    Away,
}

/// How things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The transport of the leg, if there is one.
    pub leg: Option<Transport>,
    /// What messages take at present: the relay, or a direct path.
    pub path: Option<Kind>,
    /// What carries the direct path, while messages take one.
    pub carrier: Option<Carrier>,
    /// Why messages do not take a direct path, while they take the relay.
    pub why_relayed: Option<Why>,
    /// Where the other peer is.
    pub presence: Presence,
    /// Whether messages flow.
    pub connected: bool,
    /// Whether the code is spent: see [`Event::CodeUsed`]. It stays so when the peer ends.
    pub code_used: bool,
    /// The time to the relay and back, once measured.
    pub relay_rtt: Option<Duration>,
}

/// What the two peers have agreed on.
#[derive(Clone, Debug)]
pub struct Secured {
    /// With it and the [`Pairing`](crate::Pairing) either peer comes back without a code. To be stored
    /// as a secret.
    pub secret: PairingSecret,
    /// Three words. If both peers show the same, nobody sits in between.
    pub phrase: Sas,
    /// What the other peer says its software is.
    pub agent: String,
}
