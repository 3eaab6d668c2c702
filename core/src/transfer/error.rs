//! What ends a transfer before it is done, and who is to blame.

use super::{CancelCode, DeclineReason, OfferError};

/// Why a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The other side broke the rules.
    #[error("the other side broke the transfer protocol: {0}")]
    Peer(#[from] Fault),
    /// The other side declined what was offered.
    #[error("the other side declined the files{}", because(.text))]
    Declined {
        /// Why.
        reason: DeclineReason,
        /// The other side's words, without control characters.
        text: String,
    },
    /// The other side gave up.
    #[error("the other side {code}{}", because(.text))]
    Cancelled {
        /// Why.
        code: CancelCode,
        /// The other side's words, without control characters.
        text: String,
    },
    /// What arrived does not have the announced hash.
    #[error("file {entry} arrived damaged: its BLAKE3 hash is not the announced one")]
    Mismatch {
        /// The number of the file.
        entry: u32,
    },
    /// Our source ended before the size that was offered.
    #[error("file {entry} ended before the size that was offered; did it change?")]
    SourceEnded {
        /// The number of the file.
        entry: u32,
    },
    /// Our shell called the machine out of turn, or with more than it was asked for: a defect.
    #[error("a defect of this program: {0}")]
    OutOfTurn(&'static str),
}

/// `: text`, or nothing if there is no text.
fn because(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// Which rule the other side broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A message longer than [`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES).
    #[error("a message of {0} bytes")]
    MessageTooLong(usize),
    /// Bytes that are not the encoding of a message.
    #[error("a malformed message")]
    Malformed,
    /// A message without a kind, or of one that this version does not know.
    #[error("a message of unknown kind")]
    UnknownKind,
    /// A message that does not belong where it came.
    #[error("{0} out of turn")]
    OutOfTurn(&'static str),
    /// An offer that is none.
    #[error("a bad offer: {0}")]
    Offer(#[from] OfferError),
    /// A part of an offer or answer that adds nothing and promises more, or an offer whose parts
    /// belong to different transfers.
    #[error("a bad part of an offer or answer")]
    BadPart,
    /// An answer that does not fit the offer.
    #[error("a bad answer for entry {entry}: {fault}")]
    Accept {
        /// The number of the entry.
        entry: u32,
        /// What is wrong.
        fault: AcceptFault,
    },
    /// A chunk or an end of a file that does not fit.
    #[error("a bad chunk or end of entry {entry}: {fault}")]
    Chunk {
        /// The number of the entry.
        entry: u32,
        /// What is wrong.
        fault: ChunkFault,
    },
}

/// What is wrong with an answer to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptFault {
    /// The offer has no file with that number.
    #[error("it is no file of the offer")]
    NoSuchFile,
    /// The entry is mentioned more than once.
    #[error("it is mentioned twice")]
    Twice,
    /// The offset is zero, or beyond the size, or the size is unknown.
    #[error("it cannot be resumed at that offset")]
    Offset,
    /// The hash does not have 32 bytes.
    #[error("the hash is not 32 bytes long")]
    Hash,
}

/// What is wrong with a chunk or an end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// It is not the turn of that entry.
    #[error("it is not the turn of that entry")]
    WrongEntry,
    /// The offset is not where the file ends so far.
    #[error("it does not continue what came before")]
    Gap,
    /// No bytes, or more than [`MAX_CHUNK_BYTES`](super::MAX_CHUNK_BYTES).
    #[error("its length is not allowed")]
    Length,
    /// Bytes beyond the size that was offered, or beyond the limit of all files.
    #[error("it goes beyond the size that was offered or allowed")]
    BeyondSize,
    /// The end came before the size that was offered.
    #[error("the file is shorter than offered")]
    TooShort,
    /// The hash does not have 32 bytes.
    #[error("the hash is not 32 bytes long")]
    Hash,
}
