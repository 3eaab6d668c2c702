//! Everything that an unkind world does, one thing at a time.

use std::time::Duration;

use serde_json::json;

use super::control::Mood;
use super::network::Parcel;
use super::relay::Relay;
use super::shell::Shell;
use super::world::{KINDNESS, Quic, World};
use crate::attach::Transport;
use crate::endpoint::Input;
use crate::frame::Lane;
use crate::secure::HEADROOM;
use crate::time::Moment;

impl World {
    pub(super) fn fate(&mut self) -> Result<(), String> {
        if self.is_calm {
            if self.fate_at <= self.now {
                self.fate_at = Moment::NEVER;
                self.drain(MOVING);
                self.next_relay_at = self.now;
            }
            return Ok(());
        }
        if self.now.since_origin() >= KINDNESS {
            self.become_kind();
            return Ok(());
        }
        if self.now < self.fate_at {
            return Ok(());
        }
        self.fate_at = self.now + self.millis(400);
        let who = usize::from(self.dice.once_in(2));
        match self.dice.below(32) {
            0..=4 => self.break_leg(who),
            5 => {
                self.break_leg(0);
                self.break_leg(1);
            }
            6 | 7 => {
                self.direct.silent = true;
                if self.dice.once_in(2) {
                    self.direct.breaks(who, self.now, &mut self.dice);
                }
            }
            8 => self.direct.breaks(who, self.now, &mut self.dice),
            9..=12 => self.haunt(),
            13..=15 => self.forge(who),
            16..=18 => self.swallow(who),
            19 => {
                let grace = Duration::from_millis(500 + self.dice.below(4_000));
                self.drain(grace);
            }
            20 => self.restart_relay(),
            21 | 22 => {
                let moods = [Mood::Refuses, Mood::IsSilent, Mood::IsBusy];
                let mood = moods[usize::try_from(self.dice.below(3)).unwrap_or(0)];
                let until = self.now + self.millis(3_000);
                self.control.set_mood(mood, until);
            }
            23 => {
                let quic = [Quic::Passes, Quic::Fails, Quic::Vanishes];
                self.quic = quic[usize::try_from(self.dice.below(3)).unwrap_or(0)];
            }
            24 => self.sleep(who),
            25 | 26 => {
                for who in 0..2 {
                    if self.is_awake(who) && self.peers[who].end.is_none() {
                        self.upgrade(who)?;
                    }
                }
            }
            27 => self.direct.blocked = self.dice.once_in(2),
            28 => self.stall(who),
            29 => self.keepalive(),
            _ if self.restarts_left > 0 => self.restart(who),
            _ => {}
        }
        Ok(())
    }

    /// From now on connections succeed and control answers. What broke unnoticed stays broken.
    fn become_kind(&mut self) {
        if !std::mem::replace(&mut self.is_kind, true) {
            self.control.set_mood(Mood::Well, self.now);
            self.direct.blocked = false;
            if !self.control.offered.has(Transport::WebSocket) {
                self.quic = Quic::Passes;
            }
        }
    }

    fn break_leg(&mut self, who: usize) {
        let of_peer = |leg: &&mut super::legs::Leg| leg.who == who;
        for leg in self.legs.values_mut().filter(of_peer) {
            leg.breaks(self.now, &mut self.dice);
        }
    }

