//! What each account holds, and whether it may have more.
//!
//! ```text
//! CreatePairing ─▶ create ─┬─ over quota          pairings: those of the store, counted anew every
//!                          └─ Begun ─▶ done                 minute, and those created here since
//! OpenSession ───▶ open ───┬─ over quota          sessions: pairings that were given a ticket of late,
//!                          └─ counted                       or of which a peer is attached
//! relay ─────────▶ carried ─▶ over quota: let go  bytes:    forwarded by relays, by day of UTC
//! ```
//!
//! Of several nodes each counts what all of them have stored, and hears of all sessions, as relays report to
//! each node. What another node has created since the last count is not known here, so that a quota may be
//! exceeded for a minute. Bytes are those since this process started: it knows nothing of the day before
//! that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peersox_core::id::PairingId;
use peersox_core::pairing::{Account, Quota};
use peersox_core::time::Timestamp;

use crate::access::Grant;

/// What accounts hold. Has an entry for each that holds something, or has used bytes today.
#[derive(Debug, Default)]
pub(crate) struct Accounts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: HashMap<Account, Held>,
    /// How often all were counted, and when last.
    round: u64,
    counted: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Held {
    /// As granted last, for accounts whose quota comes with a token.
    granted: Option<Quota>,
    /// Pairings that are being created.
    begun: u64,
    /// Those that live, with the round in which they were known last.
    pairings: HashMap<PairingId, u64>,
    /// Those that have a session, and until when they count although nobody is attached.
    sessions: HashMap<PairingId, Timestamp>,
    /// The day of `bytes`, since the Unix epoch.
    day: u64,
    bytes: u64,
}

/// Which quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Over {
    Pairings,
    Sessions,
    Bytes,
}

impl Over {
    pub(crate) const ALL: [Self; 3] = [Self::Pairings, Self::Sessions, Self::Bytes];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pairings => "pairings",
            Self::Sessions => "sessions",
            Self::Bytes => "bytes",
        }
    }

    /// When it may be worth to try again.
    pub(crate) fn wait(self, now: Timestamp) -> Duration {
        match self {
            Self::Pairings => Duration::from_secs(60),
            Self::Sessions => Duration::from_secs(5),
            Self::Bytes => Duration::from_millis(DAY - now.as_millis() % DAY),
        }
    }
}

/// What an account holds, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) pairings: u64,
    pub(crate) sessions: u64,
}

