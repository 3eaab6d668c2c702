//! Counts bytes, and how many of them went by in the last two seconds.

use peersox_core::time::Moment;

/// One direction.
#[derive(Default)]
pub(crate) struct Meter {
    total: f64,
    slots: [f64; SLOTS],
    /// The number of the slot that counts now, since the beginning of time.
    current: u64,
}

const SLOTS: usize = 8;
const SLOT_MILLIS: u128 = 250;

impl Meter {
    pub(crate) fn add(&mut self, bytes: usize, now: Moment) {
        self.turn(now);
        #[allow(clippy::cast_precision_loss)]
        let bytes = bytes as f64;
        self.total += bytes;
        self.slots[slot(self.current)] += bytes;
    }

    pub(crate) fn total(&self) -> f64 {
        self.total
    }

    /// Bytes per second.
    pub(crate) fn rate(&mut self, now: Moment) -> f64 {
        self.turn(now);
        self.slots.iter().sum::<f64>() / 2.0
    }

    /// Empties the slots whose time is over.
    fn turn(&mut self, now: Moment) {
        let number = now.since_origin().as_millis() / SLOT_MILLIS;
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let passed = number.saturating_sub(self.current).min(SLOTS as u64);
        for back in 0..passed {
            self.slots[slot(number - back)] = 0.0;
        }
        self.current = number;
    }
}

#[allow(clippy::cast_possible_truncation)]
fn slot(number: u64) -> usize {
    (number % SLOTS as u64) as usize
}
