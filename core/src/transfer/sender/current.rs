//! The file at work.

use super::super::{MAX_CHUNK_BYTES, MAX_HOLE_BYTES, Progress};
use super::Action;

/// The file at work: `offset <= resume <= size` while the prefix is hashed, then only
/// `offset <= size`.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) entry: u32,
    pub(super) size: Option<u64>,
    pub(super) offset: u64,
    pub(super) hasher: Box<blake3::Hasher>,
    /// The prefix that the receiver claims to hold, until it is verified.
    pub(super) resume: Option<(u64, blake3::Hash)>,
    /// What of this file is counted as done and as resumed.
    pub(super) counted: u64,
    pub(super) resumed: u64,
}

impl Current {
    /// What to read next; the file is not complete.
    pub(super) fn next_read(&self, holes: bool) -> Action {
        let end = match &self.resume {
            Some((offset, _)) => Some(*offset),
            None => self.size,
        };
        let left = end.map_or(u64::MAX, |end| end - self.offset);
        let hole = if holes && end.is_some() {
            left.min(MAX_HOLE_BYTES)
        } else {
            0
        };
        Action::Read {
            entry: self.entry,
            offset: self.offset,
            max: usize::try_from(left).map_or(MAX_CHUNK_BYTES, |left| left.min(MAX_CHUNK_BYTES)),
            hole,
        }
    }

    /// Counts bytes that were hashed; says whether they are to be sent. What the receiver claims to
    /// hold is not: at its end the hashes are compared.
    pub(super) fn absorb(&mut self, len: u64, progress: &mut Progress) -> bool {
        self.offset += len;
        let Some((offset, hash)) = self.resume else {
            self.counted += len;
            progress.bytes_done += len;
            return true;
        };
        if self.offset == offset {
            self.resume = None;
            if self.hasher.finalize() == hash {
                self.counted = offset;
                self.resumed = offset;
                progress.bytes_done += offset;
                progress.bytes_resumed += offset;
            } else {
                self.hasher.reset();
                self.offset = 0;
            }
        }
        false
    }

    pub(super) fn is_complete(&self) -> bool {
        self.resume.is_none() && self.size == Some(self.offset)
    }
}
