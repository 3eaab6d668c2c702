//! Files over one reliable channel, the same for the command line and a browser page.
//!
//! ```text
//!  shell ── Read ──┐                                         ┌── Write, Finish ── shell
//!                  ▼                                         │
//!              [Sender]  Offer ──────────────────────────▶ [Receiver]
//!                        ◀────────────── Accept or Decline
//!                        Chunk … EntryEnd(hash) ─────────▶   per file, in order
//!                        End ────────────────────────────▶
//!                        ◀─────────────────────────── Done   everything is stored
//! ```
//!
//! Two machines without IO. The [`Sender`] says what to read and gives the messages to send; the
//! [`Receiver`] takes messages and says what to write. Both hash every byte with BLAKE3 as it
//! passes. The channel underneath ([`CHANNEL`]) delivers messages in order and without loss; it is
//! flow control, too: neither machine queues file contents.
//!
//! What came after the first version of the protocol is sent only to a side that says that it has the
//! [`Abilities`]: holes of sparse files, links, many small messages in one, files that cannot be read.
//!
//! A broken transfer is resumed by starting it anew under the same [`TransferId`]: the receiver
//! says how many bytes of a file it holds and their hash, the sender compares that with its own
//! beginning of the file and goes on from there, or starts that file from zero.
//!
//! Nothing the other side says is trusted: names become a [`SafePath`] or an error, chunks must be
//! continuous and within the size offered, and all of it stays within [`Limits`].

mod abilities;
mod by_entry;
mod consent;
mod error;
mod link;
mod message;
mod offer;
mod path;
mod receiver;
mod report;
mod sender;
mod summary;
#[cfg(test)]
mod tests;

pub use abilities::Abilities;
pub use consent::Consent;
pub use error::{AcceptFault, ChunkFault, Error, Fault};
pub use link::Link;
pub use message::{CancelCode, DeclineReason, MAX_HOLE_BYTES, MAX_MESSAGE_BYTES};
pub use offer::{Entry, Kind, LeftOut, Limits, Listing, Offer, OfferError};
pub use path::{Names, PathError, SafePath};
pub use receiver::{Choice, Event, Prefix, Receiver, Settings};
pub use report::Report;
pub use sender::{Action, Failed, Sender};
pub use summary::{Named, Summary};

/// The name of the channel that carries a transfer.
pub const CHANNEL: &str = "peersox.transfer";

/// The most bytes of a file in one message: 256 KiB.
pub const MAX_CHUNK_BYTES: usize = 256 * 1024;

/// The name of a transfer: 16 bytes, the same again when a broken transfer is started anew.
///
/// Who makes it up is the sender's shell. It is a key to find partial files by, and no secret; what
/// is found is verified by hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransferId([u8; Self::LEN]);

impl TransferId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// The name with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Derives the name from what is offered, so that the same files give the same name.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("peersox 2026 transfer id v1");
        for entry in entries {
            let path = entry.path.as_str().as_bytes();
            hasher.update(&(path.len() as u64).to_le_bytes());
            hasher.update(path);
            // A tag apart from the value: nothing and zero must differ.
            hasher.update(&[entry.kind as u8, u8::from(entry.executable)]);
            for number in [entry.size, entry.modified.map(|time| time.as_millis())] {
                hasher.update(&[u8::from(number.is_some())]);
                hasher.update(&number.unwrap_or(0).to_le_bytes());
            }
        }
        let mut id = [0; Self::LEN];
        // The same bytes as of BLAKE3's longer output, without the code for that.
        id.copy_from_slice(&hasher.finalize().as_bytes()[..Self::LEN]);
        Self(id)
    }
}

impl std::fmt::Display for TransferId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl std::fmt::Debug for TransferId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TransferId({self})")
    }
}

/// How far a transfer has come, in files and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The file at work, by its number in the offer.
    pub entry: Option<u32>,
    /// Files that are complete.
    pub files_done: u32,
    /// Files that the sender could not read.
    pub files_failed: u32,
    /// Files to transfer, without those skipped.
    pub files_total: u32,
    /// Bytes that are there, those that were there before included.
    pub bytes_done: u64,
    /// Bytes of all files to transfer; unknown if the size of one is.
    pub bytes_total: Option<u64>,
    /// The part of `bytes_done` that an earlier attempt left and that was not sent again.
    pub bytes_resumed: u64,
}
