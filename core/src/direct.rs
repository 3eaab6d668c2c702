//! Direct paths: who offers, which connection is meant, when one is mended and when it is given up.
//!
//! ```text
//!     initiator                                                    joiner
//!        | Signal{attempt, offer} ─────────────────────────────────► |  a new connection each
//!        | ◄───────────────────────────────── Signal{attempt, answer} |
//!        | ◄──────────── Signal{attempt, candidate} … ──────────────► |
//!        | ◄═══════════ data channels 0 and 1, path up ═════════════► |
//! ```
//!
//! Either side may offer. An *attempt* is a random number chosen with the first offer; it names one
//! connection on both sides, so that what belongs to an earlier one is known and dropped. When both offer at
//! once, the initiator ignores the joiner's offer, and the joiner drops its own attempt for the initiator's.
//! The joiner waits a moment before it offers, so that this is rare. A later offer of the same attempt
//! restarts ICE.
//!
//! [`connect`](crate::connect) judges the path: it probes, and hangs up when the path is silent. Then ICE is
//! restarted on the same connection, and if that brings nothing the next attempt begins from scratch.
//!
//! Credentials for TURN run out. Before candidates are gathered with old ones, another session is opened for
//! the sake of its servers; if that fails or takes long, the old ones have to do.
//!
//! What the connection is depends on the programs: [`Carrier`]. Neither knows what the other one has. A
//! native program offers QUIC first. A page drops that, and makes its own offer at once if it would have
//! waited; it is no glare then, and the native program takes it. An offer that nobody has answered in time
//! is followed by one of the other carrier, until the other side is known to have the first.
//!
//! The shell owns the connection: it obeys [`Action`]s and reports with [`Input`]s, both of which name the
//! attempt.

use std::time::Duration;

use peersox_proto::v1::signal::Kind;
use rand_core::RngCore;

use crate::connect::PathId;
use crate::role::Role;
use crate::short::pop_front;
use crate::time::Moment;

mod action;
mod attempt;
mod candidate;
mod carrier;
mod description;
mod input;
mod negotiation;
mod sdp;
mod signal;
#[cfg(test)]
mod tests;
mod why;

pub use action::Action;
pub use candidate::{is_link_local, may_be_sought};
pub use carrier::Carrier;
pub use description::{Description, Malformed};
pub use input::{Channel, Connection, Input};
pub use peersox_proto::v1::{IceCandidate, SessionDescription};
pub use sdp::{DataSession, Setup};
pub use why::Why;

use attempt::{Attempt, Step};

/// When to look for a direct path. A peer that does not say `Off` answers the offers of the other peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Never.
    Off,
    /// When the program asks, or the other peer.
    Manual,
    /// As soon as there is a relay path, and again after it was lost.
    #[default]
    Auto,
}

/// See the module.
pub struct Direct {
    mode: Mode,
    carrier: Carrier,
    /// What the next offer is of.
    offers: Carrier,
    role: Role,
    /// A direct path is wanted from then on.
    due: Moment,
    attempt: Option<Attempt>,
    /// The attempt that was given up last: the other side may not know it yet and restart ICE.
    given_up: u64,
    /// From when on the credentials of the servers may have run out.
    stale_at: Moment,
    why: Why,
    actions: Vec<Action>,
}

impl Direct {
    /// Without a path, of a program that offers this carrier first.
    #[must_use]
    pub const fn new(mode: Mode, carrier: Carrier, role: Role) -> Self {
        Self {
            mode,
            carrier,
            offers: carrier,
            role,
            due: Moment::NEVER,
            attempt: None,
            given_up: 0,
            stale_at: Moment::NEVER,
            why: match mode {
                Mode::Off => Why::Off,
                Mode::Manual => Why::NotAsked,
                Mode::Auto => Why::NoPeer,
            },
            actions: Vec::new(),
        }
    }

    /// Why there is no direct path.
    #[must_use]
    pub const fn why(&self) -> Why {
        self.why
    }

    /// The present attempt, if there is one.
    #[must_use]
    pub fn attempt(&self) -> Option<u64> {
        Some(self.attempt.as_ref()?.number)
    }

    /// The path, while there is one.
    #[must_use]
    pub fn path(&self) -> Option<PathId> {
        self.attempt.as_ref()?.path
    }

    /// What carries the path, while there is one.
    #[must_use]
    pub fn carrier(&self) -> Option<Carrier> {
        let with_path = self.attempt.as_ref().filter(|it| it.path.is_some())?;
        Some(with_path.carrier)
    }

    /// The path of this attempt, while there is one.
    #[must_use]
    pub fn path_of(&self, attempt: u64) -> Option<PathId> {
        let present = self.attempt.as_ref().filter(|it| it.number == attempt)?;
        present.path
    }

    /// The servers are fresh, and their credentials are good until this moment.
    pub fn set_servers(&mut self, stale_at: Moment) {
        self.stale_at = stale_at;
    }

    /// A direct path is wanted, as [`connect`](crate::connect) says.
    pub fn dial(&mut self, now: Moment) {
        if self.mode == Mode::Auto {
            self.due = match self.role {
                Role::Initiator => now,
                Role::Joiner => now + JOINER_WAITS,
            };
        }
    }

