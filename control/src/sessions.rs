//! What relays say of sessions: who has met, how much was forwarded, what has ended.
//!
//! ```text
//! relay ── SessionReport ─▶ hear_session ─┬─▶ events: connected, closed
//!                                         └─▶ accounts: bytes ─▶ over quota: the relay lets go of it
//! JoinPairing, ConfirmJoin ───────────────▶ events: paired
//! ```
//!
//! A report may be lost, or come twice: the first one of a session tells that it began, whatever else it
//! says. A pairing that moves has a session at either relay for a while, and that of the former relay ends
//! last.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peersox_core::id::PairingId;
use peersox_core::pairing::{Account, View};
use peersox_core::time::Timestamp;

use crate::accounts::Over;
use crate::service::Shared;
use crate::store::{Store, StoreError};

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

/// The sessions that relays told of, by pairing and by when they began.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<PairingId, BTreeMap<Timestamp, Known>>>);

#[derive(Clone, Debug)]
struct Known {
    heard: Timestamp,
    bytes: u64,
    account: Option<Account>,
    ended: bool,
}

/// What a report adds to what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Adds {
    /// Its session was not known. So many bytes are new: none if the session is old, as others have counted
    /// what was before, or nobody will.
    Session { bytes: u64 },
    /// Bytes of a session on this account.
    Bytes {
        account: Option<Account>,
        bytes: u64,
    },
    /// It comes again.
    Nothing,
}

impl Sessions {
    fn judge(&self, report: &SessionReport) -> Adds {
        let sessions = self.lock();
        let known = sessions.get(&report.pairing);
        match known.and_then(|it| it.get(&report.began)) {
            None if report.lasted > LATE => Adds::Session { bytes: 0 },
            None => Adds::Session {
                bytes: report.bytes,
            },
            Some(known) if known.ended => Adds::Nothing,
            Some(known) => Adds::Bytes {
                account: known.account.clone(),
                bytes: report.bytes.saturating_sub(known.bytes),
            },
        }
    }

    fn note(&self, report: &SessionReport, account: Option<&Account>, now: Timestamp) {
        let known = Known {
            heard: now,
            bytes: report.bytes,
            account: account.cloned(),
            ended: report.ended,
        };
        let mut sessions = self.lock();
        let of_pairing = sessions.entry(report.pairing).or_default();
        of_pairing.insert(report.began, known);
    }

    /// Whether a session of a pairing goes on, at whichever relay.
    fn goes_on(&self, pairing: PairingId) -> bool {
        let sessions = self.lock();
        let of_pairing = sessions.get(&pairing);
        of_pairing.is_some_and(|it| it.values().any(|known| !known.ended))
    }

