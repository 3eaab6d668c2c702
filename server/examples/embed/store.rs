//! A store of the embedder's own: it counts, and leaves the keeping to another one. A store over a database
//! implements the same seven methods; `peersox_control` says what each has to hold to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use peersox_server::store::*;

/// Keeps pairings in memory, and counts how many codes were redeemed.
#[derive(Default)]
pub struct Counting {
    inner: Memory,
    meetings: Meetings,
}

/// A number that the store and the routes share.
#[derive(Clone, Default)]
pub struct Meetings(Arc<AtomicU64>);

impl Meetings {
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counting {
    pub fn meetings(&self) -> Meetings {
        self.meetings.clone()
    }
}

impl Store for Counting {
    async fn commit(&self, commit: Commit, now: Timestamp) -> Result<Outcome, StoreError> {
        let joined = commit.event == Some(Event::Joined);
        let outcome = self.inner.commit(commit, now).await?;
        if joined && outcome == Outcome::Committed {
            self.meetings.0.fetch_add(1, Relaxed);
        }
        Ok(outcome)
    }

    async fn load(&self, id: PairingId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        self.inner.load(id, now).await
    }

    async fn find(&self, plate: &Nameplate, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        self.inner.find(plate, now).await
    }

    async fn watch(&self, id: PairingId) -> Result<BoxStream<'static, Notice>, StoreError> {
        self.inner.watch(id).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        self.inner.sweep(now).await
    }

    async fn list(
        &self,
        after: Option<PairingId>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Stored>, StoreError> {
        self.inner.list(after, most, now).await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.inner.census().await
    }
}
