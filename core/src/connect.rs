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

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::short::pop_front;
use crate::time::Moment;

/// One path during its life. A path that is lost and made again is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(u32);

/// What a path is; earlier is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// From peer to peer.
    Direct,
    /// Over a leg to a relay.
    Relay,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    Send(PathId, Bytes),
    /// This direct path is dead: hang it up.
    HangUp(PathId),
    /// Try to make a direct path; report it with [`Paths::up`] or [`Paths::failed`].
    Dial,
}

/// Chooses among the paths to one peer.
pub struct Paths {
    config: Config,
    paths: Vec<Path>,
    selected: Option<PathId>,
    next_id: u32,
    tokens: u64,
    /// When to dial a direct path; `None` while one is there, or being dialled.
    dial_at: Option<Moment>,
    pause: Duration,
    actions: Vec<Action>,
}

struct Path {
    id: PathId,
    kind: Kind,
    since: Moment,
    /// A relay is proven by its leg, a direct path by an answered probe.
    proven: bool,
    probe_at: Option<Moment>,
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
            dial_at: None,
            pause: config.redial_after,
            actions: Vec::new(),
        }
    }

    /// A path was made.
    pub fn up(&mut self, kind: Kind, now: Moment) -> PathId {
        let id = PathId(self.next_id);
        self.next_id += 1;
        let direct = kind == Kind::Direct;
        if direct {
            self.dial_at = None;
        } else if self.dial_at.is_none() && !self.has_direct() && self.next_id == 1 {
            self.dial_at = Some(now);
        }
        self.paths.push(Path {
            id,
            kind,
            since: now,
            proven: !direct,
            probe_at: direct.then_some(now),
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
            if path.proven && now - path.since >= self.config.stable_after {
                self.pause = self.config.redial_after;
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
        if let Some(path) = self.paths.iter_mut().find(|path| path.id == id) {
            path.heard = true;
        }
        let mut rest = record;
        let (Ok(kind), Ok(token)) = (rest.try_get_u8(), rest.try_get_u64()) else {
            return false;
        };
        if rest.has_remaining() || !(kind == PROBE || kind == ANSWER) {
            return false;
        }
        if kind == PROBE {
            self.actions.push(Action::Send(id, encode(ANSWER, token)));
            return true;
        }
        let Some(path) = self.paths.iter_mut().find(|path| path.id == id) else {
            return true;
        };
        if let Some(at) = path.awaited.iter().position(|(it, _)| *it == token) {
            path.rtt = Some(now - path.awaited[at].1);
            path.awaited.drain(..=at);
            path.proven = true;
            self.select();
        }
        true
    }

    /// The next thing to do. Poll until there is nothing.
    pub fn poll(&mut self, now: Moment) -> Option<Action> {
        self.probe(now);
        if self.dial_at.is_some_and(|at| at <= now) {
            self.dial_at = None;
            self.actions.push(Action::Dial);
        }
        pop_front(&mut self.actions)
    }

    /// When to poll again if nothing happens before.
    #[must_use]
    pub fn timeout(&self) -> Option<Moment> {
        let probes = self.paths.iter().filter_map(|path| path.probe_at);
        probes.chain(self.dial_at).min()
    }

    /// The path that records take.
    #[must_use]
    pub fn selected(&self) -> Option<PathId> {
        self.selected
    }

    /// What a path is, while it is there.
    #[must_use]
    pub fn kind(&self, id: PathId) -> Option<Kind> {
        self.paths
            .iter()
            .find(|path| path.id == id)
            .map(|path| path.kind)
    }

    /// The newest path of a kind.
    #[must_use]
    pub fn newest(&self, kind: Kind) -> Option<PathId> {
        let of_kind = self.paths.iter().filter(|path| path.kind == kind);
        of_kind.map(|path| path.id).max()
    }

    /// How long the latest probe of a path took.
    #[must_use]
    pub fn rtt(&self, id: PathId) -> Option<Duration> {
        self.paths.iter().find(|path| path.id == id)?.rtt
    }

    fn has_direct(&self) -> bool {
        self.paths.iter().any(|path| path.kind == Kind::Direct)
    }

    fn redial(&mut self, now: Moment) {
        self.dial_at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(self.config.redial_at_most);
    }

    /// The best proven path, the newest among equals: an older leg to the same relay is about to end.
    fn select(&mut self) {
        let proven = self.paths.iter().filter(|path| path.proven);
        let best = proven
            .min_by_key(|path| (path.kind, u32::MAX - path.id.0))
            .map(|path| path.id);
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
            if path.probe_at.is_none_or(|at| at > now) {
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
                path.probe_at = None;
                continue;
            }
            self.tokens += 1;
            path.awaited.push((self.tokens, now));
            path.probe_at = Some(now + self.config.probe_every);
            self.actions
                .push(Action::Send(path.id, encode(PROBE, self.tokens)));
        }
        if let Some(id) = dead {
            self.actions.push(Action::HangUp(id));
            self.down(id, now);
        }
    }
}

fn encode(kind: u8, token: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(9);
    bytes.put_u8(kind);
    bytes.put_u64(token);
    bytes.freeze()
}

#[cfg(test)]
mod tests;
