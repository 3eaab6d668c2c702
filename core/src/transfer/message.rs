//! Messages as the channel carries them: encoded `TransferMessage`s, of bounded length.

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind;
use prost::Message as _;

use super::{Fault, MAX_CHUNK_BYTES};

/// The longest message in bytes: the longest chunk and some room around it.
///
/// Decoding holds a multiple of a message in memory for a moment; this bounds it.
pub const MAX_MESSAGE_BYTES: usize = MAX_CHUNK_BYTES + 1024;

/// The part of an offer or answer that is sent in one message, in encoded bytes.
pub(super) const PART_BYTES: usize = 64 * 1024;

/// The longest message that is sent together with others, in encoded bytes; and how many bytes and
/// messages are sent together at most.
pub(super) const BATCHED_BYTES: usize = 16 * 1024;
pub(super) const BATCH_BYTES: usize = 64 * 1024;
pub(super) const BATCH_MESSAGES: usize = 4_096;

/// The most zeros of one hole in bytes: 64 MiB, so that a short message costs little time.
pub const MAX_HOLE_BYTES: u64 = 64 << 20;

/// The most bytes of the name of a device.
const MAX_DEVICE_BYTES: usize = 64;

/// The most bytes of words in a refusal.
const MAX_TEXT_BYTES: usize = 256;

pub(super) fn encode(kind: Kind) -> Bytes {
    v1::TransferMessage { kind: Some(kind) }
        .encode_to_vec()
        .into()
}

/// Decodes a message; the bytes of a chunk stay where they are.
pub(super) fn decode(message: Bytes) -> Result<Kind, Fault> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(Fault::MessageTooLong(message.len()));
    }
    v1::TransferMessage::decode(message)
        .map_err(|_| Fault::Malformed)?
        .kind
        .ok_or(Fault::UnknownKind)
}

/// Adds zeros to a hash.
pub(super) fn hash_zeros(hasher: &mut blake3::Hasher, length: u64) {
    const AT_ONCE: usize = 128 * 1024;
    let at_once = usize::try_from(length).map_or(AT_ONCE, |length| length.min(AT_ONCE));
    let zeros = vec![0; at_once];
    let mut left = length;
    while left > 0 {
        let now = usize::try_from(left).map_or(at_once, |left| left.min(at_once));
        hasher.update(&zeros[..now]);
        left -= now as u64;
    }
}

/// The name of a kind, for errors.
pub(super) const fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Offer(_) => "an offer",
        Kind::Accept(_) => "an answer",
        Kind::Decline(_) => "a refusal",
        Kind::Chunk(_) => "a chunk",
        Kind::EntryEnd(_) => "the end of a file",
        Kind::End(_) => "the end",
        Kind::Done(_) => "done",
        Kind::Cancel(_) => "a cancellation",
        Kind::Hole(_) => "a hole",
        Kind::Batch(_) => "a batch",
        Kind::EntryFailed(_) => "the failure of a file",
        Kind::Pause(_) => "a pause",
    }
}

/// Words for people, cut to what may be sent and without control characters, which could play
/// with a terminal.
pub(super) fn clean(text: &str) -> String {
    cut(text, MAX_TEXT_BYTES)
}

/// The same for the name of a device.
pub(super) fn device(text: &str) -> String {
    cut(text, MAX_DEVICE_BYTES)
}

fn cut(text: &str, most: usize) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

pub(super) fn cancel(code: CancelCode, text: &str) -> Bytes {
    let code = v1::TransferCancelCode::from(code).into();
    let text = clean(text);
    encode(Kind::Cancel(v1::TransferCancel { code, text }))
}

/// Why a receiver declines an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclineReason {
    /// None of the others.
    Other,
    /// A person or a rule said no.
    Refused,
    /// The names cannot be stored, or clash.
    Names,
    /// Too many entries or bytes.
    TooLarge,
}

impl From<DeclineReason> for v1::TransferDeclineReason {
    fn from(reason: DeclineReason) -> Self {
        match reason {
            DeclineReason::Other => Self::Unspecified,
            DeclineReason::Refused => Self::Refused,
            DeclineReason::Names => Self::Names,
            DeclineReason::TooLarge => Self::TooLarge,
        }
    }
}

impl From<v1::TransferDeclineReason> for DeclineReason {
    fn from(reason: v1::TransferDeclineReason) -> Self {
        match reason {
            v1::TransferDeclineReason::Unspecified => Self::Other,
            v1::TransferDeclineReason::Refused => Self::Refused,
            v1::TransferDeclineReason::Names => Self::Names,
            v1::TransferDeclineReason::TooLarge => Self::TooLarge,
        }
    }
}

/// Why a side gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelCode {
    /// None of the others.
    Other,
    /// A person stopped it.
    Interrupted,
    /// The sender cannot read a file, or it changed meanwhile.
    SourceFailed,
    /// The receiver cannot store a file.
    SinkFailed,
    /// A file arrived with another hash than announced.
    HashMismatch,
    /// The other side broke the protocol.
    Protocol,
}

impl From<CancelCode> for v1::TransferCancelCode {
    fn from(code: CancelCode) -> Self {
        match code {
            CancelCode::Other => Self::Unspecified,
            CancelCode::Interrupted => Self::Interrupted,
            CancelCode::SourceFailed => Self::SourceFailed,
            CancelCode::SinkFailed => Self::SinkFailed,
            CancelCode::HashMismatch => Self::HashMismatch,
            CancelCode::Protocol => Self::Protocol,
        }
    }
}

impl From<v1::TransferCancelCode> for CancelCode {
    fn from(code: v1::TransferCancelCode) -> Self {
        match code {
            v1::TransferCancelCode::Unspecified => Self::Other,
            v1::TransferCancelCode::Interrupted => Self::Interrupted,
            v1::TransferCancelCode::SourceFailed => Self::SourceFailed,
            v1::TransferCancelCode::SinkFailed => Self::SinkFailed,
            v1::TransferCancelCode::HashMismatch => Self::HashMismatch,
            v1::TransferCancelCode::Protocol => Self::Protocol,
        }
    }
}

impl std::fmt::Display for CancelCode {
    /// Continues a sentence that begins with `the other side`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Other => "gave up",
            Self::Interrupted => "stopped the transfer",
            Self::SourceFailed => "cannot read a file",
            Self::SinkFailed => "cannot store a file",
            Self::HashMismatch => "got a damaged file",
            Self::Protocol => "says that we broke the transfer protocol",
        })
    }
}
