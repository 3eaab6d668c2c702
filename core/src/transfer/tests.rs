//! The promises of a transfer, through its public surface: both machines in memory, killed,
//! resumed, lied to and garbled.

mod abilities;
mod hostile;
mod vectors;

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// What the receiver's disk holds of each file, and which files are finished.
#[derive(Clone, Debug, Default)]
struct Disk {
    files: HashMap<u32, Vec<u8>>,
    finished: HashSet<u32>,
}

impl Disk {
    /// Obeys an event; panics if it breaks what [`Event`] promises.
    fn obey(&mut self, event: Event, offer: Option<&Offer>, fresh: &mut HashSet<u32>) {
        let size_of = |entry| offer.and_then(|offer| offer.entry(entry)).unwrap().size;
        match event {
            Event::Write {
                entry,
                offset,
                bytes,
            } => {
                assert!(!self.finished.contains(&entry), "written after its end");
                let end = offset + bytes.len() as u64;
                assert!(
                    size_of(entry).is_none_or(|size| end <= size),
                    "beyond its size"
                );
                let file = self.files.entry(entry).or_default();
                if fresh.insert(entry) {
                    file.truncate(usize::try_from(offset).unwrap());
                }
                assert_eq!(file.len() as u64, offset, "a gap");
                file.extend_from_slice(&bytes);
            }
            Event::Finish { entry, size } => {
                let file = self.files.entry(entry).or_default();
                if fresh.insert(entry) {
                    file.truncate(usize::try_from(size).unwrap());
                }
                assert_eq!(file.len() as u64, size);
                assert!(self.finished.insert(entry), "finished twice");
            }
            Event::Hole { .. }
            | Event::Failed { .. }
            | Event::Paused(_)
            | Event::Nothing
            | Event::Offered
            | Event::Store => {}
        }
    }

    /// What a shell that finds these files would choose.
    fn choices(&self) -> HashMap<u32, Choice> {
        self.files
            .iter()
            .map(|(entry, bytes)| {
                let mut prefix = Prefix::default();
                prefix.update(bytes);
                (*entry, Choice::Resume(prefix))
            })
            .collect()
    }
}

/// How one attempt goes.
struct Attempt<'a> {
    files: &'a [Vec<u8>],
    /// Most bytes that the source gives at a time.
    step: usize,
    /// The connection dies when this many messages were delivered.
    dies_after: usize,
    /// Changes the message with this number before it is delivered.
    garble: &'a dyn Fn(usize, Bytes) -> Bytes,
}

/// How an attempt ended: what each side says.
#[derive(Debug)]
struct Outcome {
    sender: Option<Result<(), Error>>,
    receiver: Option<Result<(), Error>>,
}

impl Attempt<'_> {
    fn run(&self, offer: &Offer, disk: &mut Disk) -> Outcome {
        let mut sender = Sender::new(offer.clone());
        let mut receiver = Receiver::new(Limits::default());
        let (mut up, mut down) = (VecDeque::new(), VecDeque::new());
        let mut fresh = HashSet::new();
        disk.finished.clear();
        let mut delivered = 0;
        let mut outcome = Outcome {
            sender: None,
            receiver: None,
        };
        loop {
            let mut idle = true;
            match sender.poll() {
                Action::Send(message) => {
                    up.push_back(message);
                    idle = false;
                }
                Action::Read {
                    entry, offset, max, ..
                } => {
                    let rest = &self.files[entry as usize][usize::try_from(offset).unwrap()..];
                    let bytes = &rest[..rest.len().min(max).min(self.step)];
                    if let Err(error) = sender.feed(Bytes::copy_from_slice(bytes)) {
                        outcome.sender = Some(Err(error));
                    }
                    idle = false;
                }
                Action::Wait => {}
                Action::Finished => {
                    outcome.sender.get_or_insert(Ok(()));
                }
            }
            if let Some(message) = up.pop_front() {
                idle = false;
                delivered += 1;
                if delivered > self.dies_after {
                    return outcome;
                }
                if !receiver.is_over() {
                    match receiver.handle((self.garble)(delivered, message)) {
                        Ok(Event::Offered) => receiver.accept(disk.choices()).unwrap(),
                        Ok(Event::Store) => {
                            receiver.stored().unwrap();
                            outcome.receiver = Some(Ok(()));
                        }
                        Ok(event) => disk.obey(event, receiver.offer(), &mut fresh),
                        Err(error) => outcome.receiver = Some(Err(error)),
                    }
                }
            }
            down.extend(receiver.poll_message());
            if let Some(message) = down.pop_front() {
                idle = false;
                delivered += 1;
                if delivered > self.dies_after {
                    return outcome;
                }
                if outcome.sender.is_none()
                    && let Err(error) = sender.handle((self.garble)(delivered, message))
                {
                    outcome.sender = Some(Err(error));
                }
            }
            if idle {
                return outcome;
            }
        }
    }
}

