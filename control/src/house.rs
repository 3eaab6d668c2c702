//! What is done now and then: pairings in use are prolonged, what is over is forgotten, codes are counted.

use futures_util::{StreamExt as _, stream};
use peersox_core::code::{Digits, Price};
use peersox_core::pairing::Alive;
use peersox_core::time::Timestamp;

use crate::service::{Shared, odds_charge};
use crate::store::{Charged, Store, StoreError};
use crate::vigil::Due;

impl<S: Store> Shared<S> {
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        stream::iter(self.vigil.due())
            .for_each_concurrent(PROLONGED_AT_ONCE, |due| self.prolong(due))
            .await;
        self.presence.tidy();
        let now = (self.clock)();
        self.keys.send_if_modified(|keys| match keys.tidied(now) {
            Some(tidied) => {
                *keys = tidied;
                true
            }
            None => false,
        });
        self.store.sweep(now).await?;
        for pairing in self.living.overdue(now) {
            let stored = self.store.load(pairing, now).await?;
            let end = stored.map(|stored| stored.pairing.expires_at());
            self.living.found(pairing, end);
        }
        for digits in Digits::all() {
            // What other servers were asked for at this length makes codes of this one longer, too.
            let nothing = odds_charge(digits, Price::NOTHING);
            match self.store.charge(&nothing).await {
                Ok(Charged::Spent(spent)) => self.odds().all_spent(digits, spent, now),
                Ok(Charged::Unshared | Charged::Refused(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot read the budgets that all nodes share");
                    break;
                }
            }
        }
        let is_online = |pairing| self.presence.online(pairing) != [false; 2];
        self.sessions.tidy(now, is_online);
        if self.config.access.wants().is_some() && self.accounts.is_due(now) {
            self.count_accounts(now).await?;
        }
        self.odds().begin_census();
        let census = self.store.census().await?;
        self.odds().census(census);
        Ok(())
    }

    /// Counts what each account holds, of all that is stored.
    async fn count_accounts(&self, now: Timestamp) -> Result<(), StoreError> {
        let is_online = |pairing| self.presence.online(pairing) != [false; 2];
        for key in self.config.access.accounts() {
            self.metrics.creators.knows(&key);
        }
        self.accounts.begin_count();
        let mut last = None;
        loop {
            let piece = self.store.list(last, PIECE, now).await?;
            for stored in &piece {
                let pairing = stored.pairing.id();
                if let Some(account) = stored.pairing.account() {
                    self.accounts
                        .found(pairing, account, is_online(pairing), now);
                }
            }
            last = piece.last().map(|stored| stored.pairing.id());
            if piece.len() < PIECE {
                break;
            }
        }
        for (account, holding) in self.accounts.end_count(now, is_online) {
            self.metrics
                .creators
                .holds(self.counted_key(Some(&account)), holding);
        }
        Ok(())
    }

    async fn prolong(&self, due: Due) {
        let worn_out = self.odds().worn_out((self.clock)());
        let alive = Alive {
            pairing: due.pairing,
            role: due.role,
            seen: due.seen,
            online: due.online,
            worn_out,
        };
        match self.execute(&alive).await {
            Ok(expires_at) => self.vigil.written(due.pairing, expires_at),
            Err(error) => tracing::warn!(%error, "cannot prolong a pairing"),
        }
    }
}

/// How many pairings are listed at once.
const PIECE: usize = 1_024;
/// How many pairings are prolonged at once: a file takes them in one transaction.
const PROLONGED_AT_ONCE: usize = 64;
