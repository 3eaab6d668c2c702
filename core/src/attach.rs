//! A leg at the peer: how it is sought, admitted, kept alive, given up and replaced.
//!
//! ```text
//!              OpenSession        first transport       Welcome
//!   Pausing ──────────────► Opening ─────────► Racing ─────────► Greeting ─────► up
//!      ▲                      │ fails            │ all fail         │ refused      │
//!      └──── pause: doubled, jittered, never shorter than RetryInfo ◄──────────────┘ lost
//! ```
//!
//! One machine decides this for every peer: native programs, browsers, and the simulation. It is the
//! counterpart of [`session`](crate::session), which decides for the relay. The rules:
//!
//! - The transports that both sides speak race: the best one starts alone, WebTransport last
//!   ([`Transports::first`]), each other one [`HEAD_START`] later, or at once when the one before has failed.
//!   The first that connects says Hello; the others are given up.
//! - A new leg takes over without a gap: the old one carries until Welcome. The end of the old one as
//!   [`Replaced`](CloseReason::Replaced), while the Hello of the new one is under way, ends nothing.
//!   Nor does it for a while after such a leg was given up: its Hello may still be under way.
//! - A peer that is told Draining seeks a leg elsewhere within the time that the relay spreads its peers
//!   over. If the other peer is still at the old relay, the new leg is only held: the old one carries until
//!   the other peer has come to the new relay as well, and is then hung up as [`Moved`](CloseReason::Moved).
//! - A relay that cannot be reached, though control says that it is there, is reported to control after
//!   [`UNREACHED`] attempts in a row, so that the pairing meets elsewhere.
//! - A failed attempt is repeated after a pause that doubles from [`PAUSE`] to [`PAUSE_AT_MOST`], each
//!   between half of it and all of it. What control says in `RetryInfo` is a lower bound, also when the
//!   program wakes up.
//! - Control is asked for a ticket each time. While control is away, the ticket of an earlier session is used
//!   until a relay refuses it.
//! - A leg that answers no Ping for one and a half keepalive periods is lost. A leg whose own frames cannot
//!   leave may wait for a slow reader behind the relay: it is spared for [`BLOCKED`].
//! - A number is final exactly if [`CloseReason::then`] says [`Then::Stop`]. Other ends are followed by
//!   another attempt for as long as [`Config::patience`] lasts, and for [`FIRST`] at most before the first
//!   leg: a relay that is full, or a server that asks to wait no longer than that, ends nothing. A server
//!   without a transport for the first leg is given up at once.
//! - Control that says that the other peer has to let this one in first is asked again for [`UNCONFIRMED`],
//!   counted from when it first said so: a person answers there. That is no failure, and is not told as one.
//! - A leg that breaks while it is idle, every Ping answered, was probably cut by a proxy: the next one pings
//!   twice in the time after which that happened.
//! - A leg over a transport that is not the best one offered is replaced by a better one as soon as that
//!   connects; not while the other peer is away or a direct path carries. Not by WebTransport either once
//!   [`STUCK`] legs over it were lost in silence: browsers have lost its streams.

use std::time::Duration;

use rand_core::RngCore;

use crate::close::{CloseReason, Then};
use crate::frame::Frame;
use crate::notice::{self, Kind};
use crate::short::pop_front;
use crate::time::Moment;

mod action;
mod cause;
mod config;
mod greeting;
mod hear;
mod held;
mod patience;
mod seek;
#[cfg(test)]
mod tests;
mod transport;
mod up;

pub use action::{Action, End, Event};
pub use cause::{Cause, Ended};
pub use config::Config;
pub use patience::{
    BLOCKED, FIRST, HEAD_START, PAUSE, PAUSE_AT_MOST, STUCK, UNCONFIRMED, UNREACHED,
};
pub use transport::{Transport, Transports};

use greeting::Greeting;
use held::Held;
#[cfg(test)]
use patience::OPENING_WITH_TICKET;
use patience::{
    ASK_AGAIN, CONTROL_IS_DOWN, RESTART_AFTER, RETRY_AFTER_AT_MOST, STABLE_AFTER, STRAYS,
};
use seek::{Seek, Stage, Why};
use up::Up;

/// One leg of this peer, or an attempt at one; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(u32);

impl LegId {
    /// Its number, for a shell that speaks another language.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The leg with this number; one that never was has ended.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// What OpenSession answered, as far as rules need it. The shell keeps the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The transports of its endpoints.
    pub offered: Transports,
    /// The right to attach.
    pub ticket: String,
}

