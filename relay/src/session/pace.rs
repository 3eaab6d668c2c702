//! How fast one leg may send: a budget of its own, and one of its host and networks.
//!
//! A leg that has overdrawn a budget is not read until the debt is paid, so its sender is stopped by TCP or
//! by QUIC flow control. Nothing is dropped.

use std::net::IpAddr;
use std::time::Duration;

use peersox_core::limit::Bucket;
use tokio::time::Instant;

use crate::relay::Inner;
use crate::span::Taken;

/// The budgets of one leg.
pub(crate) struct Pace {
    address: IpAddr,
    bucket: Option<Bucket>,
    /// What was taken out of the budgets of the networks in advance, so that few frames take a lock.
    left: u64,
    /// How much is taken in advance at a time.
    advance: u64,
    until: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(relay: &Inner, address: IpAddr, now: Instant) -> Self {
        let metered = !relay.config.unmetered.contains(address);
        Self {
            address,
            bucket: metered.then(|| Bucket::new(relay.config.leg_rate, relay.moment(now))),
            left: 0,
            advance: (relay.config.leg_rate.capacity / 16).min(ADVANCE),
            until: None,
        }
    }

    /// Until when the leg is not to be read.
    pub(crate) fn paused(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Counts what a leg has taken.
    pub(crate) fn spend(&mut self, relay: &Inner, cost: u64, now: Instant) {
        let Some(bucket) = &mut self.bucket else {
            return;
        };
        let moment = relay.moment(now);
        let mut pause = bucket.spend(cost, moment);
        if cost > self.left {
            let advance = cost.max(self.advance);
            pause = pause.max(relay.spend(self.address, advance, moment));
            self.left += advance;
        }
        self.left -= cost;
        if pause > Duration::ZERO && self.paused(now).is_none() {
            relay.metrics.slowed();
        }
        self.until = (pause > Duration::ZERO).then(|| now + pause.min(LONGEST));
    }
}

/// What it costs to have taken this.
pub(crate) fn cost(taken: Taken) -> u64 {
    FRAME * taken.frames + taken.bytes
}

/// What a frame costs beside its bytes.
const FRAME: u64 = 256;
/// What is taken in advance, in bytes, unless that is more than a sixteenth of what a leg may send at once.
const ADVANCE: u64 = 1024 * 1024;
/// A leg is looked at again after this time, whatever its debt.
const LONGEST: Duration = Duration::from_secs(5);
