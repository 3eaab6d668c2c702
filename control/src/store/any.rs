//! The store that was chosen when the process started.

use futures_util::stream::BoxStream;
use peersox_core::code::{Census, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::time::Timestamp;

use super::{
    Charge, Charged, Commit, File, Memory, Notice, Outcome, Redis, Store, StoreError, Stored,
};

/// One of the stores there are.
#[derive(Debug)]
pub enum AnyStore {
    /// Gone when the process ends.
    Memory(Memory),
    /// In a file.
    File(File),
    /// In Redis.
    Redis(Redis),
}

impl Store for AnyStore {
    async fn load(&self, id: PairingId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        match self {
            Self::Memory(store) => store.load(id, now).await,
            Self::File(store) => store.load(id, now).await,
            Self::Redis(store) => store.load(id, now).await,
        }
    }

    async fn find(
        &self,
        nameplate: &Nameplate,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        match self {
            Self::Memory(store) => store.find(nameplate, now).await,
            Self::File(store) => store.find(nameplate, now).await,
            Self::Redis(store) => store.find(nameplate, now).await,
        }
    }

    async fn commit(&self, commit: Commit, now: Timestamp) -> Result<Outcome, StoreError> {
        match self {
            Self::Memory(store) => store.commit(commit, now).await,
            Self::File(store) => store.commit(commit, now).await,
            Self::Redis(store) => store.commit(commit, now).await,
        }
    }

    async fn watch(&self, id: PairingId) -> Result<BoxStream<'static, Notice>, StoreError> {
        match self {
            Self::Memory(store) => store.watch(id).await,
            Self::File(store) => store.watch(id).await,
            Self::Redis(store) => store.watch(id).await,
        }
    }

    async fn list(
        &self,
        after: Option<PairingId>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Stored>, StoreError> {
        match self {
            Self::Memory(store) => store.list(after, most, now).await,
            Self::File(store) => store.list(after, most, now).await,
            Self::Redis(store) => store.list(after, most, now).await,
        }
    }

    async fn census(&self) -> Result<Census, StoreError> {
        match self {
            Self::Memory(store) => store.census().await,
            Self::File(store) => store.census().await,
            Self::Redis(store) => store.census().await,
        }
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.sweep(now).await,
            Self::File(store) => store.sweep(now).await,
            Self::Redis(store) => store.sweep(now).await,
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Memory(store) => store.is_ready(),
            Self::File(store) => store.is_ready(),
            Self::Redis(store) => store.is_ready(),
        }
    }

    async fn charge(&self, charge: &Charge) -> Result<Charged, StoreError> {
        match self {
            Self::Memory(store) => store.charge(charge).await,
            Self::File(store) => store.charge(charge).await,
            Self::Redis(store) => store.charge(charge).await,
        }
    }

    async fn refund(&self, charge: &Charge) {
        match self {
            Self::Memory(store) => store.refund(charge).await,
            Self::File(store) => store.refund(charge).await,
            Self::Redis(store) => store.refund(charge).await,
        }
    }

    async fn was_revoked(&self, id: PairingId) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => store.was_revoked(id).await,
            Self::File(store) => store.was_revoked(id).await,
            Self::Redis(store) => store.was_revoked(id).await,
        }
    }
}
