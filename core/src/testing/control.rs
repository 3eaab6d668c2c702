//! Control of the model: it answers OpenSession after a while, refuses, asks to wait, or says nothing.

use std::time::Duration;

use super::Dice;
use crate::attach::{Session, Transports};
use crate::endpoint::Input;
use crate::time::Moment;

pub(super) struct Control {
    mood: Mood,
    until: Moment,
    calls: Vec<Call>,
    pub(super) offered: Transports,
    /// For how long tickets are good.
    lifetime: Duration,
    /// For how much longer TURN credentials are, if there are any.
    outlives: Option<Duration>,
    pub(super) epoch: u64,
}

#[derive(Clone, Copy)]
pub(super) enum Mood {
    Well,
    Refuses,
    IsSilent,
    /// Refuses, and says for how long.
    IsBusy,
}

struct Call {
    who: usize,
    number: u32,
    at: Moment,
    answer: Answer,
}

enum Answer {
    Opened,
    Failed(Option<Duration>),
}

impl Control {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let lifetime = [2, 10, 300][usize::try_from(dice.below(3)).unwrap_or(0)];
        let outlives = [None, Some(0), Some(3), Some(600)];
        let outlives = outlives[usize::try_from(dice.below(4)).unwrap_or(0)];
        Self {
            mood: Mood::Well,
            until: Moment::default(),
            calls: Vec::new(),
            offered: Transports::NATIVE,
            lifetime: Duration::from_secs(lifetime),
            outlives: outlives.map(Duration::from_secs),
            epoch: 0,
        }
    }

    /// Behaves like this for so long.
    pub(super) fn set_mood(&mut self, mood: Mood, until: Moment) {
        (self.mood, self.until) = (mood, until);
    }

    pub(super) fn call(&mut self, who: usize, number: u32, now: Moment, dice: &mut Dice) {
        let soon = now + Duration::from_millis(1 + dice.below(80));
        let mood = if self.until > now {
            self.mood
        } else {
            Mood::Well
        };
        let (at, answer) = match mood {
            Mood::Well => (soon, Answer::Opened),
            Mood::Refuses => (soon, Answer::Failed(None)),
            Mood::IsSilent => (now + GIVES_UP, Answer::Failed(None)),
            Mood::IsBusy => {
                let wait = Duration::from_millis(200 + dice.below(6_800));
                (soon, Answer::Failed(Some(wait)))
            }
        };
        self.calls.push(Call {
            who,
            number,
            at,
            answer,
        });
    }

    /// The process that called is gone.
    pub(super) fn forget(&mut self, who: usize) {
        self.calls.retain(|call| call.who != who);
    }

    pub(super) fn next(&self, asleep: [bool; 2]) -> Option<Moment> {
        let awake = self.calls.iter().filter(|call| !asleep[call.who]);
        awake.map(|call| call.at).min()
    }

    pub(super) fn answer(&mut self, asleep: [bool; 2], now: Moment) -> Option<(usize, Input)> {
        let due = |call: &Call| call.at <= now && !asleep[call.who];
        let at = self.calls.iter().position(due)?;
        let Call {
            who,
            number: call,
            answer,
            ..
        } = self.calls.remove(at);
        let input = match answer {
            Answer::Opened => {
                let ticket = Ticket {
                    who,
                    epoch: self.epoch,
                    expires: now + self.lifetime,
                };
                Input::SessionOpened {
                    call,
                    session: Session {
                        offered: self.offered,
                        ticket: ticket.to_string(),
                    },
                    outlives: self.outlives,
                }
            }
            Answer::Failed(retry_after) => Input::SessionFailed {
                call,
                is_final: false,
                retry_after,
            },
        };
        Some((who, input))
    }
}

/// When a shell gives up a call.
const GIVES_UP: Duration = Duration::from_secs(10);

/// What a ticket of the model says.
pub(super) struct Ticket {
    pub(super) who: usize,
    pub(super) epoch: u64,
    pub(super) expires: Moment,
}

impl Ticket {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::parse::<u64>);
        let mut next = || parts.next()?.ok();
        let (who, epoch, expires) = (next()?, next()?, next()?);
        Some(Self {
            who: usize::try_from(who).ok()?,
            epoch,
            expires: Moment::from_origin(Duration::from_micros(expires)),
        })
    }
}

impl std::fmt::Display for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let expires = self.expires.since_origin().as_micros();
        write!(f, "{}.{}.{expires}", self.who, self.epoch)
    }
}
