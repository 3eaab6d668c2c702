//! Pairings that were revoked here of late, for relays that were away when they were told.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use peersox_core::id::PairingId;

/// The newest [`MOST`] of them.
#[derive(Debug, Default)]
pub(crate) struct Revoked(Mutex<(HashSet<PairingId>, VecDeque<PairingId>)>);

impl Revoked {
    pub(crate) fn add(&self, pairing: PairingId) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (set, order) = &mut *inner;
        if set.insert(pairing) {
            order.push_back(pairing);
        }
        if order.len() > MOST
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
    }

    pub(crate) fn has(&self, pairing: PairingId) -> bool {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.contains(&pairing)
    }
}

/// Ids are never used twice, and a relay is away for moments, so the newest are enough.
const MOST: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let revoked = Revoked::default();
        let id = |at: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(at as u64).to_be_bytes());
            PairingId::from_bytes(bytes)
        };
        for at in 0..=MOST {
            revoked.add(id(at));
            revoked.add(id(at));
        }
        assert!(!revoked.has(id(0)));
        assert!(revoked.has(id(1)) && revoked.has(id(MOST)));
    }
}
