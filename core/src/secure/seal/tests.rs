use super::*;
use proptest::prelude::*;

const LANE: Lane = Lane::Reliable;

#[test]
fn what_is_sealed_opens_once() {
    let (mut a, mut b) = pair();
    for lane in LANES {
        for text in [&b"hello"[..], b"", &[7; MAX_PLAINTEXT]] {
            let frame = seal(&mut a, lane, text);
            assert_eq!(frame.len(), text.len() + OVERHEAD);
            assert_eq!(open(&mut b, &frame), Ok((lane, text.to_vec())));
            assert_eq!(open(&mut b, &frame), Err(Violation::Replayed));
        }
    }
}

#[test]
fn a_frame_in_a_read_buffer_opens_and_leaves_the_buffer_alone() {
    let (mut a, mut b) = pair();
    let mut forged = seal(&mut a, LANE, b"one");
    *forged.last_mut().unwrap() ^= 1;
    let read: Bytes = [&forged[..], &seal(&mut a, LANE, b"two")].concat().into();
    let before = read.to_vec();
    let (first, second) = (read.slice(..forged.len()), read.slice(forged.len()..));
    assert_eq!(b.open_frame(first), Err(Violation::Forged));
    assert_eq!(b.open_frame(second.clone()), Ok((LANE, "two".into())));
    assert_eq!(b.open_frame(second), Err(Violation::Replayed));
    assert_eq!(read, before);
}

#[test]
fn lengths_and_lanes_have_bounds() {
    let (mut a, mut b) = pair();
    for len in [0, HEADROOM - 1, HEADROOM + MAX_PLAINTEXT + 1] {
        let mut buffer = vec![0; len];
        assert_eq!(a.seal(LANE, &mut buffer), Err(SealError::Length));
    }
    let mut buffer = vec![0; HEADROOM];
    assert_eq!(
        a.seal(Lane::Notice, &mut buffer),
        Err(SealError::NoticeLane)
    );

    let frame = seal(&mut a, LANE, b"text");
    for len in 0..frame.len() {
        assert!(open(&mut b, &frame[..len]).is_err());
    }
}

#[test]
fn reflected_crossed_and_foreign_frames_are_refused() {
    let (mut a, mut b) = pair();
    let frame = seal(&mut a, LANE, b"text");
    assert_eq!(open(&mut a, &frame), Err(Violation::Forged));

    for lane in [Lane::Datagram, Lane::Signal] {
        let mut crossed = frame.clone();
        crossed[0] = lane as u8;
        assert_eq!(open(&mut b, &crossed), Err(Violation::Forged));
    }
    let mut crossed = frame.clone();
    crossed[0] = Lane::Notice as u8;
    assert_eq!(open(&mut b, &crossed), Err(Violation::WrongLane));

    let (_, mut stranger) = pair_of([1; 8], [9; 32]);
    assert_eq!(open(&mut stranger, &frame), Err(Violation::Forged));
    let (_, mut other) = pair_of([2; 8], [1; 32]);
    assert_eq!(open(&mut other, &frame), Err(Violation::UnknownSession));
    assert!(open(&mut b, &frame).is_ok());
}

#[test]
fn keys_change_with_the_epoch_and_old_ones_go() {
    let (mut a, mut b) = pair();
    let late: Vec<_> = (0..3).map(|n| seal(&mut a, LANE, &[n])).collect();
    let first = seal(&mut a, LANE, b"first");
    a.rekey();
    let second = seal(&mut a, LANE, b"second");
    assert_eq!(first[6..14], 3u64.to_be_bytes());
    assert_eq!(second[6..14], (1u64 << EPOCH_BITS).to_be_bytes());

    assert!(open(&mut b, &first).is_ok());
    assert!(open(&mut b, &second).is_ok());
    assert!(open(&mut b, &late[0]).is_ok());
    assert_eq!(open(&mut b, &first), Err(Violation::Replayed));
    for _ in 0..GRACE {
        let frame = seal(&mut a, LANE, b"more");
        open(&mut b, &frame).unwrap();
    }
    assert_eq!(open(&mut b, &late[1]), Err(Violation::TooOld));
}

#[test]
fn an_epoch_ends_by_itself_after_its_last_record() {
    let (mut a, mut b) = pair();
    let last = (1 << EPOCH_BITS) - 1;
    a.sealers[0].next = Some(last);
    let before = seal(&mut a, LANE, b"last");
    let after = seal(&mut a, LANE, b"first");
    assert_eq!(a.sealers[0].epoch, 1);
    // In either order.
    assert_eq!(open(&mut b, &after).unwrap().1, b"first");
    assert_eq!(open(&mut b, &before).unwrap().1, b"last");
}

#[test]
fn rekeying_spends_an_epoch_only_if_it_was_used() {
    let (mut a, mut b) = pair();
    for _ in 0..100 {
        a.rekey();
    }
    let frame = seal(&mut a, LANE, b"text");
    assert_eq!(frame[6..14], [0; 8]);
    for epoch in 1..=MAX_AHEAD {
        a.rekey();
        let frame = seal(&mut a, LANE, b"lost");
        assert_eq!(frame[6..14], (epoch << EPOCH_BITS).to_be_bytes());
    }
    a.rekey();
    let too_far = seal(&mut a, LANE, b"text");
    assert_eq!(open(&mut b, &too_far), Err(Violation::TooFarAhead));
    assert!(open(&mut b, &frame).is_ok());
}

