mod farewell;
mod stall;

use std::time::Duration;

use super::*;
use crate::role::Role;
use crate::time::Moment;

#[test]
fn a_message_arrives_and_is_acknowledged_when_it_is_read() {
    let mut pair = Pair::connected(Config::default());
    let id = pair.a.open("chat", Priority::Interactive).unwrap();
    pair.a.try_send(id, Chunk::text("hello")).unwrap();
    pair.a.try_send(id, Chunk::binary(vec![1, 2, 3])).unwrap();
    pair.run();
    let opened = pair.b.poll_event().unwrap();
    let Event::Opened {
        channel,
        name,
        priority,
    } = opened
    else {
        panic!("{opened:?}")
    };
    assert_eq!((name.as_str(), priority), ("chat", Priority::Interactive));
    assert_eq!(pair.b.poll_event(), Some(Event::Readable(channel)));
    assert!(pair.a.pending(id).unwrap() > 0);
    assert_eq!(pair.b.read(channel), Some(Chunk::text("hello")));
    assert_eq!(pair.b.read(channel), Some(Chunk::binary(vec![1, 2, 3])));
    assert_eq!(pair.b.read(channel), None);
    pair.wait(20);
    assert_eq!(pair.a.pending(id), Some(0));
    pair.b.try_send(channel, Chunk::text("and back")).unwrap();
    pair.run();
    assert_eq!(pair.a.read(id), Some(Chunk::text("and back")));
}

#[test]
fn one_direction_ends_while_the_other_goes_on() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("pipe");
    pair.a.try_send(a, Chunk::text("last words")).unwrap();
    pair.a.finish(a).unwrap();
    assert_eq!(
        pair.a.try_send(a, Chunk::text("?")),
        Err(SendError::Finished)
    );
    pair.run();
    assert_eq!(drain(&mut pair.b), [Event::Readable(b)]);
    assert_eq!(pair.b.read(b), Some(Chunk::text("last words")));
    assert_eq!(drain(&mut pair.b), [Event::Finished(b)]);
    pair.wait(20);
    assert_eq!(drain(&mut pair.a), [Event::Flushed(a)]);
    pair.b.try_send(b, Chunk::text("reply")).unwrap();
    pair.b.finish(b).unwrap();
    pair.run();
    assert_eq!(pair.a.read(a), Some(Chunk::text("reply")));
    pair.wait(20);
    assert_eq!(drain(&mut pair.a), [Event::Readable(a), Event::Finished(a)]);
    assert_eq!(drain(&mut pair.b), [Event::Flushed(b)]);
    assert_eq!(
        (pair.a.pending(a), pair.b.pending(b)),
        (None, None),
        "both have forgotten it"
    );
}

#[test]
fn an_unread_channel_fills_and_says_when_there_is_room() {
    let mut pair = Pair::connected(narrow());
    let (a, b) = pair.channel("bulk");
    let mut sent = 0;
    while pair.a.try_send(a, Chunk::binary(vec![7; 500])).is_ok() {
        sent += 1;
        pair.run();
        assert!(pair.b.buffered() <= 4_096);
    }
    assert_eq!(sent, 8, "8 × (500 + 64) is the first to exceed 4,096");
    pair.run();
    drain(&mut pair.a);
    let mut read = 0;
    while pair.b.read(b).is_some() {
        read += 1;
        pair.run();
    }
    assert!(read >= sent);
    assert_eq!(drain(&mut pair.a), [Event::Writable(a)]);
}

#[test]
fn a_message_of_many_windows_is_read_in_pieces_and_never_copied_by_its_sender() {
    let limits = Limits {
        window: 8_192,
        ..Limits::default()
    };
    let mut pair = Pair::connected(Config {
        limits,
        ..Config::default()
    });
    let (a, b) = pair.channel("file");
    let message: Vec<u8> = (0..300_000u32).map(|n| n.to_le_bytes()[1]).collect();
    pair.a.try_send(a, Chunk::binary(message.clone())).unwrap();
    let mut assembler = Assembler::new(1 << 20);
    let mut whole = None;
    while whole.is_none() {
        pair.run();
        while let Some(chunk) = pair.b.read(b) {
            whole = whole.or(assembler.push(chunk).unwrap());
        }
        assert!(pair.b.buffered() <= 8_192);
    }
    assert_eq!(whole, Some(Message::Binary(message.into())));
}

