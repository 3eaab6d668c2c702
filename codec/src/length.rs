//! Frames on a stream of QUIC: each is a length (u32, big-endian) and that many bytes.
//!
//! A frame inside one chunk is a slice of it, and whole frames of one kind that follow each other in a chunk
//! are one slice, a [`Run`]. A frame that spans chunks is put together in a buffer of its own, which is the
//! one copy on this path.

use bytes::Bytes;

use crate::pieces::Pieces;
use crate::{Heads, Run};

/// Bytes of the length in front of a frame.
pub const PREFIX: usize = 4;

/// The state between two chunks.
#[derive(Debug)]
pub struct Splitter {
    max: usize,
    joined: u8,
    pieces: Pieces<PREFIX>,
}

/// What a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A frame.
    Frame(Bytes),
    /// Frames with the first byte that the splitter joins.
    Run(Run<Bytes>),
}

/// The length in front of a frame exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame is too large")]
pub struct TooLarge;

impl Splitter {
    /// Accepts frames up to `max` bytes. Those whose first byte is `joined` are kept together.
    #[must_use]
    pub const fn new(max: usize, joined: u8) -> Self {
        Self {
            max,
            joined,
            pieces: Pieces::new(),
        }
    }

    /// Takes the next chunk. Call only after [`Splitter::split`] answered none.
    pub fn push(&mut self, chunk: Bytes) {
        self.pieces.push(chunk);
    }

    /// What comes next, if the chunks so far complete it. A run has at most `room` bytes; a single frame may
    /// have more.
    ///
    /// # Errors
    /// [`TooLarge`] as soon as a length says so.
    pub fn split(&mut self, room: usize) -> Result<Option<Piece>, TooLarge> {
        if let Some(run) = self.run(room) {
            return Ok(Some(Piece::Run(run)));
        }
        let max = self.max;
        let frame = self.pieces.next(|prefix| {
            let len = u32::from_be_bytes(prefix) as usize;
            (len <= max).then_some(len).ok_or(TooLarge)
        });
        Ok(frame?.map(Piece::Frame))
    }

    /// The frames at the beginning of the chunk that are whole and are to be joined.
    fn run(&mut self, room: usize) -> Option<Run<Bytes>> {
        let chunk = self.pieces.between()?;
        let (mut end, mut frames) = (0, 0);
        while let Some((size, len)) = measure(&chunk[end..])
            && len <= self.max
            && end + size + len <= room
            && let Some(frame) = chunk[end + size..].get(..len)
            && frame.first() == Some(&self.joined)
        {
            end += size + len;
            frames += 1;
        }
        (frames > 0).then(|| Run {
            heads: Heads::Length,
            bytes: chunk.split_to(end),
            frames,
            payload: end - frames * PREFIX,
        })
    }
}

/// The sizes of the length and of the frame that `bytes` begin.
pub(crate) fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let prefix = bytes.first_chunk::<PREFIX>()?;
    Some((PREFIX, u32::from_be_bytes(*prefix) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// More than there is.
    const ROOM: usize = 1 << 20;

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
        let mut splitter = Splitter::new(10, 1);
        splitter.push(Bytes::from_static(&[0, 0, 0, 11]));
        assert_eq!(splitter.split(ROOM), Err(TooLarge));
    }

    #[test]
    fn frames_inside_a_chunk_are_not_copied() {
        let frames = [vec![2, 2, 3], vec![1, 2], vec![1], vec![1; 11], vec![1, 3]];
        let chunk = Bytes::from(encode(&frames[..3]));
        let mut splitter = Splitter::new(10, 1);
        splitter.push(chunk.clone());
        let Ok(Some(Piece::Frame(frame))) = splitter.split(ROOM) else {
            panic!("the first one is not joined");
        };
        assert_eq!(frame.as_ptr(), chunk[PREFIX..].as_ptr());
        let Ok(Some(Piece::Run(run))) = splitter.split(ROOM) else {
            panic!("the other two are joined");
        };
        assert_eq!(run.bytes().as_ptr(), chunk[PREFIX + 3..].as_ptr());
        assert_eq!((run.frames(), run.payload()), (2, 3));
        assert_eq!(splitter.split(ROOM), Ok(None));

        // A run ends where there is no room for more.
        let mut splitter = Splitter::new(10, 1);
        splitter.push(encode(&[vec![1], vec![1]]).into());
        for _ in 0..2 {
            let Ok(Some(Piece::Run(run))) = splitter.split(9) else {
                panic!("one fits");
            };
            assert_eq!(run.frames(), 1);
        }

        // One that is too large is told after those before it.
        let mut splitter = Splitter::new(10, 1);
        splitter.push(encode(&frames[1..]).into());
        assert!(matches!(splitter.split(ROOM), Ok(Some(Piece::Run(_)))));
        assert_eq!(splitter.split(ROOM), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_frames_are_the_same(
            frames in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..50), 0..20),
            cuts in proptest::collection::vec(1usize..400, 1..20),
            joined in 0u8..3,
        ) {
            let mut bytes = Bytes::from(encode(&frames));
            let mut splitter = Splitter::new(50, joined);
            let mut seen = Vec::new();
            let mut cuts = cuts.into_iter().cycle();
            while !bytes.is_empty() {
                let cut = cuts.next().unwrap().min(bytes.len());
                splitter.push(bytes.split_to(cut));
                while let Some(piece) = splitter.split(ROOM).unwrap() {
                    match piece {
                        Piece::Frame(frame) => seen.push(frame.to_vec()),
                        Piece::Run(run) => {
                            let (frames, payload) = (run.frames(), run.payload());
                            let before = seen.len();
                            seen.extend(run.into_frames().map(|frame| frame.to_vec()));
                            prop_assert_eq!(seen.len() - before, frames);
                            prop_assert_eq!(seen[before..].concat().len(), payload);
                            prop_assert!(seen[before..].iter().all(|it| it[0] == joined));
                        }
                    }
                }
            }
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn garbage_never_panics_nor_outgrows_the_limit(chunks: Vec<Vec<u8>>) {
            let mut splitter = Splitter::new(50, 1);
            for chunk in chunks {
                splitter.push(chunk.into());
                loop {
                    match splitter.split(ROOM) {
                        Ok(Some(Piece::Frame(frame))) => prop_assert!(frame.len() <= 50),
                        Ok(Some(Piece::Run(run))) => {
                            prop_assert!(run.into_frames().all(|frame| frame.len() <= 50));
                        }
                        Ok(None) => break,
                        Err(TooLarge) => return Ok(()),
                    }
                }
            }
        }
    }
}
