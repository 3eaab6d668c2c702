//! A leg at the next relay, which is held until the other peer is there, too.
//!
//! ```text
//!   told Draining ──► Welcome there ──► held ── PeerOnline, or a frame of the other peer ──► carries;
//!                                        │                                        the old one: Moved
//!                                        └── the old leg ends ──► the only one
//! ```
//!
//! The two peers of a pairing learn at different moments where they meet from now on. If each left its old
//! leg at once, there would be no path from the first move to the second.

use rand_core::RngCore;

use super::seek::{Seek, Why};
use super::up::Up;
use super::{Action, Attach, Cause, End, Event, LegId, Transport};
use crate::close::CloseReason;
use crate::time::Moment;

pub(super) struct Held {
    pub(super) up: Up,
    pub(super) transport: Transport,
    pub(super) resumed: bool,
    /// It leads to another relay than the leg before.
    pub(super) moves: bool,
}

impl Attach {
    pub(super) fn is_held(&self, leg: LegId) -> bool {
        self.held.as_ref().is_some_and(|held| held.up.leg == leg)
    }

    /// A leg that was admitted.
    pub(super) fn leg_mut(&mut self, leg: LegId) -> Option<&mut Up> {
        let up = match self.is_held(leg) {
            true => self.held.as_mut().map(|held| &mut held.up),
            false => self.up.as_mut(),
        };
        up.filter(|up| up.leg == leg)
    }

    /// The leg that was held carries from now on.
    pub(super) fn take_over(&mut self, peer_online: bool, now: Moment, rng: &mut impl RngCore) {
        let Some(held) = self.held.take() else { return };
        let Held {
            mut up,
            transport,
            resumed,
            moves,
        } = held;
        up.peer_online = peer_online;
        let leg = up.leg;
        self.carrier = Some(transport);
        let old = self.up.replace(up);
        self.actions.push(Action::Tell(Event::Attached {
            leg,
            transport,
            resumed,
            peer_online,
        }));
        if let Some(old) = old {
            let reason = moves.then_some(CloseReason::Moved);
            self.actions.push(Action::HangUp(old.leg, reason));
        }
        let better = self.better(transport);
        if !better.is_empty() {
            let mut seek = Seek::new(Why::Upgrade, Moment::NEVER);
            seek.better = better;
            self.pause(&mut seek, now, rng);
            self.seek = Some(seek);
        }
    }

    /// The leg that was held is lost. The old one goes on, and another one is sought; unless the next relay
    /// says what is final, of which the old one may not know.
    pub(super) fn lost_held(&mut self, cause: Cause, now: Moment, rng: &mut impl RngCore) {
        if let Some(reason) = self.final_reason(cause, false, now) {
            return self.end(End::HungUp(reason));
        }
        self.refuse_ticket(cause);
        self.seek_on(now, rng);
    }

    pub(super) fn seek_on(&mut self, now: Moment, rng: &mut impl RngCore) {
        self.held = None;
        let mut seek = Seek::new(Why::Draining, Moment::NEVER);
        seek.failures = 1;
        self.pause(&mut seek, now, rng);
        self.replace_seek(seek, now);
    }
}
