//! The search for a leg: pause, session, race, Hello.

use std::time::Duration;

use rand_core::RngCore;

use super::patience::{ATTEMPT, OPENING, OPENING_WITH_TICKET, STUCK, UNREACHED, UPGRADE_AT_MOST};
use super::{
    Action, Attach, Cause, End, Event, HEAD_START, LegId, PAUSE, PAUSE_AT_MOST, Transport,
    Transports,
};
use crate::time::Moment;

pub(super) struct Seek {
    pub(super) why: Why,
    pub(super) stage: Stage,
    /// When the stage began.
    pub(super) since: Moment,
    /// Attempts that failed in a row.
    pub(super) failures: u32,
    /// How often control refused or did not answer.
    pub(super) control_failed: u32,
    /// Control has named the relay in this attempt.
    pub(super) is_named: bool,
    /// Within which time to begin, so that not all peers of a relay do so at once.
    pub(super) spread: Duration,
    /// When the patience is over.
    pub(super) give_up: Moment,
    /// Why the leg before ended, if that is not told yet.
    pub(super) untold: Option<Cause>,
    /// Of the transport that failed last.
    pub(super) cause: Cause,
    /// The transports that are wanted for an upgrade.
    pub(super) better: Transports,
}

/// Why a leg is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There is none.
    Lost,
    /// The relay is about to stop.
    Draining,
    /// A better transport may pass by now.
    Upgrade,
}

pub(super) enum Stage {
    Pausing {
        until: Moment,
    },
    Opening {
        until: Moment,
    },
    Racing {
        racers: Vec<(LegId, Transport)>,
        /// Those that have not started.
        rest: Transports,
        next_at: Moment,
        until: Moment,
    },
    Greeting {
        leg: LegId,
        transport: Transport,
        said: bool,
        until: Moment,
    },
    /// Nothing is tried any more; the attempt is about to fail.
    Over,
}

impl Stage {
    pub(super) fn races(&self, leg: LegId) -> bool {
        matches!(self, Self::Racing { racers, .. } if racers.iter().any(|(it, _)| *it == leg))
    }

    pub(super) fn greets(&self, leg: LegId) -> bool {
        matches!(self, Self::Greeting { leg: it, .. } if *it == leg)
    }

    pub(super) fn has_said_hello(&self) -> bool {
        matches!(self, Self::Greeting { said: true, .. })
    }

    pub(super) fn transport(&self) -> Option<Transport> {
        match self {
            Self::Greeting { transport, .. } => Some(*transport),
            Self::Pausing { .. } | Self::Opening { .. } | Self::Racing { .. } | Self::Over => None,
        }
    }
}

impl Seek {
    pub(super) fn new(why: Why, give_up: Moment) -> Self {
        Self {
            why,
            stage: Stage::Over,
            since: Moment::default(),
            failures: 0,
            control_failed: 0,
            is_named: false,
            spread: Duration::ZERO,
            give_up,
            untold: None,
            cause: Cause::Broken,
            better: Transports::NONE,
        }
    }

    pub(super) fn timeout(&self) -> Moment {
        match &self.stage {
            Stage::Pausing { until } | Stage::Opening { until } | Stage::Greeting { until, .. } => {
                *until
            }
            Stage::Racing { next_at, until, .. } => (*next_at).min(*until),
            Stage::Over => Moment::NEVER,
        }
    }
}

impl Attach {
    /// Takes the search if it is in such a stage.
    pub(super) fn take_seek(&mut self, is: impl Fn(&Stage) -> bool) -> Option<Seek> {
        self.seek.take_if(|seek| is(&seek.stage))
    }

    /// Puts a search back, unless it has come to its end.
    pub(super) fn put_back(&mut self, seek: Seek, now: Moment, rng: &mut impl RngCore) {
        if matches!(seek.stage, Stage::Over) {
            let cause = seek.cause;
            self.failed(seek, cause, false, now, rng);
        } else {
            self.seek = Some(seek);
        }
    }

    /// Begins this search in the place of the one that there is.
    pub(super) fn replace_seek(&mut self, seek: Seek, now: Moment) {
        if let Some(old) = self.seek.replace(seek) {
            self.note_stray(&old, now);
            self.cancel(&old, None);
        }
    }

