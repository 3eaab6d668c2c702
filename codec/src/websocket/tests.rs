use std::io::{self, Cursor, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::WebSocket;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::*;

const MAX: usize = 70_000;

/// What both implementations tell.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    /// Of two faults at once each may tell another one.
    Fault,
    /// Theirs tells it by the first piece of a text already.
    NoText,
}

/// A client's frame.
fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let opcode = OpCode::from(first & 0x0f);
    let header = FrameHeader {
        is_final: first & 0x80 != 0,
        rsv1: false,
        rsv2: false,
        rsv3: false,
        opcode,
        mask: Some(mask),
    };
    let mut bytes = Vec::new();
    header.format(payload.len() as u64, &mut bytes).unwrap();
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Feeds chunks as a leg does: the rest of one read lies before the next. Answers what was decoded, the runs,
/// and how many messages came in pieces.
fn ours(chunks: &[Vec<u8>], max: usize) -> (Vec<Seen>, Vec<Run<Bytes>>, usize) {
    let mut decoder = Decoder::new(max);
    let (mut seen, mut sent, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let mut assembled = 0;
    for chunk in chunks {
        rest.extend_from_slice(chunk);
        let mut buffer = Buffer::new(&mut rest);
        let ended = loop {
            match decoder.next(&mut buffer) {
                Ok(None) => break false,
                Ok(Some(Token::Message(kind, at))) => {
                    seen.push(Seen::Message(kind, buffer.payload(&at).to_vec()));
                    buffer.keep();
                }
                Ok(Some(Token::Assembled(kind, bytes))) => {
                    seen.push(Seen::Message(kind, bytes.to_vec()));
                    assembled += 1;
                }
                Ok(Some(Token::Ping(payload))) => seen.push(Seen::Ping(payload.to_vec())),
                Ok(Some(Token::Pong)) => seen.push(Seen::Pong),
                Ok(Some(Token::Close(number))) => {
                    seen.push(Seen::Close(number));
                    break true;
                }
                Err(Fault::Utf8) => {
                    seen.push(Seen::NoText);
                    break true;
                }
                Err(_) => {
                    seen.push(Seen::Fault);
                    break true;
                }
            }
        };
        sent.push(buffer.take_run().copied());
        if ended {
            break;
        }
        rest = buffer.rest().to_vec();
    }
    (seen, sent, assembled)
}

/// Bytes that came, and nowhere to write to.
struct Came<'a>(Cursor<&'a [u8]>);

impl Read for Came<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Came<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of the same bytes.
fn theirs(bytes: &[u8], role: Role, max: usize) -> Vec<Seen> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(max))
        .max_frame_size(Some(max));
    let mut socket = WebSocket::from_raw_socket(Came(Cursor::new(bytes)), role, Some(config));
    let mut seen = Vec::new();
    loop {
        seen.push(match socket.read() {
            Ok(Message::Binary(bytes)) => Seen::Message(Kind::Binary, bytes.to_vec()),
            Ok(Message::Text(text)) => Seen::Message(Kind::Text, text.as_bytes().to_vec()),
            Ok(Message::Ping(payload)) => Seen::Ping(payload.to_vec()),
            Ok(Message::Pong(_)) => Seen::Pong,
            // What it makes of a malformed one.
            Ok(Message::Close(Some(close))) if close.reason.as_str() == "Protocol violation" => {
                seen.push(Seen::Fault);
                return seen;
            }
            Ok(Message::Close(close)) => {
                seen.push(Seen::Close(close.map(|close| close.code.into())));
                return seen;
            }
            Ok(Message::Frame(_)) => unreachable!("nobody reads frames"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return seen,
            Err(Error::Utf8(_)) => {
                seen.push(Seen::NoText);
                return seen;
            }
            Err(_) => {
                seen.push(Seen::Fault);
                return seen;
            }
        });
    }
}

fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes
            .next()
            .copied()
            .unwrap_or(rest.len())
            .clamp(1, rest.len());
        chunks.push(rest[..size].to_vec());
        rest = &rest[size..];
    }
    chunks
}

/// Sizes around every border of a head.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..200_usize,
        1 => 65_530..65_545_usize,
        1 => 60_000..MAX + 10,
    ]
}

