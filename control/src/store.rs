//! Where pairings are kept.
//!
//! A store decides nothing. It keeps a pairing with a version until its time is over, finds it by
//! name or by nameplate, and replaces it only if nobody else has since it was loaded:
//!
//! ```text
//! load / find ──▶ (pairing, version) ──▶ decide ──▶ commit(version, write, event)
//!      ▲                                                │
//!      └───────────────── Conflict ─────────────────────┤
//!                                                  Committed ──▶ event to all who watch
//! ```
//!
//! A commit is atomic: the pairing, the index of nameplates and the event happen together or not at
//! all. A waiting pairing's nameplate is reserved, so that no other can be created under it, until
//! it is joined, removed, or its time is over. `contract.rs` holds every store to this.
//!
//! A store has room for so many pairings. When it is full, a new one takes the place of the one that
//! is worth least ([`Worth`]): never of one that somebody uses, or wants kept.

mod any;
#[cfg(test)]
mod contract;
mod file;
mod measured;
mod memory;
mod redis;
mod watchers;

use std::time::Duration;

use futures_util::stream::BoxStream;
use peersox_core::code::{Census, Nameplate};
use peersox_core::id::PairingId;
#[cfg(doc)]
use peersox_core::pairing::Worth;
use peersox_core::pairing::{Event, Pairing, Write};
use peersox_core::time::Timestamp;

pub use any::AnyStore;
pub use file::{File, KeptSecret, OpenError};
pub(crate) use measured::Measured;
pub use memory::Memory;
pub use redis::{BadRedisUrl, ConnectError, Redis, RedisUrl};

/// Keeps pairings. Cheap to share; every method may be called at the same time.
pub trait Store: Send + Sync + 'static {
    /// The pairing with this name, unless its time is over.
    fn load(
        &self,
        id: PairingId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// The pairing that waits under this nameplate, unless its time is over.
    fn find(
        &self,
        nameplate: &Nameplate,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Writes if what is stored is still what was loaded, and tells those who watch.
    fn commit(
        &self,
        commit: Commit,
        now: Timestamp,
    ) -> impl Future<Output = Result<Outcome, StoreError>> + Send;

    /// What happens to a pairing from now on. Ends only if the store goes away.
    fn watch(
        &self,
        id: PairingId,
    ) -> impl Future<Output = Result<BoxStream<'static, Notice>, StoreError>> + Send;

    /// Forgets what is over. Called now and then; nothing depends on when.
    fn sweep(&self, now: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The pairings whose time is not over, in the order of their names, beginning with the first one behind
    /// `after`; `most` of them at most. A caller gets all by asking again behind the last one: those that
    /// come or go meanwhile may be missing or stale.
    fn list(
        &self,
        after: Option<PairingId>,
        most: usize,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Stored>, StoreError>> + Send;

    /// Counts the codes that wait. May count some whose time is over.
    fn census(&self) -> impl Future<Output = Result<Census, StoreError>> + Send;

    /// Charges a budget that all processes share which share the store. A store of one process shares
    /// nothing: the budgets of the process are all there are.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; it may have been charged.
    fn charge(&self, _charge: &Charge) -> impl Future<Output = Result<Charged, StoreError>> + Send {
        std::future::ready(Ok(Charged::Unshared))
    }

    /// Gives back what was charged for something that turned out not to count. What cannot be given back
    /// flows back by itself.
    fn refund(&self, _charge: &Charge) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Whether a pairing that is not there any more was revoked by another process in the last minutes. A
    /// store of one process does not know: the process does.
    fn was_revoked(&self, _id: PairingId) -> impl Future<Output = Result<bool, StoreError>> + Send {
        std::future::ready(Ok(false))
    }

    /// Whether calls can be expected to succeed now.
    fn is_ready(&self) -> bool {
        true
    }
}

/// What is charged to a budget. Both amounts are times in which so much flows back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The name of the budget.
    pub budget: String,
    /// What is added to what is spent.
    pub cost: Duration,
    /// What may be spent.
    pub most: Duration,
}

/// What became of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    /// There is no budget beside those of the process.
    Unshared,
    /// It was charged, and so much is spent now.
    Spent(Duration),
    /// Too much is spent already: wait for so long.
    Refused(Duration),
}

/// A pairing as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What is stored.
    pub pairing: Pairing,
    /// Which state of it.
    pub version: Version,
}

/// Names one state of one pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// Numbers the states of one pairing, from 1.
    pub number: u64,
    /// Tells apart two states with one number. A store that never loses what it has answered has 0 here; one
    /// that may draws it anew for each commit, so that what was written in place of a lost state cannot be
    /// mistaken for it.
    pub stamp: u64,
}

impl Version {
    /// The first state, in a store that loses nothing.
    pub const FIRST: Self = Self::numbered(1);

    /// A state of a store that loses nothing.
    #[must_use]
    pub const fn numbered(number: u64) -> Self {
        Self { number, stamp: 0 }
    }

    /// The state after this one, in a store that loses nothing.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::numbered(self.number + 1)
    }

    /// Whether an event of this state is news to one who knows the pairing in the other state.
    #[must_use]
    pub const fn is_news_to(self, known: Self) -> bool {
        self.number > known.number || (self.number == known.number && self.stamp != known.stamp)
    }
}

/// A decision to be stored.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What was loaded; nothing for a pairing that does not exist yet.
    pub expected: Option<Version>,
    /// What to do.
    pub write: Write,
    /// What to tell those who watch the pairing.
    pub event: Option<Event>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored.
    Committed,
    /// Something else is stored than what was loaded. Load and decide again.
    Conflict,
    /// Another pairing waits under the nameplate. Decide again.
    NameplateTaken,
    /// There is no room for another pairing: all are in use, or to be kept.
    Full,
}

/// What one who watches is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something happened, and the pairing is in this state since. After a removal the number is
    /// that of the state that would have come next. A store may tell it twice.
    Happened(Version, Event),
    /// Something may have been missed. Load the pairing to learn its present state.
    Resync,
}

/// The store failed. Neither the peer's fault nor a mistake of ours.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store is not available: {0}")]
pub struct StoreError(pub String);
