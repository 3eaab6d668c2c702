//! Wires that keep order while they live, and lose what is under way when they break.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Dice;
use crate::time::Moment;

/// One direction of one path.
#[derive(Default)]
pub(super) struct Wire {
    queue: VecDeque<(Moment, Bytes)>,
}

impl Wire {
    /// Sends `record`, to arrive within `at_most` milliseconds but not before what was sent earlier.
    pub(super) fn send(&mut self, record: Bytes, now: Moment, at_most: u64, dice: &mut Dice) {
        let delay = Duration::from_millis(1 + dice.below(at_most));
        let before = self.queue.back().map_or(now, |(at, _)| *at);
        self.queue.push_back((before.max(now + delay), record));
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.queue.front().map(|(at, _)| *at)
    }

    pub(super) fn arrive(&mut self, now: Moment) -> Option<Bytes> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_front().map(|(_, record)| record)
    }

    pub(super) fn cut(&mut self) {
        self.queue.clear();
    }

    /// Loses one thing under way without a trace, as no honest path does.
    pub(super) fn swallow(&mut self, dice: &mut Dice) {
        let at = dice.below(self.queue.len().max(1) as u64);
        self.queue.remove(usize::try_from(at).unwrap_or(0));
    }

    /// Alters one byte of something under way, from `from` on; says whether there was anything.
    pub(super) fn corrupt(
        &mut self,
        dice: &mut Dice,
        from: impl Fn(&[u8]) -> Option<usize>,
    ) -> bool {
        for (_, bytes) in &mut self.queue {
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

/// Datagrams under way: no order, some lost, some twice.
#[derive(Default)]
pub(super) struct Cloud {
    flying: Vec<(Moment, usize, Bytes)>,
}

impl Cloud {
    pub(super) fn send(&mut self, to: usize, datagram: &Bytes, now: Moment, dice: &mut Dice) {
        for _ in 0..[0, 1, 1, 1, 2][usize::try_from(dice.below(5)).unwrap_or(0)] {
            let at = now + Duration::from_millis(1 + dice.below(60));
            self.flying.push((at, to, datagram.clone()));
        }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.flying.iter().map(|(at, _, _)| *at).min()
    }

    pub(super) fn arrive(&mut self, now: Moment) -> Option<(usize, Bytes)> {
        let at = self.flying.iter().position(|(at, _, _)| *at <= now)?;
        let (_, to, datagram) = self.flying.swap_remove(at);
        Some((to, datagram))
    }
}
