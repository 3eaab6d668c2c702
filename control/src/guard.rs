//! Who may try how often.
//!
//! A nameplate has few digits, so what protects a waiting pairing is that nobody can try many: each
//! address has a budget of failed joins, and all addresses together have one, against guessers with
//! many addresses. A join takes from both budgets when it begins and gets it back when it succeeds,
//! so that many attempts at once cannot overdraw them. Creating is budgeted per address.
//!
//! The budgets are those of one process. The joint budget is also a lever: a guesser who spends it
//! keeps others from joining for that time. It refills by the second, and only addresses that still
//! have a budget of their own can spend it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peersox_core::id::PairingId;
use peersox_core::limit::{AddressKey, Bucket, Buckets, Limit};
use peersox_core::time::{Moment, Timestamp};

/// The budgets.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Failed joins per address.
    pub failed_joins: Limit,
    /// Failed joins of all addresses together.
    pub failed_joins_overall: Limit,
    /// New pairings per address.
    pub creates: Limit,
    /// How many addresses are remembered.
    pub addresses: usize,
    /// Open watches per pairing.
    pub watches_per_pairing: usize,
    /// Open watches of all pairings together.
    pub watches: usize,
}

impl Default for Config {
    /// Per address 20 failed joins an hour and 60 new pairings a minute; overall 50 failed joins a
    /// second, which of a million nameplates finds a given one in 130 s with a chance of 0.7 %;
    /// 65,536 addresses; 8 watches per pairing and 10,000 overall.
    fn default() -> Self {
        Self {
            failed_joins: Limit::per(20, Duration::from_secs(3600)),
            failed_joins_overall: Limit::per(50, Duration::from_secs(1)),
            creates: Limit::per(60, Duration::from_secs(60)),
            addresses: 65_536,
            watches_per_pairing: 8,
            watches: 10_000,
        }
    }
}

/// Holds everybody to the budgets.
#[derive(Debug)]
pub struct Guard {
    config: Config,
    budgets: Mutex<Budgets>,
    watches: Arc<Mutex<Watches>>,
}

#[derive(Debug)]
struct Budgets {
    failed_joins: Buckets<AddressKey>,
    failed_joins_overall: Bucket,
    creates: Buckets<AddressKey>,
}

impl Guard {
    /// Starts with all budgets full.
    #[must_use]
    pub fn new(config: Config, now: Timestamp) -> Self {
        Self {
            config,
            budgets: Mutex::new(Budgets {
                failed_joins: Buckets::new(config.failed_joins, config.addresses),
                failed_joins_overall: Bucket::new(config.failed_joins_overall, moment(now)),
                creates: Buckets::new(config.creates, config.addresses),
            }),
            watches: Arc::default(),
        }
    }

    /// Begins a join. It counts as failed unless the attempt is told that it did not.
    ///
    /// # Errors
    /// How long to wait, if a budget is spent.
    pub fn join(&self, address: IpAddr, now: Timestamp) -> Result<JoinAttempt<'_>, Duration> {
        let key = AddressKey::from(address);
        let mut budgets = lock(&self.budgets);
        let is_clean = budgets.failed_joins.is_full(&key, moment(now));
        budgets.failed_joins.take(&key, 1, moment(now))?;
        if let Err(wait) = budgets.failed_joins_overall.take(1, moment(now)) {
            budgets.failed_joins.give_back(&key, 1);
            return Err(wait);
        }
        Ok(JoinAttempt {
            guard: self,
            key,
            is_clean,
        })
    }

    /// Counts a new pairing.
    ///
    /// # Errors
    /// How long to wait, if the budget is spent.
    pub fn create(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        lock(&self.budgets)
            .creates
            .take(&AddressKey::from(address), 1, moment(now))
    }

    /// Takes a place among the watches of a pairing, until it is dropped; nothing if all are taken.
    #[must_use]
    pub fn watch(&self, pairing: PairingId) -> Option<WatchPlace> {
        let mut watches = lock(&self.watches);
        let open = watches.by_pairing.get(&pairing).copied().unwrap_or(0);
        if watches.overall >= self.config.watches || open >= self.config.watches_per_pairing {
            return None;
        }
        watches.overall += 1;
        watches.by_pairing.insert(pairing, open + 1);
        Some(WatchPlace {
            watches: Arc::clone(&self.watches),
            pairing,
        })
    }
}

