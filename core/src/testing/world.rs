//! Two peers, two paths, and a fate that follows from a seed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Dice;
use super::app::App;
use super::network::{Cloud, Wire};
use crate::channel::{Config, Limits, Mux, Stats};
use crate::connect::{self, Action, Kind, PathId, Paths};
use crate::role::Role;
use crate::time::Moment;

/// Two peers in a network that misbehaves for ten virtual seconds and is kind afterwards.
pub struct World {
    dice: Dice,
    now: Moment,
    limits: Limits,
    peers: [Peer; 2],
    /// Relay and direct path; each from the initiator, and from the joiner.
    wires: [[Wire; 2]; 2],
    cloud: Cloud,
    /// The direct path swallows everything.
    silent: bool,
    /// Records of the past, to be delivered once more: to whom, and what.
    past: VecDeque<(usize, Bytes)>,
    fate_at: Moment,
    restarts: [u32; 2],
    restarts_left: u32,
    steps: u64,
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
}

struct Peer {
    mux: Mux,
    paths: Paths,
    app: App,
    app_at: Moment,
    /// Relay leg and direct path, as this peer knows them.
    attached: [Option<PathId>; 2],
    attach_at: [Option<Moment>; 2],
}

const RELAY: usize = 0;
const DIRECT: usize = 1;
const KINDNESS: Duration = Duration::from_secs(10);
const END: Duration = Duration::from_secs(600);

