//! Items: the records that are numbered, and kept until they are acknowledged.

use bytes::Bytes;

use super::config::ITEM_COST;
use super::wire::head;
use super::{Chunk, Kind, MAX_MESSAGE_BYTES, SendError, Violation};

/// What a sequence number stands for: a CHANNEL, DATA or FINISH record without its numbers.
pub(super) struct Item {
    /// The type of the record.
    pub(super) kind: u8,
    /// The name of the channel, a fragment, or nothing.
    pub(super) bytes: Bytes,
}

impl Item {
    /// The opener's name for the channel.
    pub(super) fn announcement(name: &str) -> Self {
        Self {
            kind: head::CHANNEL,
            bytes: Bytes::copy_from_slice(name.as_bytes()),
        }
    }

    /// The end of a direction.
    pub(super) const fn end() -> Self {
        Self {
            kind: head::FINISH,
            bytes: Bytes::new(),
        }
    }

    pub(super) fn is_end(&self) -> bool {
        self.kind == head::FINISH
    }

    /// What it counts against a window.
    pub(super) fn cost(&self) -> usize {
        ITEM_COST + self.bytes.len()
    }
}

impl From<Chunk> for Item {
    fn from(chunk: Chunk) -> Self {
        Self {
            kind: head::data(chunk.kind, chunk.last),
            bytes: chunk.bytes,
        }
    }
}

/// Of a fragment.
impl From<Item> for Chunk {
    fn from(item: Item) -> Self {
        let (kind, last) = head::of_data(item.kind);
        let bytes = item.bytes;
        Self { kind, bytes, last }
    }
}

/// The message that the last fragment of a direction left open.
#[derive(Default)]
pub(super) struct OpenMessage {
    kind: Option<Kind>,
    size: u64,
}

/// Why a fragment cannot follow.
pub(super) enum Misfit {
    KindChanged,
    TooLarge,
}

impl OpenMessage {
    /// Whether something is to follow, and of which kind.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    pub(super) fn follow(&mut self, item: &Item) -> Result<(), Misfit> {
        let (kind, last) = head::of_data(item.kind);
        if self.kind.is_some_and(|open| open != kind) {
            return Err(Misfit::KindChanged);
        }
        let size = self.size + item.bytes.len() as u64;
        if size > MAX_MESSAGE_BYTES {
            return Err(Misfit::TooLarge);
        }
        (self.kind, self.size) = if last { (None, 0) } else { (Some(kind), size) };
        Ok(())
    }
}

/// It is what this side wants to send.
impl From<Misfit> for SendError {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::KindChanged => Self::KindChanged,
            Misfit::TooLarge => Self::TooLarge,
        }
    }
}

/// It is what the peer sent.
impl From<Misfit> for Violation {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::KindChanged => Self::KindChanged,
            Misfit::TooLarge => Self::MessageTooLarge,
        }
    }
}