/// Whoever takes the keys out of a process after a rekey cannot open what was sealed before.
#[test]
fn keys_that_are_passed_follow_from_none_that_are_held() {
    let (mut a, mut b) = pair();
    let old = seal(&mut a, LANE, b"old");
    open(&mut b, &old).unwrap();
    a.rekey();
    for _ in 0..=GRACE {
        let frame = seal(&mut a, LANE, b"new");
        open(&mut b, &frame).unwrap();
    }
    let (sealer, opener) = (&a.sealers[0], &b.openers[0]);
    assert!(opener.before.is_none(), "the older key goes");
    for chain in [&sealer.chain, &opener.chain] {
        let mut chain = chain.clone();
        for _ in 0..4 * MAX_AHEAD {
            let (cipher, next) = ratchet(&chain);
            assert!(!opens(&cipher, &old));
            chain = next;
        }
    }
    assert!(!opens(&sealer.cipher, &old) && !opens(&opener.newest.cipher, &old));
    // The search would have found it: the first key follows from the first chain.
    assert!(opens(&pair().0.sealers[0].cipher, &old));
}

fn opens(cipher: &aead::Key, frame: &[u8]) -> bool {
    let (head, rest) = frame.split_at(HEADROOM);
    let (ciphertext, tag) = rest.split_last_chunk().unwrap();
    let counter = Header::parse(frame).unwrap().counter;
    let opened = cipher.open(nonce(counter), head, &mut ciphertext.to_vec(), tag);
    opened.is_ok()
}

#[test]
fn counters_end() {
    let (mut a, _) = pair();
    a.sealers[0].next = Some(u64::MAX);
    a.sealers[0].epoch = u64::MAX >> EPOCH_BITS;
    seal(&mut a, LANE, b"the very last");
    let mut buffer = vec![0; HEADROOM];
    assert_eq!(a.seal(LANE, &mut buffer), Err(SealError::Exhausted));
    a.rekey();
    assert_eq!(a.seal(LANE, &mut buffer), Err(SealError::Exhausted));

    a.sealers[1].next = Some(u64::MAX - 5);
    a.sealers[1].epoch = u64::MAX >> EPOCH_BITS;
    a.rekey();
    assert_eq!(
        a.seal(Lane::Datagram, &mut buffer),
        Err(SealError::Exhausted)
    );
}

#[test]
fn a_forged_epoch_moves_nothing() {
    let (mut a, mut b) = pair();
    let frame = seal(&mut a, LANE, b"text");
    let mut forged = frame.clone();
    forged[6..14].copy_from_slice(&(5u64 << EPOCH_BITS).to_be_bytes());
    assert_eq!(open(&mut b, &forged), Err(Violation::Forged));
    assert!(open(&mut b, &frame).is_ok());
}

proptest! {
    #[test]
    fn every_flipped_byte_is_noticed(text: Vec<u8>, place: prop::sample::Index, mask in 1u8..) {
        let (mut a, mut b) = pair();
        let frame = seal(&mut a, LANE, &text);
        let mut altered = frame.clone();
        altered[place.index(frame.len())] ^= mask;
        prop_assert!(open(&mut b, &altered).is_err());
        // A forgery takes nothing from the genuine record.
        prop_assert_eq!(open(&mut b, &frame), Ok((LANE, text)));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let (_, mut b) = pair();
        prop_assert!(open(&mut b, &bytes).is_err());
        prop_assert!(open(&mut b, &[&[1, 3, 1, 1, 1, 1], &bytes[..]].concat()).is_err());
    }

    /// Any order, any copies: everything once.
    #[test]
    fn reordered_and_doubled_records_open_once(order in prop::collection::vec(0usize..40, 0..200),
                                               rekeyed: prop::sample::Index) {
        let (mut a, mut b) = pair();
        let rekeyed = rekeyed.index(40);
        let frames: Vec<_> = (0..40u8).map(|n| {
            if usize::from(n) == rekeyed { a.rekey(); }
            seal(&mut a, Lane::Datagram, &[n])
        }).collect();
        let mut seen = std::collections::HashSet::new();
        for index in order {
            match open(&mut b, &frames[index]) {
                Ok((_, text)) => {
                    prop_assert_eq!(usize::from(text[0]), index);
                    prop_assert!(seen.insert(index));
                }
                // Of the epoch before an opener's first it never had the key.
                Err(violation) => prop_assert!(seen.contains(&index), "{}", violation),
            }
        }
    }
}

fn pair() -> (Transport, Transport) {
    pair_of([1; 8], [1; 32])
}

fn pair_of(attempt: Attempt, key: [u8; 32]) -> (Transport, Transport) {
    let split = [Key::new(key), Key::new([0x55; 32])];
    let make = |role| Transport::new(role, attempt, &split, &[4; 32]);
    (make(Role::Initiator), make(Role::Joiner))
}

fn seal(transport: &mut Transport, lane: Lane, text: &[u8]) -> Vec<u8> {
    let mut buffer = [&[0; HEADROOM], text].concat();
    transport.seal(lane, &mut buffer).unwrap();
    buffer
}

fn open(transport: &mut Transport, frame: &[u8]) -> Result<(Lane, Vec<u8>), Violation> {
    let mut buffer = BytesMut::from(frame);
    let opened = transport.open(&mut buffer);
    match opened {
        Ok(lane) => Ok((lane, buffer.to_vec())),
        Err(violation) => {
            let forged = violation == Violation::Forged;
            let kept = if forged { HEADROOM } else { frame.len() };
            assert_eq!(buffer[..kept], frame[..kept], "{violation}");
            assert_eq!(buffer.len(), frame.len(), "{violation}");
            Err(violation)
        }
    }
}
