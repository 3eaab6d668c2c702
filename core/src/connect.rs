//! Which path carries the records: relay first, then direct, and back without loss.
//!
//! ```text
//!  relay leg attached ──► Begin(relay)              data flows at once
//!  direct path made   ──► Probe(direct) ─► answer ─► Switch(direct)      make before break
//!  direct falls silent, or is closed    ──────────► Switch(relay), then Dial after a pause
//! ```
//!
//! Each peer decides for what *it* sends and takes records from every path it has; the peers need
//! not agree, because the [channel](crate::channel) drops what arrives twice. A path is known by a
//! [`PathId`] that is never used again, so that late news of an old path changes nothing.
//!
//! A relay path is trusted until its leg ends; whoever owns the leg knows. A direct path is probed
//! all its life, because nobody else tells when a network swallows everything:
//!
//! ```text
//! 0x30 PROBE ‖ token (8)        0x31 ANSWER ‖ token (8)         records beside those of the channel
//! ```

use std::time::Duration;

use crate::short::pop_front;
use crate::time::{Backoff, Moment};

/// One path during its life. A path that is lost and made again is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(u32);

impl PathId {
    /// Its number, for a shell that speaks another language.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The path with this number; one that never was is down.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// What a path is; earlier is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// From peer to peer.
    Direct,
    /// Over a leg to a relay.
    Relay,
}

impl Kind {
    /// The name shown to people and used in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
        }
    }
}

/// How patient [`Paths`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Pause between two probes of a direct path.
    pub probe_every: Duration,
    /// How many probes in a row may stay unanswered before a direct path counts as dead; four times
    /// as many while records arrive over it, because answers may be queued behind them.
    pub misses: u32,
    /// Pause before a direct path is dialled again; doubled with each failure.
    pub redial_after: Duration,
    /// Where the doubling ends.
    pub redial_at_most: Duration,
    /// A direct path that lived this long makes the pause short again.
    pub stable_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probe_every: Duration::from_secs(1),
            misses: 3,
            redial_after: Duration::from_secs(2),
            redial_at_most: Duration::from_secs(120),
            stable_after: Duration::from_secs(30),
        }
    }
}

/// What the shell is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There was no path; records take this one: call `Mux::path_up`.
    Begin(PathId),
    /// Records take this path from now on: call `Mux::switch_path`.
    Switch(PathId),
    /// A leg beside the path in use was replaced, and may have lost something: call `Mux::resync`.
    Resync,
    /// There is no path: call `Mux::path_down`.
    Stop,
    /// Send these bytes over that path, as a record of the reliable lane.
    Send(PathId, [u8; 9]),
    /// This direct path is dead: hang it up.
    HangUp(PathId),
    /// Try to make a direct path; report it with [`Paths::up`] or [`Paths::failed`].
    Dial,
}

/// Chooses among the paths to one peer.
pub struct Paths {
    config: Config,
    /// The newest last.
    paths: Vec<Path>,
    selected: Option<PathId>,
    next_id: u32,
    tokens: u64,
    /// When to dial a direct path; never while one is there, or being dialled.
    dial_at: Moment,
    pause: Backoff,
    actions: Vec<Action>,
}

struct Path {
    id: PathId,
    kind: Kind,
    since: Moment,
    /// A relay is proven by its leg, a direct path by an answered probe.
    proven: bool,
    probe_at: Moment,
    /// Probes without an answer, the oldest first: where traffic queues, answers come late.
    awaited: Vec<(u64, Moment)>,
    /// A record came since the last probe was sent.
    heard: bool,
    /// Turns in a row at which nothing at all had come.
    silent: u32,
    rtt: Option<Duration>,
}

const PROBE: u8 = 0x30;
const ANSWER: u8 = 0x31;

