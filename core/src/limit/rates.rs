//! Rates: how often a host may do something, and how often its networks may.
//!
//! ```text
//! network ── 16 times a host ──► site ── 4 times ──► host
//! ```
//!
//! The widest prefix is asked first: the hosts of a network that has spent its budget take no memory. Whoever
//! is refused anywhere takes nothing.

use std::net::IpAddr;
use std::time::Duration;

use super::prefix::{Level, Networks, Prefix};
use super::{Buckets, Limit};
use crate::time::Moment;

/// The budgets of the levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tiers {
    /// Of each host.
    pub host: Limit,
    /// Of all hosts of a site together.
    pub site: Limit,
    /// Of all hosts of a network together.
    pub network: Limit,
}

impl Tiers {
    /// Four times the budget of a host for a site, sixteen times for a network.
    #[must_use]
    pub fn of(host: Limit) -> Self {
        Self {
            host,
            site: host.times(4),
            network: host.times(16),
        }
    }
}

impl Tiers {
    /// What an address is charged to, the widest first.
    pub fn charged(&self, address: IpAddr) -> impl Iterator<Item = (Prefix, Limit)> {
        let limits = [self.host, self.site, self.network];
        let charged = Prefix::of(address).rev();
        charged.map(move |(level, prefix)| (prefix, limits[level as usize]))
    }
}

/// One bucket per prefix of each level.
#[derive(Clone, Debug)]
pub struct Rates {
    levels: [Buckets<Prefix>; 3],
    unmetered: Networks,
}

/// What was taken, to be given back if it turns out not to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Paid {
    count: u64,
    clean: bool,
}

impl Paid {
    /// Whether nothing was missing in any bucket of the address before.
    #[must_use]
    pub const fn is_clean(self) -> bool {
        self.clean
    }
}

impl Rates {
    /// All buckets are full. At most `keys` prefixes of each level are remembered. Addresses in `unmetered`
    /// networks have no budget of their own.
    #[must_use]
    pub fn new(tiers: Tiers, keys: usize, unmetered: Networks) -> Self {
        let of = |limit| Buckets::new(limit, keys);
        Self {
            levels: [of(tiers.host), of(tiers.site), of(tiers.network)],
            unmetered,
        }
    }

    /// Takes `count` for this address out of every bucket that it is charged to, or out of none.
    ///
    /// # Errors
    /// How long to wait, as [`Bucket::take`](super::Bucket::take) says.
    pub fn take(&mut self, address: IpAddr, count: u64, now: Moment) -> Result<Paid, Duration> {
        if self.unmetered.contains(address) {
            let clean = false;
            return Ok(Paid { count, clean });
        }
        let clean = Prefix::of(address)
            .all(|(level, prefix)| self.levels[level as usize].is_full(&prefix, now));
        let mut taken = Vec::with_capacity(Level::ALL.len());
        for (level, prefix) in Prefix::of(address).rev() {
            if let Err(wait) = self.levels[level as usize].take(&prefix, count, now) {
                self.restore(&taken, count);
                return Err(wait);
            }
            taken.push((level, prefix));
        }
        Ok(Paid { count, clean })
    }

    /// Gives back what was taken for this address.
    pub fn give_back(&mut self, address: IpAddr, paid: Paid) {
        if !self.unmetered.contains(address) {
            self.restore(&Prefix::of(address).collect::<Vec<_>>(), paid.count);
        }
    }

    /// Takes `count` for this address also where that leaves a debt, and tells for how long to pause until
    /// there is none: for what has happened already.
    pub fn spend(&mut self, address: IpAddr, count: u64, now: Moment) -> Duration {
        if self.unmetered.contains(address) {
            return Duration::ZERO;
        }
        let spend = |(level, prefix): (Level, Prefix)| {
            self.levels[level as usize].spend(&prefix, count, now)
        };
        Prefix::of(address).map(spend).max().unwrap_or_default()
    }

    /// How many prefixes are remembered.
    #[must_use]
    pub fn prefixes(&self) -> usize {
        self.levels.iter().map(Buckets::len).sum()
    }

    fn restore(&mut self, taken: &[(Level, Prefix)], count: u64) {
        for (level, prefix) in taken {
            self.levels[*level as usize].give_back(prefix, count);
        }
    }
}