#[test]
fn an_interactive_message_waits_for_one_fragment_at_most() {
    let mut pair = Pair::connected(Config::default());
    let (bulk, _) = pair.open("bulk", Priority::Bulk);
    let (chat, _) = pair.open("chat", Priority::Interactive);
    pair.a
        .try_send(bulk, Chunk::binary(vec![0; 1 << 20]))
        .unwrap();
    let first = pair.a.poll_record(pair.now).unwrap();
    assert!(first.record().len() > 60_000);
    pair.a.try_send(chat, Chunk::text("quick")).unwrap();
    let second = Record::decode(pair.a.poll_record(pair.now).unwrap().into_record()).unwrap();
    assert!(matches!(second, Record::Data { channel, .. } if channel == chat.number()));
}

#[test]
fn channels_of_one_priority_take_turns() {
    let mut pair = Pair::connected(Config::default());
    let channels: Vec<_> = ["x", "y", "z"].map(|name| pair.channel(name).0).into();
    for id in &channels {
        pair.a
            .try_send(*id, Chunk::binary(vec![0; 300_000]))
            .unwrap();
    }
    let mut order = Vec::new();
    while let Some(packed) = pair.a.poll_record(pair.now) {
        if let Record::Data { channel, .. } = Record::decode(packed.into_record()).unwrap() {
            order.push(channel);
        }
    }
    assert_eq!(&order[..6], [0, 2, 4, 0, 2, 4]);
}

#[test]
fn a_reset_ends_both_directions_with_its_reason() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("x");
    pair.a.try_send(a, Chunk::text("lost")).unwrap();
    pair.b.reset(b, ResetCode::REFUSED);
    pair.run();
    assert_eq!(
        drain(&mut pair.a),
        [Event::Reset {
            channel: a,
            code: ResetCode::REFUSED
        }]
    );
    assert_eq!(
        pair.a.try_send(a, Chunk::text("more")),
        Err(SendError::Gone)
    );
    // One that is reset before it was announced leaves no hole in the numbers.
    let ghost = pair.a.open("ghost", Priority::Normal).unwrap();
    pair.a.reset(ghost, ResetCode::CANCELLED);
    pair.channel("next");
    assert_eq!(pair.a.stats().gaps + pair.b.stats().gaps, 0);
}

#[test]
fn too_many_channels_are_refused_on_either_side() {
    let limits = Limits {
        max_channels: 2,
        ..Limits::default()
    };
    let mut pair = Pair::connected(Config {
        limits,
        ..Config::default()
    });
    pair.channel("x");
    let (second, _) = pair.channel("y");
    assert_eq!(
        pair.a.open("z", Priority::Normal),
        Err(OpenError::TooMany(2))
    );
    pair.a.reset(second, ResetCode::CANCELLED);
    pair.run();
    pair.channel("z");
}

#[test]
fn a_restarted_peer_ends_every_channel_and_old_ids_name_nothing() {
    let mut pair = Pair::connected(Config::default());
    let (a, _) = pair.channel("x");
    pair.a.try_send(a, Chunk::text("into the void")).unwrap();
    pair.b = Mux::new(Config::default(), Role::Joiner, [9; 16]);
    pair.b.path_up(pair.now);
    pair.run();
    assert_eq!(drain(&mut pair.a), [Event::PeerRestarted, Event::Connected]);
    assert_eq!(pair.a.try_send(a, Chunk::text("?")), Err(SendError::Gone));
    let (again, _) = pair.channel("x");
    assert_eq!(again.number(), a.number());
    assert_ne!(again, a);
    assert!(a < pair.a.least() && pair.a.least() <= again);
    assert!(a.to_bits() < pair.a.least().to_bits());
    assert_eq!(ChannelId::from_bits(again.to_bits()), again);
    assert_eq!(pair.a.read(a), None);
}

