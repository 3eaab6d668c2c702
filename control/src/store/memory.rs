//! The store of a single process: everything in memory, gone when the process ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::BoxStream;
use peersox_core::code::{Census, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::pairing::{Pairing, Worth, Write};
use peersox_core::time::Timestamp;

use super::watchers::Watchers;
use super::{Commit, Notice, Outcome, Store, StoreError, Stored, Version};

/// Keeps up to a fixed number of pairings in memory.
///
/// What is over is forgotten with the next commit or sweep, and never found before that.
#[derive(Debug)]
pub struct Memory {
    max: usize,
    inner: Mutex<Inner>,
}

impl Memory {
    /// How many pairings [`Memory::default`] has room for: at about half a kilobyte each, 50 MB.
    pub const DEFAULT_MAX: usize = 100_000;

    /// An empty store with room for `max` pairings.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max,
            inner: Mutex::default(),
        }
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Self::DEFAULT_MAX)
    }
}

impl Store for Memory {
    async fn load(&self, id: PairingId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        Ok(self.lock().living(id, now).cloned())
    }

    async fn find(
        &self,
        nameplate: &Nameplate,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let inner = self.lock();
        let id = inner.nameplates.get(nameplate).copied();
        Ok(id.and_then(|id| inner.living(id, now).cloned()))
    }

    async fn commit(&self, commit: Commit, now: Timestamp) -> Result<Outcome, StoreError> {
        let mut inner = self.lock();
        inner.forget_until(now);
        Ok(inner.commit(commit, self.max))
    }

    async fn watch(&self, id: PairingId) -> Result<BoxStream<'static, Notice>, StoreError> {
        Ok(self.lock().watchers.watch(id))
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.forget_until(now);
        inner.watchers.tidy();
        Ok(())
    }

    async fn list(
        &self,
        after: Option<PairingId>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Stored>, StoreError> {
        let inner = self.lock();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = inner
            .pairings
            .range::<PairingId, _>((after, Bound::Unbounded));
        let behind = range.map(|(_, stored)| stored);
        let living = behind.filter(|stored| now < stored.pairing.expires_at());
        Ok(living.take(most).cloned().collect())
    }

    async fn census(&self) -> Result<Census, StoreError> {
        let inner = self.lock();
        let mut census = Census::default();
        for (nameplate, id) in &inner.nameplates {
            let stored = inner.pairings.get(id);
            let bits = stored.and_then(|stored| stored.pairing.secret_bits());
            census.add(nameplate.digits(), bits.unwrap_or(0));
        }
        Ok(census)
    }
}

/// One entry in `expiry` per pairing, one in `nameplates` per waiting one, one in `spare` per pairing
/// that nobody would miss.
#[derive(Debug, Default)]
struct Inner {
    pairings: BTreeMap<PairingId, Stored>,
    nameplates: HashMap<Nameplate, PairingId>,
    expiry: BTreeSet<(Timestamp, PairingId)>,
    spare: BTreeSet<(Worth, Timestamp, PairingId)>,
    watchers: Watchers,
}

impl Inner {
    fn living(&self, id: PairingId, now: Timestamp) -> Option<&Stored> {
        self.pairings
            .get(&id)
            .filter(|stored| now < stored.pairing.expires_at())
    }

    fn commit(&mut self, commit: Commit, max: usize) -> Outcome {
        let (id, next) = match commit.write {
            Write::Nothing => return Outcome::Committed,
            Write::Put(pairing) | Write::Prolong(pairing) => (pairing.id(), Some(pairing)),
            Write::Remove(id) => (id, None),
        };
        let current = self.pairings.get(&id).map(|stored| stored.version);
        if current != commit.expected {
            return Outcome::Conflict;
        }
        if let Some(next) = &next {
            let holder = next.nameplate().and_then(|n| self.nameplates.get(n));
            if holder.is_some_and(|holder| *holder != id) {
                return Outcome::NameplateTaken;
            }
            if current.is_none() && self.pairings.len() >= max && !self.make_room() {
                return Outcome::Full;
            }
        }
        let version = current.map_or(Version::FIRST, Version::next);
        self.forget(id);
        if let Some(pairing) = next {
            self.remember(pairing, version);
        }
        if let Some(event) = commit.event {
            self.watchers.tell(id, version, event);
        }
        Outcome::Committed
    }

    fn remember(&mut self, pairing: Pairing, version: Version) {
        let id = pairing.id();
        if let Some(nameplate) = pairing.nameplate() {
            self.nameplates.insert(nameplate.clone(), id);
        }
        self.expiry.insert((pairing.expires_at(), id));
        if pairing.worth() < Worth::Wanted {
            let key = (pairing.worth(), pairing.expires_at(), id);
            self.spare.insert(key);
        }
        self.pairings.insert(id, Stored { pairing, version });
    }

    fn forget(&mut self, id: PairingId) {
        let Some(Stored { pairing, .. }) = self.pairings.remove(&id) else {
            return;
        };
        let end = pairing.expires_at();
        self.expiry.remove(&(end, id));
        self.spare.remove(&(pairing.worth(), end, id));
        if let Some(nameplate) = pairing.nameplate() {
            self.nameplates.remove(nameplate);
        }
    }

    /// Forgets the pairing that is worth least, if nobody would miss it.
    fn make_room(&mut self) -> bool {
        let Some(&(_, _, id)) = self.spare.first() else {
            return false;
        };
        self.forget(id);
        self.watchers.over(id);
        true
    }

    /// Each pairing is forgotten once, so a commit pays for no more than it once added.
    fn forget_until(&mut self, now: Timestamp) {
        while let Some(&(expires_at, id)) = self.expiry.first()
            && expires_at <= now
        {
            self.forget(id);
            self.watchers.over(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use peersox_core::pairing::Event;

    use super::*;
    use crate::store::contract;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory_keeps_the_contract() {
        contract::check(async || Memory::default()).await;
    }

    #[tokio::test]
    async fn a_full_memory_keeps_the_contract() {
        contract::check_full(async || Memory::new(3)).await;
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let store = Memory::new(2);
        let now = contract::START;
        let full = |pairing| contract::put(None, contract::present(&pairing, true, now), None);
        for expected in [Outcome::Committed, Outcome::Committed, Outcome::Full] {
            let created = full(contract::create(now).0);
            assert_eq!(store.commit(created, now).await.unwrap(), expected);
        }
        let later = now + contract::CODE_TTL;
        let created = full(contract::create(later).0);
        let outcome = store.commit(created, later).await.unwrap();
        assert_eq!(outcome, Outcome::Committed, "what is over makes room");
        let inner = store.lock();
        assert_eq!((inner.pairings.len(), inner.expiry.len()), (1, 1));
        assert_eq!((inner.nameplates.len(), inner.spare.len()), (1, 0));
    }

    #[tokio::test]
    async fn a_watcher_that_fell_behind_is_told_to_resync() {
        let store = Memory::default();
        let now = contract::START;
        let (pairing, _) = contract::create(now);
        let mut notices = store.watch(pairing.id()).await.unwrap();
        store
            .commit(contract::put(None, pairing.clone(), None), now)
            .await
            .unwrap();
        for version in 1..=40 {
            let commit = contract::put(
                Some(Version::numbered(version)),
                pairing.clone(),
                Some(Event::Joined),
            );
            store.commit(commit, now).await.unwrap();
        }
        assert_eq!(notices.next().await, Some(Notice::Resync));
        assert!(matches!(notices.next().await, Some(Notice::Happened(..))));
    }
}
