//! Replays `tests/vectors/secure.json`: enough for another language to implement the protocol.
//!
//! After a change of the protocol, `PEERSOX_WRITE_VECTORS=1 cargo test -p peersox-core vectors`
//! writes the file anew.

use bytes::BytesMut;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::super::keys::Key;
use super::super::pake::{Pake, Progress};
use super::super::seal::HEADROOM;
use super::super::testing::Given;
use super::super::{Handshake, PairingSecret, Transport};
use crate::frame::Lane;
use crate::id::PairingId;
use crate::role::Role;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/secure.json");

#[test]
fn the_known_answers_hold() {
    let computed = json!({
        "about": "Known answers of core::secure; docs/protocol.md says what they mean. Bytes are hex.",
        "pake": [
            pake(b"481920-tulip-ember", 0x10, 0x01, 0x02),
            pake(b"481920", 0x20, 0x03, 0x04),
        ],
        "handshake": [handshake(0x10, 0x05), handshake(0x20, 0x06)],
        "records": records(),
    });
    let text = serde_json::to_string_pretty(&computed).unwrap() + "\n";
    if std::env::var_os("PEERSOX_WRITE_VECTORS").is_some() {
        std::fs::write(PATH, &text).unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    assert_eq!(kept, computed);
}

fn pake(code: &[u8], id: u8, seed_a: u8, seed_b: u8) -> Value {
    let pairing = pairing(id);
    let (random_a, random_b) = (counting(seed_a, 64), counting(seed_b, 64));
    let (mut a, first) = Pake::start(Role::Initiator, code, pairing, &mut given(&random_a));
    let (mut b, _) = Pake::start(Role::Joiner, code, pairing, &mut given(&random_b));

    let mut messages = vec![first.unwrap()];
    let mut secrets = Vec::new();
    for turn in 0.. {
        let machine = if turn % 2 == 0 { &mut b } else { &mut a };
        let answer = match machine.handle(&messages[turn]).unwrap() {
            Progress::Going(answer) => answer,
            Progress::Done(secret, answer) => {
                secrets.push(secret);
                answer
            }
        };
        match answer {
            Some(answer) => messages.push(answer),
            None => break,
        }
    }
    assert_eq!(secrets[0], secrets[1]);
    json!({
        "code": String::from_utf8_lossy(code),
        "pairing_id": hex(pairing.as_bytes()),
        "initiator_random": hex(&random_a),
        "joiner_random": hex(&random_b),
        "payloads": messages.iter().map(|message| hex(message)).collect::<Vec<_>>(),
        "pairing_secret": hex(secrets[0].as_bytes()),
        "verification_phrase": secrets[0].sas().to_string(),
    })
}

fn handshake(id: u8, seed: u8) -> Value {
    let pairing = pairing(id);
    let bytes: [u8; 32] = counting(seed, 32).try_into().unwrap();
    let secret = PairingSecret::from_bytes(bytes);
    let (attempt, ephemeral_a) = (counting(seed + 1, 8), counting(seed + 2, 32));
    let ephemeral_b = counting(seed + 3, 32);
    let drawn = [&attempt[..], &ephemeral_a].concat();
    let initiator = Handshake::initiate(&pairing, &secret, b"from a", &mut given(&drawn));
    let first = initiator.first();
    let (mut b, _, second) = Handshake::respond(
        &first,
        &pairing,
        &secret,
        b"from b",
        &mut given(&ephemeral_b),
    )
    .unwrap();
    let (mut a, _) = initiator.finish(&second).unwrap();
    json!({
        "pairing_id": hex(pairing.as_bytes()),
        "pairing_secret": hex(secret.as_bytes()),
        "verification_phrase": secret.sas().to_string(),
        "attempt": hex(&attempt),
        "initiator_ephemeral": hex(&ephemeral_a),
        "joiner_ephemeral": hex(&ephemeral_b),
        "initiator_hello": hex(b"from a"),
        "joiner_hello": hex(b"from b"),
        "payloads": [hex(&first), hex(&second)],
        "initiator_seals_nothing_on_reliable": hex(&seal(&mut a, Lane::Reliable, b"")),
        "joiner_seals_text_on_signal": hex(&seal(&mut b, Lane::Signal, b"text")),
    })
}

/// Every lane, both directions, the first two records and one of each of two later epochs.
fn records() -> Value {
    let attempt = counting(0x40, 8);
    let (split_a, split_b) = (counting(0x50, 32), counting(0x60, 32));
    let hash = counting(0x70, 32);
    let key = |bytes: &[u8]| Key::new(bytes.try_into().unwrap());
    let split = [key(&split_a), key(&split_b)];
    let mut rows = Vec::new();
    for role in Role::BOTH {
        let make = |role| Transport::new(role, attempt[..].try_into().unwrap(), &split, &hash);
        let (mut sealer, mut opener) = (make(role), make(role.other()));
        for lane in [Lane::Reliable, Lane::Datagram, Lane::Signal] {
            for index in 0..4 {
                if index >= 2 {
                    sealer.rekey();
                }
                let text = format!("{role} {} {index}", lane.as_str());
                let frame = seal(&mut sealer, lane, text.as_bytes());
                let mut buffer = BytesMut::from(&frame[..]);
                assert_eq!(opener.open(&mut buffer), Ok(lane));
                assert_eq!(buffer, text.as_bytes());
                rows.push(json!({
                    "from": role.as_str(),
                    "lane": lane.as_str(),
                    "plaintext": text,
                    "frame": hex(&frame),
                }));
            }
        }
    }
    json!({
        "attempt": hex(&attempt),
        "split_initiator_to_joiner": hex(&split_a),
        "split_joiner_to_initiator": hex(&split_b),
        "handshake_hash": hex(&hash),
        "frames": rows,
    })
}

fn seal(transport: &mut Transport, lane: Lane, text: &[u8]) -> Vec<u8> {
    let mut buffer = [&[0; HEADROOM], text].concat();
    transport.seal(lane, &mut buffer).unwrap();
    buffer
}

fn pairing(start: u8) -> PairingId {
    PairingId::try_from(&counting(start, PairingId::LEN)[..]).unwrap()
}

fn counting(start: u8, len: usize) -> Vec<u8> {
    (0..len)
        .zip(0u8..)
        .map(|(_, index)| start.wrapping_add(index))
        .collect()
}

fn given(bytes: &[u8]) -> Given {
    Given(bytes.iter().copied().collect())
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}
