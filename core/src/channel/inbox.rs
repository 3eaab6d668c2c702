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
use super::outbox::Item;
use super::{Chunk, Kind, MAX_MESSAGE_BYTES, Violation};
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
    /// The message being received, and its length so far.
    open_message: Option<(Kind, u64)>,
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

    /// A channel the peer opened: its first item, the name, is consumed.
    pub(super) fn announced() -> Self {
        Self {
            next: 1,
            consumed: 1,
            ..Self::default()
        }
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
        match &item {
            Item::Data(chunk) => self.follow(chunk)?,
            Item::Finish if self.open_message.is_some() => {
                return Err(Violation::AfterFinish);
            }
            Item::Finish => self.ended = true,
            Item::Announce(_) => return Err(Violation::UnknownChannel),
        }
        self.next += 1;
        self.buffered += cost;
        self.buffer.push_back(item);
        Ok(Arrival::Taken)
    }

    fn follow(&mut self, chunk: &Chunk) -> Result<(), Violation> {
        let size = chunk.bytes.len() as u64
            + match self.open_message {
                Some((kind, _)) if kind != chunk.kind => return Err(Violation::KindChanged),
                Some((_, before)) => before,
                None => 0,
            };
        if size > MAX_MESSAGE_BYTES {
            return Err(Violation::MessageTooLarge);
        }
        self.open_message = if chunk.last {
            None
        } else {
            Some((chunk.kind, size))
        };
        Ok(())
    }

    /// Hands the next chunk to the application, which thereby consumes it.
    pub(super) fn read(&mut self) -> Option<Chunk> {
        match self.buffer.pop_front()? {
            Item::Data(chunk) => {
                self.consume(ITEM_COST + chunk.bytes.len());
                Some(chunk)
            }
            end @ (Item::Finish | Item::Announce(_)) => {
                self.buffer.push_front(end);
                None
            }
        }
    }

    /// Consumes the end of the stream once everything before it was read; true exactly then.
    pub(super) fn settle(&mut self) -> bool {
        let at_end = matches!(self.buffer.front(), Some(Item::Finish));
        if at_end {
            self.buffer.pop_front();
            self.consume(Item::Finish.cost());
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
