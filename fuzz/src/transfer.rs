//! A receiver and a sender of files whose other side says anything.
//!
//! Laws: bytes arrive in order and none beyond what was offered or what the limits allow; an error ends the
//! transfer; what a machine says is short enough to be read.

use std::collections::HashMap;

use bytes::Bytes;
use peersox_core::transfer::{
    Abilities, Action, Entry, Event, Kind, Limits, MAX_MESSAGE_BYTES, Names, Offer, Receiver,
    SafePath, Sender, Settings, TransferId,
};

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let abilities = match kind & 2 {
        0 => Abilities::ALL,
        _ => Abilities::default(),
    };
    match kind & 1 {
        0 => receiver(input, abilities),
        _ => sender(input, abilities),
    }
}

const LIMITS: Limits = Limits {
    entries: 64,
    path_bytes: 4_096,
    total_bytes: 1 << 20,
};

fn receiver(mut input: Input<'_>, abilities: Abilities) {
    let mut receiver = Receiver::with(Settings {
        limits: LIMITS,
        abilities,
        names: Names::Everywhere,
        device: "here".into(),
    });
    // How much of each file is there.
    let mut files: HashMap<u32, u64> = HashMap::new();
    while let Some(message) = input.message() {
        let mut next = Some(receiver.handle(Bytes::copy_from_slice(message)));
        while let Some(result) = next {
            let Ok(event) = result else {
                assert!(receiver.is_over() || receiver.offer().is_none());
                said(|| receiver.poll_message());
                return;
            };
            heard(&mut receiver, event, &mut files);
            next = receiver.next_event();
        }
        said(|| receiver.poll_message());
    }
}

fn heard(receiver: &mut Receiver, event: Event, files: &mut HashMap<u32, u64>) {
    let mut grow = |entry, offset, len: u64| {
        let size = files.entry(entry).or_default();
        assert_eq!(offset, *size, "bytes of a file leave a gap");
        *size += len;
    };
    match event {
        Event::Offered => {
            let offer = receiver.offer().expect("it was offered");
            assert!(offer.entries().len() + offer.links().len() <= LIMITS.entries as usize);
            receiver.accept([]).expect("an offer waits");
        }
        Event::Write {
            entry,
            offset,
            bytes,
        } => grow(entry, offset, bytes.len() as u64),
        Event::Hole {
            entry,
            offset,
            length,
        } => grow(entry, offset, length),
        Event::Finish { entry, size } => assert_eq!(files.get(&entry).copied().unwrap_or(0), size),
        Event::Store => receiver.stored().expect("all is there"),
        Event::Failed { text, .. } => assert!(!text.contains(char::is_control)),
        Event::Nothing | Event::Paused(_) => {}
    }
    let Some(offer) = receiver.offer() else {
        return;
    };
    for (entry, len) in files.iter() {
        let size = offer.entry(*entry).and_then(|entry| entry.size);
        assert!(*len <= size.unwrap_or(LIMITS.total_bytes));
    }
    assert!(files.values().sum::<u64>() <= LIMITS.total_bytes);
    assert!(receiver.progress().bytes_done <= LIMITS.total_bytes);
}

fn sender(mut input: Input<'_>, abilities: Abilities) {
    let mut sender = Sender::with(offer(), abilities);
    let mut fed = 0;
    loop {
        match sender.poll() {
            Action::Send(message) => assert!(message.len() <= MAX_MESSAGE_BYTES),
            Action::Read { max, hole, .. } => {
                fed += 1;
                assert!(fed <= 1_000 && max > 0, "it has no end");
                let fails = input.byte();
                let result = match fails {
                    7 => {
                        sender.fail_file("gone");
                        Ok(())
                    }
                    8 if hole > 0 => sender.feed_hole(hole.min(16)),
                    9 => sender.feed(Bytes::new()),
                    // A file of unknown size ends some day.
                    _ if fed > 200 => sender.feed(Bytes::new()),
                    _ => sender.feed(vec![7; max.min(32)].into()),
                };
                if result.is_err() {
                    continue;
                }
            }
            Action::Wait => {
                let Some(message) = input.message() else {
                    return;
                };
                if sender.handle(Bytes::copy_from_slice(message)).is_err() {
                    said(|| match sender.poll() {
                        Action::Send(message) => Some(message),
                        _ => None,
                    });
                    assert_eq!(sender.poll(), Action::Finished);
                    return;
                }
                assert!(!sender.device().contains(char::is_control));
                let total = sender.progress().bytes_total.unwrap_or(u64::MAX);
                assert!(sender.progress().bytes_done <= total);
            }
            Action::Finished => return,
        }
    }
}

/// Two files, a folder, and a file of unknown size.
fn offer() -> Offer {
    let entry = |path: &[&str], kind, size| Entry {
        path: SafePath::new(path).expect("it is safe"),
        kind,
        size,
        modified: None,
        executable: false,
        mode: None,
        data_bytes: None,
    };
    let entries = vec![
        entry(&["a"], Kind::File, Some(100)),
        entry(&["d"], Kind::Directory, None),
        entry(&["d", "b"], Kind::File, Some(40)),
        entry(&["d", "c"], Kind::File, None),
    ];
    let id = TransferId::from_bytes([3; 16]);
    Offer::new(id, entries, &Limits::default()).expect("it is an offer")
}

/// Takes what a machine says.
fn said(mut next: impl FnMut() -> Option<Bytes>) {
    while let Some(message) = next() {
        assert!(message.len() <= MAX_MESSAGE_BYTES);
    }
}
