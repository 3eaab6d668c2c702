//! A command is loaded, decided and committed, again and again until nothing came between.

use peersox_core::pairing::{Command, Find, Reject, decide};
use rand_core::OsRng;

use crate::service::Shared;
use crate::store::{Commit, Outcome, Store, StoreError};

impl<S: Store> Shared<S> {
    /// Loads what a command is about, decides, and commits, until nothing came between.
    pub(crate) async fn execute<C: Command>(&self, command: &C) -> Result<C::Reply, Failure> {
        // Those who redeem one code at once are through in the second round, as it is used by then.
        // Half of all nameplates in use, sixteen draws in a row are all taken once in 65,536 times.
        const ROUNDS: usize = 16;
        let mut last = Failure::Contended;
        for _ in 0..ROUNDS {
            let now = (self.clock)();
            let stored = match command.find() {
                Find::Nothing => None,
                Find::ById(id) => self.store.load(id, now).await?,
                Find::ByNameplate(nameplate) => self.store.find(nameplate, now).await?,
            };
            let current = stored.as_ref().map(|stored| &stored.pairing);
            let decision = decide(&self.config.pairing, current, command, now, &mut OsRng)?;
            let commit = Commit {
                expected: stored.map(|stored| stored.version),
                write: decision.write,
                event: decision.event,
            };
            last = match self.store.commit(commit, now).await? {
                Outcome::Committed => return Ok(decision.reply),
                Outcome::Conflict => Failure::Contended,
                Outcome::NameplateTaken => Failure::NoNameplate,
                Outcome::Full => return Err(Failure::Full),
            };
        }
        Err(last)
    }
}

/// Why a command was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Reject(#[from] Reject),
    #[error("no free nameplate was found")]
    NoNameplate,
    #[error("there is no room for another pairing")]
    Full,
    #[error("too many changes at once")]
    Contended,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The reply to a command that is never rejected and that needs neither room nor a nameplate.
pub(crate) fn unrejected<R: Default>(done: Result<R, Failure>) -> Result<R, StoreError> {
    match done {
        Ok(reply) => Ok(reply),
        Err(Failure::Reject(_) | Failure::NoNameplate | Failure::Full) => Ok(R::default()),
        Err(Failure::Contended) => Err(StoreError("too many changes at once".to_owned())),
        Err(Failure::Store(error)) => Err(error),
    }
}
