mod spoken;

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::codec::varint_len;
use super::*;
use crate::channel::{Config, Mux};
use crate::role::Role;
use crate::time::Moment;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/channel.json");

/// What the peers of the vectors permit. A default may change; what others have computed stays.
const LIMITS: Limits = Limits {
    window: 1 << 20,
    total: 16 << 20,
    max_record: 65_471,
    max_channels: 128,
};

/// With `PEERSOX_WRITE_VECTORS` set, writes the file instead; then look at what changed.
#[test]
fn the_known_answers_hold() {
    let known = json!({
        "about": "Records of the channel protocol; see docs/protocol.md. \
                  Run by core/src/channel/wire/tests.rs.",
        "records": samples().iter().map(|record| json!({
            "hex": hex(record.pack(0, 0).record()),
            "fields": fields(record),
        })).collect::<Vec<_>>(),
        "violations": VIOLATIONS.iter().map(|hex| json!({
            "hex": hex,
            "error": Record::decode(unhex(hex)).unwrap_err().to_string(),
        })).collect::<Vec<_>>(),
        "conversation": spoken::conversation(),
        "interrupted": spoken::interrupted(),
    });
    if std::env::var_os("PEERSOX_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&known).unwrap();
        std::fs::write(VECTORS, text + "\n").unwrap();
    }
    let file: Value = serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap();
    assert_eq!(file, known);
    for (record, entry) in samples().iter().zip(file["records"].as_array().unwrap()) {
        assert_eq!(
            &Record::decode(unhex(entry["hex"].as_str().unwrap())).unwrap(),
            record
        );
    }
}

#[test]
fn a_packed_record_becomes_a_frame_where_it_lies() {
    let payload = Bytes::from_static(b"payload");
    let record = Record::Datagram {
        tag: 1,
        channel: 2,
        payload,
    };
    let packed = record.pack(33, 32);
    let place = packed.record().as_ptr();
    let frame = packed.into_frame(crate::frame::Lane::Datagram);
    assert_eq!(frame.lane(), crate::frame::Lane::Datagram);
    assert_eq!(frame.payload().as_ptr(), place);
    assert_eq!(frame.payload(), record.pack(0, 0).into_record());
    let (buffer, front) = record.pack(33, 32).into_parts();
    assert!(
        front == 33 && buffer.capacity() >= buffer.len() + 32,
        "a seal fits around"
    );
}

