//! The server's side of WebSocket (RFC 6455): what clients send is decoded where it lies, and becomes in the
//! same place what another client receives.
//!
//! A client's frame and a server's frame differ in their heads only: the client masks its payload, and four
//! bytes of its head are the mask. So a message is unmasked in place, and its new head is written into the
//! room of the old one. Messages that follow each other are moved together, by four bytes each, and make a
//! *run*, which another WebSocket takes with one write:
//!
//! ```text
//!  came     head mask payload | head mask payload | head mask pay...
//!  decoded      head payload head payload         | head mask pay...
//!               └──────── run ──────────┘         └ rest, until more comes ┘
//! ```
//!
//! Only a whole frame is decoded. The caller keeps what is left ([`Buffer::rest`]), so a connection that
//! sends nothing owns no buffer. A message in pieces, which hardly anybody sends, is put together in memory
//! of its own.

mod head;

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::{Heads, Run};

pub(crate) use head::measure;
use head::{Head, Opcode};
pub use head::{Kind, MAX_CONTROL, MAX_HEAD, put_close, put_message, put_ping, put_pong, put_text};

/// What one connection remembers between two reads: the message that comes in pieces, if one does.
#[derive(Debug)]
pub struct Decoder {
    max: usize,
    pieces: Option<Pieces>,
}

#[derive(Debug)]
struct Pieces {
    kind: Kind,
    bytes: BytesMut,
    /// Bytes that came for it, heads included.
    spent: usize,
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A message in one piece: where its payload lies. [`Buffer::keep`] adds it to the run.
    Message(Kind, Range<usize>),
    /// A message that came in pieces.
    Assembled(Kind, Bytes),
    /// To be answered by [`put_pong`] with the same payload.
    Ping(Bytes),
    /// An answer, or a sign of life.
    Pong,
    /// The last frame, with the number that the client gave, if it gave one. It is to be answered.
    Close(Option<u16>),
}

/// What a client must not send. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More than the limit, as the head of a frame says.
    #[error("the message is too large")]
    TooLarge,
    /// A reserved bit is set, but no extension was agreed on.
    #[error("a reserved bit is set")]
    Reserved,
    /// RFC 6455 defines no such frame.
    #[error("{0:#x} is no opcode")]
    Opcode(u8),
    /// What clients send is masked.
    #[error("the frame is not masked")]
    Unmasked,
    /// A control frame is whole and has at most 125 bytes.
    #[error("a control frame is in pieces or too long")]
    Control,
    /// A piece without a beginning, or a new message before the end of one.
    #[error("a piece of a message is out of order")]
    OutOfOrder,
    /// So many bytes were spent on one message in pieces that its sender must mean harm.
    #[error("the pieces of a message cost too many bytes")]
    Pieces,
    /// The payload of a close frame is no number with a text, or the number is one that must not be sent.
    #[error("the close frame is malformed")]
    Close,
    /// Text is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
}

/// Bytes that came, which are decoded in place.
///
/// `run.start <= run.end <= head <= len`: what lies before `head` is decoded.
#[derive(Debug)]
pub struct Buffer<'a> {
    bytes: &'a mut [u8],
    head: usize,
    run: Range<usize>,
    /// Where the latest message lies, with its new head, and how long its payload is.
    latest: Range<usize>,
    payload: usize,
    /// Of the run.
    messages: usize,
    payloads: usize,
}

impl<'a> Buffer<'a> {
    /// Wraps what [`Buffer::rest`] left last time, followed by what came since.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            head: 0,
            run: 0..0,
            latest: 0..0,
            payload: 0,
            messages: 0,
            payloads: 0,
        }
    }

    /// The payload of [`Token::Message`]; it is overwritten by the next one.
    #[must_use]
    pub fn payload(&self, at: &Range<usize>) -> &[u8] {
        &self.bytes[at.clone()]
    }

    /// Adds the latest message to the run, as a server's frame.
    pub fn keep(&mut self) {
        if self.run.is_empty() {
            self.run.start = self.latest.start;
        }
        self.run.end = self.latest.end;
        self.messages += 1;
        self.payloads += self.payload;
    }

    /// Hands out the messages that were kept. The next one that is kept begins another run.
    #[must_use]
    pub fn take_run(&mut self) -> Run<&[u8]> {
        let end = self.run.end;
        let run = std::mem::replace(&mut self.run, end..end);
        Run {
            heads: Heads::WebSocket,
            bytes: &self.bytes[run],
            frames: std::mem::take(&mut self.messages),
            payload: std::mem::take(&mut self.payloads),
        }
    }

    /// What is not decoded yet: after [`Decoder::next`] answered none, the beginning of a frame.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.head..]
    }
}

