//! What the other side may not do.

use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;

use super::super::message;
use super::*;

const SIZE: usize = 100;

fn chunk(entry: u32, offset: u64, data: &[u8]) -> Message {
    Message::Chunk(v1::TransferChunk {
        entry,
        offset,
        data: Bytes::copy_from_slice(data),
    })
}

fn end_of(entry: u32, hash: &[u8]) -> Message {
    Message::EntryEnd(v1::TransferEntryEnd {
        entry,
        hash: Bytes::copy_from_slice(hash),
    })
}

/// A receiver that has accepted two files of [`SIZE`] bytes and one of unknown size.
fn receiver(limits: Limits) -> Receiver {
    let files = vec![vec![1; SIZE], vec![2; SIZE], vec![]];
    let mut sender = Sender::new(offer_of(&files, Some(2)));
    let mut receiver = Receiver::new(limits);
    let Action::Send(offer) = sender.poll() else {
        panic!("no offer");
    };
    receiver.handle(offer).unwrap();
    receiver.accept(HashMap::new()).unwrap();
    receiver.poll_message().unwrap();
    receiver
}

#[test]
fn a_receiver_takes_only_what_fits() {
    use ChunkFault::*;
    let rows: [(Vec<Message>, ChunkFault); 9] = [
        (vec![chunk(0, 0, &[1; SIZE + 1])], BeyondSize),
        (
            vec![chunk(0, 0, &[1; 60]), chunk(0, 60, &[1; 41])],
            BeyondSize,
        ),
        (vec![chunk(0, 1, &[1; 1])], Gap),
        (vec![chunk(0, 0, &[1; 2]), chunk(0, 0, &[1; 2])], Gap),
        (vec![chunk(0, 0, &[1; 2]), chunk(0, u64::MAX, &[1; 2])], Gap),
        (vec![chunk(0, 0, &[])], Length),
        (vec![chunk(1, 0, &[1; 2])], WrongEntry),
        (vec![chunk(0, 0, &[1; 99]), end_of(0, &[0; 32])], TooShort),
        (vec![chunk(0, 0, &[1; SIZE]), end_of(0, &[0; 31])], Hash),
    ];
    for (messages, fault) in rows {
        let mut receiver = receiver(Limits::default());
        let mut last = Ok(Event::Nothing);
        for message in messages {
            last = receiver.handle(message::encode(message));
        }
        let Err(Error::Peer(Fault::Chunk { fault: found, .. })) = last else {
            panic!("{fault:?} passed as {last:?}");
        };
        assert_eq!(found, fault);
        assert!(receiver.is_over() && receiver.poll_message().is_some());
    }
}

#[test]
fn a_wrong_hash_is_noticed() {
    let mut receiver = receiver(Limits::default());
    receiver
        .handle(message::encode(chunk(0, 0, &[1; SIZE])))
        .unwrap();
    let hash = blake3::hash(&[2; SIZE]);
    let result = receiver.handle(message::encode(end_of(0, hash.as_bytes())));
    assert_eq!(result, Err(Error::Mismatch { entry: 0 }));
}

#[test]
fn files_of_unknown_size_have_a_limit_too() {
    let mut receiver = receiver(Limits {
        total_bytes: 250,
        ..Limits::default()
    });
    for (entry, byte) in [(0, 1), (1, 2)] {
        receiver
            .handle(message::encode(chunk(entry, 0, &[byte; SIZE])))
            .unwrap();
        let hash = blake3::hash(&[byte; SIZE]);
        receiver
            .handle(message::encode(end_of(entry, hash.as_bytes())))
            .unwrap();
    }
    receiver
        .handle(message::encode(chunk(2, 0, &[3; 50])))
        .unwrap();
    let beyond = receiver.handle(message::encode(chunk(2, 50, &[3; 1])));
    let fault = ChunkFault::BeyondSize;
    assert_eq!(beyond, Err(Error::Peer(Fault::Chunk { entry: 2, fault })));
}

