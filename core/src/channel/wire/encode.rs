//! From records to bytes.

use bytes::{BufMut, BytesMut};

use super::codec::{put_varint, varint_len};
use super::{Kind, Open, Packed, Record, VERSION};
use crate::channel::Chunk;

/// Packs a [`Record::Data`] from where its chunk is kept: the payload is copied behind its header,
/// and no handle on it is made.
pub(in crate::channel) fn pack_data(
    tag: u32,
    channel: u32,
    sequence: u64,
    chunk: &Chunk,
    front: usize,
    back: usize,
) -> Packed {
    let room = data_len(channel, sequence, &chunk.bytes);
    let mut out = Packed::with_room(front, room, back);
    put_data(
        out.buffer(),
        tag,
        channel,
        sequence,
        chunk.kind,
        chunk.last,
        &chunk.bytes,
    );
    out
}

/// Packs a [`Record::Ack`] of exactly the length of its pairs, unless there are none.
pub(in crate::channel) fn pack_ack(
    tag: u32,
    pairs: impl Iterator<Item = (u32, u64)> + Clone,
    front: usize,
    back: usize,
) -> Option<Packed> {
    let len = |(channel, consumed): (u32, u64)| varint_len(channel.into()) + varint_len(consumed);
    let entries: usize = pairs.clone().map(len).sum();
    if entries == 0 {
        return None;
    }
    let mut out = Packed::with_room(front, 1 + 4 + entries, back);
    head(out.buffer(), 0x02, tag);
    for (channel, consumed) in pairs {
        put_varint(out.buffer(), channel.into());
        put_varint(out.buffer(), consumed);
    }
    Some(out)
}

impl Record {
    /// Encodes into one allocation with `front` bytes of room before and `back` after.
    ///
    /// The payload is copied once, here: behind its header, where it can be sealed in place.
    #[must_use]
    pub fn pack(&self, front: usize, back: usize) -> Packed {
        let mut out = Packed::with_room(front, self.room(), back);
        self.put(out.buffer());
        out
    }

    /// At least as much as the record needs.
    fn room(&self) -> usize {
        const HEAD: usize = 1 + 4 + 8 + 8;
        match self {
            Self::Open(open) => 128 + 24 * open.positions.len(),
            Self::Ack { entries, .. } => 5 + entries.0.len(),
            Self::Ping { .. } | Self::Pong { .. } => 13,
            Self::Goodbye { .. } | Self::GoodbyeAck { .. } => 5,
            Self::Reset { .. } | Self::ResetAck { .. } | Self::Finish { .. } => HEAD,
            Self::Channel { name, .. } => HEAD + name.len(),
            Self::Data {
                channel,
                sequence,
                payload,
                ..
            } => data_len(*channel, *sequence, payload),
            Self::Datagram {
                channel, payload, ..
            } => 5 + varint_len((*channel).into()) + payload.len(),
        }
    }

    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Open(open) => open.put(out),
            Self::Ack { tag, entries } => {
                head(out, 0x02, *tag);
                out.put_slice(&entries.0);
            }
            Self::Ping { tag, token } => {
                head(out, 0x03, *tag);
                put_varint(out, *token);
            }
            Self::Pong { tag, token } => {
                head(out, 0x04, *tag);
                put_varint(out, *token);
            }
            Self::Goodbye { tag } => head(out, 0x05, *tag),
            Self::GoodbyeAck { tag } => head(out, 0x06, *tag),
            Self::Reset { tag, channel, code } => {
                head(out, 0x07, *tag);
                put_varint(out, (*channel).into());
                put_varint(out, (*code).into());
            }
            Self::ResetAck { tag, channel } => {
                head(out, 0x08, *tag);
                put_varint(out, (*channel).into());
            }
            Self::Channel {
                tag,
                channel,
                priority,
                name,
            } => {
                head(out, 0x09, *tag);
                put_varint(out, (*channel).into());
                out.put_u8(*priority as u8);
                out.put_slice(name.as_bytes());
            }
            Self::Finish {
                tag,
                channel,
                sequence,
            } => {
                head(out, 0x0a, *tag);
                put_varint(out, (*channel).into());
                put_varint(out, *sequence);
            }
            Self::Data {
                tag,
                channel,
                sequence,
                kind,
                last,
                payload,
            } => put_data(out, *tag, *channel, *sequence, *kind, *last, payload),
            Self::Datagram {
                tag,
                channel,
                payload,
            } => {
                head(out, 0x20, *tag);
                put_varint(out, (*channel).into());
                out.put_slice(payload);
            }
        }
    }
}

impl Open {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(0x01);
        put_varint(out, VERSION);
        out.put_slice(&self.instance.0);
        out.put_slice(&self.peer.0);
        put_varint(out, self.epoch);
        put_varint(out, self.echo);
        out.put_u8(u8::from(self.established));
        put_varint(out, self.limits.window.into());
        put_varint(out, self.limits.total.into());
        put_varint(out, self.limits.max_record.into());
        put_varint(out, self.limits.max_channels.into());
        put_varint(out, self.opened.into());
        put_varint(out, self.seen.into());
        for position in &self.positions {
            put_varint(out, position.channel.into());
            put_varint(out, position.next);
            put_varint(out, position.consumed);
        }
    }
}

fn head(out: &mut BytesMut, kind: u8, tag: u32) {
    out.put_u8(kind);
    out.put_u32(tag);
}

fn data_len(channel: u32, sequence: u64, payload: &[u8]) -> usize {
    1 + 4 + varint_len(channel.into()) + varint_len(sequence) + payload.len()
}

fn put_data(
    out: &mut BytesMut,
    tag: u32,
    channel: u32,
    sequence: u64,
    kind: Kind,
    last: bool,
    payload: &[u8],
) {
    let text = u8::from(kind == Kind::Text) << 1;
    head(out, 0x10 | text | u8::from(last), tag);
    put_varint(out, channel.into());
    put_varint(out, sequence);
    out.put_slice(payload);
}
