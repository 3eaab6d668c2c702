//! A code that is shown until somebody types it: how long it stays, what replaces it, and how often.
//!
//! ```text
//!            Created                   Withdraw                    Ended
//!   Asking ──────────► Shown ─────────────────────► Leaving ─────────────► Pausing ──► Asking
//!                        │   control says it is gone                          ▲
//!                        └──────────── its peer ended by itself ──────────────┴──► Over
//! ```
//!
//! A server that lies can play the other device, and each code gives it one guess at the secret words. The
//! rules keep it from getting more of them:
//!
//! - A code whose exchange took a message of the other side ([`Input::Used`]) gave its guess, however it
//!   ends: burnt, expired, revoked, lost, or by a time-out. After [`GUESSES`] of them no code is shown.
//! - Control may say at any time that a code is gone. That is believed only while the other device is not
//!   there and the code took no message; and the next code is not asked for before the peer of the old one
//!   has ended, so that nothing can be said to it any more.
//! - The watch is not needed, and not heard, once the other device is there.
//! - A watch that is refused or breaks ends nothing. It is opened again after a pause.
//! - Of a code that is guarded, nobody comes in before this side has said yes ([`Invite::guarded`]). A device
//!   that is there before that was let in by a server that lies: the code is withdrawn. A code whose
//!   question has no yes is the last one: nobody is asked about a second device while the answer to a
//!   question about the first one is on its way.
//! - Codes that are replaced soon after each other are shown with growing pauses.

use std::time::Duration;

use peersox_proto::v1::PairingEvent;

use crate::close::CloseReason;
use crate::short::pop_front;
use crate::time::{Backoff, Moment};

/// How many codes may take a message of the other side.
///
/// With two secret words each code is one chance in 2^20 towards this device and another one towards the
/// other.
pub const GUESSES: u32 = 3;

/// See the module.
#[derive(Debug)]
pub struct Invite {
    /// How many codes may still take a message.
    guesses: u32,
    stage: Stage,
    /// Whether a code was ever made.
    begun: bool,
    /// The code at hand took a message.
    used: bool,
    gate: Gate,
    /// When to let the joiner in again, after a call that failed.
    let_in_at: Moment,
    shown_at: Moment,
    /// When to open the watch again; never while one is open or not wanted.
    watch_at: Moment,
    watch_pause: Backoff,
    replace_pause: Backoff,
    actions: Vec<Action>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A code was made. Show it, and begin its peer.
    Created,
    /// No code could be made.
    NotCreated {
        /// Calling again would fail the same way.
        is_final: bool,
        /// What `RetryInfo` says.
        retry_after: Option<Duration>,
    },
    /// The watch told this.
    Told(PairingEvent),
    /// The watch was refused, or broke.
    WatchEnded {
        /// The server does not know the pairing.
        is_gone: bool,
        /// What `RetryInfo` says.
        retry_after: Option<Duration>,
    },
    /// Control says that somebody has redeemed the code and waits to be let in.
    Asked,
    /// The person has said whether that device may come in.
    Answered(bool),
    /// Control was told to let it in, or could not be told.
    LetIn(LetIn),
    /// The other device is attached to the relay.
    PeerOnline,
    /// The code took a message of the other side. Say so before [`Input::Ended`].
    Used,
    /// The peer of the code has ended without having connected, by itself or because it was withdrawn.
    Ended(Ended),
    /// The time of [`Invite::poll_timeout`] has come.
    Timeout,
}

/// What became of a call that lets the joiner in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetIn {
    /// It was heard.
    Done,
    /// It failed.
    Failed {
        /// Calling again would fail the same way: the pairing is gone.
        is_final: bool,
        /// What `RetryInfo` says.
        retry_after: Option<Duration>,
    },
}

/// How the peer of a code ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Somebody hung up with this reason.
    HungUp(CloseReason),
    /// The server does not know the pairing.
    Gone,
    /// Any other way.
    Else,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask control for a code, and report it.
    Create,
    /// Watch the pairing of the code. Its events, and its end, are reported.
    Watch,
    /// Drop the watch.
    Unwatch,
    /// Ask the person whether the device that redeemed the code may come in, and report
    /// [`Input::Answered`].
    Ask,
    /// Tell control to let it in, and report [`Input::LetIn`].
    LetIn,
    /// Tell control not to let it in, and withdraw the code as [`Action::Withdraw`] says, whatever control
    /// answers: who was not let in has no session.
    Refuse,
    /// Nobody can come with this code any more: end its peer, and report [`Input::Used`] if it was, then
    /// [`Input::Ended`].
    Withdraw,
    /// Tell the person that another code follows, and why.
    Replace(Why),
    /// No code is shown any more. The shell knows the error of the last one.
    End,
}

