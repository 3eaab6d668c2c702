//! What an endpoint may never do, whatever happens: judged from outside, by what its shell sees.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::attach::LegId;
use crate::endpoint::{Action, End, Event, Input};
use crate::frame::{Frame, Lane};
use crate::notice::{self, Kind};
use crate::time::Moment;

/// The judge of one endpoint.
#[derive(Default)]
pub(super) struct Manners {
    legs: BTreeMap<LegId, Leg>,
    /// What control said in `RetryInfo`.
    not_before: Moment,
    /// A leg was admitted once.
    pub(super) proven: bool,
    ended: bool,
    /// How often the endpoint wanted to be called at this moment.
    turns: (Moment, u32),
    pub(super) calls: u64,
    pub(super) retries: u64,
}

#[derive(Default)]
struct Leg {
    greets: bool,
    has_said_hello: bool,
    pings: [Option<Moment>; 2],
}

impl Manners {
    pub(super) fn on_input(&mut self, input: &Input, now: Moment) {
        match input {
            Input::SessionFailed {
                retry_after: Some(wait),
                ..
            } => {
                self.not_before = self.not_before.max(now + *wait);
                self.retries += 1;
            }
            Input::LegEnded(leg, _) => {
                self.legs.remove(leg);
            }
            Input::SessionFailed { .. }
            | Input::SessionOpened { .. }
            | Input::LegConnected(_)
            | Input::Waiting(..)
            | Input::Direct(..)
            | Input::Wake(_)
            | Input::Close(_)
            | Input::Timeout => {}
        }
    }

    pub(super) fn on_heard(&mut self, leg: LegId) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.greets = false;
        }
    }

    pub(super) fn on_sent(&mut self, id: LegId, frame: &Frame, now: Moment) -> Result<(), String> {
        if frame.lane() != Lane::Notice {
            // The last words leave while the leg is being hung up.
            let leg = self.legs.get(&id);
            let heard = leg.is_none_or(|leg| leg.has_said_hello && !leg.greets);
            return check(heard, || format!("{id:?} carries before Welcome"));
        }
        let kind = notice::decode(frame.payload());
        let greets = self.legs.values().any(|leg| leg.greets);
        let leg = self.legs.get_mut(&id).ok_or("a notice for no leg")?;
        match kind {
            Ok(Some(Kind::Hello(_))) => {
                check(!leg.has_said_hello, || format!("{id:?} says Hello twice"))?;
                check(!greets, || "two legs are greeted at once".into())?;
                (leg.greets, leg.has_said_hello) = (true, true);
            }
            Ok(Some(Kind::Ping(_))) => {
                let [before, last] = leg.pings;
                let fits = before.is_none_or(|at| at + Duration::from_secs(1) <= now);
                check(fits, || format!("{id:?} pings three times in a second"))?;
                leg.pings = [last, Some(now)];
            }
            other => return Err(format!("a peer sends {other:?}")),
        }
        Ok(())
    }

    pub(super) fn on_action(&mut self, action: &Action, now: Moment) -> Result<(), String> {
        check(!self.ended, || format!("{action:?} follows the end"))?;
        match action {
            Action::OpenSession { .. } => {
                self.calls += 1;
                let early = self.not_before.saturating_since(now);
                check(early.is_zero(), || {
                    format!("control is called {early:?} too early")
                })?;
            }
            Action::Connect(leg, _) => {
                let known = self.legs.insert(*leg, Leg::default());
                check(known.is_none(), || format!("{leg:?} is used twice"))?;
                let count = self.legs.len();
                check(count <= 4, || format!("{count} legs at once"))?;
            }
            Action::HangUp(leg, _) => {
                let known = self.legs.remove(leg);
                check(known.is_some(), || format!("{leg:?} is hung up in vain"))?;
            }
            Action::Tell(Event::Attached { .. }) => self.proven = true,
            Action::End(_) => {
                self.ended = true;
                let legs = self.legs.len();
                check(legs == 0, || format!("{legs} legs are left over"))?;
            }
            Action::Tell(_)
            | Action::Make(..)
            | Action::Offer(..)
            | Action::Accept(..)
            | Action::Answer(_)
            | Action::Add(..)
            | Action::Drop(_) => {}
        }
        Ok(())
    }

    /// The endpoint was served; it wants to be called at `timeout` again.
    pub(super) fn on_rest(&mut self, timeout: Moment, now: Moment) -> Result<(), String> {
        self.turns = match self.turns {
            (at, turns) if at == now && timeout <= now => (at, turns + 1),
            _ => (now, 0),
        };
        check(self.turns.1 < 20, || {
            format!("it wants to be called for ever at {now:?}")
        })
    }

    /// Whether the first leg was given up, which its caller has to seek again.
    pub(super) fn is_first_attempt(&self, end: End) -> bool {
        !self.proven && matches!(end, End::Refused | End::NoLeg(_))
    }
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
