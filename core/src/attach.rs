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
//! - The transports that both sides speak race: the best one starts alone, each other one [`HEAD_START`]
//!   later, or at once when the one before has failed. The first that connects says Hello; the others are
//!   given up.
//! - A new leg takes over without a gap: the old one carries until Welcome. The end of the old one as
//!   [`Replaced`](CloseReason::Replaced), while the Hello of the new one is under way, ends nothing.
//!   Nor does it for a while after such a leg was given up: its Hello may still be under way.
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
//! - A leg that breaks while it is idle, every Ping answered, was probably cut by a proxy: the next one pings
//!   twice in the time after which that happened.
//! - A leg over a transport that is not the best one offered is replaced by a better one as soon as that
//!   connects.

use std::time::Duration;

use bytes::Bytes;
use peersox_proto::v1;
use rand_core::RngCore;

use crate::close::{CloseReason, Then};
use crate::frame::Frame;
use crate::notice::{self, Kind};
use crate::short::pop_front;
use crate::time::Moment;

mod action;
mod cause;
mod config;
mod patience;
mod seek;
#[cfg(test)]
mod tests;
mod transport;
mod up;

pub use action::{Action, End, Event};
pub use cause::{Cause, Ended};
pub use config::Config;
pub use patience::{BLOCKED, FIRST, HEAD_START, PAUSE, PAUSE_AT_MOST};
pub use transport::{Transport, Transports};

