//! The hex examples of the protocol page are what peers and relay really say.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1::attach_request::Kind as Called;
use peersox_proto::v1::{self, AttachRequest, notice::Kind};
use peersox_relay::Config;
use prost::Message as _;

use crate::support::{hello_with, notice};

/// Blocks of the page that begin with ```` ```hex NAME ````.
fn examples() -> HashMap<String, Vec<u8>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let text = std::fs::read_to_string(page).expect("the page is there");
    let mut examples = HashMap::new();
    for block in text.split("```hex ").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        let (name, hex) = block.split_once('\n').unwrap();
        // A comment follows the digits of a line after `;`.
        let digits: String = hex
            .lines()
            .map(|line| line.split(';').next().unwrap())
            .flat_map(str::chars)
            .filter(|digit| !digit.is_whitespace())
            .collect();
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        examples.insert(name.trim().to_owned(), bytes);
    }
    examples
}

#[test]
fn the_examples_of_the_page_are_true() {
    let examples = examples();
    let welcome = Kind::Welcome(v1::Welcome {
        role: v1::Role::Joiner.into(),
        peer_online: true,
        resumed: false,
        limits: Some(Config::default().announced()),
    });
    let away = Kind::PeerAway(v1::PeerAway {
        grace_millis: 30_000,
    });
    let dropped = Kind::DatagramsDropped(v1::DatagramsDropped { count: 6 });
    let reliable = Frame::new(Lane::Reliable, b"hello");
    let rows = [
        ("relay-hello", hello_with("T.I.C")),
        ("relay-welcome", notice(welcome)),
        ("relay-ping", notice(Kind::Ping(v1::Ping { nonce: 300 }))),
        ("relay-pong", notice(Kind::Pong(v1::Pong { nonce: 300 }))),
        (
            "relay-peer-online",
            notice(Kind::PeerOnline(v1::PeerOnline {})),
        ),
        ("relay-peer-away", notice(away)),
        (
            "relay-draining",
            notice(Kind::Draining(v1::Draining {
                grace_millis: 5_000,
                ..v1::Draining::default()
            })),
        ),
        ("relay-datagrams-dropped", notice(dropped)),
        ("relay-reliable", reliable.clone()),
        ("relay-datagram", Frame::new(Lane::Datagram, b"now")),
        ("relay-signal", Frame::new(Lane::Signal, b"sealed")),
    ];
    for (name, frame) in rows {
        let written = examples
            .get(name)
            .unwrap_or_else(|| panic!("no example {name}"));
        let parsed = Frame::parse(Bytes::from(written.clone())).unwrap();
        if frame.lane() == Lane::Notice {
            // Other encodings of the same message are as good.
            let said = v1::Notice::decode(parsed.payload()).unwrap();
            assert_eq!(said, v1::Notice::decode(frame.payload()).unwrap(), "{name}");
        }
        assert_eq!(parsed, frame, "{name} is {}", hex(&frame));
    }

    let called = |kind| {
        let message = AttachRequest { kind: Some(kind) }.encode_to_vec();
        let len = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &len, &message].concat()
    };
    let frame = Called::Frame(reliable.clone().into_bytes());
    assert_eq!(examples["relay-grpc-frame"], called(frame));
    assert_eq!(examples["relay-grpc-close"], called(Called::Close(4000)));

    let mut prefixed = vec![0, 0, 0, 6];
    prefixed.extend_from_slice(&reliable.into_bytes());
    assert_eq!(examples["relay-quic-stream"], prefixed);
}

fn hex(frame: &Frame) -> String {
    data_encoding::HEXLOWER.encode(&frame.clone().into_bytes())
}
