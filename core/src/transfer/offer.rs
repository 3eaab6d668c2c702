//! What is offered: entries and links with harmless names that do not clash.

use std::sync::Arc;

use peersox_proto::v1;

use super::{Link, Names, PathError, SafePath, TransferId};
use crate::time::Timestamp;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
}

/// One file or directory of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs, below the receiver's directory.
    pub path: SafePath,
    /// What it is.
    pub kind: Kind,
    /// Length of a file in bytes; none for a directory, and for a pipe whose end nobody knows.
    pub size: Option<u64>,
    /// When it was last modified, if that is known.
    pub modified: Option<Timestamp>,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Permissions of owner, group and others, at most [`Entry::MAX_MODE`], if they are known.
    pub mode: Option<u16>,
    /// How many bytes of a file are not in holes, if it has holes: a hint for how much room it takes.
    pub data_bytes: Option<u64>,
}

impl Entry {
    /// The bits of a mode that are sent and stored: neither setuid nor setgid nor sticky.
    pub const MAX_MODE: u16 = 0o777;
}

/// How much one transfer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files, directories and links.
    pub entries: u32,
    /// Bytes of all paths and targets together; bounds the memory and the work that an offer costs.
    pub path_bytes: usize,
    /// Bytes of all files together, those of unknown size included as they come.
    pub total_bytes: u64,
}

impl Default for Limits {
    /// 1,000,000 entries, 64 MiB of paths, any size.
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            path_bytes: 64 << 20,
            total_bytes: u64::MAX,
        }
    }
}

/// Sentences for people about what is not sent or not stored: the first 100, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    sentences: Vec<String>,
    count: u32,
}

impl LeftOut {
    const MAX_SENTENCES: usize = 100;

    /// Adds a sentence.
    pub fn push(&mut self, sentence: &str) {
        self.count = self.count.saturating_add(1);
        if self.sentences.len() < Self::MAX_SENTENCES {
            self.sentences.push(super::message::clean(sentence));
        }
    }

    /// The first sentences.
    #[must_use]
    pub fn sentences(&self) -> &[String] {
        &self.sentences
    }

    /// How many there are, those that are not kept included.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn parse(sentences: &[String], count: u32) -> Self {
        let mut all = Self::default();
        for sentence in sentences.iter().take(Self::MAX_SENTENCES) {
            all.push(sentence);
        }
        all.count = all.count.max(count);
        all
    }
}

/// What an [`Offer`] is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Files and directories; their numbers are their positions.
    pub entries: Vec<Entry>,
    /// Symbolic links.
    pub links: Vec<Link>,
    /// The last components of paths that are no UTF-8 at the sender, by the numbers of entries.
    pub originals: Vec<(u32, Vec<u8>)>,
    /// What was named or found and is not offered.
    pub left_out: LeftOut,
    /// What the sender's device is called; may be empty.
    pub device: String,
    /// Paths as they were offered, where the receiver's system needs others, by the numbers of
    /// entries.
    pub renamed: Vec<(u32, String)>,
}

impl Listing {
    /// Leaves out the links that are too many to be offered with as many entries.
    pub fn fit_links(&mut self) {
        let most = super::sender::links_that_fit(&self.links, self.entries.len());
        for link in self.links.drain(most.min(self.links.len())..) {
            let sentence = format!("{}: there are too many links", link.path());
            self.left_out.push(&sentence);
        }
    }
}

/// Entries under a transfer id, checked: at least one, each path once, no file or link with something
/// below it, all within the limits. An entry's number is its position. A clone shares its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    id: TransferId,
    listing: Arc<Listing>,
}

impl Offer {
    /// Checks entries.
    ///
    /// # Errors
    /// [`OfferError`] says which rule the entries break.
    pub fn new(id: TransferId, entries: Vec<Entry>, limits: &Limits) -> Result<Self, OfferError> {
        let listing = Listing {
            entries,
            ..Listing::default()
        };
        Self::of(id, listing, limits)
    }

    /// Checks entries and links.
    ///
    /// # Errors
    /// [`OfferError`] says which rule they break.
    pub fn of(id: TransferId, listing: Listing, limits: &Limits) -> Result<Self, OfferError> {
        let Listing { entries, links, .. } = &listing;
        if entries.is_empty() {
            return Err(OfferError::Empty);
        }
        if entries.len() + links.len() > limits.entries as usize {
            return Err(OfferError::TooMany(limits.entries));
        }
        let of_entries = entries.iter().map(|entry| entry.path.as_str().len());
        let of_links = links
            .iter()
            .map(|link| link.path().as_str().len() + link.target().len());
        if of_entries.chain(of_links).sum::<usize>() > limits.path_bytes {
            return Err(OfferError::PathsTooLong(limits.path_bytes));
        }
        let total = entries
            .iter()
            .filter_map(|entry| entry.size)
            .try_fold(0_u64, u64::checked_add);
        if total.is_none_or(|total| total > limits.total_bytes) {
            return Err(OfferError::TooLarge(limits.total_bytes));
        }
        check_directories(entries)?;
        check_names(entries, links)?;
        let listing = Arc::new(listing);
        Ok(Self { id, listing })
    }

    /// The name of the transfer.
    #[must_use]
    pub const fn id(&self) -> TransferId {
        self.id
    }

