//! Known answers for other implementations, in `tests/vectors/transfer.json`.

use serde_json::{Value, json};

use super::super::message;
use super::*;
use crate::time::Timestamp;

const VECTORS: &str = include_str!("../../../../tests/vectors/transfer.json");

#[test]
fn the_conversation_has_not_changed() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let spoken = conversation();
    assert_eq!(
        vectors["conversation"],
        Value::Array(spoken.clone()),
        "spoken now:\n{:#}",
        Value::Array(spoken)
    );
}

#[test]
fn refusals_have_not_changed() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let mut receiver = Receiver::new(Limits::default());
    let offer = vectors["conversation"][0]["hex"].as_str().unwrap();
    let offer = data_encoding::HEXLOWER.decode(offer.as_bytes()).unwrap();
    receiver.handle(offer.into()).unwrap();
    receiver.decline(DeclineReason::Refused, "no room today");
    let decline = receiver.poll_message().unwrap();
    assert_eq!(vectors["decline"], data_encoding::HEXLOWER.encode(&decline));
    let cancel = message::cancel(CancelCode::SinkFailed, "the disk is full");
    assert_eq!(vectors["cancel"], data_encoding::HEXLOWER.encode(&cancel));
}

#[test]
fn what_needs_an_ability_has_not_changed() {
    use peersox_proto::v1;
    use peersox_proto::v1::transfer_message::Kind as Message;
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let hole = message::encode(Message::Hole(v1::TransferHole {
        entry: 1,
        offset: 11,
        length: 4_096,
    }));
    let failed = message::encode(Message::EntryFailed(v1::TransferEntryFailed {
        entry: 2,
        text: "gone".to_owned(),
    }));
    let mut report = Report::default();
    report.stored_as("a:b", "a_b");
    let messages = vec![failed.clone(), failed.clone()];
    for (name, message) in [
        ("hole", hole),
        ("entry_failed", failed),
        (
            "batch",
            message::encode(Message::Batch(v1::TransferBatch { messages })),
        ),
        (
            "pause",
            message::encode(Message::Pause(v1::TransferPause { paused: true })),
        ),
        ("done", message::encode(Message::Done(report.encode()))),
    ] {
        let hex = data_encoding::HEXLOWER.encode(&message);
        assert_eq!(vectors["extensions"][name], hex, "{name}");
    }
}

#[test]
fn names_become_what_they_became() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for row in vectors["paths"].as_array().unwrap() {
        let components: Vec<_> = row["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|component| component.as_str().unwrap())
            .collect();
        let safe = SafePath::new(&components).ok();
        assert_eq!(
            safe.as_ref().map(SafePath::as_str),
            row["safe"].as_str(),
            "{row}"
        );
    }
}

/// Three files and a directory: one fresh, one resumed after 5 bytes, one empty.
fn conversation() -> Vec<Value> {
    const FILES: [&[u8]; 3] = [b"hello, peer", b"held and new", b""];
    let entry = |path: &[&str], kind, size, modified: Option<u64>, executable| Entry {
        path: SafePath::new(path).unwrap(),
        kind,
        size,
        modified: modified.map(Timestamp::from_millis),
        executable,
        mode: None,
        data_bytes: None,
    };
    let entries = vec![
        entry(&["box"], Kind::Directory, None, None, false),
        entry(
            &["box", "a.txt"],
            Kind::File,
            Some(11),
            Some(1_700_000_000_000),
            false,
        ),
        entry(&["box", "run"], Kind::File, Some(12), None, true),
        entry(&["empty"], Kind::File, Some(0), None, false),
    ];
    let id = TransferId::from_bytes(*b"sixteen bytes id");
    let mut sender = Sender::new(Offer::new(id, entries, &Limits::default()).unwrap());
    let mut receiver = Receiver::new(Limits::default());
    let mut spoken = vec![];
    let mut say = |from: &str, message: &Bytes| {
        let kind = message::name(&message::decode(message.clone()).unwrap());
        let hex = data_encoding::HEXLOWER.encode(message);
        spoken.push(json!({ "from": from, "message": kind, "hex": hex }));
    };
    loop {
        match sender.poll() {
            Action::Send(message) => {
                say("sender", &message);
                match receiver.handle(message).unwrap() {
                    Event::Offered => {
                        let mut held = Prefix::default();
                        held.update(b"held ");
                        let choices = HashMap::from([(2, Choice::Resume(held))]);
                        receiver.accept(choices).unwrap();
                    }
                    Event::Store => receiver.stored().unwrap(),
                    _ => {}
                }
            }
            Action::Read {
                entry, offset, max, ..
            } => {
                let at = usize::try_from(offset).unwrap();
                let file = FILES[entry as usize - 1];
                sender
                    .feed(Bytes::from_static(&file[at..at + max]))
                    .unwrap();
            }
            Action::Wait => {
                let message = receiver.poll_message().unwrap();
                say("receiver", &message);
                sender.handle(message).unwrap();
            }
            Action::Finished => return spoken,
        }
    }
}