impl World {
    /// A world that follows from `seed`. One in four has a peer whose process restarts.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let window = 1_024 << dice.below(4);
        let total = window * (1 + u32::try_from(dice.below(3)).unwrap_or(0));
        let limits = Limits {
            window,
            total,
            max_channels: 16,
            ..Limits::default()
        };
        let restarts_left = if dice.once_in(4) { 2 } else { 0 };
        let start = Moment::default();
        let peers = Role::BOTH.map(|role| Peer::new(role, limits, &mut dice, start));
        Self {
            dice,
            now: start,
            limits,
            peers,
            wires: Default::default(),
            cloud: Cloud::default(),
            silent: false,
            past: VecDeque::new(),
            fate_at: start,
            restarts: [0; 2],
            restarts_left,
            steps: 0,
        }
    }

    /// Lives until both applications are done and the conversation is closed.
    ///
    /// # Errors
    /// What went wrong first, in words.
    pub fn run(mut self) -> Result<Outcome, String> {
        loop {
            self.now = self.next().ok_or("nothing will ever happen again")?;
            if self.now.since_origin() > END || self.steps > 300_000 {
                return Err(format!("no end after {} steps", self.steps));
            }
            self.steps += 1;
            self.fate();
            self.deliver()?;
            for who in 0..2 {
                self.turn(who)?;
            }
            if self.over()? {
                let took = self.now.since_origin();
                let stats = self.peers[0].mux.stats();
                return Ok(Outcome {
                    took,
                    steps: self.steps,
                    stats,
                });
            }
        }
    }

    fn next(&self) -> Option<Moment> {
        let wires = self.wires.iter().flatten().filter_map(Wire::next);
        let peers = self.peers.iter().flat_map(Peer::next);
        let unkind = self.now.since_origin() < KINDNESS;
        let all = wires
            .chain(peers)
            .chain(self.cloud.next())
            .chain(unkind.then_some(self.fate_at));
        Some(all.min()?.max(self.now))
    }

    /// Everything an unkind network does, one thing at a time.
    fn fate(&mut self) {
        if self.now.since_origin() >= KINDNESS || self.now < self.fate_at {
            return;
        }
        self.fate_at = self.now + Duration::from_millis(1 + self.dice.below(400));
        let who = usize::from(self.dice.once_in(2));
        match self.dice.below(10) {
            0..=2 => self.break_leg(who),
            3 => {
                self.break_leg(0);
                self.break_leg(1);
            }
            4 | 5 => {
                self.silent = true;
                self.wires[DIRECT].iter_mut().for_each(Wire::cut);
                if self.dice.once_in(2) {
                    self.hang_up_direct();
                }
            }
            6..=8 => self.haunt(),
            _ if self.restarts_left > 0 => self.restart(who),
            _ => {}
        }
    }

    /// A leg ends. What was under way to it is lost, what came from it perhaps.
    fn break_leg(&mut self, who: usize) {
        self.wires[RELAY][1 - who].cut();
        if self.dice.once_in(2) {
            self.wires[RELAY][who].cut();
        }
        let back = self.now + Duration::from_millis(self.dice.below(700));
        let peer = &mut self.peers[who];
        if let Some(path) = peer.attached[RELAY].take() {
            peer.paths.down(path, self.now);
        }
        peer.attach_at[RELAY] = Some(back);
    }

    fn hang_up_direct(&mut self) {
        for peer in &mut self.peers {
            if let Some(path) = peer.attached[DIRECT].take() {
                peer.paths.down(path, self.now);
            }
        }
    }

    /// Records of the past appear once more.
    fn haunt(&mut self) {
        for _ in 0..self.dice.below(4) {
            let count = self.past.len() as u64;
            if count == 0 {
                return;
            }
            let chosen = usize::try_from(self.dice.below(count)).unwrap_or(0);
            let (to, record) = self.past[chosen].clone();
            let from = self.wires[RELAY][1 - to].next().unwrap_or(self.now);
            let now = from.max(self.now);
            self.wires[RELAY][1 - to].send(record, now, 50, &mut self.dice);
        }
    }

    fn restart(&mut self, who: usize) {
        self.restarts_left -= 1;
        self.restarts[who] += 1;
        self.break_leg(who);
        self.silent = true;
        self.wires[DIRECT].iter_mut().for_each(Wire::cut);
        self.hang_up_direct();
        let attach_at = self.peers[who].attach_at;
        let peer = Peer::new(Role::BOTH[who], self.limits, &mut self.dice, self.now);
        self.peers[who] = Peer { attach_at, ..peer };
    }

    fn deliver(&mut self) -> Result<(), String> {
        for kind in [RELAY, DIRECT] {
            for from in 0..2 {
                while let Some(record) = self.wires[kind][from].arrive(self.now) {
                    let peer = &mut self.peers[1 - from];
                    // The relay keeps nothing for a peer that is away.
                    let Some(path) = peer.attached[kind] else {
                        continue;
                    };
                    if peer.paths.handle(path, &record, self.now) {
                        continue;
                    }
                    let verdict = peer.mux.handle_record(record, self.now);
                    verdict.map_err(|violation| format!("{from}: {violation}"))?;
                    while let Some(event) = peer.mux.poll_event() {
                        peer.app.on_event(event)?;
                    }
                }
            }
        }
        while let Some((to, datagram)) = self.cloud.arrive(self.now) {
            self.peers[to].mux.handle_datagram(datagram);
        }
        Ok(())
    }

    /// A peer does what is due: attach, its application's turn, its paths' wishes, its records.
    fn turn(&mut self, who: usize) -> Result<(), String> {
        let now = self.now;
        let peer = &mut self.peers[who];
        for (slot, kind) in [(RELAY, Kind::Relay), (DIRECT, Kind::Direct)] {
            if peer.attach_at[slot].is_some_and(|at| at <= now) {
                peer.attach_at[slot] = None;
                peer.attached[slot] = Some(peer.paths.up(kind, now));
            }
        }
        peer.mux.handle_timeout(now);
        if peer.app_at <= now {
            let pause = if self.dice.once_in(10) { 300 } else { 20 };
            peer.app_at = now + Duration::from_millis(1 + self.dice.below(pause));
            peer.app.tick(&mut peer.mux)?;
        }
        self.obey(who);
        self.flush(who);
        let peer = &mut self.peers[who];
        while let Some(event) = peer.mux.poll_event() {
            peer.app.on_event(event)?;
        }
        let bound = self.limits.total as usize + 32 * self.limits.window as usize / 4;
        let held = peer.mux.buffered();
        if held > bound {
            return Err(format!(
                "{who} holds {held} bytes, at most {bound} are allowed"
            ));
        }
        Ok(())
    }

    fn obey(&mut self, who: usize) {
        let now = self.now;
        while let Some(action) = self.peers[who].paths.poll(now) {
            let peer = &mut self.peers[who];
            match action {
                Action::Begin(_) => peer.mux.path_up(now),
                Action::Switch(_) => peer.mux.switch_path(now),
                Action::Resync => peer.mux.resync(now),
                Action::Stop => peer.mux.path_down(now),
                Action::Send(path, record) => self.transmit(who, path, record),
                Action::HangUp(path) => {
                    if peer.attached[DIRECT] == Some(path) {
                        peer.attached[DIRECT] = None;
                    }
                }
                Action::Dial => self.dial(who),
            }
        }
    }

    /// A direct path is made anew for both, whoever asked for it.
    fn dial(&mut self, who: usize) {
        if self.dice.once_in(3) || self.peers[1 - who].attached[RELAY].is_none() {
            self.peers[who].paths.failed(self.now);
            return;
        }
        self.hang_up_direct();
        self.wires[DIRECT].iter_mut().for_each(Wire::cut);
        self.silent = false;
        for peer in &mut self.peers {
            let after = Duration::from_millis(self.dice.below(50));
            peer.attach_at[DIRECT] = Some(self.now + after);
        }
    }

    fn flush(&mut self, who: usize) {
        let Some(path) = self.peers[who].paths.selected() else {
            return;
        };
        // A path takes a few records at a time, so that some are cut off before they were sent.
        while let Some(packed) = self.peers[who].mux.poll_record(self.now) {
            let record = packed.into_record();
            if self.past.len() == 64 {
                self.past.pop_front();
            }
            self.past.push_back((1 - who, record.clone()));
            self.transmit(who, path, record);
        }
        while let Some(packed) = self.peers[who].mux.poll_datagram() {
            self.cloud
                .send(1 - who, &packed.into_record(), self.now, &mut self.dice);
        }
    }

    fn transmit(&mut self, who: usize, path: PathId, record: Bytes) {
        let attached = self.peers[who].attached;
        if attached[RELAY] == Some(path) {
            self.wires[RELAY][who].send(record, self.now, 120, &mut self.dice);
        } else if attached[DIRECT] == Some(path) && !self.silent {
            self.wires[DIRECT][who].send(record, self.now, 15, &mut self.dice);
        }
    }

    /// Both are done: the initiator closes, and both must learn that nothing was lost.
    fn over(&mut self) -> Result<bool, String> {
        for who in 0..2 {
            if self.peers[who].app.restarts_seen > self.restarts[1 - who] {
                return Err(format!("{who} saw a restart that did not happen"));
            }
        }
        // A peer learns of a restart when it meets the new process, and then has more to do.
        let peaceful = self.restarts_left + self.restarts[0] + self.restarts[1] == 0;
        let kind = peaceful || self.now.since_origin() >= KINDNESS * 4;
        let [a, b] = &mut self.peers;
        if !kind || !a.app.is_done() || !b.app.is_done() || !a.mux.is_connected() {
            return Ok(false);
        }
        if !a.mux.is_closed() {
            a.mux.close();
        }
        match (a.app.closed, b.app.closed) {
            (Some(true), Some(true)) => Ok(true),
            (Some(false), _) | (_, Some(false)) => Err("closed with something lost".into()),
            (Some(true) | None, Some(true) | None) => Ok(false),
        }
    }
}

impl Peer {
    fn new(role: Role, limits: Limits, dice: &mut Dice, now: Moment) -> Self {
        let config = Config {
            limits,
            ..Config::default()
        };
        let largest = u64::from(limits.window) * 2;
        Self {
            mux: Mux::new(config, role, dice.bytes()),
            paths: Paths::new(connect::Config::default()),
            app: App::new(role, Dice::new(dice.roll()), largest),
            app_at: now,
            attached: [None; 2],
            attach_at: [Some(now + Duration::from_millis(dice.below(200))), None],
        }
    }

    fn next(&self) -> impl Iterator<Item = Moment> {
        let idle = self.app.is_done() && self.app.closed.is_some();
        let app = (!idle).then_some(self.app_at);
        let timers = [app, self.mux.poll_timeout(), self.paths.timeout()];
        timers.into_iter().chain(self.attach_at).flatten()
    }
}
