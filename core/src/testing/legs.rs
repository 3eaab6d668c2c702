//! Legs: connections between a peer and the relay, which take time to connect and may break at any time.
//!
//! Each end notices a break by itself: at once, later, or never. What is sent into a broken connection vanishes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Dice;
use super::network::{Parcel, Wire};
use crate::attach::{Ended, LegId, Transport};
use crate::time::Moment;

/// All legs, by a number that is never used twice.
pub(super) type Legs = BTreeMap<u64, Leg>;

/// One leg.
pub(super) struct Leg {
    /// Whose it is.
    pub(super) who: usize,
    /// Its name at that peer.
    pub(super) id: LegId,
    pub(super) transport: Transport,
    /// The relay instance that accepted it.
    pub(super) relay: usize,
    /// While it is being connected: when that ends, and whether it succeeds.
    pub(super) connecting: Option<(Moment, bool)>,
    pub(super) peer: Side,
    pub(super) relay_side: Side,
    pub(super) up: Wire,
    pub(super) down: Wire,
    broken: bool,
    /// Nothing leaves the peer's machine before.
    pub(super) stalled_until: Moment,
}

/// One end of a leg.
pub(super) struct Side {
    /// It was neither hung up nor told the end.
    pub(super) lives: bool,
    /// When it notices a break.
    notices_at: Moment,
}

impl Side {
    const LIVES: Self = Self {
        lives: true,
        notices_at: Moment::NEVER,
    };

    /// True once: when this end notices that the connection broke.
    pub(super) fn notices(&mut self, now: Moment) -> bool {
        let notices = self.lives && self.notices_at <= now;
        self.lives &= !notices;
        notices
    }
}

impl Leg {
    pub(super) fn new(
        who: usize,
        id: LegId,
        transport: Transport,
        connecting: (Moment, bool),
    ) -> Self {
        Self {
            who,
            id,
            transport,
            relay: 0,
            connecting: Some(connecting),
            peer: Side::LIVES,
            relay_side: Side::LIVES,
            up: Wire::default(),
            down: Wire::default(),
            broken: false,
            stalled_until: Moment::default(),
        }
    }

    /// Neither end is there any more.
    pub(super) fn is_over(&self) -> bool {
        !self.peer.lives && (self.connecting.is_some() || !self.relay_side.lives)
    }

    pub(super) fn has_room(&self) -> bool {
        self.connecting.is_none() && self.up.held() < ROOM
    }

    pub(super) fn send_up(&mut self, parcel: Parcel, now: Moment, dice: &mut Dice) {
        if !self.broken && self.relay_side.lives {
            self.up.send(parcel, now, 60, dice);
        }
    }

    pub(super) fn send_down(&mut self, parcel: Parcel, now: Moment, dice: &mut Dice) {
        if !self.broken && self.peer.lives {
            self.down.send(parcel, now, 60, dice);
        }
    }

    /// The connection breaks. Of what was under way some may still arrive.
    pub(super) fn breaks(&mut self, now: Moment, dice: &mut Dice) {
        if self.connecting.is_some() || std::mem::replace(&mut self.broken, true) {
            return;
        }
        for wire in [&mut self.up, &mut self.down] {
            if dice.once_in(2) {
                wire.cut();
            }
        }
        let mut notices = || match dice.below(6) {
            0..=2 => now,
            3 | 4 => now + Duration::from_millis(dice.below(5_000)),
            _ => Moment::NEVER,
        };
        self.peer.notices_at = notices();
        self.relay_side.notices_at = notices();
    }

    /// The process at the peer's end is gone.
    pub(super) fn abandon(&mut self, now: Moment, dice: &mut Dice) {
        self.breaks(now, dice);
        self.peer.lives = false;
    }

    /// When something happens to it next. `asleep`: its peer takes nothing. `blocked`: its relay takes nothing.
    pub(super) fn next(&self, asleep: bool, blocked: bool) -> Option<Moment> {
        if let Some((at, _)) = self.connecting {
            return self.peer.lives.then_some(at);
        }
        let up = self.up.next().filter(|_| self.relay_side.lives && !blocked);
        let up = up.map(|at| at.max(self.stalled_until));
        let down = self.down.next().filter(|_| self.peer.lives && !asleep);
        let told = |side: &Side| side.lives.then_some(side.notices_at);
        let peer = told(&self.peer).filter(|_| !asleep);
        [up, down, peer, told(&self.relay_side)]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn arrives_at_relay(&mut self, now: Moment) -> Option<Parcel> {
        let ready = self.relay_side.lives && self.stalled_until <= now;
        if ready { self.up.arrive(now) } else { None }
    }

    pub(super) fn arrives_at_peer(&mut self, now: Moment) -> Option<Parcel> {
        let parcel = self.down.arrive(now).filter(|_| self.peer.lives)?;
        if let Parcel::End(_) = parcel {
            self.peer.lives = false;
        }
        Some(parcel)
    }

    /// The peer hangs up. The relay hears of it, unless the connection is broken.
    pub(super) fn hung_up(&mut self, number: Option<u16>, now: Moment, dice: &mut Dice) {
        let ended = number.map_or(Ended::Broken, Ended::Closed);
        if self.connecting.is_none() {
            self.send_up(Parcel::End(ended), now, dice);
        }
        self.peer.lives = false;
        self.down.cut();
    }

    /// The relay hangs up: after what waits, or at once.
    pub(super) fn relay_hangs_up(&mut self, number: u16, now: Moment, dice: &mut Dice) {
        if !matches!(number, 4001 | 4002 | 4005) && dice.once_in(2) {
            self.down.cut();
        }
        self.send_down(Parcel::End(Ended::Closed(number)), now, dice);
        self.relay_side.lives = false;
        self.up.cut();
    }
}

/// Bytes that the peer's machine takes before it has no room.
const ROOM: usize = 32 * 1024;
