//! Budgets that all servers share which share a store.
//!
//! A process asks its own budgets first, which costs nothing, and then the store for those of all. A store
//! that is away shares nothing: what the charge is for needs the store, too, and fails by itself.

use std::time::Duration;

use futures_util::future::join_all;

use crate::store::{Charge, Charged, Store};

/// What was charged, to be given back if it turns out not to count.
#[derive(Debug, Default)]
pub(crate) struct Bill(Vec<Charge>);

/// Charges all of these, or none. Tells what is spent of each after it, in their order, where it is shared.
///
/// # Errors
/// How long to wait, if one of them is spent.
pub(crate) async fn charge(
    store: &impl Store,
    charges: Vec<Charge>,
) -> Result<(Bill, Vec<Option<Duration>>), Duration> {
    let charged = join_all(charges.iter().map(|charge| store.charge(charge))).await;
    let (mut bill, mut spent, mut wait) = (Bill::default(), Vec::new(), None);
    for (charge, charged) in charges.into_iter().zip(charged) {
        match charged {
            Ok(Charged::Spent(time)) => {
                bill.0.push(charge);
                spent.push(Some(time));
            }
            Ok(Charged::Refused(time)) => wait = wait.max(Some(time)),
            Ok(Charged::Unshared) | Err(_) => spent.push(None),
        }
    }
    match wait {
        None => Ok((bill, spent)),
        Some(wait) => {
            bill.give_back(store).await;
            Err(wait)
        }
    }
}

impl Bill {
    /// It turned out not to count.
    pub(crate) async fn give_back(self, store: &impl Store) {
        join_all(self.0.iter().map(|charge| store.refund(charge))).await;
    }
}
