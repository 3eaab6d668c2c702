//! The sending half of a channel.
//!
//! ```text
//!  acked          next              sent
//!    │  in flight  │   to replay     │   queue: chunks not yet cut into fragments
//!    ├─────────────┼─────────────────┼───────────────────────────────────────────►
//!    └──────── items, kept ──────────┘
//!  acked <= next <= sent = acked + items.len()
//! ```
//!
//! A queued chunk is one handle on the application's bytes, whatever its size; fragments are slices
//! of it, cut when they are sent.

use std::collections::VecDeque;

use bytes::Bytes;

use super::config::ITEM_COST;
use super::item::{Item, OpenMessage};
use super::wire::head;
use super::{Chunk, SendError, Violation};

#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    acked: u64,
    next: u64,
    /// Cost of `items`.
    in_flight: usize,
    queue: VecDeque<Item>,
    /// Cost of `queue`.
    queued: usize,
    open_message: OpenMessage,
    finish: Finish,
}

/// How far the end of this direction got.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Finish {
    #[default]
    Open,
    /// The application asked for it; the queue goes first.
    Wanted,
    /// It is the last of the items.
    Cut,
}

/// What [`Outbox::take`] found.
pub(super) enum Taken<'a> {
    /// Send this with its sequence number, from where it is kept.
    Item(u64, &'a Item),
    /// There is nothing to send, or this channel's window is full.
    Nothing,
    /// The window of all channels together is full.
    TotalFull,
}

impl Outbox {
    /// This side opens the channel: the first item is its name.
    pub(super) fn announce(&mut self, name: &str) {
        let item = Item::announcement(name);
        self.in_flight = item.cost();
        self.items.push_back(item);
    }

    /// Bytes the application handed over and the peer has not consumed, with their overhead.
    pub(super) fn pending(&self) -> usize {
        self.in_flight + self.queued
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.items.is_empty() && self.queue.is_empty()
    }

    /// Nothing more can be pushed.
    pub(super) fn is_finished(&self) -> bool {
        self.finish != Finish::Open
    }

    pub(super) fn is_done(&self) -> bool {
        self.finish == Finish::Cut && self.items.is_empty()
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn push(&mut self, chunk: Chunk) -> Result<(), SendError> {
        if self.finish != Finish::Open {
            return Err(SendError::Finished);
        }
        let last = chunk.last;
        let item = Item::from(chunk);
        self.open_message.follow(&item)?;
        if !item.bytes.is_empty() || last {
            self.enqueue(item);
        }
        Ok(())
    }

    fn enqueue(&mut self, item: Item) {
        self.queued += item.cost();
        self.queue.push_back(item);
    }

    /// Queues the end. A message left open is ended first, so that its reader is not left waiting.
    pub(super) fn finish(&mut self) {
        if self.finish != Finish::Open {
            return;
        }
        if let Some(kind) = self.open_message.kind() {
            self.enqueue(Item {
                kind: head::data(kind, true),
                bytes: Bytes::new(),
            });
        }
        self.finish = Finish::Wanted;
    }

    /// Whether [`Outbox::take`] could give something if windows allow.
    pub(super) fn has_more(&self) -> bool {
        self.next < self.sent() || !self.queue.is_empty() || self.finish == Finish::Wanted
    }

    /// Takes the next item to send: first what is to be replayed, then a fresh fragment.
    pub(super) fn take(&mut self, fragment: usize, window: usize, total_room: usize) -> Taken<'_> {
        let sequence = self.next;
        if let Some(at) = self.place(sequence) {
            self.next += 1;
            return Taken::Item(sequence, &self.items[at]);
        }
        let cost = match self.queue.front() {
            Some(whole) => ITEM_COST + whole.bytes.len().min(fragment),
            None if self.finish == Finish::Wanted => ITEM_COST,
            None => return Taken::Nothing,
        };
        if self.in_flight + cost > window {
            return Taken::Nothing;
        }
        if cost > total_room && self.in_flight > 0 {
            return Taken::TotalFull;
        }
        let item = self.cut(fragment);
        self.in_flight += cost;
        self.next += 1;
        let at = self.items.len();
        self.items.push_back(item);
        Taken::Item(sequence, &self.items[at])
    }

    fn cut(&mut self, fragment: usize) -> Item {
        let Some(mut whole) = self.queue.pop_front() else {
            self.finish = Finish::Cut;
            return Item::end();
        };
        if whole.bytes.len() <= fragment {
            self.queued -= whole.cost();
            return whole;
        }
        self.queued -= fragment;
        let piece = Item {
            kind: head::not_last(whole.kind),
            bytes: whole.bytes.split_to(fragment),
        };
        self.queue.push_front(whole);
        piece
    }

    /// Forgets what the peer consumed: everything below `consumed`.
    pub(super) fn ack(&mut self, consumed: u64) -> Result<(), Violation> {
        if consumed > self.sent() {
            return Err(Violation::AckBeyondSent);
        }
        while self.acked < consumed {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            self.in_flight -= item.cost();
            self.acked += 1;
        }
        self.next = self.next.max(self.acked);
        Ok(())
    }

    /// The peer forgot the channel, which it does only after consuming everything.
    pub(super) fn ack_all(&mut self) {
        let _ = self.ack(self.sent());
    }

    /// Sends again whatever follows `position`. Returns how many items that are.
    pub(super) fn rewind(&mut self, position: u64) -> u64 {
        let from = position.max(self.acked).min(self.next);
        let again = self.next - from;
        self.next = from;
        again
    }

    fn sent(&self) -> u64 {
        self.acked + self.items.len() as u64
    }

    /// Where an item is kept that was sent before.
    fn place(&self, sequence: u64) -> Option<usize> {
        let at = usize::try_from(sequence.checked_sub(self.acked)?).ok()?;
        (at < self.items.len()).then_some(at)
    }
}
