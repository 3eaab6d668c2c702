//! What came after the first version: only sides that say so get it.

use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;

use super::super::message;
use super::*;

fn settings(abilities: Abilities) -> Settings {
    Settings {
        abilities,
        names: Names::Unix,
        device: "desk\u{1b}top".to_owned(),
        ..Settings::default()
    }
}

/// Offers, accepts all, and gives the machines with the answer on its way.
fn accepted(offer: &Offer, ours: Abilities, theirs: Abilities) -> (Sender, Receiver) {
    let mut sender = Sender::with(offer.clone(), ours);
    let mut receiver = Receiver::with(settings(theirs));
    while let Action::Send(part) = sender.poll() {
        if receiver.handle(part).unwrap() == Event::Offered {
            receiver.accept(HashMap::new()).unwrap();
        }
    }
    assert!(sender.is_unanswered());
    while let Some(answer) = receiver.poll_message() {
        sender.handle(answer).unwrap();
    }
    assert!(!sender.is_unanswered());
    (sender, receiver)
}

/// What a transfer of these files says and does; `hole` is how the source sees a byte of zeros.
fn run(files: &[Vec<u8>], theirs: Abilities) -> (Disk, usize, u64) {
    let offer = offer_of(files, None);
    let (mut sender, mut receiver) = accepted(&offer, Abilities::ALL, theirs);
    let (mut disk, mut fresh) = (Disk::default(), HashSet::new());
    let (mut messages, mut holes) = (0, 0);
    loop {
        match sender.poll() {
            Action::Send(message) => {
                messages += 1;
                let mut event = Some(receiver.handle(message));
                while let Some(now) = event {
                    match now.unwrap() {
                        Event::Store => receiver.stored().unwrap(),
                        Event::Hole {
                            entry,
                            offset,
                            length,
                        } => {
                            holes += length;
                            let bytes = vec![0; usize::try_from(length).unwrap()].into();
                            let zeros = Event::Write {
                                entry,
                                offset,
                                bytes,
                            };
                            disk.obey(zeros, receiver.offer(), &mut fresh);
                        }
                        event => disk.obey(event, receiver.offer(), &mut fresh),
                    }
                    event = receiver.next_event();
                }
            }
            Action::Read {
                entry,
                offset,
                max,
                hole,
            } => {
                let rest = &files[entry as usize][usize::try_from(offset).unwrap()..];
                let zeros = rest.iter().take_while(|byte| **byte == 0).count();
                if hole > 0 && zeros > 0 {
                    sender.feed_hole(hole.min(zeros as u64)).unwrap();
                } else {
                    let data = rest.iter().take_while(|byte| hole == 0 || **byte != 0);
                    let bytes = Bytes::copy_from_slice(&rest[..data.count().min(max)]);
                    sender.feed(bytes).unwrap();
                }
            }
            Action::Wait => sender.handle(receiver.poll_message().unwrap()).unwrap(),
            Action::Finished => break,
        }
    }
    assert_eq!(sender.progress(), receiver.progress());
    (disk, messages, holes)
}

#[test]
fn holes_and_batches_change_nothing_of_what_arrives() {
    let mut files: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; usize::from(n) % 7]).collect();
    files.push([vec![0; 300_000], vec![5; 10], vec![0; 70_000]].concat());
    let holes = Abilities {
        holes: true,
        ..Abilities::default()
    };
    let (plain, many, none) = run(&files, Abilities::default());
    let (sparse, _, skipped) = run(&files, holes);
    let (all, few, _) = run(&files, Abilities::ALL);
    for disk in [plain, sparse, all] {
        for (number, file) in (0..).zip(&files) {
            assert!(disk.finished.contains(&number));
            assert_eq!(&disk.files[&number], file);
        }
    }
    assert_eq!((none, skipped), (0, 370_000));
    assert!(many > 350 && few < 12, "{many} messages, {few} in batches");
}

#[test]
fn a_file_that_cannot_be_read_leaves_the_others() {
    let files = vec![vec![1; 10], vec![2; 20], vec![3; 30]];
    let offer = offer_of(&files, None);
    let (mut sender, mut receiver) = accepted(&offer, Abilities::ALL, Abilities::ALL);
    let mut told = Vec::new();
    loop {
        match sender.poll() {
            Action::Send(message) => {
                let mut event = Some(receiver.handle(message));
                while let Some(now) = event {
                    match now.unwrap() {
                        Event::Store => receiver.stored().unwrap(),
                        Event::Nothing | Event::Write { .. } => {}
                        other => told.push(other),
                    }
                    event = receiver.next_event();
                }
            }
            Action::Read {
                entry: 1,
                offset: 5,
                ..
            } => {
                assert!(sender.fail_file("f: permission\u{7} denied"));
            }
            Action::Read { entry, offset, .. } => {
                let at = usize::try_from(offset).unwrap();
                let piece = &files[entry as usize][at..(at + 5)];
                sender.feed(Bytes::copy_from_slice(piece)).unwrap();
            }
            Action::Wait => sender.handle(receiver.poll_message().unwrap()).unwrap(),
            Action::Finished => break,
        }
    }
    let text = "f: permission denied".to_owned();
    let finish = |entry, size| Event::Finish { entry, size };
    let failed = Event::Failed {
        entry: 1,
        text: text.clone(),
    };
    assert_eq!(told, [finish(0, 10), failed, finish(2, 30)]);
    assert_eq!(sender.failed(), [Failed { entry: 1, text }]);
    for progress in [sender.progress(), receiver.progress()] {
        assert_eq!((progress.files_done, progress.files_failed), (2, 1));
        assert_eq!((progress.bytes_done, progress.bytes_total), (40, Some(40)));
    }

    let (mut sender, _) = accepted(&offer, Abilities::ALL, Abilities::default());
    assert!(!sender.fail_file("no"), "an older receiver would not go on");
    assert!(matches!(sender.poll(), Action::Send(_)));
    assert_eq!(sender.poll(), Action::Finished);
}

