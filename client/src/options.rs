//! What whoever starts a [`Peer`](crate::Peer) decides.

use std::time::Duration;

use peersox_core::attach::{self, Transport, Transports};
use peersox_core::channel;
use peersox_core::code::Code;
use peersox_core::direct::Mode as DirectMode;
use peersox_core::secure::PairingSecret;

/// How a peer behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What this side says it is, to the other peer alone and sealed: [`AGENT`](crate::AGENT), which a
    /// program may follow by a comment of its own in parentheses, as in the `User-Agent` of RFC 9110. What is
    /// longer than 1,024 bytes is cut.
    pub agent: String,
    /// Which transports to use for the leg to the relay.
    pub transport: Choice,
    /// For how long to go on trying when the relay or the server cannot be reached. [`Duration::MAX`], the
    /// default, never gives up: a closed lid may stay closed for a night. The first leg is sought for 30 s
    /// at most.
    pub patience: Duration,
    /// Whether neither side saves the pairing: a peer that the relay has given up cannot come back then, and
    /// soon afterwards this one ends with [`PeerLost`](crate::CloseReason::PeerLost).
    pub once: bool,
    /// The longest message that [`Receiver::recv`](crate::Receiver::recv) collects, in bytes.
    pub max_message: usize,
    /// After how long on a WebSocket QUIC is tried again, doubled with each failure up to ten
    /// minutes; with [`Choice::Auto`] only.
    pub upgrade_after: Duration,
    /// When to look for a direct path. Looking shows each of the two peers the addresses of the other. Native
    /// programs and pages find one to each other.
    pub direct: DirectMode,
    /// Windows and sizes of the channel layer.
    pub channels: channel::Config,
}

impl Default for Options {
    fn default() -> Self {
        let attach = attach::Config::default();
        Self {
            agent: crate::AGENT.to_owned(),
            transport: Choice::Auto,
            patience: attach.patience,
            once: false,
            max_message: 64 * 1024 * 1024,
            upgrade_after: attach.upgrade_after,
            direct: DirectMode::default(),
            channels: channel::Config::default(),
        }
    }
}

/// Which transports to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// QUIC, and WebSocket if QUIC is not there within a short head start.
    #[default]
    Auto,
    /// This one and no other.
    Only(Transport),
}

impl Choice {
    pub(crate) fn transports(self) -> Transports {
        match self {
            Self::Auto => Transports::ALL,
            Self::Only(transport) => transport.into(),
        }
    }
}

/// What this side of a pairing proves itself with. The server sees neither.
///
/// It cannot be cloned, because each peer that proves a code gives whoever sits at the other end one guess at
/// it.
#[derive(Debug)]
pub enum Proof {
    /// The whole code, as it is shown or was typed. One code makes one [`Peer`](crate::Peer), ever: the
    /// second peer of one pairing that comes with a code is refused
    /// ([`Error::CodeSpent`](crate::Error::CodeSpent)).
    Code(Code),
    /// What an earlier code brought: [`Secured::secret`](crate::Secured::secret).
    Secret(PairingSecret),
}
