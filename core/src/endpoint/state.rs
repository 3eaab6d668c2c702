//! How things stand, for a shell that asks; and what only some shells tell.

use std::time::Duration;

use rand_core::CryptoRngCore;

use super::Endpoint;
use crate::connect::Kind as PathKind;
use crate::direct::{Carrier, Why};
use crate::secure::PairingSecret;
use crate::time::Moment;

impl Endpoint {
    /// OpenSession was refused for now, because the other peer has not let this one in yet. A shell that does
    /// not know this reports that the call failed, and gives up sooner: [`FIRST`](crate::attach::FIRST).
    pub fn unconfirmed(
        &mut self,
        call: u32,
        retry_after: Option<Duration>,
        now: Moment,
        rng: &mut impl CryptoRngCore,
    ) {
        if !self.ended && call == self.attach_call {
            self.attach.unconfirmed(retry_after, now, rng);
            self.settle(now, rng);
        }
    }

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

    /// What carries the direct path, while records take one.
    #[must_use]
    pub fn carrier(&self) -> Option<Carrier> {
        let is_direct = self.path() == Some(PathKind::Direct);
        self.direct.carrier().filter(|_| is_direct)
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
