//! What a [`Peer`](crate::Peer) tells of itself.

use std::time::Duration;

use peersox_core::secure::{PairingSecret, Sas};

use crate::options::Transport;

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
        /// What the transport or the relay said.
        why: String,
    },
    /// The other peer is attached to the relay.
    PeerOnline,
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
    /// Where the other peer is.
    pub presence: Presence,
    /// Whether messages flow.
    pub connected: bool,
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