/// A join that has begun. Dropped without a word, it failed.
#[derive(Debug)]
#[must_use]
pub struct JoinAttempt<'a> {
    guard: &'a Guard,
    key: AddressKey,
    is_clean: bool,
}

impl JoinAttempt<'_> {
    /// Whether no failed join is on record for this address.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// It was no failed guess: it succeeded, or could not be tried.
    pub fn forgive(self) {
        let mut budgets = lock(&self.guard.budgets);
        budgets.failed_joins.give_back(&self.key, 1);
        budgets.failed_joins_overall.give_back(1);
    }
}

#[derive(Debug, Default)]
struct Watches {
    overall: usize,
    by_pairing: HashMap<PairingId, usize>,
}

/// A place among the watches.
#[derive(Debug)]
pub struct WatchPlace {
    watches: Arc<Mutex<Watches>>,
    pairing: PairingId,
}

impl Drop for WatchPlace {
    fn drop(&mut self) {
        let mut watches = lock(&self.watches);
        watches.overall = watches.overall.saturating_sub(1);
        match watches.by_pairing.get_mut(&self.pairing) {
            Some(open) if *open > 1 => *open -= 1,
            Some(_) | None => drop(watches.by_pairing.remove(&self.pairing)),
        }
    }
}

/// The budgets follow the calendar; where it jumps back they refill a little later.
fn moment(now: Timestamp) -> Moment {
    Moment::from_origin(Duration::from_millis(now.as_millis()))
}

/// No critical section here can leave half a change behind, so a poisoned lock is as good as new.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn failures_are_counted_and_successes_are_not() {
        let guard = Guard::new(Config::default(), NOW);
        for _ in 0..100 {
            guard.join(address(1), NOW).unwrap().forgive();
        }
        for _ in 0..20 {
            drop(guard.join(address(1), NOW).unwrap());
        }
        let wait = guard.join(address(1), NOW).unwrap_err();
        assert_eq!(wait.as_secs_f64().round(), 180.0);
        assert!(guard.join(address(2), NOW).is_ok());
        let later = NOW + Duration::from_secs(180);
        assert!(guard.join(address(1), later).is_ok());
    }

    #[test]
    fn many_addresses_share_one_more_budget() {
        let guard = Guard::new(Config::default(), NOW);
        let refused = (0..=255)
            .filter(|last| guard.join(address(*last), NOW).is_err())
            .count();
        assert_eq!(refused, 256 - 50);
    }

    #[test]
    fn attempts_at_once_cannot_overdraw() {
        let guard = Guard::new(Config::default(), NOW);
        let attempts: Vec<_> = (0..40)
            .filter_map(|_| guard.join(address(1), NOW).ok())
            .collect();
        assert_eq!(attempts.len(), 20);
    }

    #[test]
    fn places_to_watch_are_bounded_and_come_back() {
        let config = Config {
            watches: 10,
            ..Config::default()
        };
        let guard = Guard::new(config, NOW);
        let id = |byte| PairingId::from_bytes([byte; 16]);
        let mut places: Vec<_> = (0..8).filter_map(|_| guard.watch(id(1))).collect();
        assert_eq!(places.len(), 8);
        assert!(guard.watch(id(1)).is_none());
        places.extend((0..3).filter_map(|_| guard.watch(id(2))));
        assert_eq!(places.len(), 10, "overall");
        places.clear();
        assert!(guard.watch(id(1)).is_some());
        assert!(lock(&guard.watches).by_pairing.is_empty());
    }
}