    /// The program wants a direct path now; false if that is turned off.
    pub fn upgrade(&mut self, now: Moment) -> bool {
        if self.mode == Mode::Off {
            return false;
        }
        self.due = now;
        true
    }

    /// A relay path begins: what was signalled before may be lost, and an offer is made anew.
    pub fn relay_up(&mut self, now: Moment) {
        let Some(mut attempt) = self.attempt.take_if(|it| it.offered) else {
            return;
        };
        if attempt.path.is_none() {
            self.actions.push(Action::Close(attempt.number));
            self.due = now;
            return;
        }
        if std::mem::take(&mut attempt.awaits_answer) {
            self.restart(&mut attempt, now);
        }
        self.attempt = Some(attempt);
    }

    /// The program slept for so long, or its network changed: addresses may be others.
    pub fn wake(&mut self, slept: Duration, now: Moment, can_signal: bool) {
        self.stale_at = self.stale_at.earlier(slept);
        if let Some(mut attempt) = self.attempt.take() {
            if attempt.open && can_signal {
                self.restart(&mut attempt, now);
            }
            self.attempt = Some(attempt);
        }
    }

    /// Has ICE restarted if this side offered: at once, or when the other side has answered the offer before,
    /// whose answer would be taken for that of the next.
    fn restart(&mut self, attempt: &mut Attempt, now: Moment) {
        if attempt.awaits_answer {
            attempt.again = true;
        } else if attempt.offered {
            self.begin_step(attempt, Step::Offer { restart: true }, now);
        }
    }

    /// Nothing comes over this path any more, and it already counts as down.
    pub fn silent(&mut self, path: PathId, now: Moment, can_signal: bool) {
        let Some(mut attempt) = self.attempt.take_if(|it| it.path == Some(path)) else {
            return;
        };
        attempt.path = None;
        attempt.until = now + MENDING;
        self.why = Why::Silent;
        if can_signal {
            self.restart(&mut attempt, now);
        }
        self.attempt = Some(attempt);
    }