    /// The stage has lasted long enough.
    pub(super) fn due(&mut self, mut seek: Seek, now: Moment, rng: &mut impl RngCore) {
        match &mut seek.stage {
            Stage::Pausing { .. } if seek.why == Why::Upgrade && !self.carries() => {
                // What carries next to nothing may go on as it is.
                self.pause(&mut seek, now, rng);
                self.seek = Some(seek);
            }
            Stage::Pausing { until } => {
                // Control may have asked to wait after the pause began.
                *until = self.not_before;
                if self.not_before <= now {
                    self.open(&mut seek, now);
                }
                self.seek = Some(seek);
            }
            Stage::Opening { .. } => {
                seek.control_failed += 1;
                if self.session.is_some() {
                    self.race(&mut seek, now);
                    self.put_back(seek, now, rng);
                } else {
                    self.failed(seek, Cause::Control, false, now, rng);
                }
            }
            Stage::Racing { until, .. } if *until > now => {
                self.start_next(&mut seek, now);
                self.put_back(seek, now, rng);
            }
            Stage::Racing { .. } | Stage::Greeting { .. } => {
                self.note_stray(&seek, now);
                self.cancel(&seek, None);
                self.failed(seek, Cause::TimedOut, false, now, rng);
            }
            Stage::Over => {}
        }
    }

    /// Asks control for a session.
    pub(super) fn open(&mut self, seek: &mut Seek, now: Moment) {
        let patience = match self.session {
            Some(_) => OPENING_WITH_TICKET,
            None => OPENING,
        };
        seek.stage = Stage::Opening {
            until: now + patience,
        };
        seek.since = now;
        seek.is_named = false;
        let unreached = self.session.is_some() && self.unreached >= UNREACHED;
        self.actions.push(Action::OpenSession { unreached });
    }

    /// Lets the transports race that both sides speak.
    pub(super) fn race(&mut self, seek: &mut Seek, now: Moment) {
        let offered = self.session.as_ref().map(|session| session.offered);
        let mut rest = self.config.transports.and(offered.unwrap_or_default());
        if seek.why == Why::Upgrade {
            rest = rest.and(seek.better);
        }
        seek.cause = Cause::NoTransport;
        seek.stage = Stage::Racing {
            racers: Vec::new(),
            rest,
            next_at: now,
            until: now + ATTEMPT,
        };
        seek.since = now;
        self.start_next(seek, now);
    }

    /// Starts the next transport that has not started yet.
    fn start_next(&mut self, seek: &mut Seek, now: Moment) {
        let Stage::Racing {
            racers,
            rest,
            next_at,
            ..
        } = &mut seek.stage
        else {
            return;
        };
        if let Some(transport) = rest.first() {
            let leg = LegId(self.legs);
            self.legs += 1;
            *rest = rest.without(transport);
            *next_at = match rest.is_empty() {
                true => Moment::NEVER,
                false => now + HEAD_START,
            };
            racers.push((leg, transport));
            self.actions.push(Action::Connect(leg, transport));
        } else if racers.is_empty() {
            seek.stage = Stage::Over;
        }
    }

    /// A racer failed: the next one does not wait for its turn.
    pub(super) fn fall_back(&mut self, seek: &mut Seek, leg: LegId, now: Moment) {
        if let Stage::Racing { racers, .. } = &mut seek.stage {
            racers.retain(|(it, _)| *it != leg);
        }
        self.start_next(seek, now);
    }

    /// The winner says Hello. Only one may: the relay lets the newest leg of a role replace the older.
    pub(super) fn greet(&mut self, seek: &mut Seek, leg: LegId) {
        let Stage::Racing { racers, until, .. } = &mut seek.stage else {
            return;
        };
        let until = *until;
        let Some((_, transport)) = racers.iter().find(|(it, _)| *it == leg).copied() else {
            return;
        };
        self.cancel(seek, Some(leg));
        seek.stage = Stage::Greeting {
            leg,
            transport,
            said: false,
            until,
        };
    }

    /// Notes that a leg is given up whose Hello may be under way: a relay that reads it later lets it replace
    /// the present leg.
    pub(super) fn note_stray(&mut self, seek: &Seek, now: Moment) {
        if seek.stage.has_said_hello() {
            self.stray_at = Some(now);
        }
    }

