//! Two peers, two paths, and a fate that follows from a seed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Dice;
use super::app::App;
use super::network::{Cloud, Wire};
use crate::channel::{self, Limits, Stats};
use crate::connect::{Kind, PathId};
use crate::frame::{Frame, Lane};
use crate::id::PairingId;
use crate::peer::{self, Event, Proof};
use crate::role::Role;
use crate::secure::{HEADROOM, PairingSecret};
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
    /// Frames of the past, to be delivered once more: to whom, and what.
    past: VecDeque<(usize, Bytes)>,
    fate_at: Moment,
    restarts: [u32; 2],
    restarts_left: u32,
    /// How often something is still to be altered or sent back. Fewer than make a peer give up.
    forgeries_left: u32,
    /// How many frames more are lost without a trace once the network is kind otherwise.
    swallows_left: u32,
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
    /// Frames that both peers refused.
    pub refused: u64,
    /// Paths that were given up for a forgery or for silence.
    pub given_up: u64,
}

struct Peer {
    core: peer::Peer,
    dice: Dice,
    app: App,
    app_at: Moment,
    /// Relay leg and direct path, as this peer knows them.
    attached: [Option<PathId>; 2],
    attach_at: [Option<Moment>; 2],
    /// Set once records flow: what a restarted process comes back with.
    stored: Option<PairingSecret>,
    given_up: u64,
}

const RELAY: usize = 0;
const DIRECT: usize = 1;
const KINDNESS: Duration = Duration::from_secs(10);
const END: Duration = Duration::from_secs(600);
const PAIRING: PairingId = PairingId::from_bytes([7; 16]);
const CODE: &[u8] = b"481920-tulip-ember";

