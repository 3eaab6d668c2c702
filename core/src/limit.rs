//! Token buckets: how much of something a peer may do.
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

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Moment;

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
        if let Some(bucket) = self.buckets.get_mut(key) {
            return bucket.take(count, now);
        }
        if self.buckets.len() >= self.max {
            self.forget_fullest(now);
        }
        let mut bucket = Bucket::new(self.limit, now);
        let taken = bucket.take(count, now);
        self.buckets.insert(key.clone(), bucket);
        taken
    }

    /// Gives `count` tokens back to the bucket of `key`, if it is still known.
    pub fn give_back(&mut self, key: &K, count: u64) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.give_back(count);
        }
    }

    /// Whether nothing is missing from the bucket of `key`.
    #[must_use]
    pub fn is_full(&self, key: &K, now: Moment) -> bool {
        let full = approximate(self.limit.capacity);
        let bucket = self.buckets.get(key);
        bucket.is_none_or(|bucket| bucket.tokens_at(now) >= full)
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

/// Whom an address budget is charged to.
///
/// One IPv4 address; one IPv6 network of 64 bits, as a household or a machine gets at least that
/// many addresses. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressKey {
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address.
    V6([u8; 8]),
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[cfg(test)]
mod tests;
