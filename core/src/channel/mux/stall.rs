//! Something was swallowed without a trace: the path stands, the peer owes an answer, and nothing comes.
//!
//! ```text
//! owed and silent for max(1 s, 4 × rtt) ──► OPEN, as on a new path: both replay what the other lacks
//!        again, after twice the pause   ──► … until an acknowledgement advances: 64 s at most
//! ```
//!
//! A peer whose application does not read is silent as well; it is asked more and more rarely.

use std::time::Duration;

use super::Mux;
use crate::time::Moment;

/// When to suspect a loss.
pub(super) struct Stall {
    at: Moment,
    /// How often in a row the suspicion led nowhere; the pause doubles with each.
    tries: u32,
    /// The greeting under way is of a suspicion: to the application, the path is the same.
    pub(super) asking: bool,
}

impl Stall {
    const AFTER: Duration = Duration::from_secs(1);
    const DOUBLINGS: u32 = 6;

    pub(super) const fn new() -> Self {
        Self {
            at: Moment::NEVER,
            tries: 0,
            asking: false,
        }
    }

    /// Something of the peer arrived.
    pub(super) fn heard(&mut self) {
        self.at = Moment::NEVER;
    }

    /// An acknowledgement advanced.
    pub(super) fn advanced(&mut self) {
        self.tries = 0;
    }

    pub(super) fn timeout(&self) -> Moment {
        self.at
    }
}

impl Mux {
    /// Watches for silence; called before each record that is to be sent.
    pub(super) fn watch(&mut self) {
        if !self.link.is_open() || !self.is_owed() {
            self.stall.at = Moment::NEVER;
            return;
        }
        if self.stall.at <= self.now {
            self.stall.at = Moment::NEVER;
            self.stall.tries = (self.stall.tries + 1).min(Stall::DOUBLINGS);
            self.stall.asking = true;
            self.link.begin();
        } else if self.stall.at == Moment::NEVER {
            let rtt = self.rtt.unwrap_or_default().max(Stall::AFTER / 4);
            self.stall.at = self.now.after_doubled(rtt, 2 + self.stall.tries);
        }
    }

    /// The peer will answer something that was sent.
    fn is_owed(&self) -> bool {
        self.sending.in_flight > 0
            || !self.resets.is_empty()
            || self.ping.is_some()
            || (self.closing.goodbye_said && !self.closing.closed)
    }
}