impl World {
    /// A world that follows from `seed`. One in four begins with a code, the others with a secret;
    /// one in four has peers whose process restarts.
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
        let forgeries_left = u32::try_from(dice.below(5)).unwrap_or(0);
        let proof = if dice.once_in(4) {
            Proof::Code(CODE)
        } else {
            Proof::Secret(PairingSecret::from_bytes([9; 32]))
        };
        let start = Moment::default();
        let peers = Role::BOTH.map(|role| Peer::new(role, limits, proof.clone(), &mut dice, start));
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
            forgeries_left,
            swallows_left: 2,
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
                let [a, b] = &mut self.peers;
                return Ok(Outcome {
                    took: self.now.since_origin(),
                    steps: self.steps,
                    stats: a.core.channels().stats(),
                    refused: a.core.dropped() + b.core.dropped(),
                    given_up: a.given_up + b.given_up,
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
        match self.dice.below(14) {
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
            9 | 10 => self.forge(who),
            11 | 12 => {
                let kind = usize::from(self.dice.once_in(2));
                self.wires[kind][who].swallow(&mut self.dice);
            }
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
            peer.core.path_down(path, self.now);
        }
        peer.attach_at[RELAY] = Some(back);
    }

    fn hang_up_direct(&mut self) {
        for peer in &mut self.peers {
            if let Some(path) = peer.attached[DIRECT].take() {
                peer.core.path_down(path, self.now);
            }
        }
    }

    /// Frames of the past appear once more.
    fn haunt(&mut self) {
        for _ in 0..self.dice.below(4) {
            let count = self.past.len() as u64;
            if count == 0 {
                return;
            }
            let chosen = usize::try_from(self.dice.below(count)).unwrap_or(0);
            let (mut to, frame) = self.past[chosen].clone();
            if self.forgeries_left > 0 && self.dice.once_in(4) {
                // Back to where it came from, as if the other one had said it.
                self.forgeries_left -= 1;
                to = 1 - to;
            }
            let from = self.wires[RELAY][1 - to].next().unwrap_or(self.now);
            let now = from.max(self.now);
            self.wires[RELAY][1 - to].send(frame, now, 50, &mut self.dice);
        }
    }

    /// A byte of something under way is altered. Of a record that is a byte that its tag protects: a
    /// header altered so that the record looks late is one lost, which a relay may cause as well.
    fn forge(&mut self, who: usize) {
        if self.forgeries_left == 0 {
            return;
        }
        let kind = usize::from(self.dice.once_in(2));
        let begin = |frame: &[u8]| match frame.get(1) {
            Some(3) => Some(HEADROOM),
            Some(2) => Some(2),
            // One altered message of the PAKE spends the code, as it should.
            _ => None,
        };
        if self.wires[kind][who].corrupt(&mut self.dice, begin) {
            self.forgeries_left -= 1;
        }
    }

    fn restart(&mut self, who: usize) {
        let Some(secret) = self.peers[who].stored.clone() else {
            return;
        };
        self.restarts_left -= 1;
        self.restarts[who] += 1;
        self.break_leg(who);
        self.silent = true;
        self.wires[DIRECT].iter_mut().for_each(Wire::cut);
        self.hang_up_direct();
        let attach_at = self.peers[who].attach_at;
        let given_up = self.peers[who].given_up;
        let (role, proof) = (Role::BOTH[who], Proof::Secret(secret.clone()));
        let peer = Peer::new(role, self.limits, proof, &mut self.dice, self.now);
        self.peers[who] = Peer {
            attach_at,
            given_up,
            stored: Some(secret),
            ..peer
        };
    }

    fn deliver(&mut self) -> Result<(), String> {
        for kind in [RELAY, DIRECT] {
            for from in 0..2 {
                while let Some(frame) = self.wires[kind][from].arrive(self.now) {
                    // The relay keeps nothing for a peer that is away.
                    if let Some(path) = self.peers[1 - from].attached[kind] {
                        self.hand(1 - from, path, frame)?;
                    }
                }
            }
        }
        while let Some((to, frame)) = self.cloud.arrive(self.now) {
            let attached = self.peers[to].attached;
            if let Some(path) = attached[DIRECT].or(attached[RELAY]) {
                self.hand(to, path, frame)?;
            }
        }
        Ok(())
    }

    fn hand(&mut self, to: usize, path: PathId, frame: Bytes) -> Result<(), String> {
        let Ok(frame) = Frame::parse(frame) else {
            return Ok(());
        };
        let peer = &mut self.peers[to];
        let taken = peer
            .core
            .handle_frame(path, frame, self.now, &mut peer.dice);
        taken.map_err(|end| format!("{to}: {end}"))?;
        self.listen(to)
    }

    /// Hears what a peer's machine has to tell.
    fn listen(&mut self, who: usize) -> Result<(), String> {
        while let Some(event) = self.peers[who].core.poll_event() {
            let peer = &mut self.peers[who];
            match event {
                Event::Channel(event) => peer.app.on_event(event)?,
                Event::HangUp(path) => {
                    peer.given_up += 1;
                    if peer.attached[RELAY] == Some(path) {
                        self.break_leg(who);
                    } else if peer.attached[DIRECT] == Some(path) {
                        peer.attached[DIRECT] = None;
                    }
                }
                Event::Dial => self.dial(who),
                Event::Secured { .. } => peer.stored = peer.core.secret().cloned(),
                Event::Signal(_) | Event::Path(_) => {}
            }
        }
        Ok(())
    }

    /// A peer does what is due: attach, its application's turn, its machine's wishes, its frames.
    fn turn(&mut self, who: usize) -> Result<(), String> {
        let now = self.now;
        let peer = &mut self.peers[who];
        for (slot, kind) in [(RELAY, Kind::Relay), (DIRECT, Kind::Direct)] {
            if peer.attach_at[slot].is_some_and(|at| at <= now) {
                peer.attach_at[slot] = None;
                peer.attached[slot] = Some(peer.core.path_up(kind, now, &mut peer.dice));
            }
        }
        peer.core.handle_timeout(now, &mut peer.dice);
        if peer.app_at <= now {
            let pause = if self.dice.once_in(10) { 300 } else { 20 };
            peer.app_at = now + Duration::from_millis(1 + self.dice.below(pause));
            peer.app.tick(peer.core.channels())?;
        }
        self.listen(who)?;
        self.flush(who);
        self.listen(who)?;
        let bound = self.limits.total as usize + 32 * self.limits.window as usize / 4;
        let held = self.peers[who].core.channels().buffered();
        if held > bound {
            return Err(format!(
                "{who} holds {held} bytes, at most {bound} are allowed"
            ));
        }
        Ok(())
    }

    /// A direct path is made anew for both, whoever asked for it.
    fn dial(&mut self, who: usize) {
        if self.dice.once_in(3) || self.peers[1 - who].attached[RELAY].is_none() {
            self.peers[who].core.dial_failed(self.now);
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
        for (slot, at_most) in [(RELAY, 120), (DIRECT, 15)] {
            let Some(path) = self.peers[who].attached[slot] else {
                continue;
            };
            while let Some(frame) = self.peers[who].core.poll_transmit(path, self.now) {
                let (lane, frame) = (frame.lane(), frame.into_bytes());
                if lane == Lane::Datagram {
                    self.cloud.send(1 - who, &frame, self.now, &mut self.dice);
                    continue;
                }
                if self.past.len() == 64 {
                    self.past.pop_front();
                }
                self.past.push_back((1 - who, frame.clone()));
                let kind = self.now.since_origin() >= KINDNESS;
                if kind && self.swallows_left > 0 && self.dice.once_in(8) {
                    self.swallows_left -= 1;
                    continue;
                }
                if slot == RELAY || !self.silent {
                    self.wires[slot][who].send(frame, self.now, at_most, &mut self.dice);
                }
            }
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
        let mux = a.core.channels();
        if !kind || !a.app.is_done() || !b.app.is_done() || !mux.is_connected() {
            return Ok(false);
        }
        if !mux.is_closed() {
            mux.close();
        }
        match (a.app.closed, b.app.closed) {
            (Some(true), Some(true)) => Ok(true),
            (Some(false), _) | (_, Some(false)) => Err("closed with something lost".into()),
            (Some(true) | None, Some(true) | None) => Ok(false),
        }
    }
}

impl Peer {
    fn new(role: Role, limits: Limits, proof: Proof<'_>, dice: &mut Dice, now: Moment) -> Self {
        let config = peer::Config {
            channels: channel::Config {
                limits,
                ..channel::Config::default()
            },
            ..peer::Config::default()
        };
        let largest = u64::from(limits.window) * 2;
        let mut own = Dice::new(dice.roll());
        Self {
            core: peer::Peer::new(config, role, PAIRING, proof, Bytes::new(), now, &mut own),
            dice: own,
            app: App::new(role, Dice::new(dice.roll()), largest),
            app_at: now,
            attached: [None; 2],
            attach_at: [Some(now + Duration::from_millis(dice.below(200))), None],
            stored: None,
            given_up: 0,
        }
    }

    fn next(&self) -> impl Iterator<Item = Moment> {
        let idle = self.app.is_done() && self.app.closed.is_some();
        let app = (!idle).then_some(self.app_at);
        let timers = [app, Some(self.core.poll_timeout())];
        timers.into_iter().chain(self.attach_at).flatten()
    }
}
