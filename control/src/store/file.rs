//! The store of a single node: everything in one file, still there when the process is killed.
//!
//! ```text
//! load, find ── a thread for blocking work ── read transaction ──┐
//!                                                                ├── redb ── FILE
//! commit, sweep ── queue ── writer thread ── write transaction ──┘
//!                                  └── events to those who watch, once they are stored
//! ```
//!
//! `record` is what a pairing looks like at rest, `tables` are the rules within a transaction,
//! `writer` is the one thread that writes, `open` decides whether a file is ours.
//!
//! A commit is answered when it would survive a power cut, with two exceptions, which are written with
//! the next other commit or sweep: that a peer came or went, which means nothing to the next process,
//! as it begins with nobody attached; and that a pairing lives longer, which costs some of that time.

mod open;
mod record;
mod tables;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::BoxStream;
use peersox_core::code::{Census, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::pairing::{Config, Write};
use peersox_core::time::Timestamp;
use redb::{Database, ReadTransaction, ReadableDatabase as _};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::watchers::Watchers;
use super::{Commit, Memory, Notice, Outcome, Store, StoreError, Stored};
use writer::{Work, Writer};

pub use open::OpenError;

/// Keeps up to a fixed number of pairings in a file that no other process has open.
///
/// Dropping it waits until what was committed is written, some milliseconds, and closes the file.
#[derive(Debug)]
pub struct File {
    writer: Writer,
    database: Arc<Database>,
    watchers: Arc<Mutex<Watchers>>,
    readers: Arc<Semaphore>,
    secret: Zeroizing<[u8; 32]>,
}

impl File {
    /// How many pairings [`File::open`] makes room for: as many as a process keeps in memory.
    pub const DEFAULT_MAX: usize = Memory::DEFAULT_MAX;

    /// Opens the file, or creates it readable by its owner only. Whoever was attached to a relay
    /// is no longer, and has from `now` on the time of `config` to come back.
    ///
    /// A file that a killed process left behind is repaired and verified, which reads all of it:
    /// call it at start-up, and expect a second for a hundred thousand pairings.
    ///
    /// # Errors
    /// [`OpenError`] if the file is not ours, not readable, damaged, or in use.
    pub async fn open(
        path: impl Into<PathBuf>,
        config: &Config,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        Self::with_room(path, config, now, Self::DEFAULT_MAX).await
    }

    async fn with_room(
        path: impl Into<PathBuf>,
        config: &Config,
        now: Timestamp,
        max: usize,
    ) -> Result<Self, OpenError> {
        let (path, config) = (path.into(), *config);
        let opening = tokio::task::spawn_blocking(move || {
            let (database, secret) = open::open(&path, &config, now)?;
            let (database, watchers) = (Arc::new(database), Arc::default());
            let writer = Writer::start(Arc::clone(&database), Arc::clone(&watchers), max)
                .map_err(|error| OpenError::Unreadable { path, error })?;
            Ok(Self {
                writer,
                database,
                watchers,
                readers: Arc::new(Semaphore::new(READERS)),
                secret,
            })
        });
        opening.await.map_err(|_| OpenError::Interrupted)?
    }

    /// 32 random bytes that were drawn when the file was created: whatever has to be the same after
    /// a restart is derived from them.
    #[must_use]
    pub const fn secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret
    }

    /// What replaces the secret while this store belongs to a server.
    #[must_use]
    pub fn kept_secret(&self) -> KeptSecret {
        KeptSecret(Arc::clone(&self.database))
    }

    /// Reads off the asynchronous threads: the disk may take its time.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Never closed, so waiting fails in no case. Who waits is bounded by the calls in progress.
        let turn = Arc::clone(&self.readers).acquire_owned().await;
        let database = Arc::clone(&self.database);
        let reading = move || {
            // The thread has the turn: it goes on reading when the caller has gone.
            let _turn = turn;
            look(&database.begin_read().map_err(failed)?)
        };
        let read = tokio::task::spawn_blocking(reading).await;
        read.map_err(|_| StoreError("reading was broken off".to_owned()))?
    }
}

/// The secret in a [`File`], which stays open as long as this is there.
#[derive(Clone, Debug)]
pub struct KeptSecret(Arc<Database>);

impl KeptSecret {
    /// Draws another secret and keeps it in the place of the present one. What follows from it changes where
    /// the caller uses it, and everywhere with the next process.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written; the present one stays.
    pub async fn renew(&self) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let database = Arc::clone(&self.0);
        let renewing = tokio::task::spawn_blocking(move || open::renew_secret(&database));
        renewing
            .await
            .map_err(|_| StoreError("the store is shutting down".to_owned()))?
    }
}

impl Store for File {
    async fn load(&self, id: PairingId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        self.read(move |transaction| tables::load(transaction, id, now))
            .await
    }

    async fn find(
        &self,
        nameplate: &Nameplate,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let nameplate = nameplate.clone();
        self.read(move |transaction| tables::find(transaction, &nameplate, now))
            .await
    }

    async fn commit(&self, commit: Commit, now: Timestamp) -> Result<Outcome, StoreError> {
        if commit.write == Write::Nothing {
            return Ok(Outcome::Committed);
        }
        self.writer
            .carry_out(Work::Commit(Box::new(commit)), now)
            .await
    }

    async fn watch(&self, id: PairingId) -> Result<BoxStream<'static, Notice>, StoreError> {
        Ok(lock(&self.watchers).watch(id))
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        self.writer.carry_out(Work::Sweep, now).await?;
        lock(&self.watchers).tidy();
        Ok(())
    }

    async fn list(
        &self,
        after: Option<PairingId>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Stored>, StoreError> {
        self.read(move |transaction| tables::list(transaction, after, most, now))
            .await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.read(tables::census).await
    }
}

/// Never held while the disk is waited for. No critical section leaves half a change behind, so a
/// poisoned lock is as good as new.
fn lock(watchers: &Mutex<Watchers>) -> std::sync::MutexGuard<'_, Watchers> {
    watchers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads at a time: each takes a thread for as long as the disk takes.
const READERS: usize = 32;

/// What the database says went wrong.
fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError(error.into().to_string())
}

#[cfg(test)]
mod tests;