/// A frame that a client may send, or one that is out of order or too large.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => Just(0x82_u8),
        1 => Just(0x81),
        1 => Just(0x02),
        2 => Just(0x00),
        2 => Just(0x80),
    ];
    let message = (first, size(), any::<[u8; 4]>(), any::<u8>())
        .prop_map(|(first, size, mask, fill)| frame(first, &vec![fill & 0x7f; size], mask));
    let control = (
        prop_oneof![Just(0x89_u8), Just(0x8a)],
        vec(any::<u8>(), 0..126),
        any::<[u8; 4]>(),
    )
        .prop_map(|(first, payload, mask)| frame(first, &payload, mask));
    prop_oneof![5 => message, 1 => control]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_clients_send_and_however_it_is_cut_is_what_another_implementation_reads(
        frames in vec(sent(), 0..12),
        sizes in vec(1..30_000_usize, 0..4),
    ) {
        let bytes = frames.concat();
        let (seen, sent, assembled) = ours(&cut(&bytes, &sizes), MAX);
        prop_assert_eq!(&seen, &theirs(&bytes, Role::Server, MAX));

        // Runs hold the messages that came in one piece, as a server sends them.
        let bytes: Vec<_> = sent.iter().flat_map(|run| run.bytes()).copied().collect();
        let mut read = Vec::new();
        for message in theirs(&bytes, Role::Client, MAX) {
            let Seen::Message(_, payload) = &message else {
                panic!("{message:?} in a run");
            };
            read.push(payload.clone());
            prop_assert!(seen.contains(&message));
        }
        let all = seen.iter().filter(|it| matches!(it, Seen::Message(..))).count();
        prop_assert_eq!(all - assembled, read.len());
        prop_assert_eq!(sent.iter().map(Run::frames).sum::<usize>(), read.len());
        prop_assert_eq!(sent.iter().map(Run::payload).sum::<usize>(), read.concat().len());
        let apart: Vec<_> = sent.into_iter().flat_map(Run::into_frames).collect();
        prop_assert_eq!(apart, read);
    }

    #[test]
    fn a_run_is_cut_between_messages(
        sizes in vec(size(), 0..10),
        at in any::<prop::sample::Index>(),
    ) {
        let mut out = BytesMut::new();
        for size in &sizes {
            put_message(&mut out, &vec![7; *size]);
        }
        let run = Run {
            heads: Heads::WebSocket,
            bytes: &*out,
            frames: sizes.len(),
            payload: sizes.iter().sum(),
        };
        let at = at.index(out.len() + 1);
        let (first, rest) = run.split(at);
        prop_assert!(first.bytes().len() >= at);
        prop_assert_eq!([first.bytes(), rest.bytes()].concat(), &*out);
        let payloads = |run: Run<&[u8]>| -> Vec<_> {
            let payloads: Vec<_> = run.copied().into_frames().collect();
            assert_eq!(payloads.len(), run.frames());
            assert_eq!(payloads.concat().len(), run.payload());
            payloads.iter().map(Bytes::len).collect()
        };
        let len = first.bytes().len();
        let (first, rest) = (payloads(first), payloads(rest));
        // No message more than it takes.
        prop_assert!(first.last().is_none_or(|last| len - last < at + 10));
        prop_assert_eq!([first, rest].concat(), sizes);
    }

    #[test]
    fn bytes_that_were_changed_are_judged_alike(
        frames in vec(sent(), 1..4),
        at in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = frames.concat();
        for (at, byte) in at {
            // Most of it is payload; what is worth a change is a head.
            let near = at.index(bytes.len()).min(at.index(40));
            bytes[near] = byte;
        }
        are_judged_alike(&bytes);
    }

    #[test]
    fn garbage_never_panics(chunks in vec(vec(any::<u8>(), 0..50), 0..20)) {
        ours(&chunks, 50);
    }
}

/// Panics unless both read the same, as far as they have to.
fn are_judged_alike(bytes: &[u8]) {
    let (mut seen, ..) = ours(&cut(bytes, &[]), MAX);
    let mut theirs = theirs(bytes, Role::Server, MAX);
    // Ours needs only the first two bytes of a head.
    let at_fault = |seen: &[Seen]| matches!(seen.last(), Some(Seen::Fault));
    assert!(at_fault(&seen) || !at_fault(&theirs));
    // Theirs finds out by a piece that a text is none, ours by the whole; controls may come in between.
    let is_no_text = matches!(theirs.last(), Some(Seen::NoText));
    for seen in [&mut seen, &mut theirs] {
        seen.retain(|it| !matches!(it, Seen::Fault | Seen::NoText));
    }
    if is_no_text {
        let rest = seen.split_off(theirs.len().min(seen.len()));
        assert!(
            !rest.iter().any(|it| matches!(it, Seen::Message(..))),
            "{rest:?}"
        );
    }
    assert_eq!(seen, theirs);
}

#[test]
fn a_ping_after_a_piece_that_is_no_text_is_answered_or_not() {
    let mut piece = frame(0x01, &[0x80], [0; 4]);
    piece.extend(frame(0x89, b"", [0; 4]));
    are_judged_alike(&piece);
}

const MASK: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

fn fault(bytes: &[u8]) -> Option<Fault> {
    let mut decoder = Decoder::new(1000);
    let mut bytes = bytes.to_vec();
    let mut buffer = Buffer::new(&mut bytes);
    loop {
        match decoder.next(&mut buffer) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(fault) => return Some(fault),
        }
    }
}