#[test]
fn messages_out_of_turn_are_faults() {
    let end = || Message::End(v1::TransferEnd {});
    let done = || Message::Done(v1::TransferDone::default());
    for message in [end(), done(), Message::Accept(Default::default())] {
        let result = receiver(Limits::default()).handle(message::encode(message));
        assert!(
            matches!(result, Err(Error::Peer(Fault::OutOfTurn(_)))),
            "{result:?}"
        );
    }
    for message in [end(), done(), chunk(0, 0, &[1])] {
        let mut sender = Sender::new(offer_of(&[vec![1]], None));
        let result = sender.handle(message::encode(message));
        assert!(
            matches!(result, Err(Error::Peer(Fault::OutOfTurn(_)))),
            "{result:?}"
        );
    }
    for bytes in [&[][..], &[0xff; 9], &[0x7a, 0x00]] {
        let result = receiver(Limits::default()).handle(Bytes::from_static(bytes));
        let fault =
            |error: Error| matches!(error, Error::Peer(Fault::Malformed | Fault::UnknownKind));
        assert!(result.is_err_and(fault));
    }
    let long = Bytes::from(vec![0; MAX_MESSAGE_BYTES + 1]);
    let result = receiver(Limits::default()).handle(long);
    assert!(matches!(result, Err(Error::Peer(Fault::MessageTooLong(_)))));
}

#[test]
fn answers_must_fit_the_offer() {
    use AcceptFault::*;
    let resume = |entry, offset, hash: &'static [u8]| v1::TransferResume {
        entry,
        offset,
        hash: Bytes::from_static(hash),
    };
    let answer = |resumes, skipped| v1::TransferAccept {
        resumes,
        skipped,
        ..v1::TransferAccept::default()
    };
    for (accept, fault) in [
        (answer(vec![resume(0, 0, &[0; 32])], vec![]), Offset),
        (answer(vec![resume(0, 11, &[0; 32])], vec![]), Offset),
        (answer(vec![resume(1, 1, &[0; 32])], vec![]), Offset),
        (answer(vec![resume(0, 1, &[0; 31])], vec![]), Hash),
        (answer(vec![resume(0, 1, &[0; 32])], vec![0]), Twice),
        (answer(vec![], vec![0, 0]), Twice),
        (answer(vec![], vec![2]), NoSuchFile),
        (answer(vec![], vec![u32::MAX]), NoSuchFile),
    ] {
        let mut sender = Sender::new(offer_of(&[vec![1; 10], vec![]], Some(1)));
        let early = message::encode(Message::Accept(accept.clone()));
        let before = Sender::new(sender.offer().clone()).handle(early);
        let out_of_turn = matches!(before, Err(Error::Peer(Fault::OutOfTurn(_))));
        assert!(out_of_turn, "an answer before the offer: {before:?}");
        while let Action::Send(_) = sender.poll() {}
        let result = sender.handle(message::encode(Message::Accept(accept)));
        let Err(Error::Peer(Fault::Accept { fault: found, .. })) = result else {
            panic!("{fault:?} passed as {result:?}");
        };
        assert_eq!(found, fault);
    }
}