    /// The entries in the order of their numbers, at least one.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.listing.entries
    }

    /// The symbolic links.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.listing.links
    }

    /// What the sender named or found and does not offer.
    #[must_use]
    pub fn left_out(&self) -> &LeftOut {
        &self.listing.left_out
    }

    /// What the sender's device is called, for people; empty if it does not say.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.listing.device
    }

    /// The last components of paths that are no UTF-8 at the sender, by the numbers of entries.
    #[must_use]
    pub fn originals(&self) -> &[(u32, Vec<u8>)] {
        &self.listing.originals
    }

    /// Paths as they were offered, where the names of this system must be others.
    #[must_use]
    pub fn renamed(&self) -> &[(u32, String)] {
        &self.listing.renamed
    }

    /// The entry with this number.
    #[must_use]
    pub fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries().get(number as usize)
    }

    /// The files with their numbers, beginning at `first` or after it.
    pub fn files_from(&self, first: u32) -> impl Iterator<Item = (u32, &Entry)> + Clone {
        let rest = self.entries().get(first as usize..).unwrap_or_default();
        (first..)
            .zip(rest)
            .filter(|(_, entry)| entry.kind == Kind::File)
    }

    /// Bytes of all files; none if the size of one is unknown.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.files_from(0)
            .try_fold(0, |total, (_, entry)| Some(total + entry.size?))
    }

    /// A hash of all that a person is asked about: two offers with one digest are the same offer.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("peersox 2026 transfer offer v1");
        hasher.update(self.id.as_bytes());
        let text = |hasher: &mut blake3::Hasher, text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        let number = |hasher: &mut blake3::Hasher, number: Option<u64>| {
            hasher.update(&[u8::from(number.is_some())]);
            hasher.update(&number.unwrap_or(0).to_le_bytes());
        };
        number(&mut hasher, Some(self.entries().len() as u64));
        for entry in self.entries() {
            text(&mut hasher, entry.path.as_str());
            hasher.update(&[entry.kind as u8, u8::from(entry.executable)]);
            number(&mut hasher, entry.size);
            number(&mut hasher, entry.modified.map(Timestamp::as_millis));
            number(&mut hasher, entry.mode.map(u64::from));
            number(&mut hasher, entry.data_bytes);
        }
        for link in self.links() {
            text(&mut hasher, link.path().as_str());
            text(&mut hasher, link.target());
            number(&mut hasher, link.modified().map(Timestamp::as_millis));
        }
        *hasher.finalize().as_bytes()
    }
}

/// A directory has no size.
fn check_directories(entries: &[Entry]) -> Result<(), OfferError> {
    let sized = |entry: &&Entry| entry.kind == Kind::Directory && entry.size.is_some();
    match entries.iter().find(sized) {
        Some(entry) => Err(OfferError::SizedDirectory(entry.path.clone())),
        None => Ok(()),
    }
}

/// Each path once, nothing below a file or a link.
///
/// In the order of paths what clashes are neighbours, so that one look at each pair is enough.
fn check_names(entries: &[Entry], links: &[Link]) -> Result<(), OfferError> {
    let of_entries = entries.iter().map(|it| (&it.path, it.kind == Kind::File));
    let of_links = links.iter().map(|it| (it.path(), true));
    let mut sorted: Vec<(&SafePath, bool)> = of_entries.chain(of_links).collect();
    sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp_from_above(b));
    for pair in sorted.windows(2) {
        let [(above, is_leaf), (path, _)] = [pair[0], pair[1]];
        if above == path {
            return Err(OfferError::Duplicate(path.clone()));
        }
        if is_leaf && path.is_below(above) {
            return Err(OfferError::BelowFile(path.clone()));
        }
    }
    Ok(())
}

impl From<&Entry> for v1::TransferEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            path: entry.path.components().map(str::to_owned).collect(),
            kind: match entry.kind {
                Kind::File => v1::TransferEntryKind::File,
                Kind::Directory => v1::TransferEntryKind::Directory,
            }
            .into(),
            size: entry.size,
            modified_millis: entry.modified.map(Timestamp::as_millis),
            executable: entry.executable,
            mode: entry.mode.map(u32::from),
            data_bytes: entry.data_bytes,
            original_name: bytes::Bytes::new(),
        }
    }
}

impl Entry {
    pub(super) fn parse(entry: &v1::TransferEntry, names: Names) -> Result<Self, OfferError> {
        let mode = entry.mode.map(|mode| mode & u32::from(Self::MAX_MODE));
        Ok(Self {
            path: SafePath::on(names, &entry.path)?,
            kind: match entry.kind() {
                v1::TransferEntryKind::File => Kind::File,
                v1::TransferEntryKind::Directory => Kind::Directory,
                v1::TransferEntryKind::Unspecified => return Err(OfferError::UnknownKind),
            },
            size: entry.size,
            modified: entry.modified_millis.map(Timestamp::from_millis),
            executable: entry.executable,
            mode: mode.and_then(|mode| u16::try_from(mode).ok()),
            data_bytes: entry.data_bytes,
        })
    }
}

/// Why entries are no offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Nothing is offered.
    #[error("nothing is offered")]
    Empty,
    /// More entries than the limit.
    #[error("more than {0} files and directories are offered; send an archive of them instead")]
    TooMany(u32),
    /// More bytes of paths than the limit.
    #[error("the paths of all files together are longer than {0} bytes")]
    PathsTooLong(usize),
    /// More bytes of files than the limit, or than can be counted.
    #[error("the files together are larger than {0} bytes")]
    TooLarge(u64),
    /// A path is not one.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Neither a file nor a directory.
    #[error("an entry is neither a file nor a directory")]
    UnknownKind,
    /// A directory with a size.
    #[error("the directory {0} has a size")]
    SizedDirectory(SafePath),
    /// Two entries with one path, as it is after names were made harmless.
    #[error("two entries would be stored as {0}")]
    Duplicate(SafePath),
    /// An entry below a file or a link.
    #[error("{0} would be stored below a file")]
    BelowFile(SafePath),
    /// A link that leads out of what is offered.
    #[error("the link {0} leads out of the folder that is offered")]
    LinkOutside(SafePath),
}

#[cfg(test)]
mod tests;
