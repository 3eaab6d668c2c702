use std::collections::VecDeque;

use peersox_client::Kind;
use proptest::prelude::*;

use super::*;

/// Two commands, and what is on its way between them.
#[derive(Default)]
struct Pair {
    sides: [Lasting; 2],
    /// What each side has said and the other has not read.
    ways: [VecDeque<Bytes>; 2],
    finished: [bool; 2],
}

impl Pair {
    /// One side says what it can say now.
    fn speak(&mut self, side: usize) {
        while let Some(out) = self.sides[side].next() {
            match out {
                Out::Message(message) => self.ways[side].push_back(message),
                Out::Finish => self.finished[side] = true,
                Out::Reset(_) | Out::Done => panic!("nobody gave up"),
            }
        }
    }

    /// One message, if there is one, comes to a side.
    fn hear(&mut self, side: usize) {
        if let Some(message) = self.ways[1 - side].pop_front() {
            self.sides[side].receive(&message).unwrap();
        }
    }

    /// A holder is killed: what was on its way is lost, and another channel is there.
    fn cut(&mut self) {
        for side in 0..2 {
            self.ways[side].clear();
            self.finished[side] = false;
            self.sides[side].reconnect();
        }
    }

    fn settle(&mut self) {
        for _ in 0..2_000 {
            for side in 0..2 {
                self.speak(side);
                self.hear(side);
                self.sides[side].take();
            }
        }
    }
}

fn piece(number: usize) -> Item {
    let mut chunk = Chunk::binary(Bytes::from(number.to_be_bytes().to_vec()));
    chunk.last = !number.is_multiple_of(3);
    if number.is_multiple_of(5) {
        chunk.kind = Kind::Text;
    }
    Item::Piece(chunk)
}

proptest! {
    #[test]
    fn each_item_arrives_once_and_in_order_whenever_a_holder_is_killed(
        steps in proptest::collection::vec((0..6_u8, 0..2_usize), 1..400),
    ) {
        let mut pair = Pair::default();
        let mut sent = [0; 2];
        let mut taken = [0; 2];
        for (step, side) in steps {
            match step {
                0 | 1 if pair.sides[side].has_room() => {
                    pair.sides[side].push(piece(sent[side]));
                    sent[side] += 1;
                }
                2 => pair.speak(side),
                3 => pair.hear(side),
                4 => if let Some(item) = pair.sides[side].take() {
                    prop_assert_eq!(item, piece(taken[side]));
                    taken[side] += 1;
                },
                5 if side == 0 => pair.cut(),
                _ => {}
            }
        }
        for side in 0..2 {
            pair.sides[side].push(Item::Finish);
        }
        for _ in 0..1_000 {
            for side in 0..2 {
                pair.speak(side);
                pair.hear(side);
                match pair.sides[side].take() {
                    Some(Item::Finish) => prop_assert_eq!(taken[side], sent[1 - side]),
                    Some(item) => {
                        prop_assert_eq!(item, piece(taken[side]));
                        taken[side] += 1;
                    }
                    None => {}
                }
            }
        }
        for side in 0..2 {
            prop_assert_eq!(taken[side], sent[1 - side]);
            prop_assert!(pair.sides[side].is_over() && pair.finished[side]);
            prop_assert_eq!(pair.sides[side].flush(), Flush::Taken);
        }
    }

    #[test]
    fn whatever_the_other_command_says_nothing_grows_without_bound(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..200),
    ) {
        let mut side = Lasting::default();
        side.push(piece(0));
        for mut message in messages {
            if let Some(kind) = message.first_mut() {
                *kind %= 9;
            }
            let _ = side.receive(&message.into());
            while side.next().is_some() {}
            prop_assert!(side.arrived_cost <= WINDOW + PIECE + ITEM_COST);
            prop_assert!(side.taken_there <= 1);
        }
    }
}

#[test]
fn what_was_asked_for_before_a_holder_was_killed_is_answered_after_it() {
    let mut pair = Pair::default();
    pair.sides[0].push(piece(0));
    pair.sides[0].ask();
    for side in [0, 1, 0] {
        pair.speak(side);
        pair.hear(1 - side);
    }
    pair.hear(1);
    assert_eq!(pair.sides[1].take(), Some(piece(0)));
    assert_eq!(pair.sides[0].flush(), Flush::Waits);
    // The answer is lost.
    pair.speak(1);
    pair.cut();
    pair.settle();
    assert_eq!(pair.sides[0].flush(), Flush::Taken);
}

#[test]
fn a_command_that_never_takes_anything_costs_a_window() {
    let mut pair = Pair::default();
    let mut chunk = Chunk::binary(Bytes::from(vec![0; PIECE]));
    chunk.last = false;
    let mut pushed = 0;
    while pair.sides[0].has_room() {
        pair.sides[0].push(Item::Piece(chunk.clone()));
        pushed += PIECE;
        pair.speak(0);
        pair.speak(1);
        pair.hear(1);
        pair.hear(0);
    }
    assert!(pushed <= WINDOW + PIECE);
    while !pair.ways[0].is_empty() {
        pair.hear(1);
    }
    // One item more than was allowed is a violation.
    let more = encode(&Item::Piece(chunk));
    assert!((0..3).any(|_| pair.sides[1].receive(&more) == Err(Violation)));
}

#[test]
fn a_command_that_lets_go_before_the_end_says_so() {
    let mut side = Lasting::default();
    side.push(piece(0));
    side.let_go();
    side.next();
    assert_eq!(side.next(), Some(Out::Done));

    let mut side = Lasting::default();
    side.reset(ResetCode(16));
    side.let_go();
    side.next();
    assert_eq!(side.next(), Some(Out::Reset(ResetCode(16))));
    // The holder was killed before it passed that on.
    side.reconnect();
    side.next();
    assert_eq!(side.next(), Some(Out::Reset(ResetCode(16))));
}

#[test]
fn a_row_is_known_by_the_names_of_its_channels() {
    let row = Row::new("peersox.forward", [0xab; 16]);
    assert_eq!(Row::begun_by(&row.first()), Some(row.clone()));
    assert_eq!(Row::begun_by(&row.later()), None);
    assert_eq!(Row::begun_by("peersox.forward"), None);
    for name in [row.first(), row.later(), "peersox.forward".into()] {
        assert_eq!(purpose(&name), "peersox.forward");
    }
    assert!(is_later(&row.later()) && !is_later(&row.first()));
}