fn intact(_: usize, message: Bytes) -> Bytes {
    message
}

fn offer_of(files: &[Vec<u8>], unknown: Option<usize>) -> Offer {
    let file = |(number, bytes): (usize, &Vec<u8>)| Entry {
        path: SafePath::new(&["files".to_owned(), format!("{number}")]).unwrap(),
        kind: Kind::File,
        size: (unknown != Some(number)).then_some(bytes.len() as u64),
        modified: None,
        executable: false,
        mode: None,
        data_bytes: None,
    };
    let entries: Vec<_> = files.iter().enumerate().map(file).collect();
    Offer::new(TransferId::of(&entries), entries, &Limits::default()).unwrap()
}

fn files() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6)
}

proptest! {
    /// Killed at any message, any number of times, with what is left on disk damaged in between.
    #[test]
    fn what_arrives_is_what_was_sent(
        files in files(),
        unknown in prop::option::of(0..6_usize),
        attempts in prop::collection::vec((1..400_usize, 0..30_usize, any::<(u8, u16, bool)>()), 0..5),
        step in 1..400_usize,
    ) {
        let offer = offer_of(&files, unknown);
        let mut disk = Disk::default();
        for (step, dies_after, (file, byte, cut)) in attempts {
            Attempt { files: &files, step, dies_after, garble: &intact }.run(&offer, &mut disk);
            if let Some(held) = disk.files.get_mut(&u32::from(file)) && !held.is_empty() {
                let at = usize::from(byte) % held.len();
                if cut { held.truncate(at) } else { held[at] ^= 1 }
            }
        }
        let last = Attempt { files: &files, step, dies_after: usize::MAX, garble: &intact };
        let outcome = last.run(&offer, &mut disk);
        prop_assert_eq!(outcome.sender, Some(Ok(())));
        prop_assert_eq!(outcome.receiver, Some(Ok(())));
        for (number, file) in (0..).zip(&files) {
            prop_assert!(disk.finished.contains(&number));
            prop_assert_eq!(&disk.files[&number], file);
        }
    }
}

#[test]
fn a_resumed_file_is_sent_from_where_it_was() {
    let files = vec![vec![7; 1000], vec![8; 1000]];
    let offer = offer_of(&files, None);
    let mut disk = Disk::default();
    disk.files.insert(0, vec![7; 1000]);
    disk.files.insert(1, vec![8; 600]);

    let mut sender = Sender::new(offer);
    let mut receiver = Receiver::new(Limits::default());
    let (mut sent, mut read) = (0, 0);
    loop {
        match sender.poll() {
            Action::Send(message) => match receiver.handle(message).unwrap() {
                Event::Offered => receiver.accept(disk.choices()).unwrap(),
                Event::Write {
                    entry,
                    offset,
                    bytes,
                } => {
                    assert_eq!((entry, offset), (1, 600));
                    sent += bytes.len();
                }
                Event::Store => receiver.stored().unwrap(),
                other => assert!(matches!(other, Event::Nothing | Event::Finish { .. })),
            },
            Action::Read {
                entry, offset, max, ..
            } => {
                let at = usize::try_from(offset).unwrap();
                let bytes = Bytes::copy_from_slice(&files[entry as usize][at..at + max]);
                read += bytes.len();
                sender.feed(bytes).unwrap();
            }
            Action::Wait => sender.handle(receiver.poll_message().unwrap()).unwrap(),
            Action::Finished => break,
        }
    }
    assert_eq!((sent, read), (400, 2000));
    let expected = Progress {
        entry: None,
        files_done: 2,
        files_failed: 0,
        files_total: 2,
        bytes_done: 2000,
        bytes_total: Some(2000),
        bytes_resumed: 1600,
    };
    assert_eq!(sender.progress(), expected);
    assert_eq!(receiver.progress(), expected);
}

