//! Two peers, their relay and control, and a fate that follows from a seed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Dice;
use super::control::Control;
use super::direct::Direct;
use super::legs::{Leg, Legs};
use super::network::Cloud;
use super::record::{Record, Tap};
use super::relay::{Around, Relay};
use super::shell::{Plan, Shell};
use super::words;
use crate::attach::{Transport, Transports};
use crate::channel::Stats;
use crate::direct::Mode;
use crate::endpoint::Input;
use crate::role::Role;
use crate::session;
use crate::time::Moment;

/// Two peers in a world that misbehaves for ten virtual seconds and is kind afterwards.
pub struct World {
    pub(super) dice: Dice,
    pub(super) now: Moment,
    pub(super) plan: Plan,
    pub(super) peers: [Shell; 2],
    pub(super) control: Control,
    /// Every relay process that ever was.
    pub(super) relays: Vec<Relay>,
    /// The one that accepts connections.
    pub(super) front: usize,
    /// When the next one takes over from it.
    pub(super) next_relay_at: Moment,
    /// Connections are refused before.
    pub(super) listens_from: Moment,
    pub(super) session: session::Config,
    pub(super) keepalive: u32,
    pub(super) quic: Quic,
    pub(super) legs: Legs,
    pub(super) next_leg: u64,
    pub(super) direct: Direct,
    pub(super) cloud: Cloud,
    /// Frames of the past, to be delivered once more: to whom, and what.
    pub(super) past: VecDeque<(usize, Bytes)>,
    pub(super) fate_at: Moment,
    pub(super) is_kind: bool,
    /// Nothing happens but that the relay stops once, and another one is there.
    pub(super) is_calm: bool,
    /// Relays lose, double and reorder signals.
    meddles: bool,
    pub(super) restarts: [u32; 2],
    pub(super) restarts_left: u32,
    /// How often something is still to be altered or sent back. Fewer than make a peer give up.
    pub(super) forgeries_left: u32,
    /// How many frames more are lost without a trace once the network is kind otherwise.
    pub(super) swallows_left: u32,
    pub(super) record: Option<Record>,
    /// Who says goodbye.
    closers: [bool; 2],
    steps: u64,
    pub(super) drains: u64,
    pub(super) lost: u64,
    refused: u64,
    pub(super) again: u64,
    pub(super) gaps: u64,
}

/// What becomes of UDP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quic {
    Passes,
    Fails,
    Vanishes,
}

/// What a world that came to its end tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Virtual time.
    pub took: Duration,
    /// Events.
    pub steps: u64,
    /// Odd turns of the initiator's channel.
    pub stats: Stats,
    /// Frames that both peers refused.
    pub refused: u64,
    /// Legs that were lost.
    pub lost: u64,
    /// Direct connections that were made.
    pub direct: u64,
    /// Relays that were drained.
    pub drains: u64,
    /// How often control asked to wait.
    pub retries: u64,
    /// Attempts that failed before a peer's first leg, and were repeated.
    pub again: u64,
    /// How often a peer had no path before anybody said goodbye.
    pub gaps: u64,
}

pub(super) const KINDNESS: Duration = Duration::from_secs(10);
const END: Duration = Duration::from_secs(900);
const PATIENCE: Duration = Duration::from_secs(300);

