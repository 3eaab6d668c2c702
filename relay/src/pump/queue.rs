//! A queue of frames, and of frames that came together, with a bound in bytes and frames.

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_codec::{Heads, Run};
use peersox_core::frame::{Frame, Lane};

use crate::config::Bound;
use crate::metrics::Tally;

/// What waits as one.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    Frame(Frame),
    /// Of the reliable lane.
    Run(Run<Bytes>),
}

impl Held {
    /// Bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.len(),
            Self::Run(run) => run.bytes().len(),
        }
    }

    /// Counts it as forwarded.
    pub(super) fn count(&self, tally: &mut Tally) {
        match self {
            Self::Frame(frame) => tally.forwarded(frame.lane(), frame.len()),
            Self::Run(run) => tally.forwarded_many(Lane::Reliable, run.frames(), run.payload()),
        }
    }
}

/// Frames in order, never more than the bound.
#[derive(Debug)]
pub(crate) struct Queue {
    held: VecDeque<Held>,
    bytes: usize,
    bound: Bound,
}

impl Queue {
    pub(crate) fn new(bound: Bound) -> Self {
        Self {
            held: VecDeque::new(),
            bytes: 0,
            bound,
        }
    }

    /// Bounds the bytes anew; frames that are there stay.
    pub(crate) fn set_bytes(&mut self, bytes: usize) {
        self.bound.bytes = bytes;
    }

    /// Whether a frame of `len` bytes fits.
    pub(crate) fn fits(&self, len: usize) -> bool {
        self.held.len() < self.bound.frames && self.bytes + cost(len) <= self.bound.bytes
    }

    /// Appends a frame; it fits, which the caller has seen to. A frame that is going to `wait` lets
    /// go of the buffer it was read from, which may be far larger.
    pub(crate) fn push(&mut self, frame: Frame, wait: bool) {
        let frame = if wait { compact(frame) } else { frame };
        self.hold(Held::Frame(frame));
    }

    /// Appends a copy of frames that came together, in parts that do not pin much memory. They fit, which the
    /// caller has seen to by [`Queue::room`].
    pub(crate) fn push_run(&mut self, mut run: Run<&[u8]>) {
        while !run.is_empty() {
            let (part, rest) = run.split(PART);
            self.hold(Held::Run(part.copied()));
            run = rest;
        }
    }

    /// Appends frames that came together. They fit, which the caller has seen to.
    pub(crate) fn push_shared(&mut self, run: Run<Bytes>, wait: bool) {
        let small = run.bytes().len() <= PINS;
        self.hold(Held::Run(if wait && small { run.copied() } else { run }));
    }

    fn hold(&mut self, held: Held) {
        self.bytes += cost(held.len());
        self.held.push_back(held);
    }

    /// How many bytes of a run fit.
    pub(crate) fn room(&self) -> usize {
        let left = self.bound.bytes.saturating_sub(self.bytes);
        // Each part costs its bookkeeping.
        left.saturating_sub(OVERHEAD * (left / PART + 2))
    }

    pub(crate) fn front(&self) -> Option<&Held> {
        self.held.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.bytes -= cost(held.len());
        if self.held.is_empty() && self.held.capacity() > IDLE_CAPACITY {
            // An idle session holds no memory.
            self.held = VecDeque::new();
        }
        Some(held)
    }

    /// The runs at the front, as far as frames have these heads.
    pub(crate) fn runs(&self, heads: Heads) -> impl Iterator<Item = Run<&[u8]>> + Clone {
        self.held.iter().map_while(move |held| match held {
            Held::Run(run) if run.heads() == heads => Some(run.as_slice()),
            Held::Run(_) | Held::Frame(_) => None,
        })
    }