#[test]
fn what_clients_must_not_send_has_a_name() {
    let close = |payload: &[u8]| frame(0x88, payload, MASK);
    let rows = [
        (frame(0x82, &[7; 1000], MASK), None),
        // The head is enough.
        (
            frame(0x82, &[7; 1001], MASK)[..8].to_vec(),
            Some(Fault::TooLarge),
        ),
        (
            vec![0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
            Some(Fault::TooLarge),
        ),
        (
            [frame(0x02, &[7; 600], MASK), frame(0x80, &[7; 401], MASK)].concat(),
            Some(Fault::TooLarge),
        ),
        (vec![0xc2, 0x80], Some(Fault::Reserved)),
        (vec![0x83, 0x80], Some(Fault::Opcode(3))),
        (vec![0x82, 0x05], Some(Fault::Unmasked)),
        (frame(0x09, b"", MASK), Some(Fault::Control)),
        (frame(0x89, &[0; 126], MASK), Some(Fault::Control)),
        (frame(0x80, b"", MASK), Some(Fault::OutOfOrder)),
        (
            [frame(0x02, b"", MASK), frame(0x82, b"", MASK)].concat(),
            Some(Fault::OutOfOrder),
        ),
        (frame(0x02, b"", MASK), None),
        (frame(0x81, b"\xff", MASK), Some(Fault::Utf8)),
        (
            [frame(0x01, b"\xc3", MASK), frame(0x80, b"\x28", MASK)].concat(),
            Some(Fault::Utf8),
        ),
        (
            [frame(0x01, b"\xc3", MASK), frame(0x80, b"\xa4", MASK)].concat(),
            None,
        ),
        (close(b""), None),
        (close(&4000_u16.to_be_bytes()), None),
        (close(&[3]), Some(Fault::Close)),
        (close(&1005_u16.to_be_bytes()), Some(Fault::Close)),
        (close(&999_u16.to_be_bytes()), Some(Fault::Close)),
        (close(&[0x03, 0xe8, 0xff]), Some(Fault::Close)),
    ];
    for (bytes, expected) in rows {
        assert_eq!(
            fault(&bytes),
            expected,
            "{:x?}",
            &bytes[..bytes.len().min(20)]
        );
    }
}

#[test]
fn an_endless_row_of_empty_pieces_ends() {
    let mut bytes = frame(0x02, b"", MASK);
    bytes.extend(frame(0x00, b"", MASK).repeat(10_000));
    assert_eq!(fault(&bytes), Some(Fault::Pieces));
    // Whole messages and control frames are no pieces.
    let mut bytes = frame(0x82, b"", MASK).repeat(10_000);
    bytes.extend(frame(0x89, b"", MASK).repeat(10_000));
    assert_eq!(fault(&bytes), None);
}

#[test]
fn the_first_message_of_a_run_is_not_moved_and_the_next_ones_follow_it() {
    let mut bytes = [
        frame(0x82, &[1; 200], MASK),
        frame(0x82, &[2; 10], MASK),
        frame(0x82, &[3; 10], MASK),
        vec![0x82],
    ]
    .concat();
    let mut decoder = Decoder::new(1000);
    let mut buffer = Buffer::new(&mut bytes);
    // The second one is not kept, so the third one takes its place.
    for (at, kept) in [(8..208, true), (210..220, false), (210..220, true)] {
        let token = decoder.next(&mut buffer);
        assert_eq!(token, Ok(Some(Token::Message(Kind::Binary, at))));
        if kept {
            buffer.keep();
        }
    }
    let run = buffer.take_run();
    assert_eq!((run.frames(), run.payload()), (2, 210));
    assert_eq!(run.bytes()[..4], [0x82, 126, 0, 200]);
    assert_eq!(
        run.bytes()[4 + 200..],
        [0x82, 10, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    );
    assert!(buffer.take_run().is_empty());
    assert_eq!(buffer.rest(), [0x82]);
    assert_eq!(decoder.next(&mut buffer), Ok(None));
}

#[test]
fn what_is_missing_of_a_frame_is_known_from_its_head() {
    let bytes = frame(0x82, &[1; 300], MASK);
    for (have, missing) in [(0, 1), (1, 1), (7, 1), (8, 300), (300, 8), (308, 0)] {
        assert_eq!(Decoder::missing(&bytes[..have]), missing, "{have}");
    }
    assert_eq!(Decoder::missing(&[0xff, 0x80]), 0);
}

#[test]
fn what_a_server_sends_is_what_clients_read() {
    let mut out = BytesMut::new();
    let sizes = [0, 1, 125, 126, 65_535, 65_536];
    for size in sizes {
        put_message(&mut out, &vec![9; size]);
    }
    put_ping(&mut out);
    put_pong(&mut out, &[1; MAX_CONTROL]);
    put_close(&mut out, Some((4004, &"ä".repeat(100))));
    let mut expected: Vec<_> = sizes
        .iter()
        .map(|size| Seen::Message(Kind::Binary, vec![9; *size]))
        .collect();
    expected.extend([Seen::Ping(Vec::new()), Seen::Pong, Seen::Close(Some(4004))]);
    assert_eq!(theirs(&out, Role::Client, MAX), expected);
    let mut out = BytesMut::new();
    put_close(&mut out, None);
    assert_eq!(theirs(&out, Role::Client, MAX), [Seen::Close(None)]);
}
