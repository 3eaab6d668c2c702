//! How things stand, for a shell that asks.

use std::time::Duration;

use super::Endpoint;
use crate::connect::Kind as PathKind;
use crate::direct::Why;
use crate::secure::PairingSecret;

impl Endpoint {
    /// The pairing secret, once agreed.
    #[must_use]
    pub const fn secret(&self) -> Option<&PairingSecret> {
        self.peer.secret()
    }

    /// Whether the code is spent. See [`Event::CodeUsed`](super::Event::CodeUsed).
    #[must_use]
    pub const fn is_code_used(&self) -> bool {
        self.peer.is_code_used()
    }

    /// The kind of path that records take.
    #[must_use]
    pub fn path(&self) -> Option<PathKind> {
        self.peer.kind(self.peer.selected()?)
    }

    /// How long the latest probe of the direct path took.
    #[must_use]
    pub fn direct_rtt(&self) -> Option<Duration> {
        self.peer.path_rtt(self.direct.path()?)
    }

    /// Why there is no direct path.
    #[must_use]
    pub const fn why_relayed(&self) -> Why {
        self.direct.why()
    }

    /// Frames dropped because they were stale, out of turn, or forged where that costs no path.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.peer.dropped()
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.ended
    }
}