    fn leg_of(&mut self, who: usize) -> Option<u64> {
        let legs = self.legs.iter();
        let mut of_peer = legs.filter(|(_, leg)| leg.who == who && leg.connecting.is_none());
        of_peer.next_back().map(|(number, _)| *number)
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
            let Some(leg) = self.leg_of(to) else {
                continue;
            };
            // Welcome is the first frame of a leg, whatever a relay repeats.
            if let Some(leg) = self.legs.get_mut(&leg)
                && leg.down.next().is_some()
            {
                leg.send_down(Parcel::Frame(frame), self.now, &mut self.dice);
            }
        }
    }

    /// A byte of something under way is altered. Of a record that is a byte that its tag protects: a
    /// header altered so that the record looks late is one lost, which a relay may cause as well.
    fn forge(&mut self, who: usize) {
        if self.forgeries_left == 0 {
            return;
        }
        let begin = |frame: &[u8]| match (frame.first(), frame.get(1)) {
            (Some(lane), _) if *lane == Lane::Notice as u8 => None,
            (_, Some(3)) => Some(HEADROOM),
            (_, Some(2)) => Some(2),
            // One altered message of the PAKE spends the code, as it should.
            _ => None,
        };
        let wire = match self.dice.once_in(2) {
            true => Some(&mut self.direct.wires[who]),
            false => {
                let leg = self.leg_of(who).and_then(|leg| self.legs.get_mut(&leg));
                leg.map(|leg| &mut leg.up)
            }
        };
        if wire.is_some_and(|wire| wire.corrupt(&mut self.dice, begin)) {
            self.forgeries_left -= 1;
        }
    }

    fn swallow(&mut self, who: usize) {
        if self.dice.once_in(2) {
            self.direct.wires[who].swallow(&mut self.dice);
        } else if let Some(leg) = self.leg_of(who).and_then(|leg| self.legs.get_mut(&leg)) {
            let down = self.dice.once_in(2);
            let wire = if down { &mut leg.down } else { &mut leg.up };
            wire.swallow(&mut self.dice);
        }
    }

    /// The relay stops after a while; another one takes over before.
    fn drain(&mut self, grace: Duration) {
        if self.next_relay_at < Moment::NEVER {
            return;
        }
        let grace_millis = u64::try_from(grace.as_millis()).unwrap_or(1);
        self.next_relay_at = self.now + self.millis(grace_millis);
        self.with_relay(self.front, |relay, around| relay.drain(grace, around));
        self.drains += 1;
    }

    /// The relay's process dies, and another one begins without its memory.
    fn restart_relay(&mut self) {
        self.stop_relay(self.front);
        self.listens_from = self.now + self.millis(1_500);
        if self.dice.once_in(3) {
            self.control.epoch += 1;
        }
        self.next_relay_at = Moment::NEVER;
        self.begin_relay();
    }

    pub(super) fn stop_relay(&mut self, at: usize) {
        self.with_relay(at, |relay, around| relay.stop(at, around));
    }

    pub(super) fn begin_relay(&mut self) {
        let epoch = self.control.epoch;
        let relay = Relay::new(self.session, self.keepalive, epoch, self.now);
        self.relays.push(relay);
        self.front = self.relays.len() - 1;
    }

    fn keepalive(&mut self) {
        let asked = [0, 1, 500, 2_000, 5_000, u32::MAX];
        self.keepalive = asked[usize::try_from(self.dice.below(6)).unwrap_or(0)];
        self.relays[self.front].keepalive = self.keepalive;
    }

    fn sleep(&mut self, who: usize) {
        if self.is_awake(who) && self.peers[who].end.is_none() {
            let most = [1_000, 4_000, 40_000];
            let most = most[usize::try_from(self.dice.below(3)).unwrap_or(0)];
            self.peers[who].asleep = Some((self.now, self.now + self.millis(most)));
        }
    }

    pub(super) fn wake_up(&mut self, who: usize) -> Result<(), String> {
        match self.peers[who].asleep {
            Some((since, until)) if until <= self.now => {
                self.peers[who].asleep = None;
                self.input(who, Input::Wake(self.now - since))
            }
            _ => Ok(()),
        }
    }

    fn upgrade(&mut self, who: usize) -> Result<(), String> {
        let peer = &mut self.peers[who];
        peer.is_dirty = true;
        let wanted = peer.endpoint.upgrade(self.now, &mut peer.rng);
        self.note(who, || (json!({ "do": "upgrade" }), json!(wanted)));
        self.obey_all(who)
    }

    /// Nothing leaves this peer's machine for a while.
    fn stall(&mut self, who: usize) {
        let until = self.now + self.millis(3_000);
        if let Some(leg) = self.leg_of(who).and_then(|leg| self.legs.get_mut(&leg)) {
            leg.stalled_until = until;
        }
    }

    /// A process dies, and begins again with what it stored.
    fn restart(&mut self, who: usize) {
        if self.peers[who].stored.is_some() {
            self.restarts_left -= 1;
            self.restarts[who] += 1;
            self.begin(who);
        }
    }

    pub(super) fn begin(&mut self, who: usize) {
        for (number, leg) in self.legs.iter_mut().filter(|(_, leg)| leg.who == who) {
            leg.abandon(self.now, &mut self.dice);
            // Hello of a dead process would end the next one as replaced, as it should between two programs.
            if self.relays[leg.relay].awaits_hello(*number) {
                leg.up.cut();
            }
        }
        self.direct.vanish(who, self.now, &mut self.dice);
        self.control.forget(who);
        if let Some(record) = self.record.as_mut().filter(|it| it.who == who) {
            record.is_over = true;
        }
        let stored = self.peers[who].stored.take();
        let mut plan = self.plan.clone();
        if let Some(secret) = stored.clone() {
            plan.proof = crate::peer::Proof::Secret(secret);
        }
        self.peers[who] = Shell::new(who, &plan, &mut self.dice, self.now);
        self.peers[who].stored = stored;
    }

    fn millis(&mut self, at_most: u64) -> Duration {
        Duration::from_millis(1 + self.dice.below(at_most))
    }
}

/// How long a relay waits for peers that have somewhere to go.
const MOVING: Duration = Duration::from_secs(3);
