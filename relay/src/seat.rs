//! Room for legs: how many in all, per address, not admitted yet, and in a handshake of QUIC.
//!
//! A connection takes a [`Seat`] before anything is read from it and keeps it until its socket is
//! closed; until its Hello is accepted it holds a [`Pending`] as well. Both are given back by
//! dropping them. Once half of either is taken, a host or a network takes no more than its share
//! ([`peersox_core::limit`]): silent sockets of one network leave room for those of others.

use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use peersox_core::limit::{Networks, Place, Pool, Prefix};
use tokio::sync::Notify;

use crate::config::Config;
use crate::metrics::{Metrics, Transport};

/// All seats of a relay.
pub(crate) struct Seats {
    all: Pool,
    pending: Pool,
    handshakes: Pool,
    /// Told whenever a handshake gives its place back.
    handshake_over: Arc<Notify>,
    addresses: Arc<Mutex<HashMap<Prefix, usize>>>,
    per_address: usize,
    unmetered: Networks,
    metrics: Arc<Metrics>,
}

impl Seats {
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let pool = |most: usize| Pool::new(most as u64, &config.unmetered);
        Self {
            all: pool(config.max_legs),
            pending: pool(config.max_pending),
            handshakes: pool(config.max_handshakes),
            handshake_over: Arc::default(),
            addresses: Arc::default(),
            per_address: config.max_legs_per_address,
            unmetered: config.unmetered.clone(),
            metrics,
        }
    }

    /// Takes a seat for a connection from this address, unless one of the limits is reached.
    pub(crate) fn take(&self, address: IpAddr) -> Option<(Seat, Pending)> {
        let pending = self.pending.take(address, 1).ok()?;
        let all = self.all.take(address, 1).ok()?;
        let host = Prefix::of(address).next().map(|(_, prefix)| prefix);
        let host = host.filter(|_| !self.unmetered.contains(address));
        if let Some(host) = host {
            let mut addresses = lock(&self.addresses);
            let count = addresses.entry(host).or_default();
            if *count >= self.per_address {
                return None;
            }
            *count += 1;
        }
        self.metrics.leg_opened();
        let seat = Seat {
            _all: all,
            address,
            host,
            addresses: Arc::clone(&self.addresses),
            metrics: Arc::clone(&self.metrics),
            companion: None,
            admitted: None,
        };
        Some((seat, Pending { _place: pending }))
    }

    /// Takes a place for a handshake of QUIC from this address, and waits while too many are under way.
    pub(crate) async fn handshake(&self, address: IpAddr) -> Handshake {
        loop {
            let mut over = pin!(self.handshake_over.notified());
            // What is given back between the look and the wait counts.
            over.as_mut().enable();
            if let Ok(place) = self.handshakes.take(address, 1) {
                let over = Arc::clone(&self.handshake_over);
                return Handshake {
                    place: Some(place),
                    over,
                };
            }
            over.await;
        }
    }
}

/// A handshake's place. Dropping it gives the place back.
pub(crate) struct Handshake {
    place: Option<Place>,
    over: Arc<Notify>,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        drop(self.place.take());
        // All of them look: the place may be one that some may not have.
        self.over.notify_waiters();
    }
}

/// One leg's place. Dropping it gives the place back.
pub(crate) struct Seat {
    _all: Place,
    address: IpAddr,
    /// Whose count it is in.
    host: Option<Prefix>,
    addresses: Arc<Mutex<HashMap<Prefix, usize>>>,
    metrics: Arc<Metrics>,
    companion: Option<Companion>,
    /// What carries the leg, once it was admitted.
    admitted: Option<Transport>,
}

impl Seat {
    /// Whom the leg is charged to.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Keeps something for as long as the leg lives.
    pub(crate) fn keep(&mut self, companion: Option<Companion>) {
        self.companion = companion;
    }

    /// Counts the leg as admitted, and as attached until the seat is given back.
    pub(crate) fn admit(&mut self, transport: Transport) {
        self.metrics.admitted(transport);
        self.admitted = Some(transport);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut addresses = lock(&self.addresses);
        if let Some(host) = self.host
            && let Some(count) = addresses.get_mut(&host)
        {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&host);
            }
        }
        if let Some(transport) = self.admitted {
            self.metrics.detached(transport);
        }
        self.metrics.leg_closed();
    }
}

/// Something that has to live as long as a leg: the HTTP server puts it into the extensions of a request, and
/// the relay drops it when the leg that the request became is gone.
#[derive(Clone)]
pub struct Companion(
    #[expect(dead_code, reason = "it is held, not read")] Arc<dyn Any + Send + Sync>,
);

impl Companion {
    /// Wraps what is to be held.
    #[must_use]
    pub fn new(held: Arc<dyn Any + Send + Sync>) -> Self {
        Self(held)
    }
}

/// The right to be open without an accepted Hello.
pub(crate) struct Pending {
    _place: Place,
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
        let elsewhere = "198.51.100.1".parse().unwrap();
        let (_first, pending) = seats.take(address).unwrap();
        assert!(seats.take(elsewhere).is_none());
        drop(pending);
        let (_second, pending) = seats.take(elsewhere).unwrap();
        drop(pending);
        assert!(seats.take(address).is_none(), "two legs are the limit");
    }

    #[test]
    fn silent_legs_of_one_network_leave_room_for_others() {
        let seats = seats(&Config::default());
        let take = |address: IpAddr| seats.take(address);
        let one = [127, 0, 0, 2].into();
        let held: Vec<_> = (0..1_000).filter_map(|_| take(one)).collect();
        assert_eq!(held.len(), 500);
        for person in ["127.0.0.1", "198.51.100.1", "2001:db8::1"] {
            assert!(take(person.parse().unwrap()).is_some(), "{person}");
        }
        let unmetered = Config {
            unmetered: ["127.0.0.0/8".parse().unwrap()].into_iter().collect(),
            ..Config::default()
        };
        let seats = self::seats(&unmetered);
        let held: Vec<_> = (0..1_200).filter_map(|_| seats.take(one)).collect();
        assert_eq!(held.len(), 1_000);
    }
}
