//! Who may try how often, and hold how much.
//!
//! A nameplate has few digits, so what protects a waiting pairing is that nobody can try many: each host has
//! a budget of failed joins, and so has each network that it is part of. A join takes from all of them when
//! it begins and gets it back when it succeeds, so that many attempts at once cannot overdraw them. Guessers
//! with many networks are met by [`peersox_core::code::Odds`], which answers guesses by longer codes.
//!
//! Watches and calls in progress are shares: once half of the places are taken, a host or a network takes no
//! more than its share ([`peersox_core::limit`]).
//!
//! The budgets are those of one process. Where several share a store, that has the same budgets for all of
//! them together, and is charged once the process has agreed (`ledger`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peersox_core::id::PairingId;
use peersox_core::limit::{Full, Limit, Networks, Paid, Place, Pool, Prefix, Rates, Tiers};
use peersox_core::time::{Moment, Timestamp};

use crate::metrics::{Budget, Refusals};
use crate::store::Charge;

/// The budgets.
#[derive(Clone, Debug)]
pub struct Config {
    /// Failed joins of a host and of its networks.
    pub failed_joins: Tiers,
    /// New pairings of a host and of its networks.
    pub creates: Tiers,
    /// How many prefixes of each level are remembered.
    pub prefixes: usize,
    /// Open watches per pairing.
    pub watches_per_pairing: usize,
    /// Open watches of all pairings, and streams of health and reflection.
    pub watches: u64,
    /// Calls that are being answered.
    pub calls: u64,
    /// Pairings that live.
    pub pairings: u64,
    /// Networks without budgets and shares of their own.
    pub unmetered: Networks,
}

impl Default for Config {
    /// A host has 20 failed joins an hour and 60 new pairings a minute, an IPv6 /56 four times as many, an
    /// IPv4 /24 and an IPv6 /48 sixteen times as many. 65,536 prefixes of each level; 8 watches per pairing
    /// and 10,000 overall; 4,096 calls at a time; 100,000 living pairings.
    fn default() -> Self {
        Self {
            failed_joins: Tiers::of(Limit::per(20, Duration::from_secs(3600))),
            creates: Tiers::of(Limit::per(60, Duration::from_secs(60))),
            prefixes: 65_536,
            watches_per_pairing: 8,
            watches: 10_000,
            calls: 4_096,
            pairings: 100_000,
            unmetered: Networks::default(),
        }
    }
}

/// Holds everybody to the budgets.
#[derive(Debug)]
pub struct Guard {
    budgets: Mutex<Budgets>,
    watches: Pool,
    calls: Pool,
    /// Of the calls, those that wait for a person.
    kept: Pool,
    pairings: Pool,
    watches_per_pairing: usize,
    by_pairing: Arc<Mutex<HashMap<PairingId, usize>>>,
    failed_joins: Tiers,
    creates: Tiers,
    unmetered: Networks,
    /// What was refused, by budget.
    pub(crate) refusals: Refusals,
}

#[derive(Debug)]
struct Budgets {
    joins: Rates,
    creates: Rates,
}

