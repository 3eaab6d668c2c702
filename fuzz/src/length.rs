//! Frames behind their length, as QUIC carries them.
//!
//! Laws: what comes in pieces is split as if it came at once. Frames are the bytes of the stream in their
//! order, none longer than the limit; a run holds frames of one kind, and no more than there is room for.

use bytes::Bytes;
use peersox_codec::length::{PREFIX, Piece, Splitter};

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let max = usize::from(input.byte());
    let joined = input.byte();
    let room = 4 * usize::from(input.byte());
    let cut = 1 + usize::from(input.byte());
    let stream = input.rest();
    let splitter = || Splitter::new(max, joined);
    let whole = split(splitter(), std::iter::once(stream), max, joined, room);
    let pieces = split(splitter(), stream.chunks(cut), max, joined, room);
    assert_eq!(whole, pieces, "it matters how the stream is cut");

    let (frames, faulty) = whole;
    let mut encoded = Vec::new();
    for frame in &frames {
        let len = u32::try_from(frame.len()).expect("no stream here is longer");
        encoded.extend_from_slice(&len.to_be_bytes());
        encoded.extend_from_slice(frame);
    }
    let rest = stream.strip_prefix(&encoded[..]);
    let rest = rest.expect("the frames are the beginning of the stream");
    let len = rest
        .first_chunk()
        .map(|len| u32::from_be_bytes(*len) as usize);
    assert_eq!(faulty, len.is_some_and(|len| len > max));
    let is_whole = len.is_some_and(|len| rest.len() - PREFIX >= len);
    assert!(faulty || !is_whole, "a frame was not told");
}

/// The frames, and whether a length was too large.
fn split<'a>(
    mut splitter: Splitter,
    chunks: impl Iterator<Item = &'a [u8]>,
    max: usize,
    joined: u8,
    room: usize,
) -> (Vec<Bytes>, bool) {
    let mut frames = Vec::new();
    for chunk in chunks {
        splitter.push(Bytes::copy_from_slice(chunk));
        loop {
            match splitter.split(room) {
                Ok(Some(Piece::Frame(frame))) => frames.push(frame),
                Ok(Some(Piece::Run(run))) => {
                    assert!(run.bytes().len() <= room && !run.is_empty());
                    let (count, payload) = (run.frames(), run.payload());
                    let those: Vec<_> = run.into_frames().collect();
                    assert_eq!((those.len(), those.concat().len()), (count, payload));
                    assert!(those.iter().all(|it| it.first() == Some(&joined)));
                    frames.extend(those);
                }
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    assert!(frames.iter().all(|frame| frame.len() <= max));
    (frames, false)
}
