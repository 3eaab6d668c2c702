//! Records ready to be sealed and framed without being moved.

use bytes::{Buf, Bytes};

use super::codec::put_varint;
use super::head::Head;
use crate::frame::{Frame, Lane};

/// Encodes records, each into memory of its own.
pub(in crate::channel) struct Packer {
    front: usize,
    back: usize,
    /// The room in front, then the record under way, or the latest, but for its payload.
    fields: Vec<u8>,
}

impl Packer {
    /// Leaves `front` bytes of room before each record and `back` after it.
    pub(in crate::channel) fn new(front: usize, back: usize) -> Self {
        Self {
            front,
            back,
            fields: vec![0; front],
        }
    }

    /// Begins a record; what was begun and not ended is dropped.
    pub(super) fn fields(&mut self) -> &mut Vec<u8> {
        self.fields.truncate(self.front);
        &mut self.fields
    }

    /// Begins a record with its head.
    pub(in crate::channel) fn begin(&mut self, head: &Head) {
        head.put(self.fields());
    }

    /// Adds two numbers, of which an ACK has any number.
    pub(in crate::channel) fn pair(&mut self, channel: u32, consumed: u64) {
        put_varint(&mut self.fields, channel.into());
        put_varint(&mut self.fields, consumed);
    }

    /// Ends the record. The payload is copied once, here: behind its head, where it can be sealed in place.
    pub(in crate::channel) fn end(&mut self, payload: &[u8]) -> Packed {
        let len = self.fields.len() + payload.len();
        let mut buffer = Vec::with_capacity(len + self.back);
        buffer.extend_from_slice(&self.fields);
        buffer.extend_from_slice(payload);
        Packed {
            buffer,
            front: self.front,
        }
    }

    /// A whole record.
    pub(in crate::channel) fn pack(&mut self, head: &Head, payload: &[u8]) -> Packed {
        self.begin(head);
        self.end(payload)
    }
}

/// An encoded record with room around it.
///
/// ```text
/// | front: room for lane byte and seal header | record | back: capacity for a seal's tag |
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    buffer: Vec<u8>,
    front: usize,
}

impl Packed {
    /// The record alone.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.buffer[self.front..]
    }

    /// Everything, and how many bytes of room precede the record: for sealing in place.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, usize) {
        (self.buffer, self.front)
    }

    /// The record without the room, for a path that adds nothing.
    #[must_use]
    pub fn into_record(self) -> Bytes {
        let mut bytes = Bytes::from(self.buffer);
        bytes.advance(self.front);
        bytes
    }

    /// An unsealed frame: the lane byte is written into the room, nothing is copied.
    ///
    /// # Panics
    /// If there is no room in front; a [`crate::channel::Config`] always leaves some.
    #[must_use]
    pub fn into_frame(mut self, lane: Lane) -> Frame {
        assert!(
            self.front > 0,
            "a packed record leaves room for its lane byte"
        );
        self.buffer[self.front - 1] = lane as u8;
        let mut bytes = Bytes::from(self.buffer);
        bytes.advance(self.front - 1);
        Frame::parse(bytes).expect("a lane was just written in front")
    }
}
