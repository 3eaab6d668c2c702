//! A store whose calls are counted.

use futures_util::stream::BoxStream;
use peersox_core::code::{Census, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::time::Timestamp;
use tokio::time::Instant;

use super::{Charge, Charged, Commit, Notice, Outcome, Store, StoreError, Stored};
use crate::metrics::{Call, Ended, Metrics};

/// The store, and where its calls are counted.
pub(crate) struct Measured<S> {
    pub(crate) store: S,
    pub(crate) metrics: Metrics,
}

impl<S> Measured<S> {
    async fn count<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, StoreError>> + Send,
        judge: impl FnOnce(&T) -> Ended + Send,
    ) -> Result<T, StoreError> {
        let mut running = Running {
            metrics: &self.metrics,
            call,
            began: Instant::now(),
            ended: Ended::Abandoned,
        };
        let done = work.await;
        running.ended = done.as_ref().map_or(Ended::Failed, judge);
        done
    }
}

/// A call that is counted when it ends, or is dropped.
struct Running<'a> {
    metrics: &'a Metrics,
    call: Call,
    began: Instant,
    ended: Ended,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.metrics
            .store_called(self.call, self.ended, self.began.elapsed());
    }
}

fn ok<T>(_: &T) -> Ended {
    Ended::Ok
}

impl<S: Store> Store for Measured<S> {
    async fn load(&self, id: PairingId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        self.count(Call::Load, self.store.load(id, now), ok).await
    }

    async fn find(
        &self,
        nameplate: &Nameplate,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let finding = self.store.find(nameplate, now);
        self.count(Call::Find, finding, ok).await
    }

    async fn commit(&self, commit: Commit, now: Timestamp) -> Result<Outcome, StoreError> {
        let committing = self.store.commit(commit, now);
        let judge = |outcome: &Outcome| match outcome {
            Outcome::Committed => Ended::Ok,
            Outcome::Conflict | Outcome::NameplateTaken => Ended::Conflict,
            Outcome::Full => Ended::Refused,
        };
        self.count(Call::Commit, committing, judge).await
    }

    async fn watch(&self, id: PairingId) -> Result<BoxStream<'static, Notice>, StoreError> {
        self.count(Call::Watch, self.store.watch(id), ok).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        self.count(Call::Sweep, self.store.sweep(now), ok).await
    }

    async fn list(
        &self,
        after: Option<PairingId>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Stored>, StoreError> {
        let listing = self.store.list(after, most, now);
        self.count(Call::List, listing, ok).await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.count(Call::Census, self.store.census(), ok).await
    }

    async fn charge(&self, charge: &Charge) -> Result<Charged, StoreError> {
        let judge = |charged: &Charged| match charged {
            Charged::Unshared | Charged::Spent(_) => Ended::Ok,
            Charged::Refused(_) => Ended::Refused,
        };
        self.count(Call::Charge, self.store.charge(charge), judge)
            .await
    }

    async fn refund(&self, charge: &Charge) {
        self.store.refund(charge).await;
    }

    async fn was_revoked(&self, id: PairingId) -> Result<bool, StoreError> {
        self.store.was_revoked(id).await
    }

    fn is_ready(&self) -> bool {
        self.store.is_ready()
    }
}
