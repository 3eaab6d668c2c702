//! Messages of a call, as HTTP/2 carries them.
//!
//! Laws: what comes in pieces is split as if it came at once. Messages are the bytes of the stream in their
//! order, none longer than the limit, and none behind a bad head.

use bytes::Bytes;
use peersox_codec::grpc::{BadHead, HEAD, Splitter};

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let max = usize::from(input.byte());
    let cut = 1 + usize::from(input.byte());
    let stream = input.rest();
    let whole = split(max, std::iter::once(stream));
    let pieces = split(max, stream.chunks(cut));
    assert_eq!(whole, pieces, "it matters how the stream is cut");

    let (messages, fault) = whole;
    let mut encoded = Vec::new();
    for message in &messages {
        let len = u32::try_from(message.len()).expect("no stream here is longer");
        encoded.push(0);
        encoded.extend_from_slice(&len.to_be_bytes());
        encoded.extend_from_slice(message);
    }
    let rest = stream.strip_prefix(&encoded[..]);
    let rest = rest.expect("the messages are the beginning of the stream");
    let head = rest.first_chunk::<HEAD>();
    let head = head.map(|&[flag, a, b, c, d]| (flag, u32::from_be_bytes([a, b, c, d]) as usize));
    match (fault, head) {
        (Some(BadHead::Compressed), Some((flag, _))) => assert_ne!(flag, 0),
        (Some(BadHead::TooLarge), Some((flag, len))) => assert!(flag == 0 && len > max),
        (None, Some((flag, len))) => {
            assert!(flag == 0 && len <= max, "a bad head was taken");
            assert!(rest.len() - HEAD < len, "a message was not told");
        }
        (None, None) => {}
        (Some(fault), None) => panic!("{fault} without a head"),
    }
}

/// The messages, and what was wrong with the head behind them.
fn split<'a>(max: usize, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<BadHead>) {
    let mut splitter = Splitter::new(max);
    let mut messages = Vec::new();
    for chunk in chunks {
        splitter.push(Bytes::copy_from_slice(chunk));
        loop {
            match splitter.split() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
    }
    (messages, None)
}
