//! What is lost without a trace is asked for.

use std::collections::VecDeque;

use super::*;

#[test]
fn a_swallowed_message_or_acknowledgement_is_said_again() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("chat");
    pair.a.try_send(a, Chunk::text("hello")).unwrap();
    pair.swallow();
    pair.wait(20_000);
    assert_eq!(drain(&mut pair.b), [Event::Readable(b)]);
    assert_eq!(pair.b.read(b), Some(Chunk::text("hello")));

    pair.now = pair.now + Duration::from_millis(20);
    pair.swallow();
    assert!(pair.a.pending(a) > Some(0));
    for _ in 0..3 {
        pair.wait(20_000);
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
    for second in 1..=400 {
        pair.now = pair.now + Duration::from_secs(1);
        if let Some(packed) = pair.a.poll_record(pair.now) {
            let record = packed.into_record();
            assert!(is_open(&record));
            asked.push(second);
            pair.b.handle_record(record, pair.now).unwrap();
        }
        pair.run();
    }
    // The name is acknowledged in the first second; each pause begins with the answer, a second later here.
    assert_eq!(asked, [21, 62, 143, 224, 305, 386]);
}

#[test]
fn a_heartbeat_hides_no_loss() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("chat");
    pair.wait(20);
    pair.a.try_send(a, Chunk::text("hello")).unwrap();
    pair.swallow();
    for _ in 0..41 {
        pair.b.try_send(b, Chunk::text("still here")).unwrap();
        pair.wait(500);
        assert!(pair.a.read(a).is_some());
    }
    assert_eq!(pair.b.read(b), Some(Chunk::text("hello")));
}

#[test]
fn a_slow_link_is_not_suspect() {
    // 64 kbit/s, less what transports add; each of both links takes 8.7 s for a record.
    let Crawl { asked, refused, .. } = Crawl::at(60_000, &["how far?"]);
    assert_eq!((asked, refused), (0, 0), "questions, datagrams refused");

    // Slower ones are asked, behind the data: the answer knows of all of it.
    let Crawl {
        asked, replayed, ..
    } = Crawl::at(16_000, &[]);
    assert!(asked > 0);
    assert_eq!(replayed, 0, "items sent again");
}

/// What happens while twelve of the largest records cross two slow links, from a peer to the relay and
/// on to the other peer. The relay forwards what it has whole. The way back is fast, and the
/// acknowledgements of the words that take it queue behind all twelve.
struct Crawl {
    asked: u32,
    refused: u32,
    replayed: u64,
}

impl Crawl {
    fn at(bits_per_second: u64, back: &[&str]) -> Self {
        let mut pair = Pair::connected(Config::default());
        let (a, b) = pair.channel("bulk");
        let bytes = 12 * 65_450;
        pair.a.try_send(a, Chunk::binary(vec![0; bytes])).unwrap();
        for word in back {
            pair.b.try_send(b, Chunk::text((*word).to_owned())).unwrap();
        }
        let mut under_way = VecDeque::new();
        // When each link has sent what was given to it.
        let mut links = [pair.now; 2];
        let (mut taken, mut asked, mut refused) = (0, 0, 0);
        for _tenth_of_a_second in 0..10_000 {
            if pair.a.pending(a) == Some(0) && pair.b.pending(b) == Some(0) {
                break;
            }
            pair.now = pair.now + Duration::from_millis(100);
            pair.a.handle_timeout(pair.now);
            let datagram = pair.a.try_send_datagram(a, &Bytes::from_static(b"now"));
            refused += u32::from(datagram.is_err());
            pair.a.poll_datagram();
            while let Some(packed) = pair.a.poll_record(pair.now) {
                let record = packed.into_record();
                asked += u32::from(is_open(&record));
                let takes = Duration::from_millis(record.len() as u64 * 8_000 / bits_per_second);
                let mut at = pair.now;
                for free in &mut links {
                    at = at.max(*free) + takes;
                    *free = at;
                }
                under_way.push_back((at, record));
            }
            while under_way.front().is_some_and(|(at, _)| *at <= pair.now) {
                let (_, record) = under_way.pop_front().unwrap();
                pair.b.handle_record(record, pair.now).unwrap();
                taken += std::iter::from_fn(|| pair.b.read(b))
                    .map(|chunk| chunk.bytes.len())
                    .sum::<usize>();
            }
            while let Some(packed) = pair.b.poll_record(pair.now) {
                let record = packed.into_record();
                asked += u32::from(is_open(&record));
                pair.a.handle_record(record, pair.now).unwrap();
                while pair.a.read(a).is_some() {}
            }
        }
        assert_eq!(taken, bytes);
        Self {
            asked,
            refused,
            replayed: pair.a.stats().replayed,
        }
    }
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

fn is_open(record: &Bytes) -> bool {
    matches!(Record::decode(record.clone()), Ok(Record::Open(_)))
}
