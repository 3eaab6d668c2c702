//! What a peer tells its shell, and why it ends.

use bytes::Bytes;

use crate::channel;
use crate::connect::PathId;
use crate::secure::{Burnt, Sas};

/// What a shell gets to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The code took a message of the other side, or of whoever poses as it: it is spent, however this ends.
    /// Told once, before anything is answered.
    CodeUsed,
    /// Fresh keys are in use. The first time, a peer that came with a code stores
    /// [`Peer::secret`](super::Peer::secret) now.
    Secured {
        /// The phrase for people to compare.
        sas: Sas,
        /// What the other peer gave as its hello.
        hello: Bytes,
    },
    /// Of the channels.
    Channel(channel::Event),
    /// Records take this path from now on, or none.
    Path(Option<PathId>),
    /// A signal of the other peer, opened.
    Signal(Bytes),
    /// Try to make a direct path; report it with [`Peer::path_up`](super::Peer::path_up) or
    /// [`Peer::dial_failed`](super::Peer::dial_failed).
    Dial,
    /// This path is of no use any more, and already counts as down: hang it up.
    HangUp(PathId),
}

/// Why it is over, other than by [`channel::Event::Closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", self.text().0, self.text().1)]
pub enum End {
    /// The code is spent and no secret came of it. Send what
    /// [`Peer::poll_transmit`](super::Peer::poll_transmit) still gives, so that the other peer learns it too.
    #[error(transparent)]
    Burnt(#[from] Burnt),
    /// The other peer is genuine and breaks the rules of the channels.
    Broken(#[from] channel::Violation),
    /// Several paths in a row delivered forgeries.
    Tampered,
}

impl End {
    /// What people are told, in two parts.
    #[must_use]
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Burnt(burnt) => ("", burnt.text()),
            Self::Broken(violation) => ("the other peer broke the protocol: ", violation.text()),
            Self::Tampered => (
                "what arrives was altered under way, or the other side holds another pairing secret; ",
                "pair the two devices again, over a network that you trust more",
            ),
        }
    }
}
