//! What every record but OPEN begins with: its type, and numbers.
//!
//! ```text
//! type (1) ‖ tag (4) ‖ [ channel ] ‖ [ number ] ‖ [ payload ]
//! ```

use bytes::{Buf as _, Bytes};

use super::Violation;
use super::codec::{Reader, put_varint};
use crate::channel::{Kind, Priority};

pub(in crate::channel) const OPEN: u8 = 0x01;
pub(in crate::channel) const ACK: u8 = 0x02;
pub(in crate::channel) const PING: u8 = 0x03;
pub(in crate::channel) const PONG: u8 = 0x04;
pub(in crate::channel) const GOODBYE: u8 = 0x05;
pub(in crate::channel) const GOODBYE_ACK: u8 = 0x06;
pub(in crate::channel) const RESET: u8 = 0x07;
pub(in crate::channel) const RESET_ACK: u8 = 0x08;
pub(in crate::channel) const CHANNEL: u8 = 0x09;
pub(in crate::channel) const FINISH: u8 = 0x0a;
/// The first of four: 1 more for the last fragment, 2 more for text.
pub(in crate::channel) const DATA: u8 = 0x10;
const DATA_END: u8 = DATA + 3;
pub(in crate::channel) const DATAGRAM: u8 = 0x20;

/// A record but for its payload.
#[derive(Clone, Copy)]
pub(in crate::channel) struct Head {
    pub(in crate::channel) kind: u8,
    pub(in crate::channel) tag: u32,
    /// 0 where the type has none.
    pub(in crate::channel) channel: u32,
    /// A token, a code, a sequence number or a priority; 0 where the type has none.
    pub(in crate::channel) number: u64,
}

/// Which fields a type has.
struct Shape {
    channel: bool,
    number: bool,
    payload: bool,
}

impl Shape {
    fn of(kind: u8) -> Option<Self> {
        let (channel, number, payload) = match kind {
            ACK => (false, false, true),
            PING | PONG => (false, true, false),
            GOODBYE | GOODBYE_ACK => (false, false, false),
            RESET | FINISH => (true, true, false),
            RESET_ACK => (true, false, false),
            CHANNEL | DATA..=DATA_END => (true, true, true),
            DATAGRAM => (true, false, true),
            _ => return None,
        };
        Some(Self {
            channel,
            number,
            payload,
        })
    }
}

/// The type of a DATA record.
pub(in crate::channel) fn data(kind: Kind, last: bool) -> u8 {
    DATA + 2 * u8::from(kind == Kind::Text) + u8::from(last)
}

/// What [`data`] was made of.
pub(in crate::channel) fn of_data(data: u8) -> (Kind, bool) {
    let kind = match data & 2 {
        0 => Kind::Binary,
        _ => Kind::Text,
    };
    (kind, data & 1 == 1)
}

/// The type of a fragment of the same message which does not end it.
pub(in crate::channel) const fn not_last(data: u8) -> u8 {
    data & !1
}

impl Head {
    pub(in crate::channel) const fn new(kind: u8, tag: u32, channel: u32, number: u64) -> Self {
        Self {
            kind,
            tag,
            channel,
            number,
        }
    }

    /// Takes it off the front of a record, which leaves the payload.
    pub(in crate::channel) fn split_off(record: &mut Bytes) -> Result<Self, Violation> {
        let mut reader = Reader::new(record);
        let head = Self::decode(&mut reader)?;
        let payload = reader.rest.len();
        record.advance(record.len() - payload);
        Ok(head)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Violation> {
        let (kind, tag) = (reader.byte(), reader.tag());
        reader.check()?;
        let shape = Shape::of(kind).ok_or(Violation::UnknownType)?;
        let channel = if shape.channel { reader.channel() } else { 0 };
        let number = match kind {
            RESET => reader.number().into(),
            CHANNEL => reader.byte().into(),
            _ if shape.number => reader.varint(),
            _ => 0,
        };
        reader.check()?;
        if !shape.payload && !reader.rest.is_empty() {
            return Err(Violation::Trailing);
        }
        Ok(Self::new(kind, tag, channel, number))
    }

    /// Of a CHANNEL.
    pub(in crate::channel) fn priority(&self) -> Result<Priority, Violation> {
        match self.number {
            0 => Ok(Priority::Interactive),
            1 => Ok(Priority::Normal),
            2 => Ok(Priority::Bulk),
            _ => Err(Violation::OutOfRange),
        }
    }

    /// Of a RESET.
    pub(in crate::channel) fn code(&self) -> u32 {
        u32::try_from(self.number).unwrap_or(u32::MAX)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        out.extend_from_slice(&self.tag.to_be_bytes());
        let Some(shape) = Shape::of(self.kind) else {
            return;
        };
        if shape.channel {
            put_varint(out, self.channel.into());
        }
        if shape.number {
            // A priority is one byte, as every varint below 64 is.
            put_varint(out, self.number);
        }
    }
}
