//! What is read of a WebSocket leg, and decoded where it lies.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use peersox_codec::websocket::{Buffer, Decoder, Fault, Kind, Token, largest_frame};
use peersox_core::close::CloseReason;
use peersox_core::frame::Lane;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::leg::socket::Socket;
use crate::leg::{Came, Ending, Item};

pub(super) struct Source {
    decoder: Decoder,
    /// The largest frame of a client.
    largest: usize,
    /// The beginning of a frame, as it came.
    rest: BytesMut,
    /// `rest` may hold more than that: look at it before more is read.
    unseen: bool,
    /// How the leg ended. It is told once all that came before has been passed on.
    ended: Option<Ending>,
    /// The close frame of the peer, with its number, which is to be answered.
    pub(super) closed: Option<Option<u16>>,
    /// The payload of the latest Ping that is not answered. The answer to an older one may be left out
    /// (RFC 6455, section 5.5.3).
    pub(super) ping: Option<Bytes>,
}

/// Where the bytes are that were read.
enum Filled {
    /// So many in the shared memory.
    Scratch(usize),
    /// In [`Source::rest`].
    Rest,
    /// In [`Source::rest`], where more has to come.
    Nothing,
    /// The socket has ended.
    End,
}

impl Source {
    /// `came` was read already.
    pub(super) fn new(max_frame: usize, came: &[u8]) -> Self {
        Self {
            decoder: Decoder::new(max_frame),
            largest: largest_frame(max_frame),
            rest: BytesMut::from(came),
            unseen: false,
            ended: None,
            closed: None,
            ping: None,
        }
    }