impl Accounts {
    /// Begins to create a pairing.
    ///
    /// # Errors
    /// [`Over`] if the account has as many as it may, or has used its bytes.
    pub(crate) fn create(&self, grant: &Grant, now: Timestamp) -> Result<Begun<'_>, Over> {
        let mut inner = self.lock();
        let held = inner.held.entry(grant.account.clone()).or_default();
        held.granted = Some(grant.quota);
        let holds = held.pairings.len() as u64 + held.begun;
        if grant.quota.pairings.is_some_and(|most| holds >= most) {
            return Err(Over::Pairings);
        }
        held.has_bytes(grant.quota, now)?;
        held.begun += 1;
        Ok(Begun {
            accounts: self,
            account: grant.account.clone(),
        })
    }

    /// Counts a session of this pairing, unless there are as many others as there may be. `quota` is given
    /// what was granted last; `is_online` says whether a peer of a pairing is attached.
    ///
    /// # Errors
    /// [`Over`] if the quota of sessions or of bytes is used up.
    pub(crate) fn open(
        &self,
        pairing: PairingId,
        account: &Account,
        quota: impl FnOnce(Option<Quota>) -> Quota,
        now: Timestamp,
        is_online: impl Fn(PairingId) -> bool,
    ) -> Result<(), Over> {
        let mut inner = self.lock();
        let held = inner.held.entry(account.clone()).or_default();
        let quota = quota(held.granted);
        held.has_bytes(quota, now)?;
        let lasts = |id: &PairingId, until: &mut Timestamp| *until > now || is_online(*id);
        held.sessions.retain(lasts);
        let others = held.sessions.keys().filter(|id| **id != pairing).count() as u64;
        if quota.sessions.is_some_and(|most| others >= most) {
            return Err(Over::Sessions);
        }
        held.sessions.insert(pairing, now + ATTACHING);
        Ok(())
    }

    /// Counts bytes that a relay has forwarded.
    ///
    /// # Errors
    /// [`Over::Bytes`] if that is more than the account may have today.
    pub(crate) fn carried(
        &self,
        account: &Account,
        quota: impl FnOnce(Option<Quota>) -> Quota,
        bytes: u64,
        now: Timestamp,
    ) -> Result<(), Over> {
        let mut inner = self.lock();
        let held = inner.held.entry(account.clone()).or_default();
        held.today(now);
        held.bytes = held.bytes.saturating_add(bytes);
        let quota = quota(held.granted);
        held.has_bytes(quota, now)
    }

    /// The session of a pairing has ended: it counts no more, although its ticket is young.
    pub(crate) fn closed(&self, pairing: PairingId, account: &Account) {
        if let Some(held) = self.lock().held.get_mut(account) {
            held.sessions.remove(&pairing);
        }
    }

    /// A pairing is gone.
    pub(crate) fn gone(&self, pairing: PairingId) {
        for held in self.lock().held.values_mut() {
            held.pairings.remove(&pairing);
            held.sessions.remove(&pairing);
        }
    }

    /// Whether all have to be counted.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let inner = self.lock();
        inner
            .counted
            .is_none_or(|at| now.saturating_since(at) >= AGAIN)
    }

    /// Begins to count all pairings anew: what is created from now on counts although it is not found.
    pub(crate) fn begin_count(&self) {
        self.lock().round += 1;
    }

    /// A pairing was found by the count.
    pub(crate) fn found(
        &self,
        pairing: PairingId,
        account: &Account,
        is_online: bool,
        now: Timestamp,
    ) {
        let mut inner = self.lock();
        let round = inner.round;
        let held = inner.held.entry(account.clone()).or_default();
        held.pairings.insert(pairing, round);
        if is_online {
            held.sessions.entry(pairing).or_insert(now);
        }
    }

    /// Forgets what the count has not found; tells what is left.
    pub(crate) fn end_count(
        &self,
        now: Timestamp,
        is_online: impl Fn(PairingId) -> bool,
    ) -> Vec<(Account, Holding)> {
        let mut inner = self.lock();
        inner.counted = Some(now);
        let round = inner.round;
        let mut all = Vec::new();
        for (account, held) in &mut inner.held {
            held.today(now);
            held.pairings.retain(|_, known| *known >= round);
            held.sessions
                .retain(|id, until| *until > now || is_online(*id));
            let holding = Holding {
                pairings: held.pairings.len() as u64,
                sessions: held.sessions.len() as u64,
            };
            all.push((account.clone(), holding));
        }
        inner.held.retain(|_, held| held.is_used());
        all
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn today(&mut self, now: Timestamp) {
        let day = now.as_millis() / DAY;
        if self.day != day {
            (self.day, self.bytes) = (day, 0);
        }
    }

    fn has_bytes(&mut self, quota: Quota, now: Timestamp) -> Result<(), Over> {
        self.today(now);
        match quota.bytes {
            Some(most) if self.bytes >= most => Err(Over::Bytes),
            _ => Ok(()),
        }
    }

    fn is_used(&self) -> bool {
        self.begun > 0 || self.bytes > 0 || !self.pairings.is_empty() || !self.sessions.is_empty()
    }
}

/// A pairing that is being created. It counts until this is dropped, and after that if it was
/// [`Begun::done`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Begun<'a> {
    accounts: &'a Accounts,
    account: Account,
}

impl Begun<'_> {
    /// It was created.
    pub(crate) fn done(self, pairing: PairingId) {
        let mut inner = self.accounts.lock();
        let round = inner.round;
        if let Some(held) = inner.held.get_mut(&self.account) {
            held.pairings.insert(pairing, round);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.accounts.lock().held.get_mut(&self.account) {
            held.begun -= 1;
        }
    }
}

