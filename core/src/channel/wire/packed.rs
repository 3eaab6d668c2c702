//! A record ready to be sealed and framed without being moved.

use bytes::{Buf, Bytes};

use crate::frame::{Frame, Lane};

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
    pub(super) fn with_room(front: usize, record: usize, back: usize) -> Self {
        let mut buffer = Vec::with_capacity(front + record + back);
        buffer.resize(front, 0);
        Self { buffer, front }
    }

    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

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
