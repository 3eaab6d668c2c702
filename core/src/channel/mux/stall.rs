//! Something was swallowed without a trace: the path stands, the peer owes an answer, and nothing comes.
//!
//! ```text
//! owed and silent for 20 s ──► OPEN, as on a new path: both replay what the other lacks
//!        again, after 40 s ──► and from then on every 80 s, until an acknowledgement advances
//! ```
//!
//! A peer whose application does not read is silent as well; it is asked more and more rarely.
//!
//! On a slow link silence is no loss, and a question there costs more than it brings: it queues behind
//! the data, and until it is answered no datagram leaves. At 64 kbit/s a record of 64 KiB takes 8.2 s,
//! and twice that passes in honest silence over a relay between two such links, or when the
//! acknowledgement queues behind a record of the peer. Hence 20 s: more than that, and less than the
//! 30 s after which a farewell is given up, so that this still heals one.
//!
//! An acknowledgement may queue behind many records, but these arrive. Each puts the question off by
//! twice the time it takes at 64 kbit/s. A heartbeat of a few bytes is hardly a record in this, or
//! whatever it keeps company would stay lost for as long as it beats.
//!
//! The round trip plays no part. Only applications that ping know it, and a ping behind a full window
//! takes minutes.

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
    const AFTER: Duration = Duration::from_secs(20);
    const DOUBLINGS: u32 = 2;
    /// Twice what a byte takes at 64 kbit/s.
    const PER_BYTE: Duration = Duration::from_micros(250);

    pub(super) const fn new() -> Self {
        Self {
            at: Moment::NEVER,
            tries: 0,
            asking: false,
        }
    }

    /// A record of the peer arrived, behind which an answer may have queued.
    pub(super) fn heard(&mut self, bytes: usize, now: Moment) {
        if self.at != Moment::NEVER {
            let later = self.at + Self::PER_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX);
            self.at = later.min(self.pause(now));
        }
    }

    /// An acknowledgement advanced.
    pub(super) fn advanced(&mut self) {
        self.at = Moment::NEVER;
        self.tries = 0;
    }

    fn pause(&self, now: Moment) -> Moment {
        now.after_doubled(Self::AFTER, self.tries)
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
            self.stall.at = self.stall.pause(self.now);
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