#[test]
fn bad_offers_are_declined() {
    let entry = |path: &[&str]| v1::TransferEntry {
        path: path.iter().map(|&name| name.to_owned()).collect(),
        kind: v1::TransferEntryKind::File.into(),
        size: Some(1),
        ..v1::TransferEntry::default()
    };
    let part = |entries, more| {
        message::encode(Message::Offer(v1::TransferOffer {
            transfer_id: Bytes::from_static(&[0; 16]),
            entries,
            more,
            ..v1::TransferOffer::default()
        }))
    };
    let sender = || Sender::new(offer_of(&[vec![1]], None));

    for (path, reason) in [
        (vec!["..", "a"], DeclineReason::Names),
        (vec!["", "etc", "passwd"], DeclineReason::Names),
    ] {
        let mut receiver = Receiver::new(Limits::default());
        let result = receiver.handle(part(vec![entry(&path)], false));
        assert!(
            matches!(result, Err(Error::Peer(Fault::Offer(_)))),
            "{result:?}"
        );
        let told = sender().handle(receiver.poll_message().unwrap());
        assert!(matches!(told, Err(Error::Declined { reason: found, .. }) if found == reason));
    }

    let mut receiver = Receiver::new(Limits {
        entries: 2,
        ..Limits::default()
    });
    assert_eq!(
        receiver.handle(part(vec![entry(&["a"])], true)),
        Ok(Event::Nothing)
    );
    let result = receiver.handle(part(vec![entry(&["b"]), entry(&["c"])], true));
    assert_eq!(
        result,
        Err(Error::Peer(Fault::Offer(OfferError::TooMany(2))))
    );

    let mut receiver = Receiver::new(Limits::default());
    let result = receiver.handle(part(vec![], true));
    assert_eq!(result, Err(Error::Peer(Fault::BadPart)));
}

/// Messages near the valid ones, so that random sequences get somewhere.
fn any_message() -> impl Strategy<Value = Message> {
    let offset = prop_oneof![Just(0), Just(50), 0..220_u64, any::<u64>()];
    let len = prop_oneof![Just(50_usize), Just(100), 0..120_usize];
    let hash = prop_oneof![
        (0..4_u8).prop_map(|byte| blake3::hash(&[byte; SIZE]).as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop_oneof![
        8 => (0..4_u32, offset, len).prop_map(|(entry, offset, len)| {
            chunk(entry, offset, &vec![u8::try_from(entry).unwrap() + 1; len])
        }),
        4 => (0..4_u32, hash).prop_map(|(entry, hash)| end_of(entry, &hash)),
        1 => Just(Message::End(v1::TransferEnd {})),
    ]
}

proptest! {
    /// `Disk::obey` holds each event against the offer: within its size, no gap, once.
    #[test]
    fn no_sequence_of_messages_writes_outside_a_file(
        messages in prop::collection::vec(any_message(), 0..12),
    ) {
        let mut receiver = receiver(Limits::default());
        let (mut disk, mut fresh) = (Disk::default(), HashSet::new());
        for message in messages {
            match receiver.handle(message::encode(message)) {
                Ok(event) => disk.obey(event, receiver.offer(), &mut fresh),
                Err(_) => prop_assert!(receiver.is_over()),
            }
        }
    }

    #[test]
    fn garbage_is_an_error_on_both_sides(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = Receiver::new(Limits::default()).handle(bytes.clone());
        let _ = receiver(Limits::default()).handle(bytes.clone());
        let _ = Sender::new(offer_of(&[vec![1; 10]], None)).handle(bytes);
    }

    /// One message is flipped or cut on its way. What is finished is what was sent all the same.
    #[test]
    fn a_garbled_message_never_spoils_a_finished_file(
        files in files(),
        number in 1..30_usize,
        at in any::<u16>(),
        bit in prop::option::of(0..8_u32),
    ) {
        let offer = offer_of(&files, None);
        let garble = |delivered: usize, message: Bytes| {
            if delivered != number || message.is_empty() {
                return message;
            }
            let at = usize::from(at) % message.len();
            match bit {
                Some(bit) => {
                    let mut bytes = message.to_vec();
                    bytes[at] ^= 1 << bit;
                    bytes.into()
                }
                None => message.slice(..at),
            }
        };
        let mut disk = Disk::default();
        Attempt { files: &files, step: 64, dies_after: usize::MAX, garble: &garble }
            .run(&offer, &mut disk);
        for number in disk.finished {
            prop_assert_eq!(&disk.files[&number], &files[number as usize]);
        }
    }
}
