//! What the receiver wants of each file, and how it says so.

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;

use super::Settings;
use crate::transfer::by_entry::ByEntry;
use crate::transfer::message::{self, PART_BYTES};
use crate::transfer::{Kind, Offer};

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
    pub(super) len: u64,
    pub(super) hasher: Box<blake3::Hasher>,
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

/// What is wanted of a file other than all of it.
#[derive(Debug)]
pub(super) enum Plan {
    Skip,
    Resume(Prefix),
    Complete(u64, blake3::Hash),
}

/// The most files that are resumed in their middle; each holds 2 KiB of hash state until its turn.
/// An honest interruption leaves one.
const MAX_RESUMED: usize = 256;

/// Turns choices into what can be asked for.
pub(super) fn plan(offer: &Offer, choices: impl Iterator<Item = (u32, Choice)>) -> ByEntry<Plan> {
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
pub(super) fn encode_answer(plans: &ByEntry<Plan>, settings: &Settings) -> VecDeque<Bytes> {
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
    parts[0].abilities = settings.abilities.encode();
    parts[0].device = message::device(&settings.device);
    parts
        .into_iter()
        .map(|part| message::encode(Message::Accept(part)))
        .collect()
}