/// Why a code is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody came: control does not know the code any more, or the other device went away before it proved
    /// anything.
    Gone,
    /// It was used, without success.
    Used,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asking,
    Shown { online: bool },
    Leaving,
    Pausing { until: Moment },
    Over,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Whoever has redeemed the code.
    Open,
    /// Nobody, and nobody has redeemed it.
    Guarded,
    /// Nobody, and a person is being asked.
    Asked,
    /// The device that the person said yes to.
    LetIn,
    /// Nobody any more.
    Shut,
}

impl Ended {
    /// Whether this device is all right, and only the other one is gone.
    const fn is_lonely(self) -> bool {
        match self {
            Self::HungUp(reason) => matches!(
                reason,
                CloseReason::PeerLeft | CloseReason::PeerLost | CloseReason::Revoked
            ),
            Self::Gone => true,
            Self::Else => false,
        }
    }
}

impl Default for Invite {
    /// Asks for a code at once.
    fn default() -> Self {
        Self {
            guesses: GUESSES,
            stage: Stage::Asking,
            begun: false,
            used: false,
            gate: Gate::Open,
            let_in_at: Moment::NEVER,
            shown_at: Moment::default(),
            watch_at: Moment::NEVER,
            watch_pause: Backoff::new(PAUSE, PAUSE_AT_MOST),
            replace_pause: Backoff::new(PAUSE, PAUSE_AT_MOST),
            actions: vec![Action::Create],
        }
    }
}

impl Invite {
    /// One whose codes are guarded: the person is asked about whoever redeems one.
    #[must_use]
    pub fn guarded() -> Self {
        Self {
            gate: Gate::Guarded,
            ..Self::default()
        }
    }

