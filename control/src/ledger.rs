//! Budgets that all servers share which share a store.
//!
//! A process asks its own budgets first, which costs nothing, and then the store for those of all. A store
//! that cannot be charged refuses: one that can be read and not written to would otherwise tell guessers
//! what they ask.

use std::time::Duration;

use futures_util::future::join_all;

use crate::store::{Charge, Charged, Store, StoreError};

/// What was charged, to be given back if it turns out not to count.
#[derive(Debug, Default)]
pub(crate) struct Bill(Vec<Charge>);

/// Why nothing was charged.
#[derive(Debug)]
pub(crate) enum Unpaid {
    /// A budget is spent: wait for so long.
    Spent(Duration),
    /// The store failed.
    Store(StoreError),
}

/// Charges all of these, or none. Tells what is spent of each after it, in their order, where it is shared.
///
/// # Errors
/// [`Unpaid`], and then nothing was charged that could be given back.
pub(crate) async fn charge(
    store: &impl Store,
    charges: Vec<Charge>,
) -> Result<(Bill, Vec<Option<Duration>>), Unpaid> {
    let charged = join_all(charges.iter().map(|charge| store.charge(charge))).await;
    let (mut bill, mut spent) = (Bill::default(), Vec::new());
    let (mut wait, mut failed) = (None, None);
    for (charge, charged) in charges.into_iter().zip(charged) {
        match charged {
            Ok(Charged::Spent(time)) => {
                bill.0.push(charge);
                spent.push(Some(time));
            }
            Ok(Charged::Refused(time)) => wait = wait.max(Some(time)),
            Ok(Charged::Unshared) => spent.push(None),
            Err(error) => failed = Some(error),
        }
    }
    let unpaid = match (failed, wait) {
        (None, None) => return Ok((bill, spent)),
        (Some(error), _) => Unpaid::Store(error),
        (None, Some(wait)) => Unpaid::Spent(wait),
    };
    bill.give_back(store).await;
    Err(unpaid)
}

impl Bill {
    /// It turned out not to count.
    pub(crate) async fn give_back(self, store: &impl Store) {
        join_all(self.0.iter().map(|charge| store.refund(charge))).await;
    }
}
