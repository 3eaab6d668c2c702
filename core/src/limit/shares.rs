//! Shares of something of which there is a fixed number: connections, places to wait, bytes of memory.
//!
//! ```text
//! used:  0 ............ cap / 2 ............ cap
//!        anybody takes   a host: cap / 32
//!        what is there   a network: cap / 16
//! ```
//!
//! Half of the cap is for whoever comes. From then on a prefix takes more only if it holds no more than its
//! share afterwards. So a host or a network that takes all it can get is refused while others are served.
//!
//! What a host holds beyond its share counts against its network only up to that share. Otherwise a host
//! that took the first half would lock out its neighbours: their network would hold half of the cap.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prefix::{Level, Networks, Prefix};

/// Who holds how much of one cap.
///
/// Remembers at most three prefixes for each thing that is held.
#[derive(Clone, Debug)]
pub struct Shares {
    cap: u64,
    used: u64,
    /// What counts against each prefix. For a host that is what it holds.
    charged: BTreeMap<Prefix, u64>,
    unmetered: Networks,
}

/// Why nothing more is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The cap is reached.
    #[error("there is no room left")]
    Cap,
    /// Half of the cap is used, and a prefix of the address would hold more than its share.
    #[error("this address or its network holds its share of what there is")]
    Share,
}

impl Shares {
    /// Nothing is held of `cap`. Addresses in `unmetered` networks have no share of their own: the cap
    /// alone bounds them.
    #[must_use]
    pub const fn new(cap: u64, unmetered: Networks) -> Self {
        Self {
            cap,
            used: 0,
            charged: BTreeMap::new(),
            unmetered,
        }
    }

    /// Takes `count` for this address, or nothing.
    ///
    /// # Errors
    /// [`Full`] says what stands in the way.
    pub fn take(&mut self, address: IpAddr, count: u64) -> Result<(), Full> {
        let used = self.used.saturating_add(count);
        if used > self.cap {
            return Err(Full::Cap);
        }
        if used > self.cap / 2 && !self.unmetered.contains(address) {
            for (level, prefix) in Prefix::of(address) {
                let charged = self.charged.get(&prefix).copied().unwrap_or(0);
                if charged.saturating_add(count) > self.share(level) {
                    return Err(Full::Share);
                }
            }
        }
        self.used = used;
        self.charge(address, |charged| charged.saturating_add(count));
        Ok(())
    }

    /// Gives back what was taken for this address. Giving back more than that is a mistake of the caller.
    pub fn give_back(&mut self, address: IpAddr, count: u64) {
        self.used = self.used.saturating_sub(count);
        self.charge(address, |charged| charged.saturating_sub(count));
    }

    /// How much is held.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// How many prefixes are remembered.
    #[must_use]
    pub fn prefixes(&self) -> usize {
        self.charged.len()
    }

    /// What one prefix may hold once half of the cap is used. A tiny cap leaves each level one more than the
    /// level below, or a host would use up the share of its network.
    #[must_use]
    pub fn share(&self, level: Level) -> u64 {
        let of = |parts: u64| self.cap / 64 * parts + self.cap % 64 * parts / 64;
        match level {
            Level::Host => of(2).max(1),
            Level::Site => of(3).max(2),
            Level::Network => of(4).max(2),
        }
    }

    /// Changes what counts against the host, and so against each wider prefix, up to the share below.
    fn charge(&mut self, address: IpAddr, change: impl Fn(u64) -> u64) {
        if self.unmetered.contains(address) {
            return;
        }
        let (mut gone, mut come) = (0, 0);
        for (level, prefix) in Prefix::of(address) {
            let before = self.charged.get(&prefix).copied().unwrap_or(0);
            let after = match level {
                Level::Host => change(before),
                Level::Site | Level::Network => (before + come).saturating_sub(gone),
            };
            if after == 0 {
                self.charged.remove(&prefix);
            } else {
                self.charged.insert(prefix, after);
            }
            (gone, come) = (before.min(self.share(level)), after.min(self.share(level)));
        }
    }
}

/// [`Shares`] that many tasks take from. A clone is another handle.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Mutex<Shares>>);

impl Pool {
    /// Nothing is held of `cap`.
    #[must_use]
    pub fn new(cap: u64, unmetered: &Networks) -> Self {
        Self(Arc::new(Mutex::new(Shares::new(cap, unmetered.clone()))))
    }

    /// Takes `count` for this address, until the place is dropped.
    ///
    /// # Errors
    /// [`Full`] says what stands in the way.
    pub fn take(&self, address: IpAddr, count: u64) -> Result<Place, Full> {
        self.lock().take(address, count)?;
        let pool = self.clone();
        Ok(Place {
            pool,
            address,
            count,
        })
    }

    /// How much is held.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Whether more than half is used, so that shares count.
    #[must_use]
    pub fn is_half_used(&self) -> bool {
        let shares = self.lock();
        shares.used > shares.cap / 2
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was taken from a [`Pool`]. Dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    pool: Pool,
    address: IpAddr,
    count: u64,
}

impl Place {
    /// How much it is.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.lock().give_back(self.address, self.count);
    }
}