#[test]
fn what_is_skipped_is_not_sent() {
    let files = vec![vec![1; 10], vec![2; 20], vec![3; 30]];
    let mut sender = Sender::new(offer_of(&files, None));
    let mut receiver = Receiver::new(Limits::default());
    let Action::Send(offer) = sender.poll() else {
        panic!("no offer");
    };
    assert_eq!(receiver.handle(offer), Ok(Event::Offered));
    let skip = [(0, Choice::Skip), (2, Choice::Skip)];
    receiver.accept(HashMap::from(skip)).unwrap();
    sender.handle(receiver.poll_message().unwrap()).unwrap();
    assert!(matches!(
        sender.poll(),
        Action::Read {
            entry: 1,
            offset: 0,
            max: 20,
            ..
        }
    ));
    for progress in [sender.progress(), receiver.progress()] {
        assert_eq!((progress.files_total, progress.bytes_total), (1, Some(20)));
    }
}

#[test]
fn long_offers_and_answers_travel_in_parts() {
    let files = vec![vec![9]; 5_000];
    let offer = offer_of(&files, None);
    let mut disk = Disk::default();
    disk.files
        .extend((0..5_000).map(|number| (number, vec![9])));
    let longest = std::cell::Cell::new(0);
    let parts = std::cell::Cell::new(0);
    let measure = |_, message: Bytes| {
        longest.set(longest.get().max(message.len()));
        parts.set(parts.get() + usize::from(message.len() > 30_000));
        message
    };
    let attempt = Attempt {
        files: &files,
        step: 1,
        dies_after: usize::MAX,
        garble: &measure,
    };
    let outcome = attempt.run(&offer, &mut disk);
    assert_eq!(
        (outcome.sender, outcome.receiver),
        (Some(Ok(())), Some(Ok(())))
    );
    assert!(
        longest.get() <= 70_000 && parts.get() > 4,
        "{longest:?} {parts:?}"
    );
}

#[test]
fn a_refusal_and_a_cancellation_reach_the_other_side() {
    let offer = offer_of(&[vec![1; 10]], None);
    let start = || {
        let mut sender = Sender::new(offer.clone());
        let mut receiver = Receiver::new(Limits::default());
        let Action::Send(message) = sender.poll() else {
            panic!("no offer");
        };
        assert_eq!(receiver.handle(message), Ok(Event::Offered));
        (sender, receiver)
    };

    let (mut sender, mut receiver) = start();
    receiver.decline(DeclineReason::Refused, "not now\u{1b}[2J");
    let declined = sender.handle(receiver.poll_message().unwrap());
    let text = "not now[2J".to_owned();
    let reason = DeclineReason::Refused;
    assert_eq!(declined, Err(Error::Declined { reason, text }));
    assert_eq!(sender.poll(), Action::Finished);

    let (mut sender, mut receiver) = start();
    sender.cancel(CancelCode::Interrupted, "");
    let Action::Send(message) = sender.poll() else {
        panic!("nothing sent");
    };
    let cancelled = receiver.handle(message);
    assert!(matches!(
        cancelled,
        Err(Error::Cancelled {
            code: CancelCode::Interrupted,
            ..
        })
    ));
    assert_eq!(receiver.poll_message(), None);
}

#[test]
fn a_source_that_shrinks_ends_the_transfer() {
    let mut sender = Sender::new(offer_of(&[vec![1; 10]], None));
    let _offer = sender.poll();
    let accept = message::encode(peersox_proto::v1::transfer_message::Kind::Accept(
        Default::default(),
    ));
    sender.handle(accept).unwrap();
    sender.feed(Bytes::from_static(&[1; 4])).unwrap();
    assert!(matches!(sender.poll(), Action::Send(_)));
    assert_eq!(
        sender.feed(Bytes::new()),
        Err(Error::SourceEnded { entry: 0 })
    );
    assert!(
        matches!(sender.poll(), Action::Send(_)),
        "the receiver is told"
    );
    assert_eq!(sender.poll(), Action::Finished);
}
