//! What a frame costs in allocations once everything has its size: one to send it, none to receive it.
//!
//! ```text
//!            counted                          not counted                     counted
//!  try_send, poll_record, seal   ──frame──►  the transport's memory  ──►  open, handle_record, read
//! ```
//!
//! The queues grow to the size of a window and stay there, so a first round is not counted.

use bytes::{Bytes, BytesMut};
use peersox_core::channel::Chunk;
use peersox_core::frame::Frame;

#[path = "../benches/pair.rs"]
mod pair;
use pair::{FRAGMENT, Pair, Peer, SMALL};

/// The buffer that a record is packed and sealed in, which becomes the frame: one for each frame,
/// because the transport keeps it until it is written, and so does whoever waits behind a full socket.
const TO_SEND: u64 = 1;

/// A frame that is alone in its memory is opened in place, and read as a part of itself.
const TO_TAKE_ALONE: u64 = 0;

/// A frame in a read buffer that the transport goes on using cannot be opened in place: its plaintext
/// is decrypted in memory of its own, and read from there.
const TO_TAKE_SHARED: u64 = 1;

#[test]
fn a_frame_costs_one_allocation_to_send_and_none_to_receive() {
    for (len, count) in [(SMALL, 20_000), (FRAGMENT, 100), (3 * FRAGMENT, 100)] {
        for (memory, to_take) in [
            (Memory::Alone, TO_TAKE_ALONE),
            (Memory::Shared, TO_TAKE_SHARED),
        ] {
            let mut pair = Pair::sealed();
            run(&mut pair, len, count, memory);
            let cost = run(&mut pair, len, count, memory);
            println!("{count} messages of {len} B, {memory:?}: {cost:?}");
            let frames = cost.data.frames;
            assert!(frames >= count && cost.acknowledgements.frames > 0);
            // Cutting a message shares the application's memory: one counter for all of its fragments.
            let shared = if frames > count { count } else { 0 };
            assert_eq!(cost.data.to_send, frames * TO_SEND + shared);
            assert_eq!(cost.data.to_take, frames * to_take);
            let frames = cost.acknowledgements.frames;
            assert_eq!(cost.acknowledgements.to_send, frames * TO_SEND);
            assert_eq!(cost.acknowledgements.to_take, frames * to_take);
        }
    }
}

/// How a transport hands a frame over.
#[derive(Clone, Copy, Debug)]
enum Memory {
    /// Put together from packets, or read into a buffer of its own.
    Alone,
    /// A part of the read buffer, which holds the beginning of the next one.
    Shared,
}

#[derive(Debug, Default)]
struct Cost {
    data: Direction,
    acknowledgements: Direction,
}

#[derive(Debug, Default)]
struct Direction {
    frames: u64,
    to_send: u64,
    to_take: u64,
}

/// Sends messages one after the other, each from memory of its own, as an application does.
fn run(pair: &mut Pair, len: usize, count: u64, memory: Memory) -> Cost {
    let mut cost = Cost::default();
    for _ in 0..count {
        let mut chunk = Some(Chunk::binary(vec![7; len]));
        cost.data.to_send += allocations(|| {
            let chunk = chunk.take().expect("it is sent once");
            let sent = pair.initiator.mux.try_send(pair.channel, chunk);
            sent.expect("what was sent before is acknowledged");
        });
        pair.now = pair.now + std::time::Duration::from_micros(1);
        cost.data
            .go(&mut pair.initiator, &mut pair.joiner, pair.now, memory);
        let back = &mut cost.acknowledgements;
        back.go(&mut pair.joiner, &mut pair.initiator, pair.now, memory);
    }
    cost
}

impl Direction {
    fn go(
        &mut self,
        from: &mut Peer,
        to: &mut Peer,
        now: peersox_core::time::Moment,
        memory: Memory,
    ) {
        loop {
            let mut sent = None;
            self.to_send += allocations(|| sent = from.send(now));
            let Some(frame) = sent else { return };
            self.frames += 1;
            let (frame, rest) = transport(&frame.into_bytes(), memory);
            let mut frame = Some(frame);
            self.to_take += allocations(|| {
                to.take(frame.take().expect("it is taken once"), now);
                to.read_all();
            });
            drop(rest);
        }
    }
}

/// What the other side's transport reads: the frame, and the rest of its buffer if it keeps that.
fn transport(frame: &Bytes, memory: Memory) -> (Frame, Option<BytesMut>) {
    let mut buffer = BytesMut::with_capacity(frame.len() + 16);
    buffer.extend_from_slice(frame);
    let frame = buffer.split().freeze();
    let rest = match memory {
        Memory::Alone => None,
        Memory::Shared => Some(buffer),
    };
    (Frame::parse(frame).expect("it was one before"), rest)
}

/// How many allocations something takes, growing included.
fn allocations(what: impl FnOnce()) -> u64 {
    allocation_counter::measure(what).count_total
}
