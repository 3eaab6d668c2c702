//! From records to bytes.

use super::codec::{put_varint, varint_len};
use super::head::{self, Head};
use super::{Open, Packed, Record, VERSION};

/// Packs a [`Record::Ack`] pair by pair.
pub(in crate::channel) struct AckPacker(Packed);

impl AckPacker {
    /// Has room for exactly this many bytes of pairs.
    pub(in crate::channel) fn new(tag: u32, pairs: usize, front: usize, back: usize) -> Self {
        let head = Head::new(head::ACK, tag, 0, 0);
        Self(head.pack_room(pairs, front, back))
    }

    /// The bytes of a pair.
    pub(in crate::channel) fn pair(channel: u32, consumed: u64) -> usize {
        varint_len(channel.into()) + varint_len(consumed)
    }

    pub(in crate::channel) fn put(&mut self, channel: u32, consumed: u64) {
        put_varint(self.0.buffer(), channel.into());
        put_varint(self.0.buffer(), consumed);
    }

    pub(in crate::channel) fn finish(self) -> Packed {
        self.0
    }
}

impl Record {
    /// Encodes into one allocation with `front` bytes of room before and `back` after.
    ///
    /// The payload is copied once, here: behind its header, where it can be sealed in place.
    #[must_use]
    pub fn pack(&self, front: usize, back: usize) -> Packed {
        let (head, payload): (_, &[u8]) = match self {
            Self::Open(open) => return open.pack(front, back),
            Self::Ack { tag, entries } => (Head::new(head::ACK, *tag, 0, 0), &entries.0),
            Self::Ping { tag, token } => (Head::new(head::PING, *tag, 0, *token), &[]),
            Self::Pong { tag, token } => (Head::new(head::PONG, *tag, 0, *token), &[]),
            Self::Goodbye { tag } => (Head::new(head::GOODBYE, *tag, 0, 0), &[]),
            Self::GoodbyeAck { tag } => (Head::new(head::GOODBYE_ACK, *tag, 0, 0), &[]),
            Self::Reset { tag, channel, code } => {
                (Head::new(head::RESET, *tag, *channel, (*code).into()), &[])
            }
            Self::ResetAck { tag, channel } => (Head::new(head::RESET_ACK, *tag, *channel, 0), &[]),
            Self::Channel {
                tag,
                channel,
                priority,
                name,
            } => {
                let priority = *priority as u64;
                (
                    Head::new(head::CHANNEL, *tag, *channel, priority),
                    name.as_bytes(),
                )
            }
            Self::Finish {
                tag,
                channel,
                sequence,
            } => (Head::new(head::FINISH, *tag, *channel, *sequence), &[]),
            Self::Data {
                tag,
                channel,
                sequence,
                kind,
                last,
                payload,
            } => {
                let data = head::data(*kind, *last);
                (Head::new(data, *tag, *channel, *sequence), payload)
            }
            Self::Datagram {
                tag,
                channel,
                payload,
            } => (Head::new(head::DATAGRAM, *tag, *channel, 0), payload),
        };
        head.pack(payload, front, back)
    }
}

impl Open {
    pub(in crate::channel) fn pack(&self, front: usize, back: usize) -> Packed {
        // At least as much as it needs.
        let room = 128 + 24 * self.positions.len();
        let mut packed = Packed::with_room(front, room, back);
        self.put(packed.buffer());
        packed
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(head::OPEN);
        put_varint(out, VERSION);
        out.extend_from_slice(&self.instance.0);
        out.extend_from_slice(&self.peer.0);
        put_varint(out, self.epoch);
        put_varint(out, self.echo);
        out.push(u8::from(self.established));
        let limits = &self.limits;
        for number in [
            limits.window,
            limits.total,
            limits.max_record,
            limits.max_channels,
            self.opened,
            self.seen,
        ] {
            put_varint(out, number.into());
        }
        for position in &self.positions {
            put_varint(out, position.channel.into());
            put_varint(out, position.next);
            put_varint(out, position.consumed);
        }
    }
}