/// See the module.
pub struct Attach {
    config: Config,
    pub(crate) greeting: Greeting,
    legs: u32,
    /// The latest answer of OpenSession, until a relay refuses its ticket.
    session: Option<Session>,
    up: Option<Up>,
    /// A leg to the next relay, until the other peer is there, too.
    held: Option<Held>,
    seek: Option<Seek>,
    /// Legs in a row that were lost soon after they were admitted.
    short_lived: u32,
    /// When the latest leg was given up that had said Hello. A relay may still admit it, and hang up the
    /// present one.
    stray_at: Option<Moment>,
    /// The longest time between two Pings on the next leg: shorter than what a proxy in between has cut.
    ping_within: Duration,
    /// Attempts in a row at a relay that control had just named, and that could not be reached.
    unreached: u32,
    /// What control said in `RetryInfo`.
    not_before: Moment,
    /// A leg was admitted once.
    proven: bool,
    /// When control first said that the other peer has to let this one in.
    unconfirmed_since: Option<Moment>,
    /// What carries the leg, and how many legs over WebTransport were lost in silence.
    carrier: Option<Transport>,
    stuck: u8,
    /// A direct path carries: what control refuses does not end what the peers say to each other.
    has_direct: bool,
    ended: bool,
    actions: Vec<Action>,
}

impl Attach {
    /// Begins to seek a leg. `agent` is the name and version of this software, for the relay's operator.
    #[must_use]
    pub fn new(config: Config, agent: String, now: Moment) -> Self {
        let mut attach = Self {
            config,
            greeting: Greeting::of(agent),
            legs: 0,
            session: None,
            up: None,
            held: None,
            seek: None,
            short_lived: 0,
            stray_at: None,
            ping_within: Duration::MAX,
            unreached: 0,
            not_before: now,
            proven: false,
            unconfirmed_since: None,
            carrier: None,
            stuck: 0,
            has_direct: false,
            ended: false,
            actions: Vec::new(),
        };
        // Whoever is patient still wants to hear that it cannot begin.
        let mut seek = Seek::new(Why::Lost, now + config.patience.min(FIRST));
        attach.open(&mut seek, now);
        attach.seek = Some(seek);
        attach
    }

    /// OpenSession was answered. An answer that is late is remembered, too.
    pub fn session_opened(&mut self, session: Session, now: Moment, rng: &mut impl RngCore) {
        self.session = Some(session);
        if let Some(mut seek) = self.take_seek(|stage| matches!(stage, Stage::Opening { .. })) {
            seek.is_named = true;
            self.race(&mut seek, now);
            self.put_back(seek, now, rng);
        }
    }

    /// OpenSession failed; `is_final` if calling again would fail the same way.
    pub fn session_failed(
        &mut self,
        is_final: bool,
        retry_after: Option<Duration>,
        now: Moment,
        rng: &mut impl RngCore,
    ) {
        self.wait_for(retry_after, now);
        let Some(mut seek) = self.take_seek(|stage| matches!(stage, Stage::Opening { .. })) else {
            return;
        };
        seek.control_failed += 1;
        if !is_final && seek.control_failed >= CONTROL_IS_DOWN && self.session.is_some() {
            self.race(&mut seek, now);
            self.put_back(seek, now, rng);
        } else {
            self.failed(seek, Cause::Control, is_final, now, rng);
        }
    }

    /// OpenSession was answered: the other peer has not let this one in yet.
    pub fn unconfirmed(
        &mut self,
        retry_after: Option<Duration>,
        now: Moment,
        rng: &mut impl RngCore,
    ) {
        self.wait_for(retry_after, now);
        let Some(mut seek) = self.take_seek(|stage| matches!(stage, Stage::Opening { .. })) else {
            return;
        };
        let since = *self.unconfirmed_since.get_or_insert(now);
        let until = (now + ASK_AGAIN).max(self.not_before);
        if self.proven {
            // A peer that had a leg was let in before.
            return self.failed(seek, Cause::Control, false, now, rng);
        }
        seek.give_up = since + self.config.patience.min(UNCONFIRMED);
        if until >= seek.give_up {
            return self.failed(seek, Cause::Control, false, now, rng);
        }
        seek.stage = Stage::Pausing { until };
        seek.since = now;
        self.seek = Some(seek);
    }

    /// What control says in `RetryInfo`, whatever it was called for.
    pub fn wait_for(&mut self, retry_after: Option<Duration>, now: Moment) {
        if let Some(after) = retry_after {
            let until = now + after.min(RETRY_AFTER_AT_MOST);
            self.not_before = self.not_before.max(until);
        }
    }

    /// Whether control has asked not to be called now.
    #[must_use]
    pub fn has_to_wait(&self, now: Moment) -> bool {
        self.not_before > now
    }

