//! The relay side of a session: the joint life of two legs.
//!
//! ```text
//!            first leg          second leg           a leg is lost
//!   (new) ────────────> Waiting ──────────> Live ────────────────> Parked(until)
//!                          │                 │  <────────────────     │
//!                          │ max_wait        │     it is back         │ until
//!                          │                 │ done, revoked,         │
//!                          └──────────────> Ended <───────────────────┘
//! ```
//!
//! The machine owns no leg. It is told what happened to legs ([`Input`]) and answers what is to be
//! done ([`Action`]), in order. Its owner calls [`Session::handle`] with [`Input::Timeout`] no later
//! than [`Session::deadline`]. The rules:
//!
//! - The newest leg of a role takes the place of an older one, which is hung up as replaced. The
//!   other peer is told away and online again, because frames on the old leg may be lost.
//! - A lost leg parks its side for `park_grace`. When that is over, the remaining leg is hung up
//!   with [`CloseReason::PeerLost`] and the session ends.
//! - Done by one peer ends the session at once: the other is hung up with
//!   [`CloseReason::PeerLeft`].
//! - A peer that has moved to another relay is followed: the other is told Draining, and goes on here until
//!   it has moved as well, or `park_grace` is over. It is not told that its partner is away, which it is not.
//! - A peer whose partner was never there waits up to `max_wait`.
//! - A peer learns of the other by [`Action::Admit`] and by notices, never the same news twice in a
//!   row.

use std::time::Duration;

use crate::close::CloseReason;
use crate::role::Role;
use crate::time::Moment;

#[cfg(test)]
mod tests;

/// How long a session waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// For how long the side of a lost leg is parked.
    pub park_grace: Duration,
    /// For how long a lone peer waits for one that never attached.
    pub max_wait: Duration,
}

impl Default for Config {
    /// 30 seconds, which exceeds an ICE restart and a change of network; 24 hours.
    fn default() -> Self {
        Self {
            park_grace: Duration::from_secs(30),
            max_wait: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Names one leg among all legs of a relay; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u64);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A leg was admitted in this role.
    Attach(Role, LegId),
    /// A leg is gone without a reason, and is not to be hung up any more.
    Lost(Role, LegId),
    /// A peer hung up with [`CloseReason::Done`]; its leg is gone.
    Done(Role, LegId),
    /// A peer hung up with [`CloseReason::Moved`]; its leg is gone.
    Moved(Role, LegId),
    /// A peer broke a rule, or was silent for too long: its leg deserves this reason.
    Fault(Role, LegId, CloseReason),
    /// The pairing was deleted.
    Revoke,
    /// The peers have to go elsewhere.
    Drain(Drain),
    /// The deadline may have passed.
    Timeout,
}

/// How peers are sent elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Their legs are hung up after this time.
    pub grace: Duration,
    /// They begin to seek the next relay within this time, so that not all do so at once.
    pub spread: Duration,
}

impl Drain {
    /// To begin at once.
    #[must_use]
    pub const fn within(grace: Duration) -> Self {
        Self {
            grace,
            spread: Duration::ZERO,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the leg its role's leg and welcome it; comes before every notice to it.
    Admit {
        /// The role.
        role: Role,
        /// The leg.
        leg: LegId,
        /// Whether the other peer is attached.
        peer_online: bool,
        /// Whether the role had an earlier leg in this session.
        resumed: bool,
    },
    /// Send a notice on the leg of a role.
    Notify(Role, Notice),
    /// Hang up a leg. It is its role's leg no longer.
    HangUp(Role, LegId, CloseReason),
    /// Tell the world whether a role is present.
    Presence(Role, bool),
    /// The session is over; nothing follows.
    End(Ended),
}

/// What a peer is told about the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The other peer is attached.
    PeerOnline,
    /// The other peer's leg was lost; the session ends if it is not back within this time.
    PeerAway(Duration),
    /// The pairing meets elsewhere from now on.
    Draining(Drain),
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// At least one role never had a leg.
    Waiting,
    /// Both roles have a leg.
    Live,
    /// Both roles had a leg and one of them is awaited until this moment.
    Parked(Moment),
    /// Over.
    Ended(Ended),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// A peer was done.
    Done,
    /// A lost peer did not come back in time.
    PeerLost,
    /// The other peer never came.
    NobodyCame,
    /// The pairing was deleted.
    Revoked,
    /// The relay stopped.
    Drained,
}

impl Ended {
    /// What the legs that are still attached are told.
    #[must_use]
    pub const fn reason(self) -> CloseReason {
        match self {
            Self::Done => CloseReason::PeerLeft,
            Self::PeerLost | Self::NobodyCame => CloseReason::PeerLost,
            Self::Revoked => CloseReason::Revoked,
            Self::Drained => CloseReason::Draining,
        }
    }
}

/// The machine of one session.
#[derive(Clone, Debug)]
pub struct Session {
    config: Config,
    sides: [Side; 2],
    waits_until: Moment,
    drains_at: Option<Moment>,
    ended: Option<Ended>,
}

/// One role's place.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    leg: Option<LegId>,
    had_leg: bool,
    /// It has moved to another relay, and the other side does not know that it is away.
    has_moved: bool,
    parked_until: Option<Moment>,
}