    /// Whether the device that comes with the code may come in. Look once its peer is connected: whatever
    /// comes of a code that is guarded was let in by this side, or is to be hung up.
    #[must_use]
    pub const fn is_let_in(&self) -> bool {
        match self.gate {
            Gate::Open | Gate::LetIn => true,
            Gate::Guarded | Gate::Asked | Gate::Shut => false,
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input, now: Moment) {
        match (input, self.stage) {
            (_, Stage::Over) => {}
            (Input::Created, _) => self.created(now),
            (
                Input::NotCreated {
                    is_final,
                    retry_after,
                },
                _,
            ) => {
                if is_final || !self.begun {
                    self.end();
                } else {
                    self.pause(retry_after, now);
                }
            }
            (Input::Told(PairingEvent::Expired | PairingEvent::Revoked), _) => self.gone(),
            (Input::Told(_), _) => self.watch_pause.reset(),
            (Input::WatchEnded { is_gone: true, .. }, _) => self.gone(),
            (Input::WatchEnded { retry_after, .. }, Stage::Shown { online: false }) => {
                let until = self.watch_pause.pause(now);
                self.watch_at = until.max(now + retry_after.unwrap_or_default().min(LONGEST));
            }
            (Input::WatchEnded { .. }, _) => {}
            (Input::Asked, Stage::Shown { .. }) => {
                if self.gate == Gate::Guarded {
                    self.gate = Gate::Asked;
                    self.actions.push(Action::Ask);
                }
            }
            (Input::Answered(yes), Stage::Shown { .. }) => self.answered(yes),
            (Input::LetIn(let_in), Stage::Shown { online: false }) => self.let_in(let_in, now),
            (Input::Asked | Input::Answered(_) | Input::LetIn(_), _) => {}
            (Input::PeerOnline, Stage::Shown { .. }) if !self.is_let_in() => {
                self.shut(Action::Withdraw);
            }
            (Input::PeerOnline, Stage::Shown { .. }) => {
                self.stage = Stage::Shown { online: true };
                self.unwatch();
            }
            (Input::PeerOnline, _) => {}
            (Input::Used, _) => {
                if !std::mem::replace(&mut self.used, true) {
                    self.guesses = self.guesses.saturating_sub(1);
                }
                match self.stage {
                    Stage::Shown { .. } if !self.is_let_in() => self.shut(Action::Withdraw),
                    _ => self.unwatch(),
                }
            }
            (Input::Ended(_), Stage::Leaving) => self.ended(true, now),
            (Input::Ended(ended), _) => self.ended(ended.is_lonely(), now),
            (Input::Timeout, Stage::Pausing { until }) if until <= now => {
                self.stage = Stage::Asking;
                self.actions.push(Action::Create);
            }
            (Input::Timeout, _) => {
                if self.watch_at <= now {
                    self.watch_at = Moment::NEVER;
                    self.actions.push(Action::Watch);
                }
                if self.let_in_at <= now {
                    self.let_in_at = Moment::NEVER;
                    self.actions.push(Action::LetIn);
                }
            }
        }
    }

    /// The next thing to do. Poll until there is nothing, after every call.
    pub fn poll(&mut self) -> Option<Action> {
        pop_front(&mut self.actions)
    }

    /// When to give [`Input::Timeout`] if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        match self.stage {
            Stage::Pausing { until } => until,
            Stage::Asking | Stage::Shown { .. } | Stage::Leaving | Stage::Over => {
                self.watch_at.min(self.let_in_at)
            }
        }
    }

    fn answered(&mut self, yes: bool) {
        if self.gate != Gate::Asked {
            return;
        }
        if yes {
            self.gate = Gate::LetIn;
            self.actions.push(Action::LetIn);
        } else {
            self.shut(Action::Refuse);
        }
    }

    fn let_in(&mut self, let_in: LetIn, now: Moment) {
        match let_in {
            LetIn::Done => {}
            LetIn::Failed { is_final: true, .. } => self.gone(),
            LetIn::Failed { retry_after, .. } => {
                let wait = retry_after.unwrap_or_default().clamp(PAUSE, LONGEST);
                self.let_in_at = now + wait;
            }
        }
    }

    /// Nobody comes in any more.
    fn shut(&mut self, how: Action) {
        self.gate = Gate::Shut;
        self.unwatch();
        self.stage = Stage::Leaving;
        self.actions.push(how);
    }

    fn created(&mut self, now: Moment) {
        (self.begun, self.used, self.shown_at) = (true, false, now);
        if self.gate != Gate::Open {
            self.gate = Gate::Guarded;
        }
        self.stage = Stage::Shown { online: false };
        self.watch_pause.reset();
        self.actions.push(Action::Watch);
    }

    /// Control says that nobody can come with this code.
    fn gone(&mut self) {
        self.unwatch();
        if self.stage == (Stage::Shown { online: false }) && !self.used {
            self.stage = Stage::Leaving;
            self.actions.push(Action::Withdraw);
        }
    }

    fn ended(&mut self, may_go_on: bool, now: Moment) {
        self.unwatch();
        // Somebody was asked about, and did not come in, or came before the answer.
        let is_last = match self.gate {
            Gate::Open | Gate::Guarded | Gate::LetIn => false,
            Gate::Asked | Gate::Shut => true,
        };
        let may_go_on = (self.used || may_go_on) && !is_last;
        if !may_go_on || self.guesses == 0 {
            return self.end();
        }
        if now >= self.shown_at + STABLE {
            self.replace_pause.reset();
        }
        let why = if self.used { Why::Used } else { Why::Gone };
        self.actions.push(Action::Replace(why));
        self.pause(None, now);
    }

    fn pause(&mut self, retry_after: Option<Duration>, now: Moment) {
        let until = self.replace_pause.pause(now);
        let until = until.max(now + retry_after.unwrap_or_default().min(LONGEST));
        self.stage = Stage::Pausing { until };
    }

    fn unwatch(&mut self) {
        (self.watch_at, self.let_in_at) = (Moment::NEVER, Moment::NEVER);
        self.actions.push(Action::Unwatch);
    }

    fn end(&mut self) {
        self.stage = Stage::Over;
        (self.watch_at, self.let_in_at) = (Moment::NEVER, Moment::NEVER);
        self.actions.push(Action::End);
    }
}

/// The first pause before a watch is opened again, or a code is replaced; it doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the doubling ends.
const PAUSE_AT_MOST: Duration = Duration::from_secs(60);

/// A code that was shown this long makes the pause short again.
const STABLE: Duration = Duration::from_secs(60);

/// `RetryInfo` is obeyed up to this bound.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