    /// A leg's transport is connected: Hello may leave.
    pub fn leg_connected(&mut self, leg: LegId, now: Moment, rng: &mut impl RngCore) {
        let Some(mut seek) = self.take_seek(|stage| stage.races(leg)) else {
            return self.actions.push(Action::HangUp(leg, None));
        };
        self.greet(&mut seek, leg);
        self.put_back(seek, now, rng);
    }

    /// A leg ended, or could not be made. Late news of a leg that was hung up change nothing.
    pub fn leg_ended(&mut self, leg: LegId, ended: Ended, now: Moment, rng: &mut impl RngCore) {
        if self.up.as_ref().is_some_and(|up| up.leg == leg) {
            return self.lost(ended.into(), now, rng);
        }
        if self.is_held(leg) {
            return self.lost_held(ended.into(), now, rng);
        }
        if let Some(mut seek) = self.take_seek(|stage| stage.races(leg)) {
            seek.cause = ended.into();
            self.fall_back(&mut seek, leg, now);
            self.put_back(seek, now, rng);
        } else if let Some(seek) = self.take_seek(|stage| stage.greets(leg)) {
            self.note_stray(&seek, now);
            self.failed(seek, ended.into(), false, now, rng);
        }
    }

    /// Whether frames that this leg took earlier still wait in this process.
    pub fn waiting(&mut self, leg: LegId, waits: bool) {
        if let Some(up) = self.leg_mut(leg) {
            up.waits = waits;
        }
    }

    /// The leg is of no use: hangs up and seeks another.
    pub fn give_up(&mut self, leg: LegId, cause: Cause, now: Moment, rng: &mut impl RngCore) {
        if self.leg_mut(leg).is_none() {
            return;
        }
        self.actions.push(Action::HangUp(leg, None));
        match self.is_held(leg) {
            true => self.lost_held(cause, now, rng),
            false => self.lost(cause, now, rng),
        }
    }

    /// There is no path any more: an attempt that has waited is made now, unless control asked to wait. A
    /// pause that begins at this moment is kept: the loss of the leg is what took the path.
    pub fn hurry(&mut self, now: Moment, rng: &mut impl RngCore) {
        if let Some(seek) = &mut self.seek
            && seek.why != Why::Upgrade
            && seek.since < now
            && let Stage::Pausing { until } = &mut seek.stage
        {
            *until = now.max(self.not_before);
        }
        self.handle_timeout(now, rng);
    }

    /// The program was asleep, or its network changed: what waits is done now, an attempt from before begins
    /// anew, and the leg has to prove that it lives.
    pub fn wake(&mut self, now: Moment, rng: &mut impl RngCore) {
        if let Some(up) = &mut self.up {
            up.wake(now);
        }
        if let Some(held) = &mut self.held {
            held.up.wake(now);
        }
        if let Some(mut seek) = self.take_seek(|stage| !matches!(stage, Stage::Pausing { .. })) {
            if now >= seek.since + RESTART_AFTER {
                self.note_stray(&seek, now);
                self.cancel(&seek, None);
                let until = now.max(self.not_before);
                seek.stage = Stage::Pausing { until };
            }
            self.seek = Some(seek);
        }
        if let Some(seek) = &mut self.seek {
            seek.failures = 0;
        }
        self.hurry(now, rng);
    }

    /// Whether a direct path carries; see [`Attach`].
    pub(crate) fn set_direct(&mut self, has_direct: bool) {
        self.has_direct = has_direct;
    }

    /// Ends every leg and attempt; nothing follows.
    pub fn stop(&mut self) {
        match self.seek.take() {
            // A relay may have admitted it, and told the other peer so.
            Some(Seek {
                stage: Stage::Greeting {
                    leg, said: true, ..
                },
                ..
            }) => self
                .actions
                .push(Action::HangUp(leg, Some(CloseReason::Done))),
            Some(seek) => self.cancel(&seek, None),
            None => {}
        }
        let held = self.held.take().map(|held| held.up.leg);
        let up = self.up.take().map(|up| up.leg);
        for leg in [up, held].into_iter().flatten() {
            let hang_up = Action::HangUp(leg, Some(CloseReason::Done));
            self.actions.push(hang_up);
        }
        self.ended = true;
    }

    /// The next frame of the leg's own: Hello, or a Ping.
    pub fn poll_transmit(&mut self, leg: LegId, now: Moment) -> Option<Frame> {
        if let Some(seek) = &mut self.seek
            && let Stage::Greeting { leg: it, said, .. } = &mut seek.stage
            && *it == leg
            && !std::mem::replace(said, true)
        {
            let ticket = self.session.as_ref()?.ticket.clone();
            return Some(notice::encode(Kind::Hello(self.greeting.hello(ticket))));
        }
        self.leg_mut(leg)?.ping(now)
    }