impl Guard {
    /// Starts with all budgets full.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let rates = |tiers| Rates::new(tiers, config.prefixes, config.unmetered.clone());
        Self {
            budgets: Mutex::new(Budgets {
                joins: rates(config.failed_joins),
                creates: rates(config.creates),
            }),
            watches: Pool::new(config.watches, &config.unmetered),
            calls: Pool::new(config.calls, &config.unmetered),
            kept: Pool::new(config.calls / 2, &config.unmetered),
            pairings: Pool::new(config.pairings, &config.unmetered),
            watches_per_pairing: config.watches_per_pairing,
            by_pairing: Arc::default(),
            failed_joins: config.failed_joins,
            creates: config.creates,
            unmetered: config.unmetered.clone(),
            refusals: Refusals::default(),
        }
    }

    /// What a join costs that fails, where several servers share their budgets.
    pub(crate) fn join_charges(&self, address: IpAddr) -> Vec<Charge> {
        self.charges("join", &self.failed_joins, address)
    }

    /// What a new pairing costs there.
    pub(crate) fn create_charges(&self, address: IpAddr) -> Vec<Charge> {
        self.charges("create", &self.creates, address)
    }

    fn charges(&self, what: &str, tiers: &Tiers, address: IpAddr) -> Vec<Charge> {
        if self.unmetered.contains(address) {
            return Vec::new();
        }
        let charge = |(prefix, limit): (Prefix, Limit)| {
            let (cost, most) = limit.times_to_refill();
            Charge {
                budget: format!("{what}:{prefix}"),
                cost,
                most,
            }
        };
        tiers.charged(address).map(charge).collect()
    }

    /// Begins a join. It counts as failed unless the attempt is told that it did not.
    ///
    /// # Errors
    /// How long to wait, if a budget is spent.
    pub fn join(&self, address: IpAddr, now: Timestamp) -> Result<JoinAttempt<'_>, Duration> {
        let paid = lock(&self.budgets).joins.take(address, 1, moment(now));
        let paid = paid.inspect_err(|_| self.refusals.count(Budget::Joins))?;
        Ok(JoinAttempt {
            guard: self,
            address,
            paid,
        })
    }

    /// Counts a new pairing.
    ///
    /// # Errors
    /// How long to wait, if a budget is spent.
    pub fn create(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut budgets = lock(&self.budgets);
        let paid = budgets.creates.take(address, 1, moment(now));
        paid.map(drop)
            .inspect_err(|_| self.refusals.count(Budget::Creates))
    }

    /// Takes a place among the watches, of this pairing and of all, until it is dropped; nothing if all are
    /// taken or the address has its share.
    #[must_use]
    pub fn watch(&self, pairing: PairingId, address: IpAddr) -> Option<WatchPlace> {
        let place = self.stream(address)?;
        let mut by_pairing = lock(&self.by_pairing);
        let open = by_pairing.get(&pairing).copied().unwrap_or(0);
        if open >= self.watches_per_pairing {
            self.refusals.count(Budget::Watches);
            return None;
        }
        by_pairing.insert(pairing, open + 1);
        Some(WatchPlace {
            by_pairing: Arc::clone(&self.by_pairing),
            pairing,
            _place: place,
        })
    }

    /// Takes a place for a stream that belongs to no pairing, among those of all watches.
    #[must_use]
    pub fn stream(&self, address: IpAddr) -> Option<Place> {
        self.within(&self.watches, address, Budget::Watches)
    }

    /// Takes a place for a pairing, until the place is dropped.
    ///
    /// # Errors
    /// [`Full`] says what stands in the way.
    pub fn pairing(&self, address: IpAddr) -> Result<Place, Full> {
        let place = self.pairings.take(address, 1);
        place.inspect_err(|why| {
            // With all places taken the store may still have room.
            if *why == Full::Share {
                self.refusals.count(Budget::Pairings);
            }
        })
    }

    /// Takes the places of a call that waits for a person: one of a watch, and one of the half of all calls
    /// that may wait.
    #[must_use]
    pub fn keep(&self, pairing: PairingId, address: IpAddr) -> Option<(WatchPlace, Place)> {
        let watch = self.watch(pairing, address)?;
        Some((watch, self.within(&self.kept, address, Budget::Calls)?))
    }

    /// Takes a place among the calls that are being answered.
    #[must_use]
    pub fn call(&self, address: IpAddr) -> Option<Place> {
        self.within(&self.calls, address, Budget::Calls)
    }

    fn within(&self, pool: &Pool, address: IpAddr, budget: Budget) -> Option<Place> {
        let place = pool.take(address, 1);
        place.inspect_err(|_| self.refusals.count(budget)).ok()
    }
}

/// A join that has begun. Dropped without a word, it failed.
#[derive(Debug)]
#[must_use]
pub struct JoinAttempt<'a> {
    guard: &'a Guard,
    address: IpAddr,
    paid: Paid,
}

impl JoinAttempt<'_> {
    /// Whether no failed join is on record for the address and its networks, but for this attempt.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.paid.is_clean()
    }

    /// It was no failed guess: it succeeded, or could not be tried.
    pub fn forgive(self) {
        let mut budgets = lock(&self.guard.budgets);
        budgets.joins.give_back(self.address, self.paid);
    }
}

