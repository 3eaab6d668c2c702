//! What is offered: entries with harmless names that do not clash.

use std::collections::HashMap;

use peersox_proto::v1;

use super::{PathError, SafePath, TransferId};
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
}

/// How much one transfer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files and directories.
    pub entries: u32,
    /// Bytes of all paths together; bounds the memory and the work that an offer costs.
    pub path_bytes: usize,
    /// Bytes of all files together, those of unknown size included as they come.
    pub total_bytes: u64,
}

impl Default for Limits {
    /// 100,000 entries, 16 MiB of paths, any size.
    fn default() -> Self {
        Self {
            entries: 100_000,
            path_bytes: 16 << 20,
            total_bytes: u64::MAX,
        }
    }
}

/// Entries under a transfer id, checked: at least one, each path once, no file with something
/// below it, all within the limits. An entry's number is its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    id: TransferId,
    entries: Vec<Entry>,
}

impl Offer {
    /// Checks entries.
    ///
    /// # Errors
    /// [`OfferError`] says which rule the entries break.
    pub fn new(id: TransferId, entries: Vec<Entry>, limits: &Limits) -> Result<Self, OfferError> {
        if entries.is_empty() {
            return Err(OfferError::Empty);
        }
        if entries.len() > limits.entries as usize {
            return Err(OfferError::TooMany(limits.entries));
        }
        let path_bytes: usize = entries.iter().map(|e| e.path.as_str().len()).sum();
        if path_bytes > limits.path_bytes {
            return Err(OfferError::PathsTooLong(limits.path_bytes));
        }
        let total = entries
            .iter()
            .filter_map(|entry| entry.size)
            .try_fold(0_u64, u64::checked_add);
        if total.is_none_or(|total| total > limits.total_bytes) {
            return Err(OfferError::TooLarge(limits.total_bytes));
        }
        check_directories(&entries)?;
        check_names(&entries)?;
        Ok(Self { id, entries })
    }

    /// The name of the transfer.
    #[must_use]
    pub const fn id(&self) -> TransferId {
        self.id
    }