#[test]
fn datagrams_go_now_or_never() {
    let mut pair = Pair::new(Config::default());
    let id = pair.a.open("game", Priority::Interactive).unwrap();
    let payload = Bytes::from_static(b"tick");
    assert_eq!(
        pair.a.try_send_datagram(id, &payload),
        Err(SendError::NoPath)
    );
    pair.up();
    let Some(Event::Opened { channel, .. }) = pair.b.events_after_connect() else {
        panic!()
    };
    pair.a.try_send_datagram(id, &payload).unwrap();
    let packed = pair.a.poll_datagram().unwrap();
    pair.b.handle_datagram(packed.into_record());
    assert_eq!(drain(&mut pair.b), [Event::DatagramReadable(channel)]);
    assert_eq!(pair.b.read_datagram(channel), Some(payload));
    let large = Bytes::from(vec![0; pair.a.max_datagram() + 1]);
    let refused = pair.a.try_send_datagram(id, &large);
    assert!(matches!(refused, Err(SendError::TooLarge)));
    let fits = large.slice(1..);
    pair.a.try_send_datagram(id, &fits).unwrap();
    assert!(pair.a.poll_datagram().unwrap().record().len() <= Config::default().max_datagram);
}

#[test]
fn a_ping_measures_the_way_there_and_back() {
    let mut pair = Pair::connected(Config::default());
    pair.a.ping();
    let ping = pair.a.poll_record(pair.now).unwrap().into_record();
    pair.now = pair.now + Duration::from_millis(30);
    pair.b.handle_record(ping, pair.now).unwrap();
    pair.run();
    assert_eq!(drain(&mut pair.a), [Event::Pong(Duration::from_millis(30))]);
    assert_eq!(pair.a.rtt(), Some(Duration::from_millis(30)));
}

#[test]
fn what_breaks_the_rules_is_named() {
    let data = |channel, sequence, kind, last, payload: &'static [u8]| Record::Data {
        tag: tag(),
        channel,
        sequence,
        kind,
        last,
        payload: Bytes::from_static(payload),
    };
    let rows: &[(&[Record], Violation)] = &[
        (
            &[data(0, 0, Kind::Text, true, b"")],
            Violation::UnknownChannel,
        ),
        (
            &[
                data(1, 1, Kind::Text, false, b"a"),
                data(1, 2, Kind::Binary, true, b"b"),
            ],
            Violation::KindChanged,
        ),
        (
            &[
                Record::Finish {
                    tag: tag(),
                    channel: 1,
                    sequence: 1,
                },
                data(1, 2, Kind::Text, true, b"b"),
            ],
            Violation::AfterFinish,
        ),
        (
            &[Record::Ack {
                tag: tag(),
                entries: Entries::new([(1, 1)]),
            }],
            Violation::AckBeyondSent,
        ),
        (
            &[data(1, 1, Kind::Text, true, &[b'x'; 4_097])],
            Violation::WindowExceeded,
        ),
    ];
    for (records, violation) in rows {
        let mut pair = Pair::connected(narrow());
        let id = pair.b.open("evil", Priority::Normal).unwrap();
        pair.run();
        assert_eq!(id.number(), 1);
        let (last, before) = records.split_last().unwrap();
        for record in before {
            pair.a
                .handle_record(record.pack(0, 0).into_record(), pair.now)
                .unwrap();
        }
        let verdict = pair
            .a
            .handle_record(last.pack(0, 0).into_record(), pair.now);
        assert_eq!(verdict, Err(*violation));
    }
    let mut pair = Pair::new(Config::default());
    pair.a.path_up(pair.now);
    let own = pair.a.poll_record(pair.now).unwrap().into_record();
    assert_eq!(
        pair.a.handle_record(own, pair.now),
        Err(Violation::Reflected)
    );
}

#[test]
fn a_missing_record_begins_the_path_anew() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("x");
    pair.a.try_send(a, Chunk::text("one")).unwrap();
    let _swallowed = pair.a.poll_record(pair.now).unwrap();
    pair.a.try_send(a, Chunk::text("two")).unwrap();
    pair.run();
    assert_eq!(pair.b.stats().gaps, 1);
    assert_eq!(pair.b.read(b), Some(Chunk::text("one")));
    assert_eq!(pair.b.read(b), Some(Chunk::text("two")));
}

#[test]
fn a_switched_path_repeats_what_the_old_one_swallowed_or_delivers_late() {
    let mut pair = Pair::connected(Config::default());
    let (a, b) = pair.channel("x");
    pair.wait(20);
    pair.a.try_send(a, Chunk::text("one")).unwrap();
    pair.a.try_send(a, Chunk::text("two")).unwrap();
    let late = pair.a.poll_record(pair.now).unwrap().into_record();
    let _swallowed = pair.a.poll_record(pair.now).unwrap();
    pair.a.switch_path(pair.now);
    assert!(pair.a.is_connected(), "data need not wait for an answer");
    pair.run();
    pair.b.handle_record(late, pair.now).unwrap();
    assert_eq!(pair.b.read(b), Some(Chunk::text("one")));
    assert_eq!(pair.b.read(b), Some(Chunk::text("two")));
    assert_eq!(pair.b.read(b), None);
    assert_eq!((pair.a.stats().replayed, pair.b.stats().duplicates), (2, 1));
}