/// A place among the watches.
#[derive(Debug)]
pub struct WatchPlace {
    by_pairing: Arc<Mutex<HashMap<PairingId, usize>>>,
    pairing: PairingId,
    _place: Place,
}

impl Drop for WatchPlace {
    fn drop(&mut self) {
        let mut by_pairing = lock(&self.by_pairing);
        match by_pairing.get_mut(&self.pairing) {
            Some(open) if *open > 1 => *open -= 1,
            Some(_) | None => drop(by_pairing.remove(&self.pairing)),
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

    fn elsewhere(network: u8) -> IpAddr {
        IpAddr::from([198, 51, network, 1])
    }

    #[test]
    fn at_most_half_of_the_calls_wait_for_a_person() {
        let guard = Guard::new(&Config {
            calls: 8,
            ..Config::default()
        });
        let keep = |at| guard.keep(PairingId::from_bytes([at; 16]), elsewhere(at));
        let kept: Vec<_> = (0..9).filter_map(keep).collect();
        assert_eq!(kept.len(), 4);
        assert_eq!(guard.watches.used(), 4, "who is not kept holds no watch");
        drop(kept);
        assert!(keep(9).is_some());
    }

    #[test]
    fn failures_are_counted_and_successes_are_not() {
        let guard = Guard::new(&Config::default());
        for _ in 0..100 {
            guard.join(address(1), NOW).unwrap().forgive();
        }
        assert!(guard.join(address(1), NOW).unwrap().is_clean());
        assert!(!guard.join(address(1), NOW).unwrap().is_clean());
        for _ in 0..18 {
            let _failed = guard.join(address(1), NOW).unwrap();
        }
        let wait = guard.join(address(1), NOW).unwrap_err();
        assert_eq!(wait.as_secs_f64().round(), 180.0);
        assert!(guard.join(address(2), NOW).is_ok());
        let later = NOW + Duration::from_secs(180);
        assert!(guard.join(address(1), later).is_ok());
    }

    #[test]
    fn attempts_at_once_cannot_overdraw() {
        let guard = Guard::new(&Config::default());
        let attempts: Vec<_> = (0..40)
            .filter_map(|_| guard.join(address(1), NOW).ok())
            .collect();
        assert_eq!(attempts.len(), 20);
    }

    /// Who fills a server with pairings degrades itself first.
    #[test]
    fn places_for_pairings_are_shared_and_come_back() {
        let guard = Guard::new(&Config {
            pairings: 320,
            ..Config::default()
        });
        let fill = |address: &dyn Fn(u8) -> IpAddr| -> Vec<_> {
            let taken = (0..=255).filter_map(|at| guard.pairing(address(at)).ok());
            taken.collect()
        };
        let mine = fill(&|_| address(1));
        assert_eq!(mine.len(), 160, "of one host: half of all");
        let others = fill(&elsewhere);
        assert!(others.len() >= 150, "{} of others", others.len());
        drop((mine, others));
        assert_eq!(guard.pairings.used(), 0);
        assert!(guard.pairing(address(1)).is_ok());
    }

    #[test]
    fn places_to_watch_are_bounded_and_come_back() {
        let guard = Guard::new(&Config {
            watches: 20,
            ..Config::default()
        });
        let id = |byte| PairingId::from_bytes([byte; 16]);
        let mut places: Vec<_> = (0..9)
            .filter_map(|_| guard.watch(id(1), address(1)))
            .collect();
        assert_eq!(places.len(), 8, "of one pairing");
        places.extend((2..9).filter_map(|pairing| guard.watch(id(pairing), address(1))));
        assert_eq!(places.len(), 10, "of one host");
        assert!(guard.stream(address(1)).is_none(), "of one host");
        places.extend((2..99).filter_map(|at| guard.watch(id(at), elsewhere(at))));
        assert_eq!(places.len(), 20, "overall");
        places.clear();
        assert!(guard.watch(id(1), address(1)).is_some());
        assert!(lock(&guard.by_pairing).is_empty());
        assert_eq!(guard.watches.used(), 0);
    }
}