impl Session {
    /// A session that nobody has attached to, as of `now`.
    #[must_use]
    pub fn new(config: Config, now: Moment) -> Self {
        Self {
            config,
            sides: [Side::default(); 2],
            waits_until: now + config.max_wait,
            drains_at: None,
            ended: None,
        }
    }

    /// Where the session stands.
    #[must_use]
    pub fn state(&self) -> State {
        if let Some(ended) = self.ended {
            return State::Ended(ended);
        }
        if self.sides.iter().all(|side| side.leg.is_some()) {
            return State::Live;
        }
        match self.parked_until() {
            Some(until) if self.sides.iter().all(|side| side.had_leg) => State::Parked(until),
            _ => State::Waiting,
        }
    }

    /// The leg of a role.
    #[must_use]
    pub fn leg(&self, role: Role) -> Option<LegId> {
        self.sides[role.index()].leg
    }

    /// By when [`Input::Timeout`] has to be handed in; none once the session has ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        if self.ended.is_some() {
            return None;
        }
        let waits = self.awaits_first().then_some(self.waits_until);
        [waits, self.parked_until(), self.drains_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes in what happened and answers what is to be done, in order.
    ///
    /// Inputs about a leg that is not its role's leg any more are ignored: they crossed with a
    /// decision. A leg that attaches to a session that has ended is hung up with its last reason.
    #[must_use]
    pub fn handle(&mut self, input: Input, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(ended) = self.ended {
            if let Input::Attach(role, leg) = input {
                actions.push(Action::HangUp(role, leg, ended.reason()));
            }
            return actions;
        }
        match input {
            Input::Attach(role, leg) => self.attach(role, leg, now, &mut actions),
            Input::Lost(role, leg) => self.lost(role, leg, None, now, &mut actions),
            Input::Fault(role, leg, why) => self.lost(role, leg, Some(why), now, &mut actions),
            Input::Done(role, leg) => self.done(role, leg, &mut actions),
            Input::Revoke => self.end(Ended::Revoked, &mut actions),
            Input::Moved(role, leg) => self.moved(role, leg, now, &mut actions),
            Input::Drain(drain) => self.drain(drain, now, &mut actions),
            Input::Timeout => self.timeout(now, &mut actions),
        }
        actions
    }

    fn attach(&mut self, role: Role, leg: LegId, now: Moment, actions: &mut Vec<Action>) {
        if self.drains_at.is_some_and(|at| at <= now) {
            actions.push(Action::HangUp(role, leg, CloseReason::Draining));
            self.end(Ended::Drained, actions);
            return;
        }
        let peer_online = self.sides[role.other().index()].leg.is_some();
        self.sides[role.other().index()].has_moved = false;
        let side = &mut self.sides[role.index()];
        let had_moved = std::mem::take(&mut side.has_moved);
        let old = side.leg.replace(leg);
        let resumed = std::mem::replace(&mut side.had_leg, true);
        side.parked_until = None;

        match old {
            Some(old) => actions.push(Action::HangUp(role, old, CloseReason::Replaced)),
            None => actions.push(Action::Presence(role, true)),
        }
        if (old.is_some() || had_moved) && peer_online {
            let away = Notice::PeerAway(self.config.park_grace);
            actions.push(Action::Notify(role.other(), away));
        }
        actions.push(Action::Admit {
            role,
            leg,
            peer_online,
            resumed,
        });
        if let Some(at) = self.drains_at {
            actions.push(Action::Notify(
                role,
                Notice::Draining(Drain::within(at - now)),
            ));
        }
        if peer_online {
            actions.push(Action::Notify(role.other(), Notice::PeerOnline));
        }
    }

    fn lost(
        &mut self,
        role: Role,
        leg: LegId,
        why: Option<CloseReason>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        if !self.detach(role, leg) {
            return;
        }
        let until = now + self.config.park_grace;
        self.sides[role.index()].parked_until = Some(until);
        if let Some(why) = why {
            actions.push(Action::HangUp(role, leg, why));
        }
        actions.push(Action::Presence(role, false));
        if self.sides[role.other().index()].leg.is_some() {
            let away = Notice::PeerAway(self.config.park_grace);
            actions.push(Action::Notify(role.other(), away));
        } else if self.drains_at.is_some() {
            // Nobody is left to be told, and the relay wants to stop.
            self.end(Ended::Drained, actions);
        }
    }

    fn done(&mut self, role: Role, leg: LegId, actions: &mut Vec<Action>) {
        if self.detach(role, leg) {
            actions.push(Action::Presence(role, false));
            self.end(Ended::Done, actions);
        }
    }

    fn moved(&mut self, role: Role, leg: LegId, now: Moment, actions: &mut Vec<Action>) {
        if !self.detach(role, leg) {
            return;
        }
        self.sides[role.index()].has_moved = self.sides[role.other().index()].leg.is_some();
        actions.push(Action::Presence(role, false));
        self.drain(Drain::within(self.config.park_grace), now, actions);
        if self.ended.is_none() && self.sides.iter().all(|side| side.leg.is_none()) {
            self.end(Ended::Drained, actions);
        }
    }

    fn drain(&mut self, drain: Drain, now: Moment, actions: &mut Vec<Action>) {
        if self.ended.is_some() || self.drains_at.is_some() {
            return;
        }
        self.drains_at = Some(now + drain.grace);
        for role in Role::BOTH {
            if self.leg(role).is_some() {
                actions.push(Action::Notify(role, Notice::Draining(drain)));
            }
        }
        if self.sides.iter().all(|side| side.leg.is_none()) {
            self.end(Ended::Drained, actions);
        }
    }

    fn timeout(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let due = |at: Option<Moment>| at.is_some_and(|at| at <= now);
        if due(self.drains_at) {
            self.end(Ended::Drained, actions);
        } else if due(self.parked_until()) {
            self.end(Ended::PeerLost, actions);
        } else if due(self.awaits_first().then_some(self.waits_until)) {
            self.end(Ended::NobodyCame, actions);
        }
    }

    fn end(&mut self, ended: Ended, actions: &mut Vec<Action>) {
        for role in Role::BOTH {
            let Some(leg) = self.sides[role.index()].leg.take() else {
                continue;
            };
            actions.push(Action::HangUp(role, leg, ended.reason()));
            actions.push(Action::Presence(role, false));
        }
        self.ended = Some(ended);
        actions.push(Action::End(ended));
    }

    /// Takes a leg off its side, if it is still there.
    fn detach(&mut self, role: Role, leg: LegId) -> bool {
        let side = &mut self.sides[role.index()];
        let was_there = side.leg == Some(leg);
        if was_there {
            side.leg = None;
        }
        was_there
    }

    /// Whether a role never had a leg.
    fn awaits_first(&self) -> bool {
        self.sides.iter().any(|side| !side.had_leg)
    }

    fn parked_until(&self) -> Option<Moment> {
        let parked = self.sides.iter().filter_map(|side| side.parked_until);
        parked.min()
    }
}
