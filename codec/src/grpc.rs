//! Messages of a call of gRPC, and what stands in front of a frame in one.
//!
//! ```text
//!   00  LEN:4  0a  LEN:varint  frame
//!   │   │      │   └ the length of the frame
//!   │   │      └ the field `frame` of AttachRequest and AttachResponse (protobuf: number 1, bytes)
//!   │   └ the length of the message, big-endian
//!   └ the message is not compressed
//! ```
//!
//! A [`Splitter`] knows messages only: protobuf permits more than one form of each, so generated code reads
//! what comes. What leaves has this one form, and needs no copy of the frame.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::pieces::Pieces;

/// Bytes in front of a message.
pub const HEAD: usize = 5;
/// Bytes that a message with one frame has beside it, at most.
pub const FIELD: usize = 6;

/// Cuts a stream into messages.
#[derive(Debug)]
pub struct Splitter {
    max: usize,
    pieces: Pieces<HEAD>,
}

/// A head that is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// The message exceeds the limit.
    #[error("the message is too large")]
    TooLarge,
    /// The message is compressed, which nobody offered.
    #[error("the message is compressed")]
    Compressed,
}

impl Splitter {
    /// Accepts messages up to `max` bytes.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self {
            max,
            pieces: Pieces::new(),
        }
    }

    /// Takes the next chunk. Call only after [`Splitter::split`] answered none.
    pub fn push(&mut self, chunk: Bytes) {
        self.pieces.push(chunk);
    }

    /// The next message, if the chunks so far complete it.
    ///
    /// # Errors
    /// [`BadHead`] as soon as a head is complete that is no good.
    pub fn split(&mut self) -> Result<Option<Bytes>, BadHead> {
        let max = self.max;
        self.pieces.next(|[flag, len @ ..]| {
            let len = u32::from_be_bytes(len) as usize;
            match flag {
                0 if len <= max => Ok(len),
                0 => Err(BadHead::TooLarge),
                _ => Err(BadHead::Compressed),
            }
        })
    }
}

/// Writes what stands in front of a frame of `len` bytes.
pub fn put_head(out: &mut BytesMut, len: usize) {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    let size = 1 + varint_len(len);
    out.put_u8(0);
    out.put_u32(len.saturating_add(size));
    out.put_u8(0x0a);
    let mut rest = len;
    while rest >= 0x80 {
        out.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8((rest & 0x7f) as u8);
}

const fn varint_len(value: u32) -> u32 {
    // Seven bits in each byte, and one byte for zero.
    (32 - (value | 1).leading_zeros()).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn the_head_of_a_frame_is_as_long_as_it_has_to_be() {
        for (len, expected) in [
            (0, &[0, 0, 0, 0, 2, 0x0a, 0][..]),
            (127, &[0, 0, 0, 0, 129, 0x0a, 0x7f]),
            (128, &[0, 0, 0, 0, 131, 0x0a, 0x80, 1]),
            (65_536, &[0, 0, 1, 0, 4, 0x0a, 0x80, 0x80, 4]),
        ] {
            let mut out = BytesMut::new();
            put_head(&mut out, len);
            assert_eq!(out, expected, "{len}");
            assert!(out.len() <= HEAD + FIELD);
        }
    }

    #[test]
    fn a_bad_head_is_refused_before_its_bytes() {
        for (head, why) in [
            ([0, 0, 0, 0, 11], BadHead::TooLarge),
            ([1, 0, 0, 0, 1], BadHead::Compressed),
        ] {
            let mut splitter = Splitter::new(10);
            splitter.push(Bytes::copy_from_slice(&head));
            assert_eq!(splitter.split(), Err(why));
        }
    }

    #[test]
    fn a_message_inside_a_chunk_is_not_copied() {
        let chunk = Bytes::from(message(b"hello"));
        let mut splitter = Splitter::new(10);
        splitter.push(chunk.clone());
        let got = splitter.split().unwrap().unwrap();
        assert_eq!(got.as_ptr(), chunk[HEAD..].as_ptr());
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_messages_are_the_same(
            messages in proptest::collection::vec(proptest::collection::vec(0u8.., 0..50), 0..20),
            cuts in proptest::collection::vec(1usize..400, 1..20),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|it| message(it)).collect();
            let mut bytes = Bytes::from(stream);
            let mut splitter = Splitter::new(50);
            let mut seen = Vec::new();
            let mut cuts = cuts.into_iter().cycle();
            while !bytes.is_empty() {
                let cut = cuts.next().unwrap().min(bytes.len());
                splitter.push(bytes.split_to(cut));
                while let Some(message) = splitter.split().unwrap() {
                    seen.push(message.to_vec());
                }
            }
            prop_assert_eq!(seen, messages);
        }
    }
}