#[test]
fn decoding_a_payload_copies_nothing() {
    let bytes = unhex("11000000010205aabbcc");
    let Ok(Record::Data { payload, .. }) = Record::decode(bytes.clone()) else {
        panic!()
    };
    assert_eq!(payload.as_ptr(), bytes[7..].as_ptr());
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_record() {
    for record in samples() {
        let whole = record.pack(0, 0).into_record();
        for len in 0..whole.len() {
            if let Ok(shorter) = Record::decode(whole.slice(..len)) {
                assert_eq!(shorter.pack(0, 0).record(), &whole[..len]);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_to_a_record_that_encodes_again(bytes: Vec<u8>, kind in 0..0x24u8) {
        let bytes: Bytes = std::iter::once(kind).chain(bytes).collect();
        if let Ok(record) = Record::decode(bytes) {
            let again = record.pack(0, 0).into_record();
            prop_assert_eq!(Record::decode(again), Ok(record));
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(which in 0..12usize, bit in 0..2_000usize) {
        let mut bytes = samples()[which].pack(0, 0).record().to_vec();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let flipped = Bytes::from(bytes);
        let _ = Record::decode(flipped.clone());
        let mut mux = Mux::new(Config::default(), Role::Joiner, [3; 16]);
        mux.path_up(Moment::default());
        let _ = mux.handle_record(flipped, Moment::default());
    }

    #[test]
    fn varints_are_as_short_as_rfc_9000_has_them(number in 0..1u64 << 62, shift in 0..62u32) {
        let number = number >> shift;
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        prop_assert_eq!(bytes.len(), varint_len(number));
        prop_assert_eq!(Reader::new(&bytes).varint(), number);
    }
}

#[test]
fn the_examples_of_rfc_9000_decode() {
    let rows = [
        ("c2197c5eff14e88c", 151_288_809_941_952_652),
        ("9d7f3e7d", 494_878_333),
        ("7bbd", 15_293),
        ("25", 37),
        ("4025", 37),
    ];
    for (hex, number) in rows {
        assert_eq!(Reader::new(&unhex(hex)).varint(), number);
    }
}

/// Empty; unknown; ends early; goes on; version 2; a limit of zero; no name; not UTF-8; an empty
/// fragment that is not the last; a priority of 3; consumed beyond received; an ACK of nothing.
const VIOLATIONS: [&str; 12] = [
    "",
    "ff00000001",
    "0300",
    "050000000100",
    "0102",
    "01010101010101010101010101010101010100000000000000000000000000000000010000000000000000",
    "09000000010000",
    "090000000100006bff",
    "10000000010000",
    "0900000001000361",
    "0101010101010101010101010101010101010000000000000000000000000000000001\
     000080100000810000008000ffbf40800000000102",
    "0200000001",
];

fn samples() -> Vec<Record> {
    let (a, b) = (Instance([0xaa; 16]), Instance([0x55; 16]));
    let tag = a.tag(b);
    let positions = vec![
        Position {
            channel: 0,
            next: 70,
            consumed: 64,
        },
        Position {
            channel: 1,
            next: 1,
            consumed: 1,
        },
    ];
    let open = Open {
        instance: a,
        peer: b,
        epoch: 3,
        echo: 2,
        established: true,
        limits: LIMITS,
        opened: 1,
        seen: 1,
        positions,
    };
    let first = Open {
        instance: a,
        peer: Instance::NONE,
        epoch: 1,
        echo: 0,
        established: false,
        opened: 0,
        seen: 0,
        limits: LIMITS,
        positions: vec![],
    };
    let data = |sequence, kind, last, payload: &'static [u8]| Record::Data {
        tag,
        channel: 1,
        sequence,
        kind,
        last,
        payload: Bytes::from_static(payload),
    };
    vec![
        Record::Open(first),
        Record::Open(open),
        Record::Ack {
            tag,
            entries: Entries::new([(0, 64), (301, 1 << 32)]),
        },
        Record::Ping { tag, token: 7 },
        Record::Pong { tag, token: 7 },
        Record::Goodbye { tag },
        Record::GoodbyeAck { tag },
        Record::Reset {
            tag,
            channel: 2,
            code: 1,
        },
        Record::ResetAck { tag, channel: 2 },
        Record::Channel {
            tag,
            channel: 0,
            priority: Priority::Normal,
            name: "peersox.message".into(),
        },
        data(1, Kind::Text, true, b"hello"),
        data(2, Kind::Binary, false, &[0, 1, 2]),
        data(16_384, Kind::Binary, true, b""),
        Record::Finish {
            tag,
            channel: 1,
            sequence: 16_385,
        },
        Record::Datagram {
            tag,
            channel: 0,
            payload: Bytes::from_static(b"tick"),
        },
    ]
}

fn fields(record: &Record) -> Value {
    let tag = format!("{:08x}", record.tag());
    match record {
        Record::Open(open) => json!({
            "type": "OPEN", "instance": hex(&open.instance.0), "peer": hex(&open.peer.0),
            "epoch": open.epoch, "echo": open.echo, "flags": u8::from(open.established),
            "window": open.limits.window, "total": open.limits.total,
            "max_record": open.limits.max_record, "max_channels": open.limits.max_channels,
            "opened": open.opened, "seen": open.seen,
            "positions": open.positions.iter().map(|position| json!({
                "channel": position.channel, "next": position.next, "consumed": position.consumed,
            })).collect::<Vec<_>>(),
        }),
        Record::Ack { entries, .. } => json!({
            "type": "ACK", "tag": tag, "consumed": entries.iter().collect::<Vec<_>>(),
        }),
        Record::Ping { token, .. } => json!({ "type": "PING", "tag": tag, "token": token }),
        Record::Pong { token, .. } => json!({ "type": "PONG", "tag": tag, "token": token }),
        Record::Goodbye { .. } => json!({ "type": "GOODBYE", "tag": tag }),
        Record::GoodbyeAck { .. } => json!({ "type": "GOODBYE_ACK", "tag": tag }),
        Record::Reset { channel, code, .. } => {
            json!({ "type": "RESET", "tag": tag, "channel": channel, "code": code })
        }
        Record::ResetAck { channel, .. } => {
            json!({ "type": "RESET_ACK", "tag": tag, "channel": channel })
        }
        Record::Channel {
            channel,
            priority,
            name,
            ..
        } => json!({
            "type": "CHANNEL", "tag": tag, "channel": channel,
            "priority": *priority as u8, "name": name,
        }),
        Record::Finish {
            channel, sequence, ..
        } => {
            json!({ "type": "FINISH", "tag": tag, "channel": channel, "sequence": sequence })
        }
        Record::Data {
            channel,
            sequence,
            kind,
            last,
            payload,
            ..
        } => json!({
            "type": "DATA", "tag": tag, "channel": channel, "sequence": sequence,
            "text": *kind == Kind::Text, "last": last, "payload": hex(payload),
        }),
        Record::Datagram {
            channel, payload, ..
        } => {
            json!({ "type": "DATAGRAM", "tag": tag, "channel": channel, "payload": hex(payload) })
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> Bytes {
    HEXLOWER.decode(text.as_bytes()).unwrap().into()
}
