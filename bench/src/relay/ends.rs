//! The two ends of a pair, whatever the relay between them.

use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::wire::{RELIABLE, Wire};

/// Two peers that a relay connects.
pub(crate) struct Pair {
    pub(crate) one: End,
    pub(crate) two: End,
}

/// What a peer sends by and receives by.
pub(crate) struct End {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

pub(crate) struct Sender {
    wire: Wire,
    stream: Pin<Box<dyn AsyncWrite>>,
    /// What has to live as long: a connection of QUIC.
    _keep: Box<dyn Any>,
}

pub(crate) struct Receiver {
    wire: Wire,
    stream: Pin<Box<dyn AsyncRead>>,
    /// The beginning of something whose end has not come.
    cut: Vec<u8>,
    /// Bytes to come of a frame that is only counted, and whether it counts.
    skip: usize,
    skipped_counts: bool,
}

/// What is done with frames that come.
enum Take<'a> {
    Count,
    Each(&'a mut dyn FnMut(&[u8])),
}

impl End {
    pub(crate) fn new(
        wire: Wire,
        from: impl AsyncRead + 'static,
        to: impl AsyncWrite + 'static,
        keep: impl Any,
    ) -> Self {
        Self {
            sender: Sender {
                wire,
                stream: Box::pin(to),
                _keep: Box::new(keep),
            },
            receiver: Receiver {
                wire,
                stream: Box::pin(from),
                cut: Vec::new(),
                skip: 0,
                skipped_counts: false,
            },
        }
    }
}

impl Sender {
    /// Appends what carries this frame.
    pub(crate) fn put(&self, frame: &[u8], out: &mut Vec<u8>) {
        self.wire.put(frame, out);
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Writes what can be written at once, and takes it out of `bytes`.
    pub(crate) fn write_now(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        while !bytes.is_empty() {
            match self.stream.as_mut().poll_write(&mut nobody, bytes) {
                Poll::Ready(written) => drop(bytes.drain(..written?)),
                Poll::Pending => break,
            }
        }
        match self.stream.as_mut().poll_flush(&mut nobody) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }
}

impl Receiver {
    /// Waits for frames of the other peer, and tells how many came.
    pub(crate) async fn count(&mut self) -> io::Result<usize> {
        poll_fn(|context| self.poll(context, &mut Take::Count)).await
    }

    /// Waits for frames of the other peer, and hands out each.
    pub(crate) async fn each(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<usize> {
        poll_fn(|context| self.poll(context, &mut Take::Each(&mut each))).await
    }

    fn poll(&mut self, context: &mut Context<'_>, take: &mut Take<'_>) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            loop {
                let cut = self.cut.len();
                let mut room = ReadBuf::new(&mut buffer[cut..]);
                ready!(self.stream.as_mut().poll_read(context, &mut room))?;
                let read = room.filled().len();
                if read == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                buffer[..cut].copy_from_slice(&self.cut);
                self.cut.clear();
                let frames = self.take(&buffer[..cut + read], take)?;
                if frames > 0 {
                    return Poll::Ready(Ok(frames));
                }
            }
        })
    }

    /// Takes all that is whole; where frames are only counted, their ends may come later.
    fn take(&mut self, mut bytes: &[u8], take: &mut Take<'_>) -> io::Result<usize> {
        let mut frames = 0;
        loop {
            if self.skip > 0 {
                let there = self.skip.min(bytes.len());
                bytes = &bytes[there..];
                self.skip -= there;
                if self.skip > 0 {
                    return Ok(frames);
                }
                frames += usize::from(self.skipped_counts);
            }
            if bytes.is_empty() {
                return Ok(frames);
            }
            let Some(head) = self.wire.head(bytes)? else {
                self.cut.extend_from_slice(bytes);
                return Ok(frames);
            };
            let whole = head.size + head.len;
            match take {
                Take::Count => {
                    self.skip = whole;
                    self.skipped_counts = head.from_peer;
                }
                Take::Each(each) => {
                    let Some((frame, rest)) = bytes.split_at_checked(whole) else {
                        self.cut.extend_from_slice(bytes);
                        return Ok(frames);
                    };
                    if head.from_peer {
                        each(&frame[head.size..]);
                        frames += 1;
                    }
                    bytes = rest;
                }
            }
        }
    }
}

/// A frame of this many bytes, its lane included.
pub(crate) fn frame(size: usize) -> Vec<u8> {
    let mut frame = vec![0x5a; size];
    frame[0] = RELIABLE;
    frame
}

thread_local! {
    /// What all ends read into: more than a whole frame, and more than the kernel hands out at once.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 384 * 1024]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames and notices in turns, in pieces of each size, are counted and handed out alike.
    #[tokio::test]
    async fn frames_are_found_wherever_they_are_cut() {
        for wire in [Wire::Length, Wire::Message] {
            for (piece, last) in [
                (1, 300),
                (3, 300),
                (10, 1_000),
                (777, 65_536),
                (1 << 20, 65_536),
            ] {
                let lens = [1, 64, 125, 126, 127, 256, 2, last];
                let lane = |at: usize| u8::from(!at.is_multiple_of(3));
                let mut sent = Vec::new();
                for (at, len) in lens.iter().enumerate() {
                    let mut frame = frame(*len);
                    frame[0] = lane(at);
                    server_puts(wire, &frame, &mut sent);
                }
                let expected: Vec<usize> = (0..8)
                    .filter(|at| lane(*at) == 1)
                    .map(|at| lens[at])
                    .collect();
                for counted in [true, false] {
                    let mut end =
                        End::new(wire, Pieces(sent.clone(), 0, piece), tokio::io::sink(), ());
                    let (mut lens, mut count) = (Vec::new(), 0);
                    while let Ok(came) = match counted {
                        true => end.receiver.count().await,
                        false => end.receiver.each(|frame| lens.push(frame.len())).await,
                    } {
                        count += came;
                    }
                    assert_eq!(count, expected.len(), "{wire:?} in pieces of {piece}");
                    assert!(counted || lens == expected, "{wire:?} in pieces of {piece}");
                }
            }
        }
    }

    /// A server does not mask.
    fn server_puts(wire: Wire, frame: &[u8], out: &mut Vec<u8>) {
        let eight = (frame.len() as u64).to_be_bytes();
        let head = match (wire, frame.len()) {
            (Wire::Length, _) => eight[4..].to_vec(),
            (Wire::Message, 0..126) => vec![0x82, eight[7]],
            (Wire::Message, 126..65_536) => [&[0x82, 126], &eight[6..]].concat(),
            (Wire::Message, _) => [&[0x82, 127], &eight[..]].concat(),
        };
        out.extend(head);
        out.extend_from_slice(frame);
    }

    /// Bytes, how many of them were handed out, and how many are at a time.
    struct Pieces(Vec<u8>, usize, usize);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let rest = &self.0[self.1..];
            let len = rest.len().min(self.2).min(room.remaining());
            room.put_slice(&rest[..len]);
            self.1 += len;
            Poll::Ready(Ok(()))
        }
    }
}
