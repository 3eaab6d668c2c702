//! The files of an accepted offer, one after the other.

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;

use super::Event;
use crate::transfer::by_entry::ByEntry;
use crate::transfer::message::{self, PART_BYTES};
use crate::transfer::{ChunkFault, Kind, MAX_CHUNK_BYTES, Offer, Progress};

/// What to do with a file that is offered.
#[derive(Debug)]
pub enum Choice {
    /// Take it from the beginning.
    Fresh,
    /// Go on after what is there.
    Resume(Prefix),
    /// Leave it.
    Skip,
}

/// The beginning of a file that an earlier attempt left, hashed.
#[derive(Clone, Debug, Default)]
pub struct Prefix {
    len: u64,
    hasher: Box<blake3::Hasher>,
}

impl Prefix {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) offer: Offer,
    plans: ByEntry<Plan>,
    current: Option<Current>,
    /// The sender said that this is all.
    pub(super) ended: bool,
}

#[derive(Debug)]
enum Plan {
    Skip,
    Resume(Prefix),
    Complete(u64, blake3::Hash),
}

/// The file whose turn it is: `received <= size`.
#[derive(Debug)]
struct Current {
    entry: u32,
    size: Option<u64>,
    received: u64,
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
    ) -> (Self, Progress, VecDeque<Bytes>) {
        let plans = plan(&offer, choices);
        let answer = encode_answer(&plans);
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
        if current.untouched && chunk.offset == 0 && current.received > 0 {
            // The sender's file does not begin with what is here.
            progress.bytes_done -= current.received;
            progress.bytes_resumed -= current.received;
            current.received = 0;
            current.state = Hashed::Growing(Box::default());
        }
        if chunk.offset != current.received {
            return Err(ChunkFault::Gap);
        }
        let room = match current.size {
            Some(size) => size - current.received,
            None => left,
        };
        let Hashed::Growing(hasher) = &mut current.state else {
            return Err(ChunkFault::BeyondSize);
        };
        if len > room {
            return Err(ChunkFault::BeyondSize);
        }
        hasher.update(&chunk.data);
        current.received += len;
        current.untouched = false;
        progress.bytes_done += len;
        Ok(Event::Write {
            entry: chunk.entry,
            offset: chunk.offset,
            bytes: chunk.data,
        })
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
                state,
                untouched: true,
            }
        });
    }
}

/// The most files that are resumed in their middle; each holds 2 KiB of hash state until its turn.
/// An honest interruption leaves one.
const MAX_RESUMED: usize = 256;

/// Turns choices into what can be asked for.
fn plan(offer: &Offer, choices: impl Iterator<Item = (u32, Choice)>) -> ByEntry<Plan> {
    let mut plans = ByEntry::new();
    let mut resumed = 0;
    for (number, choice) in choices {
        let file = offer.entry(number).filter(|entry| entry.kind == Kind::File);
        let Some(file) = file else { continue };
        let plan = match choice {
            Choice::Fresh => continue,
            Choice::Skip => Plan::Skip,
            Choice::Resume(prefix) => match file.size {
                _ if prefix.is_empty() => continue,
                Some(size) if prefix.len == size => Plan::Complete(size, prefix.hasher.finalize()),
                Some(size) if prefix.len < size && resumed < MAX_RESUMED => {
                    resumed += 1;
                    Plan::Resume(prefix)
                }
                Some(_) | None => continue,
            },
        };
        plans.insert(number, plan);
    }
    plans
}

/// Encodes an answer in parts of about [`PART_BYTES`].
fn encode_answer(plans: &ByEntry<Plan>) -> VecDeque<Bytes> {
    // A number, an offset and a hash, with their tags, are at most 56 bytes.
    const PER_PART: usize = PART_BYTES / 56;
    let plans: Vec<_> = plans.iter().collect();
    let mut parts: Vec<_> = plans
        .chunks(PER_PART)
        .map(|plans| {
            let mut accept = v1::TransferAccept {
                more: true,
                ..v1::TransferAccept::default()
            };
            for &(entry, plan) in plans {
                let (offset, hash) = match plan {
                    Plan::Skip => {
                        accept.skipped.push(entry);
                        continue;
                    }
                    Plan::Resume(prefix) => (prefix.len, prefix.hasher.finalize()),
                    Plan::Complete(len, hash) => (*len, *hash),
                };
                let hash = Bytes::copy_from_slice(hash.as_bytes());
                accept.resumes.push(v1::TransferResume {
                    entry,
                    offset,
                    hash,
                });
            }
            accept
        })
        .collect();
    match parts.last_mut() {
        Some(last) => last.more = false,
        None => parts.push(v1::TransferAccept::default()),
    }
    parts
        .into_iter()
        .map(|part| message::encode(Message::Accept(part)))
        .collect()
}