    /// Gives up what is being connected, but for one leg.
    pub(super) fn cancel(&mut self, seek: &Seek, keep: Option<LegId>) {
        match &seek.stage {
            Stage::Racing { racers, .. } => {
                let others = racers.iter().filter(|(leg, _)| Some(*leg) != keep);
                let given_up = others.map(|(leg, _)| Action::HangUp(*leg, None));
                self.actions.extend(given_up);
            }
            Stage::Greeting { leg, .. } => self.actions.push(Action::HangUp(*leg, None)),
            Stage::Pausing { .. } | Stage::Opening { .. } | Stage::Over => {}
        }
    }

    /// An attempt failed.
    pub(super) fn failed(
        &mut self,
        mut seek: Seek,
        cause: Cause,
        is_final: bool,
        now: Moment,
        rng: &mut impl RngCore,
    ) {
        if self.ended {
            return;
        }
        self.refuse_ticket(cause);
        if seek.is_named && seek.why != Why::Upgrade && cause.is_unreached() {
            self.unreached += 1;
        }
        seek.failures += 1;
        let reason = cause.final_reason();
        if seek.why != Why::Lost {
            // Whatever is final about it, the end of the present leg tells.
            if !is_final && reason.is_none() {
                self.pause(&mut seek, now, rng);
                self.seek = Some(seek);
            }
            return;
        }
        if let Some(reason) = reason {
            return self.end(End::HungUp(reason));
        }
        // What the peers say directly needs no server.
        if !self.has_direct {
            let is_hopeless = is_final || (!self.proven && cause == Cause::NoTransport);
            let is_over = is_hopeless || now.max(self.not_before) >= seek.give_up;
            if is_over && cause == Cause::Control {
                return self.end(End::Refused);
            }
            if is_over {
                return self.end(End::NoLeg(cause));
            }
        }
        let untold = seek.untold.take();
        let retry_in = self.pause(&mut seek, now, rng);
        self.seek = Some(seek);
        self.actions.push(Action::Tell(match untold {
            Some(cause) => Event::Lost {
                cause,
                retry_in: Some(retry_in),
            },
            None => Event::Failed { cause, retry_in },
        }));
    }

    /// Waits before the next attempt; gives how long.
    pub(super) fn pause(&self, seek: &mut Seek, now: Moment, rng: &mut impl RngCore) -> Duration {
        let pause = match seek.why {
            Why::Draining if seek.failures == 0 => random(seek.spread.max(PAUSE), rng),
            Why::Lost | Why::Draining => {
                jittered(doubled(PAUSE, seek.failures, PAUSE_AT_MOST), rng)
            }
            Why::Upgrade => {
                let first = self.config.upgrade_after;
                doubled(first, seek.failures, first.max(UPGRADE_AT_MOST))
            }
        };
        let until = (now + pause).max(self.not_before);
        seek.stage = Stage::Pausing { until };
        seek.since = now;
        until - now
    }

    /// Whether what the peers say to each other takes the leg.
    fn carries(&self) -> bool {
        let peer_online = self.up.as_ref().is_some_and(|up| up.peer_online);
        peer_online && !self.has_direct
    }

    /// The transports that are better than this one and may be had.
    pub(super) fn better(&self, than: Transport) -> Transports {
        let offered = self.session.as_ref().map(|session| session.offered);
        let both = self.config.transports.and(offered.unwrap_or_default());
        match self.stuck < STUCK {
            true => both.better_than(than),
            false => both.better_than(than).without(Transport::WebTransport),
        }
    }
}

fn doubled(first: Duration, doublings: u32, at_most: Duration) -> Duration {
    let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(at_most)
}

/// Between half of it and all of it, so that a thousand peers do not come back at once.
fn jittered(pause: Duration, rng: &mut impl RngCore) -> Duration {
    let half = pause / 2;
    half + random(half, rng)
}

/// Between nothing and all of it, in whole milliseconds.
fn random(at_most: Duration, rng: &mut impl RngCore) -> Duration {
    let millis = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX - 1);
    Duration::from_millis(rng.next_u64() % (millis + 1))
}
