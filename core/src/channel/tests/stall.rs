//! What is lost without a trace is asked for.

use std::collections::VecDeque;

use super::*;

#[test]
fn a_swallowed_message_or_acknowledgement_is_said_again() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("chat");
    pair.a.try_send(a, Chunk::text("hello")).unwrap();
    pair.swallow();
    pair.wait(1_000);
    assert_eq!(drain(&mut pair.b), [Event::Readable(b)]);
    assert_eq!(pair.b.read(b), Some(Chunk::text("hello")));

    pair.now = pair.now + Duration::from_millis(20);
    pair.swallow();
    assert!(pair.a.pending(a) > Some(0));
    for _ in 0..3 {
        pair.wait(1_000);
    }
    assert_eq!(pair.a.pending(a), Some(0));
    assert_eq!(
        drain(&mut pair.a),
        [],
        "to the application, the path is the same"
    );
}

#[test]
fn a_peer_that_does_not_read_is_asked_ever_more_rarely() {
    let mut pair = Pair::connected(Config::default());
    let (a, _) = pair.channel("chat");
    pair.a.try_send(a, Chunk::text("hello")).unwrap();
    pair.run();
    let mut asked = Vec::new();
    for second in 1..=200 {
        pair.now = pair.now + Duration::from_secs(1);
        if let Some(packed) = pair.a.poll_record(pair.now) {
            let record = packed.into_record();
            assert!(matches!(
                Record::decode(record.clone()),
                Ok(Record::Open(_))
            ));
            asked.push(second);
            pair.b.handle_record(record, pair.now).unwrap();
        }
        pair.run();
    }
    // The first finds that the name was read; each pause begins with the answer, a second later here.
    assert_eq!(asked, [1, 2, 5, 10, 19, 36, 69, 134, 199]);
}

#[test]
fn a_link_that_takes_seconds_for_a_record_is_slow_and_not_suspect() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("bulk");
    let message = vec![0; 60_000];
    for _ in 0..12 {
        pair.a.try_send(a, Chunk::binary(message.clone())).unwrap();
    }
    // In buffers on the way, one record each 2 s: a quarter of a megabit per second.
    let mut under_way = VecDeque::new();
    let mut taken = 0;
    for _ in 0..40 {
        for _ in 0..2 {
            pair.now = pair.now + Duration::from_secs(1);
            pair.a.handle_timeout(pair.now);
            under_way.extend(std::iter::from_fn(|| pair.a.poll_record(pair.now)));
        }
        if let Some(packed) = under_way.pop_front() {
            pair.b
                .handle_record(packed.into_record(), pair.now)
                .unwrap();
        }
        taken += std::iter::from_fn(|| pair.b.read(b)).count();
        pair.now = pair.now + Duration::from_millis(20);
        while let Some(packed) = pair.b.poll_record(pair.now) {
            pair.a
                .handle_record(packed.into_record(), pair.now)
                .unwrap();
        }
    }
    assert_eq!(taken, 12);
    // The question travels behind the data, so that its answer knows of all of it.
    assert_eq!(pair.a.stats().replayed, 0, "items sent again");
}

impl Pair {
    /// Everything that is due now is lost.
    fn swallow(&mut self) {
        let now = self.now;
        for mux in [&mut self.a, &mut self.b] {
            while mux.poll_record(now).is_some() {}
        }
    }
}