    /// Lets go of runs at the front up to the frame in which byte `at` - 1 lies, and counts them as
    /// forwarded.
    pub(crate) fn advance(&mut self, mut at: usize, tally: &mut Tally) {
        while at > 0
            && let Some(Held::Run(run)) = self.held.front_mut()
        {
            if at < run.bytes().len() {
                let first = Held::Run(run.split_to(at));
                self.bytes -= first.len();
                return first.count(tally);
            }
            at -= run.bytes().len();
            if let Some(held) = self.pop() {
                held.count(tally);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// What a frame or a run costs in memory, so that a queue of tiny ones is bounded too.
fn cost(len: usize) -> usize {
    len + OVERHEAD
}

/// Copies a frame that is smaller than what it may pin.
fn compact(frame: Frame) -> Frame {
    if frame.len() > PINS {
        return frame;
    }
    let bytes = frame.into_bytes();
    match Frame::parse(Bytes::copy_from_slice(&bytes)) {
        Ok(frame) => frame,
        Err(malformed) => unreachable!("a copy of a frame is a frame: {malformed}"),
    }
}

/// Bookkeeping of a frame or a run, in bytes.
const OVERHEAD: usize = 64;
/// Frames up to this size, in bytes, are copied when they wait. QUIC reads up to 64 KiB, so a larger frame
/// pins at most a few times its size.
const PINS: usize = 8 * 1024;
/// What a run that waits has at most, in bytes, or one frame if it is larger.
pub(crate) const PART: usize = 16 * 1024;
/// An empty queue keeps room for this many frames.
const IDLE_CAPACITY: usize = 64;

#[cfg(test)]
mod tests {
    use peersox_codec::websocket::{Buffer, Decoder};

    use super::*;

    #[test]
    fn bytes_frames_and_bookkeeping_are_bounded() {
        let bound = Bound {
            frames: 3,
            bytes: 1000,
        };
        let mut queue = Queue::new(bound);
        assert!(queue.fits(1000 - OVERHEAD) && !queue.fits(1001 - OVERHEAD));
        for _ in 0..3 {
            assert!(queue.fits(1));
            queue.push(Frame::new(Lane::Reliable, &[]), true);
        }
        assert!(!queue.fits(1));
        while queue.pop().is_some() {}
        assert!(queue.is_empty() && queue.bytes == 0);
    }

    #[test]
    fn tiny_frames_that_come_together_fill_a_queue_and_no_more() {
        // A client's frame of the lane alone, which a server sends in three bytes.
        let came = [0x82, 0x81, 0, 0, 0, 0, Lane::Reliable as u8];
        for bytes in [2_000, 20_000, 132_000, 262_144] {
            let frames = usize::MAX;
            let mut queue = Queue::new(Bound { frames, bytes });
            let mut held = 0;
            // As much as fits at once, and little by little.
            for part in [0, 1, 2, 2, 50, 50] {
                let mut came = came.repeat(queue.room() / 3 / (part + 1));
                let mut buffer = Buffer::new(&mut came);
                let mut decoder = Decoder::new(1);
                while let Ok(Some(_)) = decoder.next(&mut buffer) {
                    buffer.keep();
                }
                let run = buffer.take_run();
                held += run.frames();
                queue.push_run(run);
                assert!(queue.bytes <= bytes, "{} of {bytes}", queue.bytes);
            }
            let popped = std::iter::from_fn(|| queue.pop()).map(|it| match it {
                Held::Run(run) => run.frames(),
                Held::Frame(_) => panic!("a frame alone"),
            });
            assert_eq!(popped.sum::<usize>(), held);
            assert!(queue.bytes == 0 && held > 0);
        }
    }

    #[test]
    fn runs_leave_frame_by_frame_and_are_counted_once() {
        let (frames, bytes) = (usize::MAX, 100_000);
        let mut queue = Queue::new(Bound { frames, bytes });
        // Two runs of three frames with four bytes each, two more of head.
        let came = [0x82, 0x84, 0, 0, 0, 0, Lane::Reliable as u8, 1, 2, 3].repeat(3);
        for _ in 0..2 {
            let mut came = came.clone();
            let mut buffer = Buffer::new(&mut came);
            let mut decoder = Decoder::new(4);
            while let Ok(Some(_)) = decoder.next(&mut buffer) {
                buffer.keep();
            }
            queue.push_run(buffer.take_run());
        }
        let wire: Vec<u8> = queue
            .runs(Heads::WebSocket)
            .flat_map(|run| run.bytes().to_vec())
            .collect();
        assert_eq!(queue.runs(Heads::Length).count(), 0);
        let mut tally = Tally::default();
        let mut at = 0;
        // In the middle of frames, at their ends, across both runs.
        for (taken, whole) in [(1, 6), (6, 6), (7, 12), (12, 12)] {
            queue.advance(taken, &mut tally);
            at += whole;
            let rest: Vec<u8> = queue
                .runs(Heads::WebSocket)
                .flat_map(|run| run.bytes().to_vec())
                .collect();
            assert_eq!(rest, wire[at..]);
        }
        assert!(queue.is_empty() && queue.bytes == 0);
        let mut expected = Tally::default();
        expected.forwarded_many(Lane::Reliable, 6, 24);
        assert_eq!(tally, expected);
    }

    #[test]
    fn a_frame_that_waits_lets_go_of_its_buffer() {
        let buffer = Bytes::from(vec![1; 1000]);
        let frame = Frame::parse(buffer.slice(..10)).unwrap();
        let mut queue = Queue::new(Bound {
            frames: 9,
            bytes: 9000,
        });
        queue.push(frame.clone(), false);
        queue.push(frame, true);
        let mut pop = || match queue.pop() {
            Some(Held::Frame(frame)) => frame.into_bytes(),
            other => panic!("{other:?}"),
        };
        let (pinned, free) = (pop(), pop());
        assert_eq!(pinned.as_ptr(), buffer.as_ptr());
        assert_ne!(free.as_ptr(), buffer.as_ptr());
        assert_eq!(pinned, free);
    }
}
