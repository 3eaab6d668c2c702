//! Cuts the frames out of a QUIC stream: each is a length (u32, big-endian) and that many bytes.
//!
//! A frame inside one chunk is a slice of it; a frame that spans chunks is put together in a buffer
//! of its own, which is the one copy on this path.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of the length in front of a frame.
pub(crate) const PREFIX: usize = 4;

/// The state between two chunks: `prefix` is complete exactly if `body` is there.
#[derive(Debug)]
pub(crate) struct Splitter {
    max: usize,
    chunk: Bytes,
    prefix: [u8; PREFIX],
    prefix_len: usize,
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    len: usize,
    bytes: BytesMut,
}

/// The length in front of a frame exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Splitter {
    /// Accepts frames up to `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            chunk: Bytes::new(),
            prefix: [0; PREFIX],
            prefix_len: 0,
            body: None,
        }
    }

    /// Takes the next chunk. Call only after [`Splitter::next`] answered none.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty());
        self.chunk = chunk;
    }

    /// The next frame, if the chunks so far complete one.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, TooLarge> {
        while self.body.is_none() {
            if self.prefix_len < PREFIX {
                if self.chunk.is_empty() {
                    return Ok(None);
                }
                self.prefix[self.prefix_len] = self.chunk.get_u8();
                self.prefix_len += 1;
                continue;
            }
            let len = u32::from_be_bytes(self.prefix) as usize;
            if len > self.max {
                return Err(TooLarge);
            }
            if self.chunk.len() >= len {
                self.prefix_len = 0;
                return Ok(Some(self.chunk.split_to(len)));
            }
            let bytes = BytesMut::with_capacity(len);
            self.body = Some(Body { len, bytes });
        }
        let Some(mut body) = self.body.take() else {
            return Ok(None);
        };
        let missing = body.len - body.bytes.len();
        let part = self.chunk.split_to(missing.min(self.chunk.len()));
        body.bytes.extend_from_slice(&part);
        if body.bytes.len() < body.len {
            self.body = Some(body);
            return Ok(None);
        }
        self.prefix_len = 0;
        Ok(Some(body.bytes.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            bytes.extend(frame);
        }
        bytes
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes() {
        let mut splitter = Splitter::new(10);
        splitter.push(Bytes::from_static(&[0, 0, 0, 11]));
        assert_eq!(splitter.next(), Err(TooLarge));
    }

    #[test]
    fn a_frame_inside_a_chunk_is_not_copied() {
        let chunk = Bytes::from(encode(&[vec![1, 2, 3]]));
        let mut splitter = Splitter::new(10);
        splitter.push(chunk.clone());
        let frame = splitter.next().unwrap().unwrap();
        assert_eq!(frame.as_ptr(), chunk[PREFIX..].as_ptr());
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_frames_are_the_same(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
            cuts in proptest::collection::vec(1usize..40, 1..20),
        ) {
            let mut bytes = Bytes::from(encode(&frames));
            let mut splitter = Splitter::new(50);
            let mut seen = Vec::new();
            let mut cuts = cuts.into_iter().cycle();
            while !bytes.is_empty() {
                let cut = cuts.next().unwrap().min(bytes.len());
                splitter.push(bytes.split_to(cut));
                while let Some(frame) = splitter.next().unwrap() {
                    seen.push(frame.to_vec());
                }
            }
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn garbage_never_panics_nor_outgrows_the_limit(chunks: Vec<Vec<u8>>) {
            let mut splitter = Splitter::new(50);
            for chunk in chunks {
                splitter.push(chunk.into());
                loop {
                    match splitter.next() {
                        Ok(Some(frame)) => prop_assert!(frame.len() <= 50),
                        Ok(None) => break,
                        Err(TooLarge) => return Ok(()),
                    }
                }
            }
        }
    }
}