#[test]
fn a_pause_is_told_to_sides_that_want_to_know() {
    let offer = offer_of(&[vec![1; 10]], None);
    let (mut sender, mut receiver) = accepted(&offer, Abilities::ALL, Abilities::ALL);
    receiver.pause(true);
    sender.handle(receiver.poll_message().unwrap()).unwrap();
    assert!(sender.is_paused_there());
    assert_eq!(sender.poll(), Action::Wait, "nothing is sent meanwhile");
    sender.pause(true);
    let Action::Send(message) = sender.poll() else {
        panic!("nothing is said");
    };
    assert_eq!(receiver.handle(message), Ok(Event::Paused(true)));
    assert_eq!(sender.device(), "desktop");
    receiver.pause(false);
    sender.handle(receiver.poll_message().unwrap()).unwrap();
    assert!(matches!(sender.poll(), Action::Read { .. }));

    let (mut sender, mut receiver) = accepted(&offer, Abilities::default(), Abilities::default());
    receiver.pause(true);
    assert_eq!(receiver.poll_message(), None);
    sender.pause(true);
    assert!(matches!(sender.poll(), Action::Read { .. }));
}

#[test]
fn what_this_side_does_not_understand_is_a_fault() {
    let offer = offer_of(&[vec![0; 10]], None);
    let hole = |length| {
        Message::Hole(v1::TransferHole {
            entry: 0,
            offset: 0,
            length,
        })
    };
    let batch = |messages: Vec<Message>| {
        let messages = messages.into_iter().map(message::encode).collect();
        Message::Batch(v1::TransferBatch { messages })
    };
    let failed = Message::EntryFailed(v1::TransferEntryFailed::default());
    let end = || Message::End(v1::TransferEnd {});
    for (abilities, message) in [
        (Abilities::default(), hole(1)),
        (Abilities::default(), batch(vec![hole(1)])),
        (Abilities::default(), failed),
        (
            Abilities::default(),
            Message::Pause(v1::TransferPause { paused: true }),
        ),
        (Abilities::ALL, hole(0)),
        (Abilities::ALL, hole(11)),
        (Abilities::ALL, hole(u64::MAX)),
        (Abilities::ALL, batch(vec![])),
        (Abilities::ALL, batch(vec![end()])),
        (Abilities::ALL, batch(vec![hole(1)])),
        (Abilities::ALL, batch(vec![batch(vec![hole(1)])])),
    ] {
        let (_, mut receiver) = accepted(&offer, Abilities::ALL, abilities);
        let result = receiver.handle(message::encode(message.clone()));
        assert!(
            matches!(result, Err(Error::Peer(_))),
            "{message:?}: {result:?}"
        );
        assert!(receiver.is_over());
    }
}

#[test]
fn links_reach_a_side_that_stores_them_however_many_they_are() {
    let path = |names: &[&str]| SafePath::on(Names::Unix, names).unwrap();
    let folder = Entry {
        path: path(&["d"]),
        kind: Kind::Directory,
        size: None,
        modified: None,
        executable: false,
        mode: Some(0o700),
        data_bytes: None,
    };
    let link = |n: u32| Link::new(path(&["d", &format!("link-{n}")]), "target", None).unwrap();
    let mut listing = Listing {
        entries: vec![folder],
        links: (0..5_000).map(link).collect(),
        device: "laptop".to_owned(),
        ..Listing::default()
    };
    listing.left_out.push("d/x: a socket");
    listing.fit_links();
    let kept = listing.links.len();
    assert!(kept > 1_000, "{kept}");
    let id = TransferId::from_bytes([3; 16]);
    let offer = Offer::of(id, listing, &Limits::default()).unwrap();
    let (_, receiver) = accepted(&offer, Abilities::ALL, Abilities::ALL);
    let received = receiver.offer().unwrap();
    assert_eq!(received.links(), offer.links());
    assert_eq!(received.device(), "laptop");
    assert_eq!(
        received.left_out().count(),
        5_001 - u32::try_from(kept).unwrap()
    );
    let (_, receiver) = accepted(&offer, Abilities::ALL, Abilities::default());
    assert!(receiver.offer().unwrap().links().is_empty());
}

#[test]
fn names_that_this_side_cannot_store_are_reported() {
    let name = |name: &str| Entry {
        path: SafePath::on(Names::Unix, &["d", name]).unwrap(),
        kind: Kind::File,
        size: Some(0),
        modified: None,
        executable: false,
        mode: None,
        data_bytes: None,
    };
    let entries = vec![name("a:b"), name("plain")];
    let id = TransferId::of(&entries);
    let offer = Offer::new(id, entries, &Limits::default()).unwrap();
    for (names, stored_as) in [
        (Names::Unix, vec![]),
        (
            Names::Everywhere,
            vec![("d/a:b".to_owned(), "d/a_b".to_owned())],
        ),
    ] {
        let mut sender = Sender::with(offer.clone(), Abilities::ALL);
        let mut receiver = Receiver::with(Settings {
            names,
            ..settings(Abilities::default())
        });
        loop {
            match sender.poll() {
                Action::Send(message) => match receiver.handle(message).unwrap() {
                    Event::Offered => receiver.accept(HashMap::new()).unwrap(),
                    Event::Store => receiver.stored().unwrap(),
                    _ => {}
                },
                Action::Wait => sender.handle(receiver.poll_message().unwrap()).unwrap(),
                Action::Read { .. } => panic!("the files are empty"),
                Action::Finished => break,
            }
        }
        assert_eq!(sender.report().renamed(), stored_as);
    }
}
