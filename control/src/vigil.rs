//! Who shows signs of life.
//!
//! A sign lasts: a watch that is open, a leg that is attached. The store is told when half of the
//! time is used, and once when the last sign is over, so that a pairing that is watched for an hour
//! costs no write per second and still expires its full time after the last sign.
//!
//! ```text
//! watch, leg ──▶ open: 1, 2, 1, 0 ──▶ house keeping, every few seconds: those that are due
//!                                         └──▶ Alive, committed ──▶ due again at half of the new time
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::time::Timestamp;

use crate::service::Clock;

/// The signs. A clone is another handle on the same ones. Holds an entry for each open sign, and for
/// those that ended since the last house keeping.
#[derive(Clone)]
pub(crate) struct Vigil {
    inner: Arc<Mutex<HashMap<PairingId, Signs>>>,
    clock: Clock,
    /// After how long a new sign is written for the first time.
    first: Duration,
}

#[derive(Debug)]
struct Signs {
    /// How many are open, by [`Role::index`].
    watches: [usize; 2],
    legs: [bool; 2],
    /// When the last one of each role was seen, if one has ended since it was written.
    ended: [Option<Timestamp>; 2],
    due: Timestamp,
}

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) pairing: PairingId,
    pub(crate) role: Role,
    pub(crate) seen: Timestamp,
    /// Whether it has a leg.
    pub(crate) online: bool,
}

impl Vigil {
    /// Nobody shows signs. New ones are written after half of the shortest life.
    pub(crate) fn new(clock: Clock, shortest: Duration) -> Self {
        Self {
            inner: Arc::default(),
            clock,
            first: shortest / 2,
        }
    }

    /// A watch is open, until the sign is dropped.
    pub(crate) fn watch(&self, pairing: PairingId, role: Role) -> Sign {
        let due = (self.clock)() + self.first;
        let mut inner = self.lock();
        let signs = inner.entry(pairing).or_insert_with(|| Signs::new(due));
        signs.watches[role.index()] += 1;
        Sign {
            vigil: self.clone(),
            pairing,
            role,
        }
    }

    /// How many watches are open.
    pub(crate) fn watches(&self) -> usize {
        let signs = self.lock();
        signs.values().flat_map(|signs| signs.watches).sum()
    }

    /// A leg came or went. The pairing itself is told by its presence.
    pub(crate) fn leg(&self, pairing: PairingId, role: Role, online: bool) {
        let now = (self.clock)();
        let mut inner = self.lock();
        if online {
            let signs = inner.entry(pairing);
            let signs = signs.or_insert_with(|| Signs::new(now + self.first));
            if !std::mem::replace(&mut signs.legs[role.index()], true) {
                // The pairing may have been joined since it was written.
                signs.due = signs.due.min(now + self.first);
            }
        } else if let Some(signs) = inner.get_mut(&pairing)
            && std::mem::take(&mut signs.legs[role.index()])
        {
            signs.ended[role.index()] = Some(now);
        }
    }

    /// A code was redeemed, and from now on the pairing may live less long than the code would have.
    pub(crate) fn joined(&self, pairing: PairingId) {
        let due = (self.clock)() + self.first;
        if let Some(signs) = self.lock().get_mut(&pairing) {
            signs.due = signs.due.min(due);
        }
    }

    /// What is to be written now. Signs that have ended are named once and forgotten.
    pub(crate) fn due(&self) -> Vec<Due> {
        let now = (self.clock)();
        let mut all = Vec::new();
        self.lock().retain(|pairing, signs| {
            for role in Role::BOTH {
                let open = signs.is_open(role);
                let ended = signs.ended[role.index()].take();
                let seen = if open && now >= signs.due {
                    Some(now)
                } else if open {
                    None
                } else {
                    ended
                };
                all.extend(seen.map(|seen| Due {
                    pairing: *pairing,
                    role,
                    seen,
                    online: signs.legs[role.index()],
                }));
            }
            Role::BOTH.iter().any(|role| signs.is_open(*role))
        });
        all
    }

    /// It was written, and the pairing expires then; or there is no such pairing any more.
    pub(crate) fn written(&self, pairing: PairingId, expires_at: Option<Timestamp>) {
        let now = (self.clock)();
        if let Some(signs) = self.lock().get_mut(&pairing) {
            let left = expires_at.map_or(GONE, |end| end.saturating_since(now));
            signs.due = now + left / 2;
        }
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, HashMap<PairingId, Signs>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signs of a pairing that is gone end soon; until then nobody asks for it more often than this.
const GONE: Duration = Duration::from_secs(600);

impl Signs {
    fn new(due: Timestamp) -> Self {
        Self {
            watches: [0; 2],
            legs: [false; 2],
            ended: [None; 2],
            due,
        }
    }

    fn is_open(&self, role: Role) -> bool {
        self.watches[role.index()] > 0 || self.legs[role.index()]
    }
}

/// An open watch.
pub(crate) struct Sign {
    vigil: Vigil,
    pairing: PairingId,
    role: Role,
}

impl Drop for Sign {
    fn drop(&mut self) {
        let now = (self.vigil.clock)();
        if let Some(signs) = self.vigil.lock().get_mut(&self.pairing) {
            let open = &mut signs.watches[self.role.index()];
            *open = open.saturating_sub(1);
            signs.ended[self.role.index()] = Some(now);
        }
    }
}
