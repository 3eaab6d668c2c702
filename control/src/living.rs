//! Who holds how many of the places for pairings that live.
//!
//! A place is taken when a pairing is created, and given back when it is revoked, or found to be gone
//! once its time was over: house keeping looks at each pairing when it should expire, and again at
//! its new end if it lives longer. Pairings from before a restart hold no place.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use peersox_core::id::PairingId;
use peersox_core::limit::Place;
use peersox_core::time::Timestamp;

/// The places that are taken. As many entries as the guard has places.
#[derive(Debug, Default)]
pub(crate) struct Living(Mutex<HashMap<PairingId, Held>>);

#[derive(Debug)]
struct Held {
    expires_at: Timestamp,
    _place: Place,
}

impl Living {
    /// A pairing holds a place from now on.
    pub(crate) fn hold(&self, pairing: PairingId, place: Place, expires_at: Timestamp) {
        let held = Held {
            expires_at,
            _place: place,
        };
        self.lock().insert(pairing, held);
    }

    /// Pairings that should be gone by now.
    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<PairingId> {
        let held = self.lock();
        let overdue = held.iter().filter(|(_, held)| held.expires_at <= now);
        overdue.map(|(pairing, _)| *pairing).collect()
    }

    /// When a pairing expires now; nothing if it is gone.
    pub(crate) fn found(&self, pairing: PairingId, expires_at: Option<Timestamp>) {
        let mut places = self.lock();
        match (expires_at, places.get_mut(&pairing)) {
            (Some(expires_at), Some(held)) => held.expires_at = expires_at,
            (None, Some(_)) => drop(places.remove(&pairing)),
            (_, None) => {}
        }
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, HashMap<PairingId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
