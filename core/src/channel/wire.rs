//! Records: what one [`super::Mux`] says to another.
//!
//! ```text
//! record  = type (1) ‖ fields              numbers are QUIC varints (RFC 9000, section 16)
//!
//! 0x01 OPEN         ‖ version ‖ instance (16) ‖ peer (16) ‖ epoch ‖ echo ‖ flags (1)
//!                   ‖ window ‖ total ‖ max_record ‖ max_channels ‖ opened ‖ seen
//!                   ‖ ( channel ‖ next ‖ consumed )*
//! 0x02 ACK          ‖ tag (4) ‖ ( channel ‖ consumed )+
//! 0x03 PING         ‖ tag (4) ‖ token
//! 0x04 PONG         ‖ tag (4) ‖ token
//! 0x05 GOODBYE      ‖ tag (4)
//! 0x06 GOODBYE_ACK  ‖ tag (4)
//! 0x07 RESET        ‖ tag (4) ‖ channel ‖ code
//! 0x08 RESET_ACK    ‖ tag (4) ‖ channel
//! 0x09 CHANNEL      ‖ tag (4) ‖ channel ‖ priority (1) ‖ name        name: the rest, UTF-8
//! 0x0a FINISH       ‖ tag (4) ‖ channel ‖ sequence
//! 0x10 DATA         ‖ tag (4) ‖ channel ‖ sequence ‖ payload         payload: the rest
//!      type + 1: the last fragment of its message; type + 2: text, else binary
//! 0x20 DATAGRAM     ‖ tag (4) ‖ channel ‖ payload                    only in datagrams
//! ```
//!
//! The transport marks the end of a record. Decoding is total: any bytes give a [`Record`] or a
//! [`Violation`], nothing is copied but a name, and nothing is allocated in proportion to a number
//! a peer claims.

mod codec;
mod encode;
pub(super) mod head;
mod packed;

use bytes::Bytes;

pub(super) use self::codec::Reader;
use self::codec::put_varint;
use self::head::Head;
pub use self::packed::Packed;
pub(super) use self::packed::Packer;
use super::{Instance, Kind, Limits, MAX_NAME_BYTES, Priority};

/// The version this machine speaks; [`Violation::Version`] names it.
pub(super) const VERSION: u64 = 1;

/// One record. See the module for its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Record {
    /// Begins a path, or begins it anew.
    Open(Open),
    /// What the sender's application has consumed, cumulatively per channel.
    Ack { tag: u32, entries: Entries },
    /// Asks for a [`Record::Pong`].
    Ping { tag: u32, token: u64 },
    /// Answers a [`Record::Ping`].
    Pong { tag: u32, token: u64 },
    /// The sender is done and has been acknowledged in everything.
    Goodbye { tag: u32 },
    /// Answers a [`Record::Goodbye`].
    GoodbyeAck { tag: u32 },
    /// Ends a channel at once, in both directions.
    Reset { tag: u32, channel: u32, code: u32 },
    /// Answers a [`Record::Reset`].
    ResetAck { tag: u32, channel: u32 },
    /// Opens a channel: item 0 of its opener.
    Channel {
        tag: u32,
        channel: u32,
        priority: Priority,
        name: String,
    },
    /// Ends one direction of a channel: its last item.
    Finish {
        tag: u32,
        channel: u32,
        sequence: u64,
    },
    /// A fragment of a message: an item.
    Data {
        tag: u32,
        channel: u32,
        sequence: u64,
        kind: Kind,
        last: bool,
        payload: Bytes,
    },
    /// Not an item: neither numbered nor repeated.
    Datagram {
        tag: u32,
        channel: u32,
        payload: Bytes,
    },
}

/// The first record on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// This process.
    pub instance: Instance,
    /// The process it last heard an OPEN of; zeros if none.
    pub peer: Instance,
    /// Counts the sender's OPENs that ask for an answer; grows.
    pub epoch: u64,
    /// The newest epoch of `peer` heard; 0 if none.
    pub echo: u64,
    /// Flag 1: the sender considers this path open, and needs no answer.
    pub established: bool,
    /// What the sender accepts.
    pub limits: Limits,
    /// How many channels the sender has opened for `peer` so far; 0 if they share none yet.
    pub opened: u32,
    /// How many channels opened by `peer` the sender has seen.
    pub seen: u32,
    /// For each channel alive at the sender: what it has received and what was consumed of it. Zeros
    /// for one whose reset is not confirmed. A channel opened and not listed is over.
    pub positions: Vec<Position>,
}

/// How far a channel got at the sender of an [`Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The channel.
    pub channel: u32,
    /// The sequence number expected next.
    pub next: u64,
    /// Everything below was consumed; at most `next`.
    pub consumed: u64,
}

/// The pairs of an ACK, still encoded; they were checked when they were decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Entries(Bytes);

impl Entries {
    /// Encodes pairs of channel and consumed count.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let mut bytes = Vec::new();
        for (channel, consumed) in pairs {
            put_varint(&mut bytes, channel.into());
            put_varint(&mut bytes, consumed);
        }
        Self(bytes.into())
    }

    fn check(bytes: Bytes) -> Result<Self, Violation> {
        let mut reader = Reader::new(&bytes);
        if reader.rest.is_empty() {
            return Err(Violation::Truncated);
        }
        while !reader.rest.is_empty() {
            reader.channel();
            reader.varint();
        }
        reader.check()?;
        Ok(Self(bytes))
    }

    /// Each pair of channel and consumed count.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + use<'_> {
        let mut reader = Reader::new(&self.0);
        // What was checked once decodes again.
        std::iter::from_fn(move || {
            (!reader.rest.is_empty()).then(|| (reader.channel(), reader.varint()))
        })
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// How a peer broke the rules. The path, or the peer, is not to be used further.
///
/// Without numbers: every place that passes one on would grow by moving them, in the page, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
#[allow(missing_docs)]
pub enum Violation {
    Truncated,
    Trailing,
    UnknownType,
    Version,
    OutOfRange,
    Limit,
    Name,
    RecordTooLarge,
    EmptyFragment,
    KindChanged,
    MessageTooLarge,
    WindowExceeded,
    AfterFinish,
    UnknownChannel,
    AckBeyondSent,
    Flood,
    Reflected,
}

