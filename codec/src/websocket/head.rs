//! Heads of frames (RFC 6455, section 5.2).
//!
//! ```text
//!  0        1        2 ...                        ...
//! +--------+--------+----------------------------+-----------------------+
//! |F000 op |M  len7 | length, 2 bytes if len7 is | mask, 4 bytes, if M   |
//! |        |        | 126 and 8 bytes if 127     | (what clients send)   |
//! +--------+--------+----------------------------+-----------------------+
//! ```

use bytes::{BufMut as _, BytesMut};

use super::Fault;

/// What a message is said to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8, which was verified.
    Text,
    /// Bytes.
    Binary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// Continues the message whose first piece came before.
    Piece,
    Message(Kind),
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn parse(number: u8) -> Option<Self> {
        match number {
            0x0 => Some(Self::Piece),
            0x1 => Some(Self::Message(Kind::Text)),
            0x2 => Some(Self::Message(Kind::Binary)),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Piece => 0x0,
            Self::Message(Kind::Text) => 0x1,
            Self::Message(Kind::Binary) => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }
}

/// The head of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    /// Bytes of the payload.
    pub(super) len: usize,
    /// Bytes of the head.
    pub(super) size: usize,
}

impl Head {
    /// None if the head is not whole yet.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(Fault::Reserved);
        }
        let number = first & 0x0f;
        let opcode = Opcode::parse(number).ok_or(Fault::Opcode(number))?;
        if second & MASKED == 0 {
            return Err(Fault::Unmasked);
        }
        let (len, rest) = match second & !MASKED {
            LEN_16 => match rest.split_first_chunk() {
                Some((len, rest)) => (u16::from_be_bytes(*len).into(), rest),
                None => return Ok(None),
            },
            LEN_64 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(None),
            },
            len => (len.into(), rest),
        };
        // Far more than any limit, and small enough to be added to.
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= usize::MAX / 4)
            .ok_or(Fault::TooLarge)?;
        let Some((mask, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        Ok(Some(Self {
            fin: first & FIN != 0,
            opcode,
            mask: *mask,
            len,
            size: bytes.len() - rest.len(),
        }))
    }
}

/// Masks a payload, or unmasks it (RFC 6455, section 5.3).
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let mask = [a, b, c, d, a, b, c, d];
    let (words, rest) = payload.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// The head of a server's frame that is a whole message, and its size.
pub(super) fn write(opcode: Opcode, len: usize) -> ([u8; MAX_SERVER_HEAD], usize) {
    let mut head = [0; MAX_SERVER_HEAD];
    head[0] = FIN | opcode.number();
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) if len < LEN_16 => {
            head[1] = len;
            (head, 2)
        }
        (_, Ok(len)) => {
            head[1] = LEN_16;
            head[2..4].copy_from_slice(&len.to_be_bytes());
            (head, 4)
        }
        (_, Err(_)) => {
            head[1] = LEN_64;
            head[2..].copy_from_slice(&(len as u64).to_be_bytes());
            (head, MAX_SERVER_HEAD)
        }
    }
}

fn put(out: &mut BytesMut, opcode: Opcode, payload: &[u8]) {
    let (head, size) = write(opcode, payload.len());
    out.reserve(size + payload.len());
    out.put_slice(&head[..size]);
    out.put_slice(payload);
}

/// Appends a binary message.
pub fn put_message(out: &mut BytesMut, payload: &[u8]) {
    put(out, Opcode::Message(Kind::Binary), payload);
}

/// Appends a message of text, which is UTF-8.
pub fn put_text(out: &mut BytesMut, text: &[u8]) {
    debug_assert!(str::from_utf8(text).is_ok());
    put(out, Opcode::Message(Kind::Text), text);
}

/// Appends a Ping without a payload.
pub fn put_ping(out: &mut BytesMut) {
    put(out, Opcode::Ping, b"");
}

/// Appends the answer to a Ping: its payload, which has at most [`MAX_CONTROL`] bytes.
pub fn put_pong(out: &mut BytesMut, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_CONTROL);
    put(out, Opcode::Pong, payload);
}

/// Appends a close frame, the last of a connection: its number and a text, which is cut if it is too long.
pub fn put_close(out: &mut BytesMut, close: Option<(u16, &str)>) {
    let Some((number, text)) = close else {
        return put(out, Opcode::Close, b"");
    };
    let mut end = text.len().min(MAX_CONTROL - 2);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let payload = [&number.to_be_bytes(), &text.as_bytes()[..end]].concat();
    put(out, Opcode::Close, &payload);
}

/// The sizes of the head and of the payload of the server's frame that `bytes` begin, if they hold its head.
pub(crate) fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let (&[_, second], long) = bytes.split_first_chunk()?;
    let (size, len) = match second {
        LEN_16 => (4, u16::from_be_bytes(*long.first_chunk()?).into()),
        LEN_64 => (10, u64::from_be_bytes(*long.first_chunk()?)),
        len => (2, len.into()),
    };
    Some((size, usize::try_from(len).ok()?))
}

/// The largest payload of a control frame, in bytes.
pub const MAX_CONTROL: usize = 125;
/// The largest head of a client's frame, in bytes.
pub const MAX_HEAD: usize = MAX_SERVER_HEAD + 4;
const MAX_SERVER_HEAD: usize = 10;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;
