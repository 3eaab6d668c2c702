//! What relays say of sessions: who has met, how much was forwarded, what has ended.
//!
//! ```text
//! relay ── SessionReport ─▶ hear_session ─┬─▶ events: connected, closed
//!                                         └─▶ accounts: bytes ─▶ over quota: the relay lets go of it
//! JoinPairing, ConfirmJoin ───────────────▶ events: paired
//! ```
//!
//! A report may be lost, or come twice: the first one of a session tells that it began, whatever else it
//! says.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peersox_core::id::PairingId;
use peersox_core::pairing::{Account, View};
use peersox_core::time::Timestamp;

use crate::accounts::Over;
use crate::service::Shared;
use crate::store::Store;

/// Something that happened to a pairing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// What.
    pub what: What,
    /// To which.
    pub pairing: PairingId,
    /// On whose account it was created, where not everybody may create pairings.
    pub account: Option<Account>,
    /// When this node heard of it.
    pub at: Timestamp,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its code was redeemed, and the joiner was let in if it had to be.
    Paired,
    /// Both peers are attached to a relay for the first time in a session.
    Connected {
        /// When that was, by the clock of the relay. It names the session.
        began: Timestamp,
    },
    /// That session has ended.
    Closed {
        /// As of [`What::Connected`].
        began: Timestamp,
        /// Bytes that the relay forwarded.
        bytes: u64,
        /// How long it took since then.
        lasted: Duration,
    },
}

impl What {
    /// `paired`, `connected` or `closed`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Paired => "paired",
            Self::Connected { .. } => "connected",
            Self::Closed { .. } => "closed",
        }
    }
}

/// What a relay says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionReport {
    /// The pairing that it is of.
    pub pairing: PairingId,
    /// When both peers were attached for the first time. It names the session.
    pub began: Timestamp,
    /// How long ago that was.
    pub lasted: Duration,
    /// Bytes that were forwarded since.
    pub bytes: u64,
    /// Whether it has ended.
    pub ended: bool,
}

/// The sessions that relays told of and that have not ended: the newest of each pairing.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<PairingId, Known>>);

#[derive(Clone, Debug)]
struct Known {
    began: Timestamp,
    heard: Timestamp,
    bytes: u64,
    account: Option<Account>,
}

impl Sessions {
    fn known(&self, report: &SessionReport) -> Option<Known> {
        let sessions = self.lock();
        let known = sessions.get(&report.pairing);
        known.filter(|it| it.began == report.began).cloned()
    }

    fn note(&self, report: &SessionReport, account: Option<&Account>, now: Timestamp) {
        let mut sessions = self.lock();
        if report.ended {
            sessions.remove(&report.pairing);
            return;
        }
        let known = Known {
            began: report.began,
            heard: now,
            bytes: report.bytes,
            account: account.cloned(),
        };
        sessions.insert(report.pairing, known);
    }

    /// Forgets sessions whose end was never told.
    pub(crate) fn tidy(&self, now: Timestamp) {
        let lasts = |known: &Known| now.saturating_since(known.heard) < FORGOTTEN;
        self.lock().retain(|_, known| lasts(known));
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, HashMap<PairingId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that says nothing for so long forwards nothing, or is over. One that goes on is told of again,
/// as the same.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

impl<S: Store> Shared<S> {
    /// A relay told of a session.
    ///
    /// # Errors
    /// [`Over`] if the relay has to let go of it.
    pub(crate) async fn hear_session(&self, report: SessionReport) -> Result<(), Over> {
        let now = (self.clock)();
        let known = self.sessions.known(&report);
        let (account, counted) = match known {
            Some(known) => (known.account, known.bytes),
            None => {
                let account = self.account_of(report.pairing, now).await;
                let began = report.began;
                self.happened(What::Connected { began }, report.pairing, account.as_ref());
                (account, 0)
            }
        };
        self.sessions.note(&report, account.as_ref(), now);
        if report.ended {
            let closed = What::Closed {
                began: report.began,
                bytes: report.bytes,
                lasted: report.lasted,
            };
            self.happened(closed, report.pairing, account.as_ref());
        }
        let Some(account) = account else {
            return Ok(());
        };
        if report.ended {
            self.accounts.closed(report.pairing, &account);
        }
        let bytes = report.bytes.saturating_sub(counted);
        self.metrics
            .creators
            .carried(self.counted_key(Some(&account)), bytes);
        let quota = |granted| self.config.access.quota(&account, granted);
        let carried = self.accounts.carried(&account, quota, bytes, now);
        carried.inspect_err(|_| self.metrics.creators.over_quota(Over::Bytes))
    }

    /// On whose account a pairing was created. Where everybody may create, the store is not asked.
    async fn account_of(&self, pairing: PairingId, now: Timestamp) -> Option<Account> {
        self.config.access.wants()?;
        let stored = self.store.load(pairing, now).await.ok()??;
        stored.pairing.account().cloned()
    }

    /// A code was redeemed for good.
    pub(crate) fn paired(&self, view: &View) {
        self.happened(What::Paired, view.id, view.account.as_ref());
    }

    fn happened(&self, what: What, pairing: PairingId, account: Option<&Account>) {
        let happened = Happened {
            what,
            pairing,
            account: account.cloned(),
            at: (self.clock)(),
        };
        // It fails if nobody wants to know.
        let _ = self.events.send(happened);
    }

    /// An account as metrics name it: subjects of tokens are too many to be counted one by one.
    pub(crate) fn counted_key<'a>(&self, account: Option<&'a Account>) -> Option<&'a Account> {
        account.filter(|_| self.config.access.wants() == Some("key"))
    }
}