impl Paths {
    /// Without any path. The first [`Action::Dial`] comes once a relay path is there.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            paths: Vec::new(),
            selected: None,
            next_id: 0,
            tokens: 0,
            dial_at: Moment::NEVER,
            pause: Backoff::new(config.redial_after, config.redial_at_most),
            actions: Vec::new(),
        }
    }

    /// A path was made.
    pub fn up(&mut self, kind: Kind, now: Moment) -> PathId {
        let id = PathId(self.next_id);
        self.next_id += 1;
        let direct = kind == Kind::Direct;
        if direct {
            self.dial_at = Moment::NEVER;
        } else if id.0 == 0 {
            self.dial_at = self.dial_at.min(now);
        }
        self.paths.push(Path {
            id,
            kind,
            since: now,
            proven: !direct,
            probe_at: if direct { now } else { Moment::NEVER },
            awaited: Vec::new(),
            heard: false,
            silent: 0,
            rtt: None,
        });
        self.select();
        if !direct && self.selected != Some(id) {
            self.actions.push(Action::Resync);
        }
        id
    }

    /// A path ended. Late news of a path that is gone already change nothing.
    pub fn down(&mut self, id: PathId, now: Moment) {
        let Some(at) = self.paths.iter().position(|path| path.id == id) else {
            return;
        };
        let path = self.paths.remove(at);
        if path.kind == Kind::Direct {
            if path.proven && path.since + self.config.stable_after <= now {
                self.pause.reset();
            }
            self.redial(now);
        }
        self.select();
    }

    /// A dialled direct path could not be made.
    pub fn failed(&mut self, now: Moment) {
        if !self.has_direct() {
            self.redial(now);
        }
    }

    /// Offers a record that came over a path; true if it was a probe or an answer, and is dealt with.
    pub fn handle(&mut self, id: PathId, record: &[u8], now: Moment) -> bool {
        let mut path = self.paths.iter_mut().find(|path| path.id == id);
        if let Some(path) = &mut path {
            path.heard = true;
        }
        let Ok([kind, token @ ..]) = <[u8; 9]>::try_from(record) else {
            return false;
        };
        let token = u64::from_le_bytes(token);
        match kind {
            PROBE => self.actions.push(Action::Send(id, encode(ANSWER, token))),
            ANSWER if path.is_some_and(|path| path.answered(token, now)) => self.select(),
            ANSWER => {}
            _ => return false,
        }
        true
    }

    /// The next thing to do. Poll until there is nothing.
    pub fn poll(&mut self, now: Moment) -> Option<Action> {
        self.probe(now);
        if self.dial_at <= now {
            self.dial_at = Moment::NEVER;
            self.actions.push(Action::Dial);
        }
        pop_front(&mut self.actions)
    }

    /// When to poll again if nothing happens before.
    #[must_use]
    pub fn timeout(&self) -> Moment {
        let probes = self.paths.iter().map(|path| path.probe_at);
        probes.fold(self.dial_at, Moment::min)
    }

    /// The path that records take.
    #[must_use]
    pub fn selected(&self) -> Option<PathId> {
        self.selected
    }

    /// What a path is, while it is there.
    #[must_use]
    pub fn kind(&self, id: PathId) -> Option<Kind> {
        Some(self.path(id)?.kind)
    }

    /// The newest path of a kind.
    #[must_use]
    pub fn newest(&self, kind: Kind) -> Option<PathId> {
        let newest = self.paths.iter().rev().find(|path| path.kind == kind);
        Some(newest?.id)
    }

    /// How long the latest probe of a path took.
    #[must_use]
    pub fn rtt(&self, id: PathId) -> Option<Duration> {
        self.path(id)?.rtt
    }

    fn path(&self, id: PathId) -> Option<&Path> {
        self.paths.iter().find(|path| path.id == id)
    }

    fn has_direct(&self) -> bool {
        self.paths.iter().any(|path| path.kind == Kind::Direct)
    }

    fn redial(&mut self, now: Moment) {
        self.dial_at = self.pause.pause(now);
    }

    /// The best proven path, the newest among equals: an older leg to the same relay is about to end.
    fn select(&mut self) {
        let mut best: Option<&Path> = None;
        for path in self.paths.iter().filter(|path| path.proven) {
            if best.is_none_or(|best| path.kind <= best.kind) {
                best = Some(path);
            }
        }
        let best = best.map(|path| path.id);
        if best == self.selected {
            return;
        }
        self.actions.push(match (self.selected, best) {
            (None, Some(path)) => Action::Begin(path),
            (Some(_), Some(path)) => Action::Switch(path),
            (_, None) => Action::Stop,
        });
        self.selected = best;
    }

    fn probe(&mut self, now: Moment) {
        let mut dead = None;
        for path in &mut self.paths {
            if path.probe_at > now {
                continue;
            }
            path.silent = if std::mem::take(&mut path.heard) || path.awaited.is_empty() {
                0
            } else {
                path.silent + 1
            };
            let missed = u32::try_from(path.awaited.len()).unwrap_or(u32::MAX);
            if path.silent >= self.config.misses || missed >= 4 * self.config.misses {
                dead = Some(path.id);
                path.probe_at = Moment::NEVER;
                continue;
            }
            self.tokens += 1;
            path.awaited.push((self.tokens, now));
            path.probe_at = now + self.config.probe_every;
            self.actions
                .push(Action::Send(path.id, encode(PROBE, self.tokens)));
        }
        if let Some(id) = dead {
            self.actions.push(Action::HangUp(id));
            self.down(id, now);
        }
    }
}

impl Path {
    /// Whether this is the answer to a probe of this path; those before it are not waited for any more.
    fn answered(&mut self, token: u64, now: Moment) -> bool {
        let Some(at) = self.awaited.iter().position(|(it, _)| *it == token) else {
            return false;
        };
        self.rtt = Some(now - self.awaited[at].1);
        self.awaited.retain(|(it, _)| *it > token);
        self.proven = true;
        true
    }
}

/// A token means nothing to the other peer, which gives it back as it is.
fn encode(kind: u8, token: u64) -> [u8; 9] {
    let mut record = [kind; 9];
    record[1..].copy_from_slice(&token.to_le_bytes());
    record
}

#[cfg(test)]
mod tests;
