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
use super::{Chunk, Kind, MAX_MESSAGE_BYTES, SendError};

#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    acked: u64,
    next: u64,
    /// Cost of `items`.
    in_flight: usize,
    queue: VecDeque<Chunk>,
    /// Cost of `queue`.
    queued: usize,
    /// The message the last queued chunk left open, and its length so far.
    open_message: Option<(Kind, u64)>,
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
    /// The peer's application consumed everything.
    Acked,
}

/// What a sequence number stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The opener's name for the channel.
    Announce(String),
    /// A fragment.
    Data(Chunk),
    /// The end of this direction.
    Finish,
}

impl Item {
    pub(super) fn cost(&self) -> usize {
        ITEM_COST
            + match self {
                Self::Announce(name) => name.len(),
                Self::Data(chunk) => chunk.bytes.len(),
                Self::Finish => 0,
            }
    }
}

/// What [`Outbox::take`] found.
pub(super) enum Taken<'a> {
    /// Send this, where it is kept; `added` is what it newly puts in flight, zero for a replay.
    Item {
        sequence: u64,
        item: &'a Item,
        added: usize,
    },
    /// There is nothing to send, or this channel's window is full.
    Nothing,
    /// The window of all channels together is full.
    TotalFull,
}

impl Outbox {
    /// A channel that this side opens: its first item is the name.
    pub(super) fn announcing(name: &str) -> Self {
        let item = Item::Announce(name.to_owned());
        Self {
            in_flight: item.cost(),
            items: VecDeque::from([item]),
            ..Self::default()
        }
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

    pub(super) fn is_done(&self) -> bool {
        self.finish == Finish::Acked
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn push(&mut self, chunk: Chunk) -> Result<(), SendError> {
        if self.finish != Finish::Open {
            return Err(SendError::Finished);
        }
        let size = chunk.bytes.len() as u64
            + match self.open_message {
                Some((kind, _)) if kind != chunk.kind => return Err(SendError::KindChanged),
                Some((_, before)) => before,
                None => 0,
            };
        if size > MAX_MESSAGE_BYTES {
            return Err(SendError::TooLarge {
                size,
                limit: MAX_MESSAGE_BYTES,
            });
        }
        self.open_message = if chunk.last {
            None
        } else {
            Some((chunk.kind, size))
        };
        if chunk.bytes.is_empty() && !chunk.last {
            return Ok(());
        }
        self.queued += ITEM_COST + chunk.bytes.len();
        self.queue.push_back(chunk);
        Ok(())
    }

    /// Queues the end. A message left open is ended first, so that its reader is not left waiting.
    pub(super) fn finish(&mut self) {
        if self.finish != Finish::Open {
            return;
        }
        if let Some((kind, _)) = self.open_message.take() {
            self.queued += ITEM_COST;
            self.queue.push_back(Chunk {
                kind,
                bytes: Bytes::new(),
                last: true,
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
            return Taken::Item {
                sequence,
                item: &self.items[at],
                added: 0,
            };
        }
        let cost = match self.queue.front() {
            Some(chunk) => ITEM_COST + chunk.bytes.len().min(fragment),
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
        Taken::Item {
            sequence,
            item: &self.items[at],
            added: cost,
        }
    }

    fn cut(&mut self, fragment: usize) -> Item {
        let Some(mut chunk) = self.queue.pop_front() else {
            self.finish = Finish::Cut;
            return Item::Finish;
        };
        if chunk.bytes.len() <= fragment {
            self.queued -= ITEM_COST + chunk.bytes.len();
            return Item::Data(chunk);
        }
        self.queued -= fragment;
        let piece = Chunk {
            kind: chunk.kind,
            bytes: chunk.bytes.split_to(fragment),
            last: false,
        };
        self.queue.push_front(chunk);
        Item::Data(piece)
    }

    /// Forgets what the peer consumed: everything below `consumed`. Returns what became free.
    pub(super) fn ack(&mut self, consumed: u64) -> Result<usize, ()> {
        if consumed > self.sent() {
            return Err(());
        }
        let mut freed = 0;
        while self.acked < consumed {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            freed += item.cost();
            self.acked += 1;
        }
        self.in_flight -= freed;
        self.next = self.next.max(self.acked);
        if self.finish == Finish::Cut && self.items.is_empty() {
            self.finish = Finish::Acked;
        }
        Ok(freed)
    }

    /// The peer forgot the channel, which it does only after consuming everything.
    pub(super) fn ack_all(&mut self) -> usize {
        self.ack(self.sent()).unwrap_or(0)
    }

    /// Sends again whatever follows `position`. Returns how many items that are.
    pub(super) fn rewind(&mut self, position: u64) -> u64 {
        let from = position.max(self.acked).min(self.next);
        let again = self.next - from;
        self.next = from;
        again
    }

    /// Everything not acknowledged is sent again.
    pub(super) fn rewind_all(&mut self) -> u64 {
        self.rewind(self.acked)
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
