//! What whoever starts a [`Peer`](crate::Peer) decides.

use std::time::Duration;

use peersox_core::channel;
use peersox_core::code::Code;
use peersox_core::secure::PairingSecret;

/// How a peer behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which transports to use for the leg to the relay.
    pub transport: Choice,
    /// For how long to go on trying when the relay or the server cannot be reached.
    pub patience: Duration,
    /// The longest message that [`Receiver::recv`](crate::Receiver::recv) collects, in bytes.
    pub max_message: usize,
    /// After how long on a WebSocket QUIC is tried again, doubled with each failure up to ten
    /// minutes; with [`Choice::Auto`] only.
    pub upgrade_after: Duration,
    /// Windows and sizes of the channel layer.
    pub channels: channel::Config,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: Choice::Auto,
            patience: Duration::from_secs(600),
            max_message: 64 << 20,
            upgrade_after: Duration::from_secs(30),
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

/// How a peer reaches the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A QUIC connection (RFC 9000).
    Quic,
    /// A WebSocket (RFC 6455).
    WebSocket,
}

impl Transport {
    /// The name shown to people and used in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::WebSocket => "websocket",
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What this side of a pairing proves itself with. The server sees neither.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The whole code, as it is shown or was typed. One code makes one [`Peer`](crate::Peer), ever.
    Code(Code),
    /// What an earlier code brought: [`Secured::secret`](crate::Secured::secret).
    Secret(PairingSecret),
}