#[cfg(test)]
use patience::OPENING_WITH_TICKET;
use patience::{CONTROL_IS_DOWN, RESTART_AFTER, RETRY_AFTER_AT_MOST, STABLE_AFTER, STRAYS};
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
    agent: String,
    legs: u32,
    /// The latest answer of OpenSession, until a relay refuses its ticket.
    session: Option<Session>,
    up: Option<Up>,
    seek: Option<Seek>,
    /// Legs in a row that were lost soon after they were admitted.
    short_lived: u32,
    /// When the latest leg was given up that had said Hello. A relay may still admit it, and hang up the
    /// present one.
    stray_at: Option<Moment>,
    /// The longest time between two Pings on the next leg: shorter than what a proxy in between has cut.
    ping_within: Duration,
    /// What control said in `RetryInfo`.
    not_before: Moment,
    /// A leg was admitted once.
    proven: bool,
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
            agent,
            legs: 0,
            session: None,
            up: None,
            seek: None,
            short_lived: 0,
            stray_at: None,
            ping_within: Duration::MAX,
            not_before: now,
            proven: false,
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
        if let Some(mut seek) = self.take_seek(|stage| stage.races(leg)) {
            seek.cause = ended.into();
            self.fall_back(&mut seek, leg, now);
            self.put_back(seek, now, rng);
        } else if let Some(seek) = self.take_seek(|stage| stage.greets(leg)) {
            self.note_stray(&seek, now);
            self.failed(seek, ended.into(), false, now, rng);
        }
    }

    /// A frame came over a leg. Gives back what is not the leg's own business: a frame of the other peer.
    pub fn handle_frame(
        &mut self,
        leg: LegId,
        bytes: Bytes,
        now: Moment,
        rng: &mut impl RngCore,
    ) -> Option<Frame> {
        let frame = Frame::parse(bytes);
        if self.seek.as_ref().is_some_and(|it| it.stage.greets(leg)) {
            self.welcome(leg, frame.ok(), now, rng);
            return None;
        }
        let up = self.up.as_mut().filter(|up| up.leg == leg)?;
        let Ok(frame) = frame else {
            self.give_up(leg, Cause::Malformed, now, rng);
            return None;
        };
        up.heard(now);
        if frame.lane() != crate::frame::Lane::Notice {
            return Some(frame);
        }
        // What cannot be read, or is of no known kind, may be of a later version.
        if let Ok(Some(kind)) = notice::decode(frame.payload()) {
            self.notice(&kind, now, rng);
        }
        None
    }

    /// Whether frames that this leg took earlier still wait in this process.
    pub fn waiting(&mut self, leg: LegId, waits: bool) {
        if let Some(up) = self.up.as_mut().filter(|up| up.leg == leg) {
            up.waits = waits;
        }
    }

    /// The leg is of no use: hangs up and seeks another.
    pub fn give_up(&mut self, leg: LegId, cause: Cause, now: Moment, rng: &mut impl RngCore) {
        if self.up.as_ref().is_some_and(|up| up.leg == leg) {
            self.actions.push(Action::HangUp(leg, None));
            self.lost(cause, now, rng);
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
        if let Some(seek) = self.seek.take() {
            self.cancel(&seek, None);
        }
        if let Some(up) = self.up.take() {
            let hang_up = Action::HangUp(up.leg, Some(CloseReason::Done));
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
            return Some(notice::encode(Kind::Hello(v1::Hello {
                ticket: self.session.as_ref()?.ticket.clone(),
                agent: self.agent.clone(),
            })));
        }
        self.up.as_mut().filter(|up| up.leg == leg)?.ping(now)
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

    /// When to call [`Attach::handle_timeout`] if nothing happens before.
    #[must_use]
    pub fn timeout(&self) -> Moment {
        let up = self.up.as_ref().map_or(Moment::NEVER, Up::timeout);
        up.min(self.seek.as_ref().map_or(Moment::NEVER, Seek::timeout))
    }

    /// Notes that time has passed.
    pub fn handle_timeout(&mut self, now: Moment, rng: &mut impl RngCore) {
        if let Some(up) = &mut self.up
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

    fn welcome(&mut self, leg: LegId, frame: Option<Frame>, now: Moment, rng: &mut impl RngCore) {
        let Some(seek) = self.seek.take() else { return };
        let notice = frame
            .filter(|frame| frame.lane() == crate::frame::Lane::Notice)
            .and_then(|frame| notice::decode(frame.payload()).ok()?);
        let (Some(Kind::Welcome(welcome)), Some(transport)) = (notice, seek.stage.transport())
        else {
            self.note_stray(&seek, now);
            self.actions.push(Action::HangUp(leg, None));
            return self.failed(seek, Cause::NoWelcome, false, now, rng);
        };
        let up = Up::new(leg, &welcome, self.ping_within, now);
        let old = self.up.replace(up);
        self.proven = true;
        self.actions.push(Action::Tell(Event::Attached {
            leg,
            transport,
            resumed: welcome.resumed,
            peer_online: welcome.peer_online,
        }));
        if let Some(old) = old {
            self.actions.push(Action::HangUp(old.leg, None));
        }
        let better = self.better(transport);
        if !better.is_empty() {
            let mut seek = Seek::new(Why::Upgrade, Moment::NEVER);
            seek.better = better;
            self.pause(&mut seek, now, rng);
            self.seek = Some(seek);
        }
    }

    fn notice(&mut self, kind: &Kind, now: Moment, rng: &mut impl RngCore) {
        let millis = |millis: u32| Duration::from_millis(millis.into());
        let event = match kind {
            Kind::PeerOnline(_) => Event::PeerOnline,
            Kind::PeerAway(away) => Event::PeerAway(millis(away.grace_millis)),
            Kind::DatagramsDropped(dropped) => Event::DatagramsDropped(dropped.count),
            Kind::Draining(draining) => {
                self.drain(now, rng);
                Event::Draining(millis(draining.grace_millis))
            }
            Kind::Pong(pong) => match self.up.as_mut().and_then(|up| up.pong(pong.nonce, now)) {
                Some(rtt) => Event::Rtt(rtt),
                None => return,
            },
            Kind::Hello(_) | Kind::Welcome(_) | Kind::Ping(_) => return,
        };
        self.actions.push(Action::Tell(event));
    }

    /// Another leg is sought while this one lasts. The relay that stops is not asked again.
    fn drain(&mut self, now: Moment, rng: &mut impl RngCore) {
        if self.seek.as_ref().is_some_and(|it| it.why != Why::Upgrade) {
            return;
        }
        if let Some(seek) = self.seek.take() {
            self.note_stray(&seek, now);
            self.cancel(&seek, None);
        }
        self.session = None;
        let mut seek = Seek::new(Why::Draining, Moment::NEVER);
        self.pause(&mut seek, now, rng);
        self.seek = Some(seek);
    }

    fn lost(&mut self, cause: Cause, now: Moment, rng: &mut impl RngCore) {
        let Some(up) = self.up.take() else { return };
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
        let by_stray = cause == Cause::HungUp(CloseReason::Replaced)
            && self.stray_at.is_some_and(|at| now <= at + STRAYS);
        if let Some(reason) = cause.final_reason()
            && !by_stray
        {
            return self.end(End::HungUp(reason));
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
