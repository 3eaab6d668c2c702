//! A joiner that has to be let in waits for the initiator's answer.
//!
//! ```text
//! OpenSession ─▶ Unconfirmed ─▶ subscribe ─▶ load ─┬─ let in ─▶ OpenSession once more
//!                                            ▲     ├─ gone ───▶ NOT_LET_IN
//!                                            │     └─ neither: wait for the store's word
//!                                            └──────────────────┤
//!                                                               └─ the call has lasted ─▶ UNCONFIRMED
//! ```
//!
//! The call is kept, so that the joiner hears of the yes at once and polls nothing; a client that knows
//! nothing of this only sees a call that takes its time. A call that waits takes a place of a watch, and at
//! most half of all calls wait. Without a free place the call is answered at once, and the client calls again
//! after two seconds.
//!
//! The answer may be given at another node of control: the store tells all.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use peersox_core::id::PairingId;
use peersox_core::pairing::Reject;
use tokio::time::Instant;
use tonic::Status;

use super::status;
use crate::execute::Failure;
use crate::service::Shared;
use crate::store::Store;

/// Why there is no session yet.
pub(crate) enum NotYet {
    /// The joiner of this pairing has to be let in.
    Unconfirmed(PairingId),
    /// Anything else.
    Else(Status),
}

impl NotYet {
    pub(crate) fn of(failure: Failure, pairing: PairingId) -> Self {
        match failure {
            Failure::Reject(Reject::Unconfirmed) => Self::Unconfirmed(pairing),
            other => Self::Else(other.into()),
        }
    }
}

impl From<Status> for NotYet {
    fn from(status: Status) -> Self {
        Self::Else(status)
    }
}

impl From<NotYet> for Status {
    fn from(not_yet: NotYet) -> Self {
        match not_yet {
            NotYet::Unconfirmed(_) => status::rejected(Reject::Unconfirmed),
            NotYet::Else(status) => status,
        }
    }
}

/// Waits until the joiner of a pairing is let in.
///
/// # Errors
/// `NOT_LET_IN` once the pairing is gone; `UNCONFIRMED` when the call has lasted for as long as it can.
pub(crate) async fn wait<S: Store>(
    shared: &Shared<S>,
    pairing: PairingId,
    from: IpAddr,
    end: Option<Instant>,
) -> Result<(), Status> {
    let Some(_places) = shared.guard.keep(pairing, from) else {
        return Err(status::unconfirmed(CROWDED));
    };
    let failed = |error| status::store(&error);
    // What is left of the time is for the answer's way.
    let started = Instant::now();
    let patience = end.map_or(shared.config.deadline, |end| {
        let asked = end.saturating_duration_since(started);
        asked.min(shared.config.deadline)
    });
    let until = started + patience.mul_f64(0.8);
    // Subscribing before loading leaves no gap.
    let mut notices = shared.store.watch(pairing).await.map_err(failed)?;
    loop {
        let now = (shared.clock)();
        let loaded = shared.store.load(pairing, now).await.map_err(failed)?;
        let Some(loaded) = loaded else {
            return Err(status::not_let_in());
        };
        if !loaded.pairing.is_unconfirmed() {
            return Ok(());
        }
        let left = loaded.pairing.expires_at().saturating_since(now);
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(status::draining()),
            notice = notices.next() => if notice.is_none() {
                // The store went away.
                return Err(status::draining());
            },
            () = tokio::time::sleep_until(until) => {
                return Err(status::rejected(Reject::Unconfirmed));
            }
            () = tokio::time::sleep(left.max(SHORTEST)) => {}
        }
    }
}

/// When to call again where too many wait.
const CROWDED: Duration = Duration::from_secs(2);
/// A timer may fire a little early; this keeps it from spinning.
const SHORTEST: Duration = Duration::from_millis(1);