impl World {
    /// A world that follows from `seed`. One in four begins with a code, the others with a secret;
    /// one in four has peers whose process restarts.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(seed, None)
    }

    fn with(seed: u64, record: Option<usize>) -> Self {
        let mut dice = Dice::new(seed);
        let mut plan = Plan::new(&mut dice);
        plan.is_brief = record.is_some();
        let now = Moment::default();
        let mut control = Control::new(&mut dice);
        control.offered = match dice.below(6) {
            0 => Transport::Quic.into(),
            1 => Transport::WebSocket.into(),
            _ => Transports::NATIVE,
        };
        let restarts_left = if dice.once_in(4) { 2 } else { 0 };
        let session = session::Config {
            park_grace: Duration::from_secs(1 + dice.below(30)),
            ..session::Config::default()
        };
        let asked = [0, 1, 1_000, 3_000, 5_000, 8_000];
        let keepalive = asked[usize::try_from(dice.below(6)).unwrap_or(0)];
        let closers = [[true, false], [false, true], [true, true]];
        Self {
            now,
            peers: [0, 1].map(|who| Shell::new(who, &plan, &mut dice, now)),
            plan,
            control,
            relays: vec![Relay::new(session, keepalive, 0, now)],
            front: 0,
            next_relay_at: Moment::NEVER,
            listens_from: now,
            session,
            keepalive,
            quic: Quic::Passes,
            legs: Legs::new(),
            next_leg: 0,
            direct: Direct::default(),
            cloud: Cloud::default(),
            past: VecDeque::new(),
            fate_at: now,
            is_kind: false,
            is_calm: false,
            meddles: false,
            restarts: [0; 2],
            restarts_left,
            forgeries_left: u32::try_from(dice.below(5)).unwrap_or(0),
            swallows_left: 2,
            record: record.map(Record::new),
            closers: closers[usize::try_from(dice.below(3)).unwrap_or(0)],
            steps: 0,
            drains: 0,
            lost: 0,
            refused: 0,
            again: 0,
            gaps: 0,
            dice,
        }
    }

    /// A world in which nothing goes wrong, without direct paths. While the peers are busy their relay is
    /// drained, and another one is there.
    #[must_use]
    pub fn moving(seed: u64) -> Self {
        let mut world = Self::with(seed, None);
        world.is_calm = true;
        world.fate_at = world.now + Duration::from_millis(600 + world.dice.below(1_000));
        (world.restarts_left, world.control.offered) = (0, Transport::WebSocket.into());
        world.plan.direct = [Mode::Off; 2];
        world.peers = [0, 1].map(|who| Shell::new(who, &world.plan, &mut world.dice, world.now));
        world
    }

    /// A world whose relays lose, double and reorder signals, which they cannot read.
    #[must_use]
    pub fn meddling(seed: u64) -> Self {
        let mut world = Self::with(seed, None);
        world.meddles = true;
        world
    }

    /// Lives until both applications are done and the conversation is closed.
    ///
    /// # Errors
    /// What went wrong first, in words.
    pub fn run(mut self) -> Result<Outcome, String> {
        loop {
            self.now = self.next().ok_or("nothing will ever happen again")?;
            if self.now.since_origin() > END || self.steps > 300_000 {
                return Err(format!("no end after {} steps: {self:?}", self.steps));
            }
            self.steps += 1;
            let lived = self.step();
            lived.map_err(|wrong| format!("at {:?}: {wrong}", self.now.since_origin()))?;
            if let [Some(_), Some(_)] = [self.peers[0].end, self.peers[1].end] {
                let [a, b] = &mut self.peers;
                if a.again_at.min(b.again_at) == Moment::NEVER {
                    return Ok(Outcome {
                        took: self.now.since_origin(),
                        steps: self.steps,
                        stats: a.endpoint.channels().stats(),
                        refused: self.refused + a.endpoint.dropped() + b.endpoint.dropped(),
                        lost: self.lost,
                        direct: self.direct.made,
                        drains: self.drains,
                        retries: a.manners.retries + b.manners.retries,
                        again: self.again,
                        gaps: self.gaps,
                    });
                }
            }
        }
    }

    /// Writes down what one peer does at its endpoint, in a world with short messages, until its process is
    /// gone or the record is long enough.
    ///
    /// # Errors
    /// What went wrong first, in words.
    pub fn record(seed: u64, who: Role) -> Result<Value, String> {
        let mut world = Self::with(seed, Some(who.index()));
        let about = world.peers[who.index()].about.clone();
        while !world.record.as_ref().is_none_or(|record| record.is_over) {
            world.now = world.next().ok_or("nothing will ever happen again")?;
            world.step()?;
            if world.peers.iter().all(|peer| peer.end.is_some()) {
                break;
            }
        }
        let steps = world.record.map(|record| record.steps);
        Ok(json!({ "seed": seed.to_string(), "endpoint": about, "steps": steps }))
    }

    pub(super) fn note(&mut self, who: usize, step: impl FnOnce() -> (Value, Value)) {
        if let Some(record) = &mut self.record
            && record.who == who
        {
            let (call, result) = step();
            record.note(self.now, &call, &result);
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.fate()?;
        for who in 0..2 {
            self.wake_up(who)?;
        }
        if self.next_relay_at <= self.now {
            self.next_relay_at = Moment::NEVER;
            self.begin_relay();
        }
        while let Some((who, input)) = self.control.answer(self.asleep(), self.now) {
            self.input(who, input)?;
        }
        self.serve_legs()?;
        for at in 0..self.relays.len() {
            if self.relays[at].stops_at <= self.now {
                self.stop_relay(at);
            }
            if self.relays[at].next().is_some_and(|due| due <= self.now) {
                self.with_relay(at, |relay, around| relay.timeout(around));
            }
        }
        self.serve_direct()?;
        self.serve_cloud()?;
        for who in 0..2 {
            self.turn(who)?;
        }
        self.part()
    }

    /// The next moment at which something happens, in whole microseconds as a browser counts.
    fn next(&self) -> Option<Moment> {
        let asleep = self.asleep();
        let legs = self.legs.values();
        let blocked = |leg: &Leg| self.relays[leg.relay].is_full(leg.who);
        let legs = legs.filter_map(|leg| leg.next(asleep[leg.who], blocked(leg)));
        let relays = self.relays.iter().filter_map(Relay::next);
        let peers = self.peers.iter().map(Shell::next);
        let all = legs
            .chain(relays)
            .chain(peers)
            .chain(self.control.next(asleep))
            .chain(self.direct.next(asleep))
            .chain(self.cloud.next())
            .chain((!self.is_kind).then_some(self.fate_at))
            .chain([self.next_relay_at]);
        let next = all.min().filter(|at| *at < Moment::NEVER)?;
        let micros = next.since_origin().as_nanos().div_ceil(1_000);
        let micros = u64::try_from(micros).ok()?;
        Some(Moment::from_origin(Duration::from_micros(micros)).max(self.now))
    }

    pub(super) fn is_awake(&self, who: usize) -> bool {
        self.peers[who].asleep.is_none()
    }

    fn asleep(&self) -> [bool; 2] {
        [0, 1].map(|who| !self.is_awake(who))
    }

    pub(super) fn with_relay(
        &mut self,
        at: usize,
        serve: impl FnOnce(&mut Relay, &mut Around<'_>),
    ) {
        let mut around = Around {
            legs: &mut self.legs,
            cloud: &mut self.cloud,
            dice: &mut self.dice,
            now: self.now,
            meddles: self.meddles,
        };
        serve(&mut self.relays[at], &mut around);
    }

    /// A peer does what is due: its application's turn, its endpoint's wishes, its frames.
    fn turn(&mut self, who: usize) -> Result<(), String> {
        let now = self.now;
        let peer = &mut self.peers[who];
        if peer.again_at <= now {
            self.begin(who);
        }
        let peer = &mut self.peers[who];
        if peer.asleep.is_some() || peer.end.is_some() {
            return Ok(());
        }
        if peer.endpoint.poll_timeout() <= now {
            self.report_waiting(who)?;
            self.input(who, Input::Timeout)?;
        }
        let peer = &mut self.peers[who];
        if peer.app_at <= now && peer.end.is_none() {
            let pause = match (peer.app.is_done(), self.dice.once_in(10)) {
                (true, _) => 1_000,
                (false, true) => 300,
                (false, false) => 20,
            };
            peer.app_at = now + Duration::from_millis(1 + self.dice.below(pause));
            let mut tap = Tap {
                mux: peer.endpoint.channels(),
                now,
                record: self.record.as_mut().filter(|it| it.who == who),
            };
            peer.app.tick(&mut tap)?;
            peer.is_dirty = true;
        }
        if std::mem::take(&mut self.peers[who].is_dirty) {
            self.obey_all(who)?;
            self.flush_all(who)?;
        }
        let bound = self.plan.limits.total as usize + 32 * self.plan.limits.window as usize / 4;
        let peer = &mut self.peers[who];
        let held = peer.endpoint.channels().buffered();
        if held > bound {
            return Err(format!(
                "{who} holds {held} bytes, at most {bound} are allowed"
            ));
        }
        let timeout = peer.endpoint.poll_timeout();
        self.note(who, || (json!("poll-timeout"), words::moment(timeout)));
        self.peers[who].manners.on_rest(timeout, now)
    }

    fn report_waiting(&mut self, who: usize) -> Result<(), String> {
        let now = self.now;
        let of_peer = |leg: &&Leg| leg.who == who && leg.peer.lives && leg.connecting.is_none();
        let legs = self.legs.values().filter(of_peer);
        let waits: Vec<_> = legs
            .map(|leg| (leg.id, leg.stalled_until > now && leg.up.held() > 0))
            .collect();
        for (id, waits) in waits {
            self.input(who, Input::Waiting(id, waits))?;
        }
        Ok(())
    }

    /// Both are done: one of them closes, or both, and both must learn that nothing was lost.
    fn part(&mut self) -> Result<(), String> {
        for who in 0..2 {
            if self.peers[who].app.restarts_seen > self.restarts[1 - who] {
                return Err(format!("{who} saw a restart that did not happen"));
            }
        }
        // A peer learns of a restart when it meets the new process, and then has more to do.
        let peaceful = self.restarts_left + self.restarts[0] + self.restarts[1] == 0;
        let is_time = peaceful || self.now.since_origin() >= KINDNESS * 4;
        if !is_time || self.peers.iter().any(|peer| peer.has_closed) {
            return Ok(());
        }
        let mut ready = true;
        for peer in &mut self.peers {
            let awake = peer.asleep.is_none() && peer.end.is_none();
            ready &= awake && peer.app.is_done() && peer.endpoint.channels().is_connected();
        }
        if !ready {
            return Ok(());
        }
        for who in 0..2 {
            if self.closers[who] {
                self.peers[who].has_closed = true;
                self.input(who, Input::Close(PATIENCE))?;
                self.flush_all(who)?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now.since_origin())
            .field("peers", &self.peers)
            .field("legs", &self.legs.len())
            .finish_non_exhaustive()
    }
}