impl Violation {
    /// What was wrong, in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Truncated => "the record ends too early",
            Self::Trailing => "the record goes on after its end",
            Self::UnknownType => "the type of the record is unknown",
            Self::Version => "the peer speaks another version of the channel protocol than 1",
            Self::OutOfRange => "a number is out of its range",
            Self::Limit => "a limit of the peer is out of its range",
            Self::Name => "the name of a channel is empty, too long or not UTF-8",
            Self::RecordTooLarge => "a record exceeds the limit this side announced",
            Self::EmptyFragment => "an empty fragment does not end its message",
            Self::KindChanged => "a message changed between text and binary",
            Self::MessageTooLarge => "a message exceeds 2^32 bytes",
            Self::WindowExceeded => "the peer sent more than the window permits",
            Self::AfterFinish => "an item follows the end of its channel",
            Self::UnknownChannel => "a channel was never opened",
            Self::AckBeyondSent => "the peer acknowledges what was never sent",
            Self::Flood => {
                "the peer opens and drops channels faster than they can be accounted for"
            }
            Self::Reflected => "this side's own record came back",
        }
    }
}

impl Record {
    /// Decodes one record; payloads are handles on `bytes`.
    ///
    /// # Errors
    /// [`Violation`] for whatever is not exactly one record.
    pub fn decode(mut bytes: Bytes) -> Result<Self, Violation> {
        if let Some((&head::OPEN, fields)) = bytes.split_first() {
            return Open::decode(fields).map(Self::Open);
        }
        let head = Head::split_off(&mut bytes)?;
        Self::of(head, bytes)
    }

    fn of(head: Head, payload: Bytes) -> Result<Self, Violation> {
        let Head { tag, channel, .. } = head;
        Ok(match head.kind {
            head::ACK => Self::Ack {
                tag,
                entries: Entries::check(payload)?,
            },
            head::PING => Self::Ping {
                tag,
                token: head.number,
            },
            head::PONG => Self::Pong {
                tag,
                token: head.number,
            },
            head::GOODBYE => Self::Goodbye { tag },
            head::GOODBYE_ACK => Self::GoodbyeAck { tag },
            head::RESET => Self::Reset {
                tag,
                channel,
                code: head.code(),
            },
            head::RESET_ACK => Self::ResetAck { tag, channel },
            head::CHANNEL => Self::Channel {
                tag,
                channel,
                priority: head.priority()?,
                name: name(&payload)?,
            },
            head::FINISH => Self::Finish {
                tag,
                channel,
                sequence: head.number,
            },
            head::DATAGRAM => Self::Datagram {
                tag,
                channel,
                payload,
            },
            _ => {
                let (kind, last) = head::of_data(head.kind);
                check_fragment(&payload, last)?;
                Self::Data {
                    tag,
                    channel,
                    sequence: head.number,
                    kind,
                    last,
                    payload,
                }
            }
        })
    }

    /// What marks the pair of processes the record belongs to; an OPEN names them in full.
    #[must_use]
    pub fn tag(&self) -> u32 {
        match self {
            Self::Open(open) => open.instance.tag(open.peer),
            Self::Ack { tag, .. }
            | Self::Ping { tag, .. }
            | Self::Pong { tag, .. }
            | Self::Goodbye { tag }
            | Self::GoodbyeAck { tag }
            | Self::Reset { tag, .. }
            | Self::ResetAck { tag, .. }
            | Self::Channel { tag, .. }
            | Self::Finish { tag, .. }
            | Self::Data { tag, .. }
            | Self::Datagram { tag, .. } => *tag,
        }
    }
}

impl Open {
    /// Decodes what follows the type.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(bytes);
        let version = reader.varint();
        reader.check()?;
        if version != VERSION {
            return Err(Violation::Version);
        }
        let (instance, peer) = (reader.instance(), reader.instance());
        let (epoch, echo) = (reader.varint(), reader.varint());
        let flags = reader.byte();
        let limits = Limits {
            window: reader.number(),
            total: reader.number(),
            max_record: reader.number(),
            max_channels: reader.number(),
        };
        reader.check()?;
        limits.check()?;
        let (opened, seen) = (reader.channel(), reader.channel());
        // Bounded by the length of the record, which the caller bounds.
        let mut positions = Vec::new();
        while !reader.rest.is_empty() {
            let channel = reader.channel();
            let (next, consumed) = (reader.varint(), reader.varint());
            if consumed > next {
                reader.check()?;
                return Err(Violation::OutOfRange);
            }
            positions.push(Position {
                channel,
                next,
                consumed,
            });
        }
        reader.check()?;
        let established = flags & 1 == 1;
        Ok(Self {
            instance,
            peer,
            epoch,
            echo,
            established,
            limits,
            opened,
            seen,
            positions,
        })
    }
}

pub(super) fn check_fragment(payload: &[u8], last: bool) -> Result<(), Violation> {
    if payload.is_empty() && !last {
        return Err(Violation::EmptyFragment);
    }
    Ok(())
}

pub(super) fn name(bytes: &[u8]) -> Result<String, Violation> {
    if bytes.is_empty() || bytes.len() > MAX_NAME_BYTES {
        return Err(Violation::Name);
    }
    let name = std::str::from_utf8(bytes).map_err(|_| Violation::Name)?;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;
