//! Time as an argument.
//!
//! No rule reads a clock. Rules that outlive a process or cross machines take a [`Timestamp`]; rules
//! about waiting take a [`Moment`], which never goes backwards. Both work on wasm32, where
//! `std::time::Instant` does not.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the calendar: milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Milliseconds since the Unix epoch as protobuf carries them, capped at `i64::MAX`.
    #[must_use]
    pub fn as_proto(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// The time from `earlier` to `self`, zero if `earlier` is the later one.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<std::time::SystemTime> for Timestamp {
    /// Times before the epoch become the epoch.
    fn from(time: std::time::SystemTime) -> Self {
        let since = time
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// A point on a clock that only moves forward, counted from an origin its owner chose.
///
/// It ends 584 years after the origin. One number of nanoseconds is compared in one step; a [`Duration`] has
/// two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// What never comes: the deadline of something that is not waited for.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `elapsed` after the origin.
    #[must_use]
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self(nanos(elapsed))
    }

    /// The time since the origin.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The point so much earlier, but not before the origin. What never comes still never does.
    #[must_use]
    pub(crate) fn earlier(self, by: Duration) -> Self {
        match self {
            Self::NEVER => self,
            Self(at) => Self(at.saturating_sub(nanos(by))),
        }
    }

    /// The time from `earlier` to `self`, zero if `earlier` is the later one.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Without the 128 bits of [`Duration::as_nanos`].
const fn nanos(duration: Duration) -> u64 {
    let secs = duration.as_secs();
    if secs > u64::MAX / NANOS_PER_SEC - 1 {
        return u64::MAX;
    }
    secs * NANOS_PER_SEC + duration.subsec_nanos() as u64
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

impl Moment {
    /// The point after a pause that was doubled so often.
    #[must_use]
    pub(crate) fn after_doubled(self, pause: Duration, doublings: u32) -> Self {
        let pause = nanos(pause).min(u64::MAX >> doublings) << doublings;
        Self(self.0.saturating_add(pause))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl Sub<Moment> for Moment {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.saturating_since(rhs)
    }
}

/// A pause that is twice as long each time, up to a bound.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: u64,
    next: u64,
    at_most: u64,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, at_most: Duration) -> Self {
        let first = nanos(first);
        Self {
            first,
            next: first,
            at_most: nanos(at_most),
        }
    }

    /// When the pause that begins now is over.
    pub(crate) fn pause(&mut self, now: Moment) -> Moment {
        let end = Moment(now.0.saturating_add(self.next));
        self.next = self.next.saturating_mul(2).min(self.at_most);
        end
    }

    /// The next pause is the first again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}