    /// The connection is of no use any more.
    pub fn lost(&mut self, why: Why) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        self.actions.push(Action::Close(attempt.number));
        self.why = why;
        self.given_up = attempt.number;
        self.offers = match (why, self.offers) {
            // Whoever does not answer may not know this carrier.
            (Why::Unreachable, Carrier::Quic) if attempt.is_unanswered() => Carrier::WebRtc,
            (Why::Unreachable, Carrier::WebRtc) if attempt.is_unanswered() => self.carrier,
            (Why::PeerRestarted, _) => self.carrier,
            (_, as_before) => as_before,
        };
        self.actions.push(match attempt.path {
            Some(path) => Action::Down(path),
            None => Action::Failed(why),
        });
    }

    /// Ends what there is; nothing is told.
    fn stop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.actions.push(Action::Close(attempt.number));
        }
        self.due = Moment::NEVER;
    }

    /// A signal of the other peer, opened. What is unknown is of a later version.
    pub fn handle_signal(&mut self, bytes: &[u8], now: Moment) {
        let Ok((number, Some(kind))) = signal::decode(bytes) else {
            return;
        };
        if self.mode == Mode::Off || number == 0 {
            return;
        }
        match kind {
            Kind::Description(it) => self.take_description(number, it, now),
            Kind::Candidate(candidate) => {
                if let Some(attempt) = self.attempt.as_mut().filter(|it| it.number == number) {
                    let add = attempt.heard_candidate(candidate);
                    self.actions
                        .extend(add.map(|candidate| Action::Add(number, candidate)));
                }
            }
        }
    }

    /// Takes what the shell reports of an attempt. Late news of one that is over change nothing.
    pub fn handle(&mut self, number: u64, input: Input, now: Moment, can_signal: bool) {
        let Some(mut attempt) = self.attempt.take_if(|it| it.number == number) else {
            return;
        };
        match input {
            Input::Described(description) => {
                attempt.announced = true;
                attempt.awaits_answer = description.r#type == attempt.carrier.offer();
                self.signal(number, &Kind::Description(description));
                for candidate in attempt.unsent.drain(..) {
                    self.signal(number, &Kind::Candidate(candidate));
                }
            }
            Input::Accepted => {
                attempt.described = true;
                let early = attempt.early.drain(..);
                self.actions.extend(early.map(|it| Action::Add(number, it)));
                if attempt.accepting.take() == Some(true) {
                    self.begin_step(&mut attempt, Step::Answer, now);
                } else if std::mem::take(&mut attempt.again) {
                    self.restart(&mut attempt, now);
                }
            }
            Input::Candidate(candidate) if attempt.announced => {
                self.signal(number, &Kind::Candidate(candidate));
            }
            Input::Candidate(candidate) => attempt.keep(candidate),
            Input::Failed => {
                self.attempt = Some(attempt);
                return self.lost(Why::Refused);
            }
            Input::Changed(connection, channel) => {
                self.attempt = Some(attempt);
                return self.changed(connection, channel, now, can_signal);
            }
        }
        self.attempt = Some(attempt);
    }

    /// A frame came over the connection of an attempt: it proves that a path that was given up is mended.
    pub fn heard(&mut self, number: u64) {
        if self.path_of(number).is_none() {
            self.up(number);
        }
    }

    /// [`Action::Up`] made this path.
    pub fn set_path(&mut self, number: u64, path: PathId) {
        if let Some(attempt) = self.attempt.as_mut().filter(|it| it.number == number) {
            attempt.path = Some(path);
        }
    }

    /// The session that [`Action::Renew`] asked for was opened, or could not be.
    pub fn renewed(&mut self) {
        if let Some(mut attempt) = self.attempt.take() {
            if let Some((step, _)) = attempt.step.take() {
                self.do_step(&mut attempt, step);
            }
            self.attempt = Some(attempt);
        }
    }

    /// The next thing to do. Poll until there is nothing, after every call.
    pub fn poll(&mut self) -> Option<Action> {
        pop_front(&mut self.actions)
    }

    /// When to call [`Direct::handle_timeout`] if nothing happens before.
    #[must_use]
    pub fn timeout(&self, can_signal: bool) -> Moment {
        match &self.attempt {
            Some(attempt) => attempt.timeout(),
            None if can_signal => self.due,
            None => Moment::NEVER,
        }
    }

    /// Notes that time has passed. `can_signal`: there are keys and a relay path.
    pub fn handle_timeout(&mut self, now: Moment, can_signal: bool, rng: &mut impl RngCore) {
        if let Some(attempt) = &self.attempt {
            if attempt.path.is_none() && attempt.until <= now {
                self.lost(Why::Unreachable);
            } else if attempt.step.as_ref().is_some_and(|(_, at)| *at <= now) {
                self.renewed();
            }
        }
        if self.due <= now && can_signal {
            self.due = Moment::NEVER;
            // One that is under way serves as well.
            if self.attempt.is_none() {
                // From 1 to 2^53 − 1, so that JavaScript holds it.
                let number = (rng.next_u64() >> 11).max(1);
                self.begin(number, self.offers, true, now);
            }
        }
    }

    /// Has a connection made; the side that offers also makes its offer.
    fn begin(&mut self, number: u64, carrier: Carrier, offered: bool, now: Moment) {
        let mut attempt = Attempt::new(number, carrier, offered, now + MAKING);
        self.why = Why::Looking;
        self.actions.push(Action::Make(number, carrier));
        if offered {
            self.begin_step(&mut attempt, Step::Offer { restart: false }, now);
        }
        self.attempt = Some(attempt);
    }

    /// Takes a step that gathers candidates: after the servers were renewed, if they may be stale.
    fn begin_step(&mut self, attempt: &mut Attempt, step: Step, now: Moment) {
        if self.stale_at > now {
            return self.do_step(attempt, step);
        }
        if attempt.step.is_none() {
            self.actions.push(Action::Renew);
        }
        attempt.step = Some((step, now + RENEWING));
    }

    fn do_step(&mut self, attempt: &mut Attempt, step: Step) {
        attempt.announced = false;
        let attempt = attempt.number;
        self.actions.push(match step {
            Step::Offer { restart } => Action::Offer { attempt, restart },
            Step::Answer => Action::Answer(attempt),
        });
    }

    fn changed(&mut self, connection: Connection, channel: Channel, now: Moment, can_signal: bool) {
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        if channel == Channel::Closed {
            return self.lost(Why::PeerClosed);
        }
        let number = attempt.number;
        let just_opened = channel == Channel::Open && !attempt.open;
        attempt.open |= just_opened;
        match (connection, attempt.path) {
            (Connection::Failed, Some(path)) => {
                self.actions.push(Action::Down(path));
                self.silent(path, now, can_signal);
            }
            (Connection::Failed, None) if !attempt.open => self.lost(Why::NoPair),
            (Connection::Failed, None) => {}
            (Connection::Closed, _) => self.lost(Why::Closed),
            (Connection::Connected, _) => self.up(number),
            (Connection::Pending, _) if just_opened => self.up(number),
            (Connection::Pending, _) => {}
        }
    }

    /// The connection works, for the first time or again.
    fn up(&mut self, number: u64) {
        let works = |it: &Attempt| it.number == number && it.open && it.path.is_none();
        if self.attempt.as_ref().is_some_and(works) {
            self.actions.push(Action::Up(number));
        }
    }

    fn signal(&mut self, attempt: u64, kind: &Kind) {
        let signal = signal::encode(attempt, kind);
        self.actions.push(Action::Signal(signal.into()));
    }
}

/// How long the joiner leaves it to the initiator to make the offer.
const JOINER_WAITS: Duration = Duration::from_millis(1_500);

/// From the offer to an open channel.
const MAKING: Duration = Duration::from_secs(15);

/// How long an ICE restart may take.
const MENDING: Duration = Duration::from_secs(8);

/// How long new servers are waited for. Both sides may, one after the other: twice this is less than
/// [`MENDING`].
const RENEWING: Duration = Duration::from_secs(3);