    /// Whether the peer is known to have left for good, though not all that it sent is passed on.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.ended, Some(Ending::Done | Ending::Moved))
    }

    /// The next message alone: what comes before frames are passed on.
    pub(super) fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<Result<Item, Ending>> {
        loop {
            if let Some(ending) = self.ended {
                return Poll::Ready(Err(ending));
            }
            let mut rest = std::mem::take(&mut self.rest);
            let mut buffer = Buffer::new(&mut rest);
            let token = self.decoder.next(&mut buffer);
            let token = token.map(|token| token.map(|token| self.item(token, &buffer)));
            let left = buffer.rest().len();
            rest.advance(rest.len() - left);
            self.rest = rest;
            match token {
                Ok(Some(item)) => {
                    self.unseen = true;
                    return Poll::Ready(item);
                }
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(ending(fault))),
            }
            self.rest.reserve(FIRST_READ);
            let mut room = (&mut self.rest).limit(FIRST_READ);
            match ready!(poll_read_buf(Pin::new(&mut *socket), cx, &mut room)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => self.ended = Some(Ending::Gone),
            }
        }
    }

    /// Reads once, and hands on what is whole then: at most `room` bytes, which is no less than the largest
    /// frame has. An error of `take` ends the leg.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        room: usize,
        take: &mut impl FnMut(&mut Context<'_>, Came<'_>) -> Result<(), Ending>,
    ) -> Poll<Result<(), Ending>> {
        if let Some(ending) = self.ended {
            return Poll::Ready(Err(ending));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let turn = 2 * self.largest;
            if scratch.len() < turn {
                scratch.resize(turn, 0);
            }
            let scratch = &mut scratch[..turn.min(room)];
            let read = ready!(self.poll_fill(cx, socket, scratch));
            let mut hand_on = |came: Came<'_>| take(cx, came);
            match read {
                Filled::Scratch(len) => {
                    let mut buffer = Buffer::new(&mut scratch[..len]);
                    self.decode(&mut buffer, &mut hand_on);
                    self.put_aside(buffer.rest());
                }
                Filled::Rest => {
                    let mut rest = std::mem::take(&mut self.rest);
                    let seen = rest.len().min(room);
                    self.unseen = seen < rest.len();
                    let mut buffer = Buffer::new(&mut rest[..seen]);
                    self.decode(&mut buffer, &mut hand_on);
                    let left = buffer.rest().len();
                    rest.advance(seen - left);
                    self.rest = rest;
                }
                Filled::Nothing => {}
                Filled::End => return Poll::Ready(Err(Ending::Gone)),
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Reads once, behind what is left of the last time.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        scratch: &mut [u8],
    ) -> Poll<Filled> {
        if std::mem::take(&mut self.unseen) && !self.rest.is_empty() {
            return Poll::Ready(Filled::Rest);
        }
        let kept = self.rest.len();
        if kept == 0 {
            self.rest = BytesMut::new();
        }
        if kept > SMALL {
            // A large frame is gathered where it is, instead of being copied with every read.
            let missing = Decoder::missing(&self.rest);
            let mut room = (&mut self.rest).limit(missing);
            let read = ready!(poll_read_buf(Pin::new(socket), cx, &mut room));
            return Poll::Ready(match read {
                Ok(0) | Err(_) => Filled::End,
                Ok(read) if read < missing => Filled::Nothing,
                Ok(_) => Filled::Rest,
            });
        }
        scratch[..kept].copy_from_slice(&self.rest);
        let mut room = ReadBuf::new(&mut scratch[kept..]);
        let read = ready!(Pin::new(socket).poll_read(cx, &mut room));
        let read = read.map_or(0, |()| room.filled().len());
        self.rest = BytesMut::new();
        Poll::Ready(match read {
            0 => Filled::End,
            read => Filled::Scratch(kept + read),
        })
    }

    /// Hands on what is whole: frames of the reliable lane as one run, at last.
    fn decode(
        &mut self,
        buffer: &mut Buffer<'_>,
        take: &mut impl FnMut(Came<'_>) -> Result<(), Ending>,
    ) {
        let ended = loop {
            let token = match self.decoder.next(buffer) {
                Ok(Some(token)) => token,
                Ok(None) => break None,
                Err(fault) => break Some(ending(fault)),
            };
            let in_pieces = match &token {
                Token::Message(Kind::Binary, at) if is_reliable(buffer.payload(at)) => {
                    buffer.keep();
                    continue;
                }
                Token::Assembled(Kind::Binary, bytes) => is_reliable(bytes),
                Token::Message(..)
                | Token::Assembled(..)
                | Token::Ping(_)
                | Token::Pong
                | Token::Close(_) => false,
            };
            // A frame in pieces must not overtake what came before it.
            if in_pieces && let Err(ending) = hand_on_run(buffer, take) {
                break Some(ending);
            }
            let item = self.item(token, buffer);
            if let Err(ending) = item.and_then(|item| take(Came::Item(item))) {
                break Some(ending);
            }
            if in_pieces {
                // It costs more than the bytes that came: see first whether there is room for the next one.
                self.unseen = true;
                break None;
            }
        };
        self.ended = hand_on_run(buffer, take).err().or(ended);
    }

    /// What a token is to the session.
    fn item(&mut self, token: Token, buffer: &Buffer<'_>) -> Result<Item, Ending> {
        match token {
            // The shared memory is read into again.
            Token::Message(Kind::Binary, at) => {
                Ok(Item::Frame(Bytes::copy_from_slice(buffer.payload(&at))))
            }
            Token::Assembled(Kind::Binary, bytes) => Ok(Item::Frame(bytes)),
            Token::Message(Kind::Text, _) | Token::Assembled(Kind::Text, _) => {
                Err(Ending::Fault(CloseReason::FrameMalformed))
            }
            Token::Ping(payload) => {
                self.ping = Some(payload);
                Ok(Item::Sign)
            }
            Token::Pong => Ok(Item::Sign),
            Token::Close(number) => {
                self.closed = Some(number);
                Err(number.map_or(Ending::Gone, |number| Ending::of_peer(number.into())))
            }
        }
    }

    /// Copies the beginning of a frame out of memory that is shared.
    fn put_aside(&mut self, rest: &[u8]) {
        if self.ended.is_some() || rest.is_empty() {
            return;
        }
        // Who has sent no more than a head gets no room for what it announces.
        let more = match rest.len() > SMALL {
            true => Decoder::missing(rest),
            false => 0,
        };
        self.rest = BytesMut::with_capacity(rest.len() + more);
        self.rest.extend_from_slice(rest);
    }
}

fn is_reliable(frame: &[u8]) -> bool {
    frame.first() == Some(&(Lane::Reliable as u8))
}

/// Hands on the frames that were kept, if there are any.
fn hand_on_run(
    buffer: &mut Buffer<'_>,
    take: &mut impl FnMut(Came<'_>) -> Result<(), Ending>,
) -> Result<(), Ending> {
    let run = buffer.take_run();
    match run.is_empty() {
        true => Ok(()),
        false => take(Came::Run(run)),
    }
}

fn ending(fault: Fault) -> Ending {
    Ending::Fault(match fault {
        Fault::TooLarge => CloseReason::FrameTooLarge,
        Fault::Utf8 => CloseReason::FrameMalformed,
        Fault::Reserved
        | Fault::Opcode(_)
        | Fault::Unmasked
        | Fault::Control
        | Fault::OutOfOrder
        | Fault::Pieces
        | Fault::Close => CloseReason::ProtocolError,
    })
}

thread_local! {
    /// What the legs of a thread read into, one at a time. It holds two of the largest frames.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How much is read at a time before a leg is admitted, in bytes.
const FIRST_READ: usize = 4 * 1024;
/// The beginning of a frame that is copied to where the next read goes, in bytes.
const SMALL: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames in pieces cost a queue more than they have bytes: each ends its turn.
    #[test]
    fn a_frame_in_pieces_ends_a_turn_behind_what_came_before_it() {
        let whole = [0x82, 0x82, 0, 0, 0, 0, Lane::Reliable as u8, 1];
        let mut pieces = vec![0x02, 0x81, 0, 0, 0, 0, Lane::Reliable as u8];
        pieces.extend([0x80, 0x81, 0, 0, 0, 0, 2]);
        let mut came = [&whole[..], &whole, &pieces, &whole, &pieces, &pieces].concat();
        let mut source = Source::new(100, &[]);
        let mut turns = Vec::new();
        let mut at = 0;
        while at < came.len() {
            let mut buffer = Buffer::new(&mut came[at..]);
            let mut turn = Vec::new();
            source.decode(&mut buffer, &mut |came| {
                turn.push(match came {
                    Came::Run(run) => run.frames(),
                    Came::Item(_) | Came::Shared(_) => 0,
                });
                Ok(())
            });
            let left = buffer.rest().len();
            at = came.len() - left;
            assert!(std::mem::take(&mut source.unseen) || left == 0);
            turns.push(turn);
        }
        assert_eq!(turns, [vec![2, 0], vec![1, 0], vec![0]]);
    }
}