    /// The entries in the order of their numbers, at least one.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this number.
    #[must_use]
    pub fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(number as usize)
    }

    /// The files with their numbers, beginning at `first` or after it.
    pub fn files_from(&self, first: u32) -> impl Iterator<Item = (u32, &Entry)> + Clone {
        let rest = self.entries.get(first as usize..).unwrap_or_default();
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

    /// Two paths that differ only in upper and lower case, if there are such: a file system that
    /// does not tell them apart cannot hold both.
    #[must_use]
    pub fn case_clash(&self) -> Option<(SafePath, SafePath)> {
        let mut folded: HashMap<String, &str> = HashMap::with_capacity(self.entries.len());
        for entry in &self.entries {
            let own = entry.path.as_str();
            for path in std::iter::once(own).chain(entry.path.parents()) {
                match folded.insert(path.to_lowercase(), path) {
                    // This directory, and so all above it, has been looked at.
                    Some(seen) if seen == path && path != own => break,
                    Some(seen) if seen != path => {
                        return Some((SafePath::of(seen), SafePath::of(path)));
                    }
                    Some(_) | None => {}
                }
            }
        }
        None
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

/// Each path once, nothing below a file.
///
/// In the order of paths what clashes are neighbours, so that one look at each pair is enough.
fn check_names(entries: &[Entry]) -> Result<(), OfferError> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_unstable_by(|a, b| a.path.cmp_from_above(&b.path));
    for pair in sorted.windows(2) {
        let [above, entry] = [pair[0], pair[1]];
        if above.path == entry.path {
            return Err(OfferError::Duplicate(entry.path.clone()));
        }
        if above.kind == Kind::File && entry.path.is_below(&above.path) {
            return Err(OfferError::BelowFile(entry.path.clone()));
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
        }
    }
}

impl TryFrom<v1::TransferEntry> for Entry {
    type Error = OfferError;

    fn try_from(entry: v1::TransferEntry) -> Result<Self, OfferError> {
        Ok(Self {
            path: SafePath::new(&entry.path)?,
            kind: match entry.kind() {
                v1::TransferEntryKind::File => Kind::File,
                v1::TransferEntryKind::Directory => Kind::Directory,
                v1::TransferEntryKind::Unspecified => return Err(OfferError::UnknownKind),
            },
            size: entry.size,
            modified: entry.modified_millis.map(Timestamp::from_millis),
            executable: entry.executable,
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
    /// An entry below a file.
    #[error("{0} would be stored below a file")]
    BelowFile(SafePath),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        let components: Vec<_> = path.split('/').collect();
        Entry {
            path: SafePath::new(&components).unwrap(),
            kind,
            size: (kind == Kind::File).then_some(1),
            modified: None,
            executable: false,
        }
    }

    fn offer(paths: &[&str]) -> Result<Offer, OfferError> {
        let entries = paths.iter().map(|path| match path.strip_suffix('/') {
            Some(path) => entry(path, Kind::Directory),
            None => entry(path, Kind::File),
        });
        let id = TransferId::from_bytes([0; 16]);
        Offer::new(id, entries.collect(), &Limits::default())
    }

    #[test]
    fn names_that_clash_are_refused() {
        let path = |path: &str| SafePath::new(&path.split('/').collect::<Vec<_>>()).unwrap();
        assert_eq!(offer(&[]), Err(OfferError::Empty));
        assert_eq!(
            offer(&["a", "b", "a"]),
            Err(OfferError::Duplicate(path("a")))
        );
        assert_eq!(
            offer(&["a:b", "a?b"]),
            Err(OfferError::Duplicate(path("a_b")))
        );
        assert_eq!(
            offer(&["a/b/c", "a"]),
            Err(OfferError::BelowFile(path("a/b/c")))
        );
        assert_eq!(
            offer(&["a/", "a/b", "a/b/c/"]),
            Err(OfferError::BelowFile(path("a/b/c")))
        );
        assert!(offer(&["a/", "a/b", "a/c/d", "b"]).is_ok());
    }

    proptest! {
        /// `!` sorts before the separator, `b` after it.
        #[test]
        fn names_clash_if_a_look_at_every_pair_says_so(
            paths in prop::collection::vec("[a!b]{1,2}(/[a!b]{1,2}){0,2}/?", 1..8),
        ) {
            let is_file = |path: &str| !path.ends_with('/');
            let name = |path: &str| path.trim_end_matches('/').to_owned();
            let clash = |at: usize, a: &str, other: usize, b: &str| {
                at != other && name(a) == name(b)
                    || is_file(a) && name(b).starts_with(&format!("{a}/"))
            };
            let clashes = paths.iter().enumerate().any(|(at, a)| {
                let mut others = paths.iter().enumerate();
                others.any(|(other, b)| clash(at, a, other, b))
            });
            let paths: Vec<_> = paths.iter().map(String::as_str).collect();
            prop_assert_eq!(offer(&paths).is_err(), clashes);
        }
    }

    #[test]
    fn case_clashes_are_found_in_directories_too() {
        let clash = |paths: &[&str]| {
            let offer = offer(paths).unwrap();
            offer
                .case_clash()
                .map(|(a, b)| (a.to_string(), b.to_string()))
        };
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(clash(&["d/", "d/a", "d/b", "d/e/f"]), None);
        assert_eq!(
            clash(&["d/Makefile", "d/makefile"]),
            pair("d/Makefile", "d/makefile")
        );
        assert_eq!(clash(&["d/a", "D/b"]), pair("d", "D"));
        assert_eq!(clash(&["ä", "Ä"]), pair("ä", "Ä"));
    }

    #[test]
    fn limits_hold() {
        let tight = Limits {
            entries: 2,
            path_bytes: 4,
            total_bytes: 2,
        };
        let check = |entries: Vec<Entry>| Offer::new(TransferId::of(&entries), entries, &tight);
        let file = |path, size| Entry {
            size: Some(size),
            ..entry(path, Kind::File)
        };
        assert!(check(vec![file("ab", 1), file("cd", 1)]).is_ok());
        assert_eq!(
            check(vec![file("a", 0), file("b", 0), file("c", 0)]),
            Err(OfferError::TooMany(2))
        );
        assert_eq!(
            check(vec![file("abcde", 1)]),
            Err(OfferError::PathsTooLong(4))
        );
        for sizes in [[1, 2], [1, u64::MAX]] {
            let [a, b] = sizes;
            assert_eq!(
                check(vec![file("a", a), file("b", b)]),
                Err(OfferError::TooLarge(2))
            );
        }
        let directory = Entry {
            size: Some(0),
            ..entry("d", Kind::Directory)
        };
        assert!(matches!(
            check(vec![directory]),
            Err(OfferError::SizedDirectory(_))
        ));
    }

    #[test]
    fn entries_survive_the_wire() {
        let entry = Entry {
            modified: Some(Timestamp::from_millis(7)),
            executable: true,
            ..entry("a/b", Kind::File)
        };
        assert_eq!(Entry::try_from(v1::TransferEntry::from(&entry)), Ok(entry));
    }
}