#[test]
fn an_open_of_the_past_changes_nothing() {
    let mut pair = Pair::new(Config::default());
    pair.a.path_up(pair.now);
    let past = pair.a.poll_record(pair.now).unwrap().into_record();
    pair.up();
    let (a, b) = pair.channel("x");
    pair.b.handle_record(past, pair.now).unwrap();
    assert!(pair.b.is_connected());
    pair.a.try_send(a, Chunk::text("still here")).unwrap();
    pair.run();
    assert_eq!(pair.b.read(b), Some(Chunk::text("still here")));
}

#[test]
fn an_assembler_minds_its_limit_and_utf_8() {
    let piece = |bytes: &'static [u8], last| Chunk {
        kind: Kind::Text,
        bytes: Bytes::from_static(bytes),
        last,
    };
    let mut assembler = Assembler::new(4);
    assert_eq!(assembler.push(piece(&[0xc3], false)), Ok(None));
    assert_eq!(
        assembler.push(piece(&[0xa4], true)),
        Ok(Some(Message::Text("ä".into())))
    );
    assert_eq!(assembler.push(piece(&[0xc3], true)), Err(Unfit::NotUtf8));
    assert_eq!(assembler.push(piece(b"abc", false)), Ok(None));
    assert_eq!(assembler.push(piece(b"de", true)), Err(Unfit::TooLarge(4)));
}

/// Two machines and a path that loses nothing and takes no time.
struct Pair {
    a: Mux,
    b: Mux,
    now: Moment,
}

const A: [u8; 16] = [0xaa; 16];
const B: [u8; 16] = [0x55; 16];

fn tag() -> u32 {
    Instance(A).tag(Instance(B))
}

/// A window of 4 KiB per channel.
fn narrow() -> Config {
    let limits = Limits {
        window: 4_096,
        ..Limits::default()
    };
    Config {
        limits,
        ..Config::default()
    }
}

impl Pair {
    fn new(config: Config) -> Self {
        let a = Mux::new(config, Role::Initiator, A);
        Self {
            a,
            b: Mux::new(config, Role::Joiner, B),
            now: Moment::default(),
        }
    }

    fn connected(config: Config) -> Self {
        let mut pair = Self::new(config);
        pair.up();
        assert_eq!(drain(&mut pair.a), [Event::Connected]);
        assert_eq!(drain(&mut pair.b), [Event::Connected]);
        pair
    }

    fn up(&mut self) {
        self.a.path_up(self.now);
        self.b.path_up(self.now);
        self.run();
    }

    fn channel(&mut self, name: &str) -> (ChannelId, ChannelId) {
        self.open(name, Priority::Normal)
    }

    fn open(&mut self, name: &str, priority: Priority) -> (ChannelId, ChannelId) {
        drain(&mut self.b);
        let id = self.a.open(name, priority).unwrap();
        self.run();
        let opened = drain(&mut self.b)
            .into_iter()
            .find_map(|event| match event {
                Event::Opened { channel, .. } => Some(channel),
                _ => None,
            });
        (id, opened.unwrap())
    }

    fn run(&mut self) {
        loop {
            let mut idle = true;
            while let Some(packed) = self.a.poll_record(self.now) {
                self.b
                    .handle_record(packed.into_record(), self.now)
                    .unwrap();
                idle = false;
            }
            while let Some(packed) = self.b.poll_record(self.now) {
                self.a
                    .handle_record(packed.into_record(), self.now)
                    .unwrap();
                idle = false;
            }
            if idle {
                return;
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.run();
    }
}

impl Mux {
    fn events_after_connect(&mut self) -> Option<Event> {
        assert_eq!(self.poll_event(), Some(Event::Connected));
        self.poll_event()
    }
}

fn drain(mux: &mut Mux) -> Vec<Event> {
    std::iter::from_fn(|| mux.poll_event()).collect()
}