impl Decoder {
    /// Accepts messages of at most `max` bytes.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max, pieces: None }
    }

    /// The next thing that is whole. None as long as more has to come.
    ///
    /// # Errors
    /// [`Fault`] as soon as a head shows it.
    pub fn next(&mut self, buffer: &mut Buffer<'_>) -> Result<Option<Token>, Fault> {
        loop {
            let Some(head) = Head::parse(buffer.rest())? else {
                return Ok(None);
            };
            self.judge(&head)?;
            let payload = buffer.head + head.size..buffer.head + head.size + head.len;
            if buffer.bytes.len() < payload.end {
                return Ok(None);
            }
            buffer.head = payload.end;
            if let Some(token) = self.take(buffer, &head, payload)? {
                return Ok(Some(token));
            }
        }
    }

    /// How many bytes of the frame that `rest` begins are missing at least; none is missing if it is whole.
    #[must_use]
    pub fn missing(rest: &[u8]) -> usize {
        match Head::parse(rest) {
            Ok(Some(head)) => (head.size + head.len).saturating_sub(rest.len()),
            Ok(None) => 1,
            // To be told by the next call of `next`.
            Err(_) => 0,
        }
    }

    fn judge(&self, head: &Head) -> Result<(), Fault> {
        let gathered = self.pieces.as_ref().map_or(0, |it| it.bytes.len());
        match head.opcode {
            Opcode::Message(_) if self.pieces.is_some() => return Err(Fault::OutOfOrder),
            Opcode::Piece if self.pieces.is_none() => return Err(Fault::OutOfOrder),
            Opcode::Message(_) | Opcode::Piece if head.len > self.max - gathered => {
                return Err(Fault::TooLarge);
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong if !head.fin || head.len > MAX_CONTROL => {
                return Err(Fault::Control);
            }
            Opcode::Message(_) | Opcode::Piece | Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        Ok(())
    }

    fn take(
        &mut self,
        buffer: &mut Buffer<'_>,
        head: &Head,
        payload: Range<usize>,
    ) -> Result<Option<Token>, Fault> {
        if let Opcode::Message(kind) = head.opcode
            && head.fin
        {
            let payload = buffer.place(kind, payload, head.mask);
            if kind == Kind::Text {
                str::from_utf8(buffer.payload(&payload)).map_err(|_| Fault::Utf8)?;
            }
            return Ok(Some(Token::Message(kind, payload)));
        }
        let bytes = &mut buffer.bytes[payload];
        head::unmask(bytes, head.mask);
        match head.opcode {
            Opcode::Message(kind) => {
                self.pieces = Some(Pieces {
                    kind,
                    bytes: BytesMut::from(&*bytes),
                    spent: head.size + head.len,
                });
                Ok(None)
            }
            Opcode::Piece => {
                let Some(mut pieces) = self.pieces.take() else {
                    return Err(Fault::OutOfOrder);
                };
                pieces.bytes.extend_from_slice(bytes);
                pieces.spent += head.size + head.len;
                // An endless row of empty pieces ends.
                if pieces.spent > 2 * self.max + SPARE {
                    return Err(Fault::Pieces);
                }
                if head.fin {
                    return assembled(pieces).map(Some);
                }
                self.pieces = Some(pieces);
                Ok(None)
            }
            Opcode::Close => close_number(bytes).map(|number| Some(Token::Close(number))),
            Opcode::Ping => Ok(Some(Token::Ping(Bytes::copy_from_slice(bytes)))),
            Opcode::Pong => Ok(Some(Token::Pong)),
        }
    }
}

fn assembled(pieces: Pieces) -> Result<Token, Fault> {
    if pieces.kind == Kind::Text {
        str::from_utf8(&pieces.bytes).map_err(|_| Fault::Utf8)?;
    }
    Ok(Token::Assembled(pieces.kind, pieces.bytes.freeze()))
}

impl Buffer<'_> {
    /// Unmasks a message and gives it its new head, right behind the run if there is one. Answers where its
    /// payload is then.
    fn place(&mut self, kind: Kind, payload: Range<usize>, mask: [u8; 4]) -> Range<usize> {
        let (head, size) = head::write(Opcode::Message(kind), payload.len());
        let start = match self.run.is_empty() {
            true => {
                head::unmask(&mut self.bytes[payload.clone()], mask);
                payload.start - size
            }
            false => {
                let mut to = self.run.end + size;
                // Block by block, so that each is moved and unmasked while the processor has it at hand.
                for from in payload.clone().step_by(BLOCK) {
                    let block = from..payload.end.min(from + BLOCK);
                    let moved = to..to + block.len();
                    self.bytes.copy_within(block, to);
                    to = moved.end;
                    head::unmask(&mut self.bytes[moved], mask);
                }
                self.run.end
            }
        };
        self.bytes[start..start + size].copy_from_slice(&head[..size]);
        self.payload = payload.len();
        self.latest = start..start + size + payload.len();
        start + size..self.latest.end
    }
}

/// The number of a close frame (RFC 6455, section 7.4).
fn close_number(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((number, text)) = payload.split_first_chunk() else {
        return payload.is_empty().then_some(None).ok_or(Fault::Close);
    };
    let number = u16::from_be_bytes(*number);
    let sent = matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !sent || str::from_utf8(text).is_err() {
        return Err(Fault::Close);
    }
    Ok(Some(number))
}

/// The largest frame of a client whose messages have at most `max` bytes, with its head.
#[must_use]
pub const fn largest_frame(max: usize) -> usize {
    (if max > MAX_CONTROL { max } else { MAX_CONTROL }) + MAX_HEAD
}

/// What is moved and unmasked at a time, in bytes: a multiple of the mask.
const BLOCK: usize = 4 * 1024;
/// With twice the largest message it pays for a message in pieces of 16 bytes and more.
const SPARE: usize = 32 * 1024;

#[cfg(test)]
mod tests;
