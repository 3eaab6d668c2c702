//! Frames that lie one behind the other as they go on the wire.

use bytes::{Buf as _, Bytes};

use crate::{length, websocket};

/// What stands in front of each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// The head of a server's binary message ([`websocket`]).
    WebSocket,
    /// Its length ([`length`]).
    Length,
}

impl Heads {
    /// The sizes of the head and of the frame that `bytes` begin, if they hold the head.
    fn measure(self, bytes: &[u8]) -> Option<(usize, usize)> {
        match self {
            Self::WebSocket => websocket::measure(bytes),
            Self::Length => length::measure(bytes),
        }
    }
}

/// Whole frames, each behind its head. A decoder makes it ([`websocket::Buffer::take_run`],
/// [`length::Splitter`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<B> {
    pub(crate) heads: Heads,
    pub(crate) bytes: B,
    pub(crate) frames: usize,
    /// Bytes of the frames, without heads.
    pub(crate) payload: usize,
}

impl<B: AsRef<[u8]>> Run<B> {
    /// What goes on the wire.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// What goes on the wire.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// What stands in front of each frame.
    pub fn heads(&self) -> Heads {
        self.heads
    }

    /// How many frames there are.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The bytes of all frames, without heads.
    pub fn payload(&self) -> usize {
        self.payload
    }

    /// The frames.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let (size, len) = self.heads.measure(rest)?;
            let (frame, after) = rest[size..].split_at(len);
            rest = after;
            Some(frame)
        })
    }

    /// A copy, in memory of its own.
    #[must_use]
    pub fn copied(&self) -> Run<Bytes> {
        Run {
            heads: self.heads,
            bytes: Bytes::copy_from_slice(self.bytes()),
            frames: self.frames,
            payload: self.payload,
        }
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }
}

impl Run<&[u8]> {
    /// Cuts behind the frame in which byte `at` - 1 lies: the first part has at least `at` bytes, unless it
    /// is all there is.
    #[must_use]
    pub fn split(self, at: usize) -> (Self, Self) {
        let heads = self.heads;
        let (mut end, mut frames, mut payload) = (0, 0, 0);
        if at >= self.bytes.len() {
            (end, frames, payload) = (self.bytes.len(), self.frames, self.payload);
        }
        while end < at
            && let Some((size, len)) = heads.measure(&self.bytes[end..])
        {
            end += size + len;
            frames += 1;
            payload += len;
        }
        let (before, after) = self.bytes.split_at(end);
        let first = Self {
            heads,
            bytes: before,
            frames,
            payload,
        };
        let rest = Self {
            heads,
            bytes: after,
            frames: self.frames - frames,
            payload: self.payload - payload,
        };
        (first, rest)
    }
}

impl Run<Bytes> {
    /// The same frames, where they lie.
    #[must_use]
    pub fn as_slice(&self) -> Run<&[u8]> {
        Run {
            heads: self.heads,
            bytes: &self.bytes,
            frames: self.frames,
            payload: self.payload,
        }
    }

    /// Takes off the frames up to that in which byte `at` - 1 lies, as [`Run::split`] does. Both share their
    /// memory.
    #[must_use]
    pub fn split_to(&mut self, at: usize) -> Self {
        let (first, _) = self.as_slice().split(at);
        let (end, frames, payload) = (first.bytes.len(), first.frames, first.payload);
        self.frames -= frames;
        self.payload -= payload;
        Self {
            heads: self.heads,
            bytes: self.bytes.split_to(end),
            frames,
            payload,
        }
    }

    /// The frames, which share the memory of the run.
    pub fn into_frames(self) -> impl Iterator<Item = Bytes> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (size, len) = self.heads.measure(&rest)?;
            rest.advance(size);
            Some(rest.split_to(len))
        })
    }
}