    /// The leg that is admitted.
    #[must_use]
    pub fn leg(&self) -> Option<LegId> {
        Some(self.up.as_ref()?.leg)
    }

    /// The next thing to do. Poll until there is nothing, after every call.
    pub fn poll(&mut self) -> Option<Action> {
        pop_front(&mut self.actions)
    }

    /// Whether there is something to do before anything else is handled.
    pub(crate) fn has_news(&self) -> bool {
        !self.actions.is_empty()
    }

    /// When to call [`Attach::handle_timeout`] if nothing happens before.
    #[must_use]
    pub fn timeout(&self) -> Moment {
        let up = self.up.as_ref().map_or(Moment::NEVER, Up::timeout);
        let held = self.held.as_ref();
        let held = held.map_or(Moment::NEVER, |held| held.up.timeout());
        let seek = self.seek.as_ref().map_or(Moment::NEVER, Seek::timeout);
        up.min(held).min(seek)
    }

    /// Notes that time has passed.
    pub fn handle_timeout(&mut self, now: Moment, rng: &mut impl RngCore) {
        if let Some(up) = &mut self.up
            && up.is_lost(now)
        {
            let leg = up.leg;
            self.give_up(leg, Cause::Silent, now, rng);
        }
        if let Some(Held { up, .. }) = &mut self.held
            && up.is_lost(now)
        {
            let leg = up.leg;
            self.give_up(leg, Cause::Silent, now, rng);
        }
        if self.seek.as_ref().is_some_and(|seek| seek.timeout() <= now)
            && let Some(seek) = self.seek.take()
        {
            self.due(seek, now, rng);
        }
    }

    fn lost(&mut self, cause: Cause, now: Moment, rng: &mut impl RngCore) {
        let Some(up) = self.up.take() else { return };
        if (cause, self.carrier) == (Cause::Silent, Some(Transport::WebTransport)) {
            self.stuck = self.stuck.saturating_add(1);
        }
        if cause == Cause::Broken {
            self.ping_within = self.ping_within.min(up.ping_within(now));
        }
        if cause == Cause::HungUp(CloseReason::Replaced)
            && let Some(seek) = &mut self.seek
            && seek.stage.has_said_hello()
        {
            // The leg that is being admitted replaced this one: what becomes of it is what there is to tell.
            (seek.why, seek.give_up) = (Why::Lost, now + self.config.patience);
            seek.untold = Some(cause);
            return;
        }
        if let Some(reason) = self.final_reason(cause, self.held.is_some(), now) {
            return self.end(End::HungUp(reason));
        }
        if self.held.is_some() {
            return self.take_over(false, now, rng);
        }
        self.refuse_ticket(cause);
        self.short_lived = match now >= up.since + STABLE_AFTER {
            true => 0,
            false => self.short_lived + 1,
        };
        let give_up = now + self.config.patience;
        let running = |seek: &mut Seek| {
            seek.why == Why::Draining && !matches!(seek.stage, Stage::Pausing { .. })
        };
        let (seek, retry_in) = match self.seek.take_if(running) {
            Some(mut seek) => {
                (seek.why, seek.give_up) = (Why::Lost, give_up);
                (seek, None)
            }
            None => {
                let mut seek = Seek::new(Why::Lost, give_up);
                seek.failures = self.short_lived;
                let pause = self.pause(&mut seek, now, rng);
                (seek, Some(pause))
            }
        };
        self.replace_seek(seek, now);
        self.actions
            .push(Action::Tell(Event::Lost { cause, retry_in }));
    }

    /// Why a leg that ended ends everything. One that was replaced by a newer leg of this side does not: by
    /// the one there is, or by one that was given up and whose Hello arrived late.
    fn final_reason(&self, cause: Cause, has_newer: bool, now: Moment) -> Option<CloseReason> {
        let is_own = has_newer || self.stray_at.is_some_and(|at| now <= at + STRAYS);
        let reason = cause.final_reason();
        reason.filter(|reason| *reason != CloseReason::Replaced || !is_own)
    }

    fn refuse_ticket(&mut self, cause: Cause) {
        if matches!(cause, Cause::HungUp(reason) if reason.then() == Then::Refresh) {
            self.session = None;
        }
    }

    fn end(&mut self, end: End) {
        self.stop();
        self.actions.push(Action::End(end));
    }
}
