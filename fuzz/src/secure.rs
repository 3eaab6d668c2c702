//! What the peers say to agree on keys, and sealed records, from somebody in between.
//!
//! ```text
//! step & 3   0  the next genuine frame of the other side arrives
//!            1  a frame of the input arrives
//!            2  the next genuine frame arrives with bytes changed
//!            3  the next genuine frame is lost
//! ```
//!
//! Laws: only what the other side sealed is opened, and at most once; two sides that are both secured have
//! the same secret; it comes to rest.

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_core::frame::{Frame, Lane};
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::secure::{Association, PairingSecret, State};
use peersox_core::testing::Dice;

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut rng = Dice::new(u64::from(input.byte()));
    let pairing = PairingId::from_bytes([1; 16]);
    let mut sides = match input.byte() % 2 {
        0 => Role::BOTH.map(|role| {
            let hello = Bytes::from_static(b"hello");
            Association::with_code(role, pairing, b"481920-tulip-ember", hello, &mut rng)
        }),
        _ => Role::BOTH.map(|role| {
            let secret = PairingSecret::from_bytes([2; 32]);
            Association::with_secret(role, pairing, secret, Bytes::new())
        }),
    };
    for side in &mut sides {
        side.on_path_up(&mut rng);
    }
    // What each side sealed and the other has not opened.
    let mut sealed = [Vec::new(), Vec::new()];
    let mut under_way = [VecDeque::new(), VecDeque::new()];
    let mut number = 0_u32;
    while let Some(message) = input.message() {
        let step = input.byte();
        let to = usize::from(step >> 7);
        let from = 1 - to;
        number += 1;
        if step & 4 != 0 {
            let plain = number.to_be_bytes();
            let lane = [Lane::Reliable, Lane::Datagram, Lane::Signal][number as usize % 3];
            if let Ok(frame) = sides[from].seal_copy(lane, &plain) {
                sealed[from].push((lane, Bytes::copy_from_slice(&plain)));
                under_way[from].push_back(frame);
            }
        }
        if step & 8 != 0 {
            sides[from].on_path_up(&mut rng);
        }
        if step & 16 != 0 {
            sides[from].rekey();
        }
        while let Some(frame) = sides[from].poll_transmit() {
            under_way[from].push_back(frame);
            assert!(under_way[from].len() <= 10_000, "it has no end");
        }
        let genuine = match step & 3 {
            1 => None,
            _ => under_way[from].pop_front(),
        };
        let frame = match (step & 3, genuine) {
            (3, _) => None,
            (1, _) => Frame::parse(Bytes::copy_from_slice(message)).ok(),
            (2, Some(frame)) => changed(&frame, message),
            (_, frame) => frame,
        };
        let Some(frame) = frame else {
            continue;
        };
        if let Ok(Some(opened)) = sides[to].handle(frame, &mut rng) {
            let at = sealed[from].iter().position(|it| *it == opened);
            sealed[from].swap_remove(at.expect("it was opened before, or never sealed"));
        }
        while sides[to].poll_event().is_some() {}
        if sides.iter().all(|it| it.state() == State::Secured) {
            assert_eq!(sides[0].secret(), sides[1].secret());
        }
    }
}

/// A frame with some of its bytes replaced, unless that leaves it as it is.
fn changed(frame: &Frame, by: &[u8]) -> Option<Frame> {
    let mut bytes = frame.clone().into_bytes().to_vec();
    for pair in by.chunks_exact(2) {
        let at = usize::from(pair[0]) % bytes.len();
        bytes[at] = pair[1];
    }
    Frame::parse(bytes.into()).ok()
}
