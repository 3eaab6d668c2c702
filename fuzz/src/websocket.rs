//! The WebSocket decoder.
//!
//! Laws: what comes in pieces is decoded as if it came at once. No message is longer than the limit, and no
//! more than one frame waits for its end. A run holds exactly the messages that were kept, as a server's
//! encoder writes them.

use bytes::BytesMut;
use peersox_codec::websocket::{
    Buffer, Decoder, Fault, Kind, MAX_CONTROL, Token, largest_frame, put_message, put_text,
};

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let max = 8 * usize::from(input.byte());
    let cut = 1 + usize::from(input.byte());
    let stream = input.rest();
    let whole = decode(std::iter::once(stream), max);
    let pieces = decode(stream.chunks(cut), max);
    assert_eq!(whole, pieces, "it matters how the stream is cut");
}

/// What a decoder told of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    seen: Vec<Seen>,
    /// The bytes of all runs.
    sent: Vec<u8>,
    fault: Option<Fault>,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>, max: usize) -> Told {
    let mut decoder = Decoder::new(max);
    let mut told = Told::default();
    // What the runs have to hold.
    let mut expected = BytesMut::new();
    let mut rest = Vec::new();
    for chunk in chunks {
        rest.extend_from_slice(chunk);
        let mut buffer = Buffer::new(&mut rest);
        let mut ended = false;
        let (mut frames, mut payload) = (0, 0);
        while !ended {
            let token = match decoder.next(&mut buffer) {
                Ok(Some(token)) => token,
                Ok(None) => break,
                Err(fault) => {
                    told.fault = Some(fault);
                    ended = true;
                    continue;
                }
            };
            told.seen.push(match token {
                Token::Message(kind, at) => {
                    let message = buffer.payload(&at).to_vec();
                    match kind {
                        Kind::Binary => put_message(&mut expected, &message),
                        Kind::Text => put_text(&mut expected, &message),
                    }
                    buffer.keep();
                    frames += 1;
                    payload += message.len();
                    Seen::Message(kind, message)
                }
                Token::Assembled(kind, bytes) => Seen::Message(kind, bytes.to_vec()),
                Token::Ping(payload) => Seen::Ping(payload.to_vec()),
                Token::Pong => Seen::Pong,
                Token::Close(number) => {
                    ended = true;
                    Seen::Close(number)
                }
            });
            match told.seen.last() {
                Some(Seen::Message(_, message)) => assert!(message.len() <= max),
                Some(Seen::Ping(payload)) => assert!(payload.len() <= MAX_CONTROL),
                _ => {}
            }
        }
        let run = buffer.take_run();
        assert_eq!((run.frames(), run.payload()), (frames, payload));
        assert_eq!(run.slices().count(), frames);
        assert_eq!(run.slices().map(<[u8]>::len).sum::<usize>(), payload);
        let (first, second) = run.split(usize::from(chunk.first().copied().unwrap_or(0)));
        assert_eq!([first.bytes(), second.bytes()].concat(), run.bytes());
        assert_eq!(first.slices().chain(second.slices()).count(), frames);
        told.sent.extend_from_slice(run.bytes());
        if ended {
            break;
        }
        let missing = Decoder::missing(buffer.rest());
        assert!(missing > 0, "a frame is whole and was not told");
        assert!(buffer.rest().len() + missing <= largest_frame(max));
        rest = buffer.rest().to_vec();
    }
    assert_eq!(told.sent, expected, "a run holds something else");
    told
}
