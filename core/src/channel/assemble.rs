//! Whole messages out of chunks, for applications whose messages fit in memory.

use bytes::Bytes;

use super::{Chunk, Kind};

/// Collects the chunks of one channel into messages of a bounded size.
///
/// A message that arrives in one piece is passed on without being copied.
#[derive(Debug)]
pub struct Assembler {
    limit: usize,
    pieces: Vec<u8>,
    first: Option<Bytes>,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It is valid UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Bytes),
}

/// Why a message cannot be had; reset the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is larger than this side takes.
    #[error("the message exceeds {0} bytes")]
    TooLarge(usize),
    /// It was sent as text and is not.
    #[error("a text message is not valid UTF-8")]
    NotUtf8,
}

impl Assembler {
    /// Takes messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            pieces: Vec::new(),
            first: None,
        }
    }

    /// Adds the next chunk; gives the message that it completes.
    ///
    /// # Errors
    /// [`Unfit`]; what was collected is dropped then.
    pub fn push(&mut self, chunk: Chunk) -> Result<Option<Message>, Unfit> {
        let held = self.pieces.len() + self.first.as_ref().map_or(0, Bytes::len);
        if held + chunk.bytes.len() > self.limit {
            self.pieces = Vec::new();
            self.first = None;
            return Err(Unfit::TooLarge(self.limit));
        }
        let Chunk { kind, bytes, last } = chunk;
        if held == 0 && last {
            return Message::new(kind, bytes).map(Some);
        }
        if held == 0 {
            self.first = Some(bytes);
            return Ok(None);
        }
        if let Some(first) = self.first.take() {
            self.pieces.extend_from_slice(&first);
        }
        self.pieces.extend_from_slice(&bytes);
        if !last {
            return Ok(None);
        }
        Message::new(kind, std::mem::take(&mut self.pieces).into()).map(Some)
    }
}

impl Message {
    fn new(kind: Kind, bytes: Bytes) -> Result<Self, Unfit> {
        match kind {
            Kind::Binary => Ok(Self::Binary(bytes)),
            Kind::Text => String::from_utf8(bytes.into())
                .map(Self::Text)
                .map_err(|_| Unfit::NotUtf8),
        }
    }

    /// The same as a chunk to send.
    #[must_use]
    pub fn into_chunk(self) -> Chunk {
        match self {
            Self::Text(text) => Chunk::text(text),
            Self::Binary(bytes) => Chunk::binary(bytes),
        }
    }
}
