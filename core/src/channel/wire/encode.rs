//! From records to bytes.

use super::codec::put_varint;
use super::head::{self, Head};
use super::{Open, Packed, Packer, Record, VERSION};

impl Record {
    /// Encodes into one allocation with `front` bytes of room before and `back` after.
    ///
    /// The payload is copied once, here: behind its header, where it can be sealed in place.
    #[must_use]
    pub fn pack(&self, front: usize, back: usize) -> Packed {
        let mut packer = Packer::new(front, back);
        let (head, payload): (_, &[u8]) = match self {
            Self::Open(open) => return packer.open(open),
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
        packer.pack(&head, payload)
    }
}

impl Packer {
    pub(in crate::channel) fn open(&mut self, open: &Open) -> Packed {
        let out = self.fields();
        out.push(head::OPEN);
        put_varint(out, VERSION);
        out.extend_from_slice(&open.instance.0);
        out.extend_from_slice(&open.peer.0);
        put_varint(out, open.epoch);
        put_varint(out, open.echo);
        out.push(u8::from(open.established));
        let limits = &open.limits;
        for number in [
            limits.window,
            limits.total,
            limits.max_record,
            limits.max_channels,
            open.opened,
            open.seen,
        ] {
            put_varint(out, number.into());
        }
        for position in &open.positions {
            put_varint(out, position.channel.into());
            put_varint(out, position.next);
            put_varint(out, position.consumed);
        }
        self.end(&[])
    }
}
