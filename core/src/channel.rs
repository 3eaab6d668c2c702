//! The lossless channel between two peers.
//!
//! ```text
//!  application         Mux                                     Mux         application
//!  open("chat") ──►  CHANNEL 0 "chat"  ───────────────────►           ──► Opened(0, "chat")
//!  try_send ──────►  DATA 0 #1 text    ───────────────────►           ──► read = "hello"
//!                                      ◄───────────────────  ACK 0: 2     (what was read)
//!
//!      ✂ the path breaks, everything in flight is lost, another path comes up
//!
//!                    OPEN  epoch, what I have of you  ◄───►  OPEN
//!                    DATA 0 #2 …       ───────────────────►  replayed from there; doubles dropped
//! ```
//!
//! One [`Mux`] per peer carries many named channels over whatever path is there. Each channel is two
//! ordered streams of *items* (its announcement, fragments of messages, its end), numbered from zero
//! in each direction. A receiver takes only the next number. It acknowledges what its application
//! has *consumed*, and the sender keeps every item until then: one window bounds the memory of both
//! sides, and an application that stops reading stops the other one's sending.
//!
//! A path begins with an exchange of OPEN records that name both processes and what each of them has
//! received; both then replay what the other lacks. A process that was restarted names itself
//! differently: then nothing can be continued, and every channel ends with
//! [`Event::PeerRestarted`].
//!
//! The machine reads no clock and touches no socket. Feed it records and moments, and send what
//! [`Mux::poll_record`] and [`Mux::poll_datagram`] give. `docs/protocol.md` has the normative text.

mod assemble;
mod config;
mod inbox;
mod item;
mod link;
mod mux;
mod numbered;
mod outbox;
mod wire;

pub use assemble::{Assembler, Message, Unfit};
pub use config::{Config, Limits};
pub use link::Instance;
pub use mux::{Mux, Stats};
pub use wire::{Entries, Open, Packed, Position, Record, Violation};

use bytes::Bytes;

/// The longest name of a channel, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 128;

/// The longest message, in bytes: 2^32.
pub const MAX_MESSAGE_BYTES: u64 = 1 << 32;

/// A channel of one [`Mux`]; it stays unique when the peer restarts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId {
    generation: u32,
    wire: u32,
}

impl ChannelId {
    /// The number in records: even if the initiator opened the channel, odd if the joiner did.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.wire
    }

    /// All of it in one number, for a shell that speaks another language; after a restart it is larger.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.wire as u64
    }

    /// The channel of such a number; one that never was is gone.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            generation: (bits >> 32) as u32,
            wire: bits as u32,
        }
    }
}

impl std::fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChannelId({}.{})", self.generation, self.wire)
    }
}

/// Who goes first when several channels have something to send.
///
/// A class is served only when the classes above it have nothing to send. Within a class each channel
/// sends one fragment per turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// Somebody waits for every message: chat, keystrokes, control.
    Interactive = 0,
    /// The default.
    #[default]
    Normal = 1,
    /// Large and patient: files.
    Bulk = 2,
}

/// Text and binary messages are kept apart, as a WebSocket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The sender promises UTF-8; [`Assembler`] checks it.
    Text,
    /// Any bytes.
    Binary,
}

/// A piece of a message.
///
/// What is sent as one chunk may be read as several, cut at any byte; messages keep their
/// boundaries, because exactly the final piece of each says [`Chunk::last`].
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Text or binary, the same for every piece of a message.
    pub kind: Kind,
    /// The bytes, as a handle; possibly none if it is the last piece.
    pub bytes: Bytes,
    /// Whether the message ends here.
    pub last: bool,
}

impl Chunk {
    /// A whole text message.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let bytes = Bytes::from(text.into());
        Self {
            kind: Kind::Text,
            bytes,
            last: true,
        }
    }

    /// A whole binary message.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self {
            kind: Kind::Binary,
            bytes: bytes.into(),
            last: true,
        }
    }
}

impl std::fmt::Debug for Chunk {
    /// Shows kind and length, never the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = if self.last { ", last" } else { "" };
        write!(f, "Chunk({:?}, {} B{end})", self.kind, self.bytes.len())
    }
}

/// Why a channel was reset; applications choose theirs from 16 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResetCode(pub u32);

impl ResetCode {
    /// Whoever reset it has lost interest.
    pub const CANCELLED: Self = Self(0);
    /// Nobody serves a channel of this name.
    pub const REFUSED: Self = Self(1);
    /// The peer holds as many channels as it wants to.
    pub const TOO_MANY: Self = Self(2);
    /// A message was larger than the receiver takes.
    pub const TOO_LARGE: Self = Self(3);
    /// What came over the channel broke the rules of its application.
    pub const MALFORMED: Self = Self(4);
}

/// What a [`Mux`] tells its shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both peers know each other on this path; data flows.
    Connected,
    /// The peer is another process than before: every channel is gone, with whatever was pending.
    PeerRestarted,
    /// The peer opened a channel. Using it accepts it; [`Mux::reset`] refuses it.
    Opened {
        /// The channel.
        channel: ChannelId,
        /// Its name, at most [`MAX_NAME_BYTES`].
        name: String,
        /// The priority the peer sends with; this side sends with the same.
        priority: Priority,
    },
    /// [`Mux::read`] has something, after it had nothing.
    Readable(ChannelId),
    /// [`Mux::read_datagram`] has something, after it had nothing.
    DatagramReadable(ChannelId),
    /// [`Mux::try_send`] has room again, after it said [`SendError::Full`].
    Writable(ChannelId),
    /// Everything of this channel was read and the peer will send no more.
    Finished(ChannelId),
    /// The peer's application consumed everything up to this side's [`Mux::finish`].
    Flushed(ChannelId),
    /// The peer reset the channel: it is gone, with whatever was pending.
    Reset {
        /// The channel.
        channel: ChannelId,
        /// The peer's reason.
        code: ResetCode,
    },
    /// The answer to [`Mux::ping`]: there and back took so long.
    Pong(std::time::Duration),
    /// The conversation is over; channels are gone.
    Closed {
        /// Whether the peer consumed everything this side sent.
        flushed: bool,
    },
}

/// Why a channel could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum OpenError {
    /// The name is empty or too long: it has this many bytes.
    Name(usize),
    /// As many channels as either peer permits are open: this many.
    TooMany(u32),
    /// [`Mux::close`] was called, or the peer did so.
    Closed,
}

impl OpenError {
    /// One sentence for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Name(_) => "a channel's name has 1 to 128 bytes",
            Self::TooMany(_) => "too many channels are open already; finish or reset one first",
            Self::Closed => "the conversation is over",
        }
    }
}

/// Why something was not sent. [`SendError::Full`] passes; the others are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum SendError {
    /// The window is full; [`Event::Writable`] tells when to try again.
    Full,
    /// There is no such channel: it ended, was reset, or the peer restarted.
    Gone,
    /// This side finished the channel.
    Finished,
    /// The previous chunk left its message open, and this one is of the other kind.
    KindChanged,
    /// The message, or the datagram, is too large.
    TooLarge,
    /// A datagram found no path, or its channel is unknown to the peer as yet.
    NoPath,
}

impl SendError {
    /// One sentence for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Full => "the window is full until the peer has read more",
            Self::Gone => "the channel is gone",
            Self::Finished => "the channel was finished by this side",
            Self::KindChanged => "text and binary cannot be mixed in one message",
            Self::TooLarge => "the message is too large",
            Self::NoPath => "there is no path to the peer; a datagram does not wait",
        }
    }
}

#[cfg(test)]
mod tests;
