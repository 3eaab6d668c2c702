//! Room for legs: how many in all, per address, and not admitted yet.
//!
//! A connection takes a [`Seat`] before anything is read from it and keeps it until its socket is
//! closed; until its Hello is accepted it holds a [`Pending`] as well. Both are given back by
//! dropping them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::metrics::Metrics;

/// All seats of a relay.
pub(crate) struct Seats {
    all: Arc<Semaphore>,
    pending: Arc<Semaphore>,
    addresses: Arc<Mutex<HashMap<Network, usize>>>,
    per_address: usize,
    max_pending: usize,
    metrics: Arc<Metrics>,
}

impl Seats {
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.max_legs)),
            pending: Arc::new(Semaphore::new(config.max_pending)),
            addresses: Arc::default(),
            per_address: config.max_legs_per_address,
            max_pending: config.max_pending,
            metrics,
        }
    }

    /// Takes a seat for a connection from this address, unless one of the limits is reached.
    pub(crate) fn take(&self, address: IpAddr) -> Option<(Seat, Pending)> {
        let pending = Arc::clone(&self.pending).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let network = Network::of(address);
        let mut addresses = lock(&self.addresses);
        let count = addresses.entry(network).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        drop(addresses);
        self.metrics.leg_opened();
        let seat = Seat {
            _all: all,
            network,
            addresses: Arc::clone(&self.addresses),
            metrics: Arc::clone(&self.metrics),
        };
        Some((seat, Pending { _permit: pending }))
    }

    /// Whether so many connections are not admitted yet that new ones should prove their address.
    pub(crate) fn is_crowded(&self) -> bool {
        self.pending.available_permits() < self.max_pending / 2
    }
}

/// One leg's place. Dropping it gives the place back.
pub(crate) struct Seat {
    _all: OwnedSemaphorePermit,
    network: Network,
    addresses: Arc<Mutex<HashMap<Network, usize>>>,
    metrics: Arc<Metrics>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut addresses = lock(&self.addresses);
        if let Some(count) = addresses.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.network);
            }
        }
        self.metrics.leg_closed();
    }
}

/// The right to be open without an accepted Hello.
pub(crate) struct Pending {
    _permit: OwnedSemaphorePermit,
}

/// What counts as one address: an IPv4 address, or the /64 that one IPv6 subscriber has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let prefix = address.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(prefix)))
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while the lock is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(config: &Config) -> Seats {
        Seats::new(config, Arc::default())
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let seats = seats(&Config {
            max_legs_per_address: 1,
            ..Config::default()
        });
        let seat = seats.take("192.0.2.1".parse().unwrap()).unwrap();
        assert!(seats.take("::ffff:192.0.2.1".parse().unwrap()).is_none());
        assert!(seats.take("192.0.2.2".parse().unwrap()).is_some());
        drop(seat);
        assert!(seats.take("192.0.2.1".parse().unwrap()).is_some());

        let _seat = seats.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(seats.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(seats.take("2001:db8:0:1::1".parse().unwrap()).is_some());
    }

    #[test]
    fn a_pending_place_is_free_again_after_admission() {
        let seats = seats(&Config {
            max_pending: 1,
            max_legs: 2,
            ..Config::default()
        });
        let address = "192.0.2.1".parse().unwrap();
        let (_first, pending) = seats.take(address).unwrap();
        assert!(seats.is_crowded() || seats.take(address).is_none());
        drop(pending);
        let (_second, pending) = seats.take(address).unwrap();
        drop(pending);
        assert!(seats.take(address).is_none(), "two legs are the limit");
    }
}
