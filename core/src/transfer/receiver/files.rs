//! The files of an accepted offer, one after the other.

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_proto::v1;

use super::answer::{self, Choice, Plan};
use super::{Event, Settings};
use crate::transfer::by_entry::ByEntry;
use crate::transfer::message;
use crate::transfer::{ChunkFault, MAX_CHUNK_BYTES, MAX_HOLE_BYTES, Offer, Progress};

#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) offer: Offer,
    plans: ByEntry<Plan>,
    current: Option<Current>,
    /// The sender said that this is all.
    pub(super) ended: bool,
}

/// The file whose turn it is: `received <= size`.
#[derive(Debug)]
struct Current {
    entry: u32,
    size: Option<u64>,
    received: u64,
    /// What of it was there before.
    resumed: u64,
    state: Hashed,
    /// No chunk has come, so that the sender may still start from zero.
    untouched: bool,
}

/// The hash of what was received: still growing, or of a file that is held in full.
#[derive(Debug)]
enum Hashed {
    Growing(Box<blake3::Hasher>),
    Full(blake3::Hash),
}

impl Receiving {
    /// Takes choices that fit the offer and begins with the first file.
    pub(super) fn new(
        offer: Offer,
        choices: impl Iterator<Item = (u32, Choice)>,
        settings: &Settings,
    ) -> (Self, Progress, VecDeque<Bytes>) {
        let plans = answer::plan(&offer, choices);
        let answer = answer::encode_answer(&plans, settings);
        let wanted = |number: &u32| !matches!(plans.get(*number), Some(Plan::Skip));
        let files = offer.files_from(0).filter(|(number, _)| wanted(number));
        let mut progress = Progress {
            files_total: u32::try_from(files.clone().count()).unwrap_or(u32::MAX),
            bytes_total: files
                .map(|(_, entry)| entry.size)
                .try_fold(0, |total, size| Some(total + size?)),
            ..Progress::default()
        };
        let mut receiving = Self {
            offer,
            plans,
            current: None,
            ended: false,
        };
        receiving.start_file_after(None, &mut progress);
        (receiving, progress, answer)
    }

    /// Whether every file is complete.
    pub(super) const fn is_complete(&self) -> bool {
        self.current.is_none()
    }

    /// `left` bounds what may come for files of unknown size.
    pub(super) fn take_chunk(
        &mut self,
        chunk: v1::TransferChunk,
        left: u64,
        progress: &mut Progress,
    ) -> Result<Event, ChunkFault> {
        let current = self.current(chunk.entry)?;
        let len = chunk.data.len() as u64;
        if len == 0 || chunk.data.len() > MAX_CHUNK_BYTES {
            return Err(ChunkFault::Length);
        }
        let hasher = current.make_room(chunk.offset, len, left, progress)?;
        hasher.update(&chunk.data);
        Ok(Event::Write {
            entry: chunk.entry,
            offset: chunk.offset,
            bytes: chunk.data,
        })
    }

    pub(super) fn take_hole(
        &mut self,
        hole: &v1::TransferHole,
        progress: &mut Progress,
    ) -> Result<Event, ChunkFault> {
        let current = self.current(hole.entry)?;
        if hole.length == 0 || hole.length > MAX_HOLE_BYTES {
            return Err(ChunkFault::Length);
        }
        // Of a file of unknown size nobody knows that it has holes.
        let hasher = current.make_room(hole.offset, hole.length, 0, progress)?;
        message::hash_zeros(hasher, hole.length);
        Ok(Event::Hole {
            entry: hole.entry,
            offset: hole.offset,
            length: hole.length,
        })
    }

    /// Goes on without the file at work.
    pub(super) fn give_up(
        &mut self,
        entry: u32,
        progress: &mut Progress,
    ) -> Result<(), ChunkFault> {
        let current = self.current(entry)?;
        progress.bytes_done -= current.received;
        progress.bytes_resumed -= current.resumed;
        if let (Some(total), Some(size)) = (&mut progress.bytes_total, current.size) {
            *total -= size;
        }
        progress.files_failed += 1;
        self.start_file_after(Some(entry), progress);
        Ok(())
    }

    /// Ends the file at work; none if its hash is wrong.
    pub(super) fn finish(
        &mut self,
        end: &v1::TransferEntryEnd,
        progress: &mut Progress,
    ) -> Result<Option<Event>, ChunkFault> {
        let current = self.current(end.entry)?;
        if current.size.is_some_and(|size| current.received < size) {
            return Err(ChunkFault::TooShort);
        }
        let announced = blake3::Hash::from_slice(&end.hash).map_err(|_| ChunkFault::Hash)?;
        let hash = match &current.state {
            Hashed::Growing(hasher) => hasher.finalize(),
            Hashed::Full(hash) => *hash,
        };
        if hash != announced {
            return Ok(None);
        }
        let size = current.received;
        progress.files_done += 1;
        self.start_file_after(Some(end.entry), progress);
        Ok(Some(Event::Finish {
            entry: end.entry,
            size,
        }))
    }

    fn current(&mut self, entry: u32) -> Result<&mut Current, ChunkFault> {
        match &mut self.current {
            Some(current) if current.entry == entry => Ok(current),
            Some(_) | None => Err(ChunkFault::WrongEntry),
        }
    }

    fn start_file_after(&mut self, last: Option<u32>, progress: &mut Progress) {
        let next = self
            .offer
            .files_from(last.map_or(0, |last| last + 1))
            .find(|(number, _)| !matches!(self.plans.get(*number), Some(Plan::Skip)));
        progress.entry = next.map(|(number, _)| number);
        self.current = next.map(|(entry, file)| {
            let (received, state) = match self.plans.remove(entry) {
                Some(Plan::Resume(prefix)) => (prefix.len, Hashed::Growing(prefix.hasher)),
                Some(Plan::Complete(len, hash)) => (len, Hashed::Full(hash)),
                Some(Plan::Skip) | None => (0, Hashed::Growing(Box::default())),
            };
            progress.bytes_done += received;
            progress.bytes_resumed += received;
            Current {
                entry,
                size: file.size,
                received,
                resumed: received,
                state,
                untouched: true,
            }
        });
    }
}

impl Current {
    /// Takes the next `len` bytes at `offset` into account; gives the hash that they belong to.
    /// `left` bounds them in a file of unknown size.
    fn make_room(
        &mut self,
        offset: u64,
        len: u64,
        left: u64,
        progress: &mut Progress,
    ) -> Result<&mut blake3::Hasher, ChunkFault> {
        if self.untouched && offset == 0 && self.received > 0 {
            // The sender's file does not begin with what is here.
            progress.bytes_done -= self.received;
            progress.bytes_resumed -= self.resumed;
            self.received = 0;
            self.resumed = 0;
            self.state = Hashed::Growing(Box::default());
        }
        if offset != self.received {
            return Err(ChunkFault::Gap);
        }
        let room = match self.size {
            Some(size) => size - self.received,
            None => left,
        };
        let Hashed::Growing(hasher) = &mut self.state else {
            return Err(ChunkFault::BeyondSize);
        };
        if len > room {
            return Err(ChunkFault::BeyondSize);
        }
        self.received += len;
        self.untouched = false;
        progress.bytes_done += len;
        Ok(hasher)
    }
}
