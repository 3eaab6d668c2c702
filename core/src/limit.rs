//! Budgets: how often somebody may do something, and how much of something somebody may hold.
//!
//! [`Rates`] are for what is done, [`Shares`] for what is held. Both are charged to an address and to the
//! networks that it is part of ([`Prefix`]), so that many addresses of one network are no more than one
//! network. Both are made of plain values; [`Pool`] is [`Shares`] that tasks take from.
//!
//! A bucket holds up to its capacity in tokens and is refilled at a steady rate. Doing something
//! takes tokens out; when too few are left, the answer is how long to wait. Tokens are whatever the
//! owner counts: bytes, frames, attempts. Time is an argument.
//!
//! ```text
//! granted in any span of time <= capacity + per_second * span
//! ```
//!
//! [`Buckets`] keeps one bucket per key, for a bounded number of keys.

mod prefix;
mod rates;
mod shares;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Moment;

pub use prefix::{BadNetwork, Level, Network, Networks, Prefix, UNKNOWN};
pub use rates::{Paid, Rates, Tiers};
pub use shares::{Full, Place, Pool, Shares};

/// A budget: how many tokens at once, and how many over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The most tokens a bucket holds, and so the most that can be taken at once.
    pub capacity: u64,
    /// How many tokens flow in each second.
    pub per_second: f64,
}

impl Limit {
    /// A budget of `count` at once and `count` per `period`.
    #[must_use]
    pub fn per(count: u64, period: Duration) -> Self {
        Self {
            capacity: count,
            per_second: approximate(count) / period.as_secs_f64().max(f64::MIN_POSITIVE),
        }
    }

    /// How long one token takes to flow in, and all that a bucket holds.
    #[must_use]
    pub fn times_to_refill(&self) -> (Duration, Duration) {
        let all = wait(approximate(self.capacity), self.per_second);
        (wait(1.0, self.per_second), all)
    }

    /// So many times the budget.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self {
            capacity: self.capacity.saturating_mul(factor.into()),
            per_second: self.per_second * f64::from(factor),
        }
    }
}

/// One bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    limit: Limit,
    tokens: f64,
    filled_at: Moment,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(limit: Limit, now: Moment) -> Self {
        Self {
            limit,
            tokens: approximate(limit.capacity),
            filled_at: now,
        }
    }

    /// Takes `count` tokens, or none.
    ///
    /// # Errors
    /// If there are too few: how long until there will be enough, if nobody else takes any.
    /// `Duration::MAX` if there never will be, because `count` exceeds the capacity or nothing flows
    /// in.
    pub fn take(&mut self, count: u64, now: Moment) -> Result<(), Duration> {
        self.tokens = self.tokens_at(now);
        self.filled_at = self.filled_at.max(now);
        if count > self.limit.capacity {
            return Err(Duration::MAX);
        }
        let missing = approximate(count) - self.tokens;
        // Sums of fractions come out a little short; without this, a caller who waits exactly as
        // long as told could be refused again.
        if missing <= 1e-6 {
            self.tokens = (self.tokens - approximate(count)).max(0.0);
            return Ok(());
        }
        Err(wait(missing, self.limit.per_second))
    }

    /// Takes `count` tokens also if there are too few, and tells how long it takes until the debt is paid.
    pub fn spend(&mut self, count: u64, now: Moment) -> Duration {
        self.tokens = self.tokens_at(now) - approximate(count);
        self.filled_at = self.filled_at.max(now);
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        wait(-self.tokens, self.limit.per_second)
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_full(&self, now: Moment) -> bool {
        self.tokens_at(now) >= approximate(self.limit.capacity) - 1e-6
    }

    /// Gives `count` tokens back, for something that turned out not to count.
    pub fn give_back(&mut self, count: u64) {
        let capacity = approximate(self.limit.capacity);
        self.tokens = (self.tokens + approximate(count)).min(capacity);
    }

    fn tokens_at(&self, now: Moment) -> f64 {
        let elapsed = now.saturating_since(self.filled_at).as_secs_f64();
        let filled = self.tokens + elapsed * self.limit.per_second.max(0.0);
        filled.min(approximate(self.limit.capacity))
    }
}

fn wait(missing: f64, per_second: f64) -> Duration {
    let seconds = missing / per_second;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Exact up to 2⁵³ tokens, which no budget comes near.
#[allow(clippy::cast_precision_loss)]
fn approximate(tokens: u64) -> f64 {
    tokens as f64
}

/// One bucket per key, all with the same limit, for at most `max` keys.
///
/// When there is no room for another key, the fullest eighth of the buckets is forgotten. A full
/// bucket is worth nothing, as a new one is just as full, and an empty one is kept the longest: a
/// stranger with many addresses only pushes out strangers, never the record of who overdid it.
#[derive(Clone, Debug)]
pub struct Buckets<K> {
    limit: Limit,
    max: usize,
    buckets: BTreeMap<K, Bucket>,
}

impl<K: Ord + Clone> Buckets<K> {
    /// No buckets yet, and never more than `max`, which is at least 1.
    #[must_use]
    pub fn new(limit: Limit, max: usize) -> Self {
        Self {
            limit,
            max: max.max(1),
            buckets: BTreeMap::new(),
        }
    }

    /// Takes `count` tokens out of the bucket of `key`, which is full if it is new.
    ///
    /// # Errors
    /// As [`Bucket::take`].
    pub fn take(&mut self, key: &K, count: u64, now: Moment) -> Result<(), Duration> {
        self.with(key, now, |bucket| bucket.take(count, now))
    }

    /// Takes `count` tokens out of the bucket of `key` also if there are too few, as [`Bucket::spend`].
    pub fn spend(&mut self, key: &K, count: u64, now: Moment) -> Duration {
        self.with(key, now, |bucket| bucket.spend(count, now))
    }

    /// Whether nothing is missing in the bucket of `key`.
    #[must_use]
    pub fn is_full(&self, key: &K, now: Moment) -> bool {
        self.buckets.get(key).is_none_or(|it| it.is_full(now))
    }

    fn with<T>(&mut self, key: &K, now: Moment, act: impl FnOnce(&mut Bucket) -> T) -> T {
        if let Some(bucket) = self.buckets.get_mut(key) {
            return act(bucket);
        }
        if self.buckets.len() >= self.max {
            self.forget_fullest(now);
        }
        let mut bucket = Bucket::new(self.limit, now);
        let acted = act(&mut bucket);
        self.buckets.insert(key.clone(), bucket);
        acted
    }

    /// Gives `count` tokens back to the bucket of `key`, if it is still known.
    pub fn give_back(&mut self, key: &K, count: u64) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.give_back(count);
        }
    }

    /// How many keys are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether no key is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Makes room for an eighth at a time, so that the cost of looking at all buckets is shared by
    /// many new keys.
    fn forget_fullest(&mut self, now: Moment) {
        let rank = |bucket: &Bucket| (bucket.tokens_at(now), bucket.filled_at);
        let mut ranked = self
            .buckets
            .iter()
            .map(|(key, bucket)| (rank(bucket), key.clone()))
            .collect::<Vec<_>>();
        // Fullest first; among equals, the one that was used the longest ago.
        ranked.sort_by(|((a, a_at), _), ((b, b_at), _)| b.total_cmp(a).then(a_at.cmp(b_at)));
        for (_, key) in ranked.iter().take(self.max.div_ceil(8)) {
            self.buckets.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