    /// Forgets sessions that have ended, and those whose end was never told.
    pub(crate) fn tidy(&self, now: Timestamp, is_online: impl Fn(PairingId) -> bool) {
        self.lock().retain(|pairing, of_pairing| {
            of_pairing.retain(|_, known| {
                let silent = now.saturating_since(known.heard);
                match known.ended {
                    true => silent < AGAIN,
                    false => silent < FORGOTTEN || is_online(*pairing),
                }
            });
            !of_pairing.is_empty()
        });
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, HashMap<PairingId, BTreeMap<Timestamp, Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session of which nobody is attached and that says nothing for so long is over.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long the end of a session may be told again.
const AGAIN: Duration = Duration::from_secs(60);
/// A session that is told of for the first time when it is as old as this was known to somebody before: to
/// this node before it was started again, or to others.
const LATE: Duration = Duration::from_secs(60);

impl<S: Store> Shared<S> {
    /// A relay told of a session.
    ///
    /// # Errors
    /// [`Over`] if the relay has to let go of it.
    pub(crate) async fn hear_session(&self, report: SessionReport) -> Result<(), Over> {
        let now = (self.clock)();
        let (account, bytes) = match self.sessions.judge(&report) {
            Adds::Nothing => return Ok(()),
            Adds::Bytes { account, bytes } => (account, bytes),
            Adds::Session { bytes } => {
                let account = match self.account_of(report.pairing, now).await {
                    Ok(account) => account,
                    // The next report says all of this, too.
                    Err(_) if !report.ended => return Ok(()),
                    Err(_) => None,
                };
                let began = report.began;
                self.happened(What::Connected { began }, report.pairing, account.as_ref());
                (account, bytes)
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
        if report.ended && !self.sessions.goes_on(report.pairing) {
            self.accounts.closed(report.pairing, &account);
        }
        self.metrics
            .creators
            .carried(self.counted_key(Some(&account)), bytes);
        let quota = |granted| self.config.access.quota(&account, granted);
        let carried = self.accounts.carried(&account, quota, bytes, now);
        carried.inspect_err(|_| self.metrics.creators.over_quota(Over::Bytes))
    }

    /// On whose account a pairing was created. Where everybody may create, the store is not asked.
    async fn account_of(
        &self,
        pairing: PairingId,
        now: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        if self.config.access.wants().is_none() {
            return Ok(None);
        }
        let stored = self.store.load(pairing, now).await?;
        Ok(stored.and_then(|it| it.pairing.account().cloned()))
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

    /// An account as metrics name it, if it is that of a key, withdrawn or not: subjects of tokens are too
    /// many to be counted one by one.
    pub(crate) fn counted_key<'a>(&self, account: Option<&'a Account>) -> Option<&'a Account> {
        let is_key =
            |it: &&Account| self.config.access.is_key(it) || self.metrics.creators.is_known(it);
        account.filter(is_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const PAIRING: PairingId = PairingId::from_bytes([7; 16]);

    fn report(began: u64, lasted: u64, bytes: u64, ended: bool) -> SessionReport {
        SessionReport {
            pairing: PAIRING,
            began: NOW + Duration::from_secs(began),
            lasted: Duration::from_secs(lasted),
            bytes,
            ended,
        }
    }

    /// What a report adds, which is noted then.
    fn adds(sessions: &Sessions, report: &SessionReport) -> Adds {
        let adds = sessions.judge(report);
        sessions.note(report, None, report.began + report.lasted);
        adds
    }

    fn bytes(bytes: u64) -> Adds {
        Adds::Bytes {
            account: None,
            bytes,
        }
    }

    #[test]
    fn a_pairing_that_moves_is_counted_once_and_goes_on() {
        let sessions = Sessions::default();
        let (first, second) = (report(0, 1, 10, false), report(30, 1, 5, false));
        assert_eq!(adds(&sessions, &first), Adds::Session { bytes: 10 });
        assert_eq!(adds(&sessions, &second), Adds::Session { bytes: 5 });
        assert_eq!(adds(&sessions, &report(0, 32, 12, true)), bytes(2));
        assert!(sessions.goes_on(PAIRING), "at the second relay");
        assert_eq!(adds(&sessions, &report(30, 3, 6, false)), bytes(1));
        assert_eq!(adds(&sessions, &report(0, 32, 12, true)), Adds::Nothing);
        assert_eq!(adds(&sessions, &report(30, 9, 6, true)), bytes(0));
        assert!(!sessions.goes_on(PAIRING));

        sessions.tidy(NOW + Duration::from_secs(90), |_| false);
        assert_eq!(sessions.judge(&report(30, 9, 6, true)), Adds::Nothing);
        sessions.tidy(NOW + Duration::from_secs(100), |_| false);
        assert!(sessions.lock().is_empty());
    }

    #[test]
    fn what_a_session_carried_before_this_node_knew_it_is_not_charged() {
        let sessions = Sessions::default();
        let old = report(0, 3_600, 1_000_000, false);
        assert_eq!(adds(&sessions, &old), Adds::Session { bytes: 0 });
        assert_eq!(
            adds(&sessions, &report(0, 3_610, 1_000_007, false)),
            bytes(7)
        );

        // One that forwards nothing for days is still known while somebody is attached.
        let days = NOW + Duration::from_secs(3 * 24 * 3_600);
        sessions.tidy(days, |_| true);
        assert_eq!(
            sessions.judge(&report(0, 259_200, 1_000_009, false)),
            bytes(2)
        );
        sessions.tidy(days, |_| false);
        assert!(sessions.lock().is_empty());
    }
}
