//! What a peer permits and how it behaves.

use std::time::Duration;

use super::Violation;
use crate::frame::Lane;

/// What an item costs of a window beyond its payload: what a receiver needs to keep track of it.
pub(super) const ITEM_COST: usize = 64;

/// The most a DATA record adds to its payload: type, tag, channel and sequence.
pub(super) const DATA_OVERHEAD: usize = 1 + 4 + 8 + 8;

/// What a peer accepts; it says so in its OPEN record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unconsumed bytes per channel, 1,024 to 2^30. An item costs its payload plus 64 bytes.
    pub window: u32,
    /// Unconsumed bytes of all channels together, `window` to 2^30.
    ///
    /// A channel with nothing in flight may exceed it by one fragment, so that channels nobody reads
    /// cannot block one that somebody does.
    pub total: u32,
    /// The largest record, 16,384 to 2^20 bytes.
    pub max_record: u32,
    /// How many channels the other peer may have opened at a time, 1 to 256.
    pub max_channels: u32,
}

impl Limits {
    /// Checks what a peer announces.
    ///
    /// # Errors
    /// [`Violation::Limit`] if a value is out of its range.
    pub fn check(&self) -> Result<(), Violation> {
        let sound = (1_024..=1 << 30).contains(&self.window)
            && (self.window..=1 << 30).contains(&self.total)
            && (16_384..=1 << 20).contains(&self.max_record)
            && (1..=256).contains(&self.max_channels);
        if sound { Ok(()) } else { Err(Violation::Limit) }
    }

    /// The largest payload of a fragment that both sides' limits permit.
    ///
    /// A quarter of a window is the most: a sender that waits then implies that three quarters are
    /// outstanding, by which the receiver knows that it waits.
    pub(super) fn fragment(&self, other: &Self) -> usize {
        let record = self.max_record.min(other.max_record) as usize - DATA_OVERHEAD;
        let window = (self.window.min(other.window) / 4) as usize - ITEM_COST;
        record.min(window)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // 40 MB/s where there and back takes 100 ms.
            window: 4 << 20,
            total: 16 << 20,
            // A frame of 65,536 bytes, less its lane byte, less 64 bytes for sealing.
            max_record: 65_536 - 1 - 64,
            max_channels: 128,
        }
    }
}

/// How a [`super::Mux`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// What this side accepts.
    pub limits: Limits,
    /// The largest datagram record in bytes, its few bytes of header included.
    pub max_datagram: usize,
    /// How long an acknowledgement may wait for company.
    pub ack_delay: Duration,
    /// Room kept in front of every record, at least the lane byte: a seal writes its header there.
    pub front: usize,
    /// Room kept behind every record: a seal writes its tag there.
    pub back: usize,
}

impl Config {
    /// How long an unanswered OPEN waits before it is sent again; doubled each time.
    pub(super) const REOPEN_AFTER: Duration = Duration::from_secs(1);
    /// Where the doubling ends.
    pub(super) const REOPEN_AT_MOST: Duration = Duration::from_secs(8);

    /// The same with every value pulled into its range.
    pub(super) fn tamed(mut self) -> Self {
        let limits = &mut self.limits;
        limits.window = limits.window.clamp(1_024, 1 << 30);
        limits.total = limits.total.clamp(limits.window, 1 << 30);
        limits.max_record = limits.max_record.clamp(16_384, 1 << 20);
        limits.max_channels = limits.max_channels.clamp(1, 256);
        self.front = self.front.max(size_of::<Lane>());
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            // A datagram frame of 1,024 bytes, less its lane byte, less 64 bytes for sealing.
            max_datagram: 1_024 - 1 - 64,
            ack_delay: Duration::from_millis(20),
            front: 1 + 32,
            back: 32,
        }
    }
}
