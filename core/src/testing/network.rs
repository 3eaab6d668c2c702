//! Wires that keep order while they live, and lose what is under way when they break.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Dice;
use crate::attach::Ended;
use crate::time::Moment;

/// What travels over a wire.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    /// One message of the transport.
    Frame(Bytes),
    /// The far end closed the connection.
    End(Ended),
}

/// One direction of one connection.
#[derive(Default)]
pub(super) struct Wire {
    queue: VecDeque<(Moment, Parcel)>,
}

impl Wire {
    /// Sends `parcel`, to arrive within `at_most` milliseconds but not before what was sent earlier.
    pub(super) fn send(&mut self, parcel: Parcel, now: Moment, at_most: u64, dice: &mut Dice) {
        let delay = Duration::from_millis(1 + dice.below(at_most));
        let before = self.queue.back().map_or(now, |(at, _)| *at);
        self.queue.push_back((before.max(now + delay), parcel));
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.queue.front().map(|(at, _)| *at)
    }

    pub(super) fn arrive(&mut self, now: Moment) -> Option<Parcel> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_front().map(|(_, parcel)| parcel)
    }

    pub(super) fn cut(&mut self) {
        self.queue.clear();
    }

    /// Bytes under way.
    pub(super) fn held(&self) -> usize {
        let frames = self.queue.iter().filter_map(|(_, it)| it.frame());
        frames.map(Bytes::len).sum()
    }

    /// Loses a frame under way without a trace, as no honest path does. Notices are spared: without them a relay
    /// would not be one.
    pub(super) fn swallow(&mut self, dice: &mut Dice) {
        let of_peer = |(at, (_, it)): (usize, &(Moment, Parcel))| {
            let lane = it.frame().and_then(|frame| frame.first().copied());
            lane.is_some_and(|lane| lane != 0).then_some(at)
        };
        let candidates: Vec<_> = self.queue.iter().enumerate().filter_map(of_peer).collect();
        if !candidates.is_empty() {
            let chosen = dice.below(candidates.len() as u64);
            self.queue
                .remove(candidates[usize::try_from(chosen).unwrap_or(0)]);
        }
    }

    /// Alters one byte of something under way, from `from` on; says whether there was anything.
    pub(super) fn corrupt(
        &mut self,
        dice: &mut Dice,
        from: impl Fn(&[u8]) -> Option<usize>,
    ) -> bool {
        for (_, parcel) in &mut self.queue {
            let Parcel::Frame(bytes) = parcel else {
                continue;
            };
            let Some(from) = from(bytes).filter(|from| *from < bytes.len()) else {
                continue;
            };
            let range = (bytes.len() - from) as u64;
            let at = from + usize::try_from(dice.below(range)).unwrap_or(0);
            let mut altered = bytes.to_vec();
            altered[at] ^= 1 << dice.below(8);
            *bytes = altered.into();
            return true;
        }
        false
    }
}

impl Parcel {
    fn frame(&self) -> Option<&Bytes> {
        match self {
            Self::Frame(bytes) => Some(bytes),
            Self::End(_) => None,
        }
    }
}

/// Where a datagram flies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To the relay, over this leg.
    Up(u64),
    /// To the peer, over this leg.
    Down(u64),
    /// To this peer, over the direct connection of this attempt.
    Direct(usize, u64),
}

/// Datagrams under way: no order, some lost, some twice.
#[derive(Default)]
pub(super) struct Cloud {
    flying: Vec<(Moment, Place, Bytes)>,
}

impl Cloud {
    pub(super) fn send(&mut self, to: Place, datagram: &Bytes, now: Moment, dice: &mut Dice) {
        for _ in 0..[0, 1, 1, 1, 2][usize::try_from(dice.below(5)).unwrap_or(0)] {
            let at = now + Duration::from_millis(1 + dice.below(60));
            self.flying.push((at, to, datagram.clone()));
        }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.flying.iter().map(|(at, _, _)| *at).min()
    }

    pub(super) fn arrive(&mut self, now: Moment) -> Option<(Place, Bytes)> {
        let at = self.flying.iter().position(|(at, _, _)| *at <= now)?;
        let (_, to, datagram) = self.flying.swap_remove(at);
        Some((to, datagram))
    }
}