/// For how long a session counts of which nobody is attached yet: as long as the peers may take for that.
const ATTACHING: Duration = Duration::from_secs(30);
/// How often the pairings of the store are counted.
const AGAIN: Duration = Duration::from_secs(60);
/// Milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Midnight, and a bit.
    const NOW: Timestamp = Timestamp::from_millis(20_000 * DAY + 1_000);

    fn id(byte: u8) -> PairingId {
        PairingId::from_bytes([byte; 16])
    }

    fn grant(quota: &str) -> Grant {
        Grant {
            account: "ci".parse().unwrap(),
            quota: quota.parse().unwrap(),
        }
    }

    const fn nobody(_: PairingId) -> bool {
        false
    }

    #[test]
    fn pairings_count_from_their_beginning_until_they_are_gone() {
        let accounts = Accounts::default();
        let grant = grant("pairings=2");
        let one = accounts.create(&grant, NOW).unwrap();
        let two = accounts.create(&grant, NOW).unwrap();
        assert_eq!(accounts.create(&grant, NOW).unwrap_err(), Over::Pairings);
        drop(two);
        one.done(id(1));
        accounts.create(&grant, NOW).unwrap().done(id(2));
        assert_eq!(accounts.create(&grant, NOW).unwrap_err(), Over::Pairings);
        accounts.gone(id(1));
        accounts.create(&grant, NOW).unwrap().done(id(3));

        // The count finds one that another node created; of two that are here one has expired, and one was
        // created while it was counted.
        accounts.gone(id(3));
        accounts.begin_count();
        accounts.create(&grant, NOW).unwrap().done(id(4));
        accounts.found(id(5), &grant.account, false, NOW);
        let counted = accounts.end_count(NOW, nobody);
        assert_eq!(counted[0].1.pairings, 2, "{accounts:?}");
        assert_eq!(accounts.create(&grant, NOW).unwrap_err(), Over::Pairings);
        accounts.begin_count();
        accounts.end_count(NOW, nobody);
        accounts.begin_count();
        accounts.end_count(NOW, nobody);
        assert!(accounts.lock().held.is_empty(), "{accounts:?}");
    }

    #[test]
    fn a_session_counts_while_somebody_attaches_or_is_attached() {
        let accounts = Accounts::default();
        let account = grant("").account;
        let quota: Quota = "sessions=1".parse().unwrap();
        let open = |pairing, now, online: &[u8]| {
            let is_online = |it| online.iter().any(|byte| id(*byte) == it);
            accounts.open(id(pairing), &account, |_| quota, now, is_online)
        };
        assert_eq!(open(1, NOW, &[]), Ok(()));
        assert_eq!(
            open(1, NOW, &[]),
            Ok(()),
            "the other peer, or the same again"
        );
        assert_eq!(open(2, NOW, &[]), Err(Over::Sessions));
        let later = NOW + ATTACHING;
        assert_eq!(open(2, later, &[1]), Err(Over::Sessions));
        assert_eq!(open(2, later, &[]), Ok(()), "nobody came");
        accounts.gone(id(2));
        assert_eq!(open(3, later, &[]), Ok(()));
        accounts.closed(id(3), &account);
        assert_eq!(open(4, later, &[]), Ok(()), "it is over before its time");
    }

    #[test]
    fn bytes_are_those_of_a_day() {
        let accounts = Accounts::default();
        let grant = grant("bytes=1K");
        let carried = |bytes, now| accounts.carried(&grant.account, |_| grant.quota, bytes, now);
        assert_eq!(carried(999, NOW), Ok(()));
        assert!(accounts.create(&grant, NOW).is_ok());
        assert_eq!(carried(1, NOW), Err(Over::Bytes));
        assert_eq!(accounts.create(&grant, NOW).unwrap_err(), Over::Bytes);
        let wait = Over::Bytes.wait(NOW);
        assert_eq!(wait, Duration::from_millis(DAY - 1_000));
        assert!(accounts.create(&grant, NOW + wait).is_ok());
        assert_eq!(carried(u64::MAX, NOW), Err(Over::Bytes));
        let open = accounts.open(id(1), &grant.account, |_| grant.quota, NOW, nobody);
        assert_eq!(open, Err(Over::Bytes));
    }
}
