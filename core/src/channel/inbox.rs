//! The receiving half of a channel.
//!
//! ```text
//!  acked        consumed         next
//!    │ to be acked  │  buffered    │  accepted only here
//!    ├──────────────┼──────────────┼────►
//!    └─ outstanding: what the sender still counts against the window
//!  acked <= consumed <= next
//! ```

use std::collections::VecDeque;

use bytes::Bytes;

use super::config::ITEM_COST;
use super::item::{Item, OpenMessage};
use super::{Chunk, Violation};
use crate::short::pop_front;

#[derive(Default)]
pub(super) struct Inbox {
    next: u64,
    consumed: u64,
    acked: u64,
    buffer: VecDeque<Item>,
    /// Cost of `buffer`.
    buffered: usize,
    /// Cost of what was consumed since the last acknowledgement.
    unacked: usize,
    open_message: OpenMessage,
    ended: bool,
    finished: bool,
    datagrams: Vec<Bytes>,
}

/// What became of an item.
pub(super) enum Arrival {
    /// It is the next one.
    Taken,
    /// It was taken before.
    Duplicate,
    /// Something before it is missing.
    Gap,
}

impl Inbox {
    /// Datagrams waiting for the application; a late one is worth less than a fresh one is.
    const DATAGRAMS: usize = 64;

    /// The peer opened the channel: the first item, its name, is consumed.
    pub(super) fn skip_announcement(&mut self) {
        (self.next, self.consumed) = (1, 1);
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// What was consumed and not yet acknowledged, with its cost.
    pub(super) fn unacked(&self) -> usize {
        self.unacked
    }

    /// What the sender counts against its window, as far as this side can know.
    pub(super) fn outstanding(&self) -> usize {
        self.buffered + self.unacked
    }

    /// Takes an item if it is the next one. `total_room` is what all channels together have left.
    pub(super) fn take(
        &mut self,
        sequence: u64,
        item: Item,
        window: usize,
        total_room: usize,
    ) -> Result<Arrival, Violation> {
        if sequence < self.next {
            // Its acknowledgement may have been lost.
            self.acked = self.acked.min(sequence).min(self.consumed);
            return Ok(Arrival::Duplicate);
        }
        if sequence > self.next {
            return Ok(Arrival::Gap);
        }
        let cost = item.cost();
        if self.buffered + cost > window || cost > total_room {
            return Err(Violation::WindowExceeded);
        }
        if self.ended {
            return Err(Violation::AfterFinish);
        }
        if item.is_end() {
            if self.open_message.kind().is_some() {
                return Err(Violation::AfterFinish);
            }
            self.ended = true;
        } else {
            self.open_message.follow(&item)?;
        }
        self.next += 1;
        self.buffered += cost;
        self.buffer.push_back(item);
        Ok(Arrival::Taken)
    }

    /// Hands the next chunk to the application, which thereby consumes it.
    pub(super) fn read(&mut self) -> Option<Chunk> {
        if self.buffer.front()?.is_end() {
            return None;
        }
        let item = self.buffer.pop_front()?;
        self.consume(item.cost());
        Some(item.into())
    }

    /// Consumes the end of the stream once everything before it was read; true exactly then.
    pub(super) fn settle(&mut self) -> bool {
        let at_end = self.buffer.front().is_some_and(Item::is_end);
        if at_end {
            self.buffer.pop_front();
            self.consume(ITEM_COST);
            self.finished = true;
        }
        at_end
    }

    fn consume(&mut self, cost: usize) {
        self.buffered -= cost;
        self.unacked += cost;
        self.consumed += 1;
    }

    /// How many items to acknowledge, if that is news.
    pub(super) fn news(&self) -> Option<u64> {
        (self.acked < self.consumed).then_some(self.consumed)
    }

    /// Notes that [`Inbox::news`] was told.
    pub(super) fn acknowledged(&mut self) {
        self.acked = self.consumed;
        self.unacked = 0;
    }

    /// Makes [`Inbox::news`] of what was told before: it may be lost.
    pub(super) fn ack_again(&mut self) {
        self.acked = 0;
    }

    /// Keeps a datagram; `None` if there is no room, else whether it is the only one.
    pub(super) fn push_datagram(&mut self, payload: Bytes) -> Option<bool> {
        if self.datagrams.len() == Self::DATAGRAMS {
            return None;
        }
        self.datagrams.push(payload);
        Some(self.datagrams.len() == 1)
    }

    pub(super) fn read_datagram(&mut self) -> Option<Bytes> {
        pop_front(&mut self.datagrams)
    }
}
