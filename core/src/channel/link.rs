//! Who is at the other end of the path: the exchange of OPEN records.
//!
//! ```text
//!            path_up                    heard an OPEN that names me and echoes my epoch
//!   Down ──────────────► Opening ───────────────────────────────────────────────► Open
//!     ▲  ◄──────────────    ▲ │ sends OPEN until answered                          │
//!     │     path_down       └─┘                                                    │
//!     └────────────────────────────── path_down ───────────────────────────────────┤
//!                           ▲                                                      │
//!                           └──── path_up, a gap, an OPEN of another process ──────┘
//! ```
//!
//! An OPEN proves that its sender lives only if it echoes the epoch this side uses now: stale ones
//! never do. Hence nothing is decided by an OPEN that arrives late, twice, or from a process that
//! was replaced.

use super::{Config, Limits, Open, Violation};
use crate::time::{Backoff, Moment};

/// Names one run of a peer's process: 16 random bytes, drawn when its [`super::Mux`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance(pub [u8; 16]);

impl Instance {
    /// Stands for "nobody yet" in an OPEN.
    pub const NONE: Self = Self([0; 16]);

    /// What marks the records between two instances, the same in both directions.
    #[must_use]
    pub const fn tag(self, other: Self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        let [e, f, g, h, ..] = other.0;
        u32::from_be_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
    }
}

/// See the module.
pub(super) struct Link {
    me: Instance,
    epoch: u64,
    phase: Phase,
    /// The newest OPEN heard; what this side's OPENs name and echo.
    heard: Option<(Instance, u64)>,
    /// Whom the channels are shared with, and the newest epoch its positions were taken from.
    peer: Option<(Instance, u64)>,
    tag: Option<u32>,
    /// Processes that were replaced: they are not listened to again.
    replaced: Vec<Instance>,
    /// An OPEN is to be sent now.
    due: bool,
    again: Moment,
    pause: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Down,
    Opening,
    Open,
}

/// What an OPEN means for the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing: it was stale, or an answer is needed first.
    Nothing,
    /// The same process goes on: replay what it lacks. `connected` if the path has just opened.
    Resumed { connected: bool },
    /// The first peer this side meets.
    Met,
    /// Another process than before.
    Restarted,
}

impl Link {
    /// How many replaced processes are remembered; a restart takes longer than their records live.
    const REPLACED: usize = 16;

    pub(super) fn new(me: Instance) -> Self {
        Self {
            me,
            epoch: 0,
            phase: Phase::Down,
            heard: None,
            peer: None,
            tag: None,
            replaced: Vec::new(),
            due: false,
            again: Moment::NEVER,
            pause: Backoff::new(Config::REOPEN_AFTER, Config::REOPEN_AT_MOST),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// What marks the records exchanged with the current peer, if there is one.
    pub(super) fn tag(&self) -> Option<u32> {
        self.tag
    }

    /// Begins a path, or begins the present one anew; data waits for the answer.
    pub(super) fn begin(&mut self) {
        self.epoch += 1;
        self.phase = Phase::Opening;
        self.pause.reset();
        self.due = true;
    }

    /// Announces a new path to the same peer without waiting: data may follow the OPEN at once.
    pub(super) fn announce(&mut self) {
        self.epoch += 1;
        self.due = true;
    }

    pub(super) fn end(&mut self) {
        self.phase = Phase::Down;
        self.due = false;
        self.again = Moment::NEVER;
    }

    pub(super) fn hear(&mut self, open: &Open) -> Result<Heard, Violation> {
        let (from, epoch) = (open.instance, open.epoch);
        if from == self.me {
            return Err(Violation::Reflected);
        }
        let stale = self
            .heard
            .is_some_and(|(known, newest)| known == from && epoch < newest);
        if stale || self.phase == Phase::Down || self.replaced.contains(&from) {
            return Ok(Heard::Nothing);
        }
        let another = self.heard.is_some_and(|(known, _)| known != from);
        self.heard = Some((from, epoch));
        let answers = open.peer == self.me && open.echo == self.epoch;
        Ok(match self.phase {
            Phase::Down => Heard::Nothing,
            Phase::Opening if answers => self.open(open),
            Phase::Opening => {
                // What was said to the other one must not be taken for an answer to this one.
                self.epoch += u64::from(another);
                self.due = true;
                Heard::Nothing
            }
            Phase::Open if open.peer == self.me && self.is_acquainted(from) => self.resume(open),
            // Another process, or one that takes this one for another: find out who lives.
            Phase::Open => {
                self.begin();
                Heard::Nothing
            }
        })
    }

    /// The peer answered this epoch: it lives, and what it says it has is true now.
    fn open(&mut self, open: &Open) -> Heard {
        self.phase = Phase::Open;
        self.again = Moment::NEVER;
        self.due = !open.established;
        let before = self.peer.replace((open.instance, open.epoch));
        self.tag = Some(self.me.tag(open.instance));
        match before {
            None => Heard::Met,
            Some((known, _)) if known == open.instance => Heard::Resumed { connected: true },
            Some((known, _)) => {
                self.replaced.truncate(Self::REPLACED - 1);
                self.replaced.insert(0, known);
                Heard::Restarted
            }
        }
    }

    /// The peer begins anew, or repeats itself because it lacks an answer.
    fn resume(&mut self, open: &Open) -> Heard {
        let newest = self.peer.map_or(0, |(_, epoch)| epoch);
        if open.established && open.epoch == newest {
            return Heard::Nothing;
        }
        self.peer = Some((open.instance, open.epoch));
        self.due |= !open.established;
        Heard::Resumed { connected: false }
    }

    /// The OPEN that is to be sent, if one is: it says nothing of channels, which are the caller's.
    pub(super) fn poll(&mut self, now: Moment, limits: Limits) -> Option<Open> {
        if self.phase == Phase::Down || !(self.due || self.again <= now) {
            return None;
        }
        self.due = false;
        if self.phase == Phase::Opening {
            self.again = self.pause.pause(now);
        }
        let (peer, echo) = self.heard.unwrap_or((Instance::NONE, 0));
        Some(Open {
            instance: self.me,
            peer,
            epoch: self.epoch,
            echo,
            established: self.phase == Phase::Open,
            limits,
            opened: 0,
            seen: 0,
            positions: Vec::new(),
        })
    }

    /// Whether the channels are shared with this one, so that positions mean something to it.
    pub(super) fn is_acquainted(&self, peer: Instance) -> bool {
        self.peer.is_some_and(|(known, _)| known == peer)
    }

    /// When [`Link::poll`] has something to say even if nothing happens.
    pub(super) fn timeout(&self) -> Moment {
        self.again
    }
}
