//! What is sent: files, folders and streams, walked into an offer and read piece by piece.

mod stream;
mod walk;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use peersox_core::transfer::{Entry, Kind, Limits, Offer, TransferId};
use rand_core::{OsRng, RngCore as _};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use self::stream::Stream;
use self::walk::Walk;
pub(super) use self::walk::shown;
use crate::failure::Failure;

/// The files of an offer, to be read.
pub(crate) struct Source {
    offer: Offer,
    /// What was named: the number of its first entry, and where it is. Names below are those of the
    /// offer, but for `elsewhere`.
    roots: Vec<(u32, PathBuf)>,
    /// Where entries are whose names had to be changed.
    elsewhere: HashMap<u32, PathBuf>,
    /// What is read once, from its beginning to its end.
    streams: HashMap<u32, Stream>,
    open: Option<Open>,
}

/// The file at work.
struct Open {
    entry: u32,
    path: PathBuf,
    file: File,
    /// Up to here there is no hole; none if the file has no holes.
    data_until: Option<u64>,
}

/// What is said while files are gathered.
pub(crate) enum Notice {
    /// Something is not sent: what, and why.
    Skipped(String),
    /// A name had to be changed.
    Renamed {
        /// As it is here.
        from: String,
        /// As it is sent.
        to: String,
    },
}

/// A piece of a file.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes; none only at the end of the file.
    Bytes(Bytes),
    /// As many zeros, which need not be read.
    Hole(u64),
}

/// Why a file cannot be read: for this side with its path here, for the other side without.
#[derive(Debug)]
pub(crate) struct Unreadable {
    path: PathBuf,
    pub(crate) why: String,
}

impl Unreadable {
    // Errors and texts alike.
    #[allow(clippy::needless_pass_by_value)]
    fn new(path: &Path, why: impl ToString) -> Self {
        let (path, why) = (path.to_owned(), why.to_string());
        Self { path, why }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.path.display(), self.why)
    }
}

impl From<Unreadable> for anyhow::Error {
    fn from(it: Unreadable) -> Self {
        Failure::File(it.to_string()).into()
    }
}

impl Source {
    /// Walks what was named, and opens each file once, so that one that cannot be read is known before
    /// anything is offered. A symbolic link is followed if it was named itself; one that was found in
    /// a folder is offered as a link if it leads to something in what was named. `name` is the name of
    /// the only thing that was named, instead of its own.
    pub(crate) fn gather(
        paths: &[PathBuf],
        name: Option<&str>,
        notice: impl FnMut(Notice),
    ) -> anyhow::Result<Self> {
        if name.is_some() && paths.len() != 1 {
            let text = "--name is the name of one thing; name one file or folder, or `-`";
            return Err(Failure::Usage(text.into()).into());
        }
        let mut walk = Walk::new(notice);
        for path in paths {
            walk.named(path, name)?;
        }
        let Walk {
            mut listing,
            roots,
            elsewhere,
            streams,
            ..
        } = walk;
        listing.device = super::device();
        listing.fit_links();
        let id = if listing.entries.iter().any(is_stream) {
            // It cannot be read again, so that nothing of it can be resumed: every time is another.
            let mut id = [0; TransferId::LEN];
            OsRng.fill_bytes(&mut id);
            TransferId::from_bytes(id)
        } else {
            TransferId::of(&listing.entries)
        };
        let offer = Offer::of(id, listing, &Limits::default())
            .map_err(|error| Failure::File(format!("this cannot be sent together: {error}")))?;
        Ok(Self {
            offer,
            roots,
            elsewhere,
            streams,
            open: None,
        })
    }

    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Whether the same bytes come again, as those of a pipe do not.
    pub(crate) fn can_be_read_again(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether a file is a stream, which [`Source::read_stream`] reads.
    pub(crate) fn is_stream(&self, entry: u32) -> bool {
        self.streams.contains_key(&entry)
    }

    /// Reads what comes next, up to `max` bytes; none only at the end. May be called again after it
    /// was dropped: nothing is lost.
    pub(crate) async fn read_stream(
        &mut self,
        entry: u32,
        max: usize,
    ) -> Result<Piece, Unreadable> {
        match self.streams.get_mut(&entry) {
            Some(stream) => stream.read(max).await.map(Piece::Bytes),
            None => Err(Unreadable::new(Path::new(""), "it is no stream")),
        }
    }

    /// Reads up to `max` bytes; none only at the end of the file. If a hole begins at `offset`, gives up
    /// to `hole` zeros of it instead.
    pub(crate) fn read(
        &mut self,
        entry: u32,
        offset: u64,
        max: usize,
        hole: u64,
    ) -> Result<Piece, Unreadable> {
        let offered = self.offer.entry(entry).cloned();
        if self.open.as_ref().is_none_or(|open| open.entry != entry) {
            let path = self.path(entry);
            let file = walk::open(&path).map_err(|error| Unreadable::new(&path, error))?;
            unchanged(&path, &file, offered.as_ref())?;
            let sparse = offered.as_ref().is_some_and(|it| it.data_bytes.is_some());
            self.open = Some(Open {
                entry,
                path,
                file,
                data_until: sparse.then_some(0),
            });
        }
        let Some(open) = &mut self.open else {
            return Err(Unreadable::new(Path::new(""), "no file is open"));
        };
        let max = match open.look_for_a_hole(offset, max, hole) {
            Ok(Piece::Hole(length)) => return Ok(Piece::Hole(length)),
            Ok(Piece::Bytes(_)) => open.data_after(offset, max, hole),
            Err(error) => return Err(Unreadable::new(&open.path, error)),
        };
        let mut buffer = vec![0; max];
        let read = |from: usize| open.file.read_at(&mut buffer[from..], offset + from as u64);
        let filled = fill(max, read).map_err(|error| Unreadable::new(&open.path, error))?;
        let size = offered.as_ref().and_then(|it| it.size);
        if size <= Some(offset + filled as u64) || filled < max {
            // What was read in between may be a mixture of before and after.
            unchanged(&open.path, &open.file, offered.as_ref())?;
        }
        buffer.truncate(filled);
        Ok(Piece::Bytes(buffer.into()))
    }

    /// Where an entry is.
    fn path(&self, entry: u32) -> PathBuf {
        if let Some(path) = self.elsewhere.get(&entry) {
            return path.clone();
        }
        let root = self.roots.partition_point(|(first, _)| *first <= entry);
        let mut path = self
            .roots
            .get(root.wrapping_sub(1))
            .map(|(_, path)| path.clone())
            .unwrap_or_default();
        if let Some(entry) = self.offer.entry(entry) {
            path.extend(entry.path.components().skip(1));
        }
        path
    }
}

impl Open {
    /// A hole at `offset`, of at most `hole` bytes; else no bytes.
    fn look_for_a_hole(&mut self, offset: u64, max: usize, hole: u64) -> std::io::Result<Piece> {
        let nothing = Ok(Piece::Bytes(Bytes::new()));
        let Some(data_until) = self.data_until else {
            return nothing;
        };
        if hole == 0 || offset < data_until {
            return nothing;
        }
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data,
            // The hole reaches to the end.
            Err(Errno::NXIO) => u64::MAX,
            // A file system that does not tell.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::SPIPE) => {
                self.data_until = None;
                return nothing;
            }
            Err(error) => return Err(error.into()),
        };
        if data > offset {
            return Ok(Piece::Hole(hole.min(data - offset)));
        }
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(offset));
        self.data_until = Some(end.unwrap_or(offset + max as u64));
        nothing
    }

    /// How much to read at `offset`, so that the next read begins where a hole does.
    fn data_after(&self, offset: u64, max: usize, hole: u64) -> usize {
        let until = self.data_until.filter(|until| hole > 0 && *until > offset);
        let left = until.map_or(u64::MAX, |until| until - offset);
        usize::try_from(left).map_or(max, |left| left.min(max))
    }
}

fn is_stream(entry: &Entry) -> bool {
    entry.kind == Kind::File && entry.size.is_none()
}

/// Checks that a file still is what was offered.
fn unchanged(path: &Path, file: &File, offered: Option<&Entry>) -> Result<(), Unreadable> {
    let metadata = file
        .metadata()
        .map_err(|error| Unreadable::new(path, error))?;
    let modified = metadata.modified().ok().map(Into::into);
    let offered_size = offered.and_then(|it| it.size);
    if offered_size == Some(metadata.len()) && offered.is_some_and(|it| it.modified == modified) {
        return Ok(());
    }
    let how = match offered_size {
        Some(size) if metadata.len() > size => "it grew",
        Some(size) if metadata.len() < size => "it became shorter",
        Some(_) | None => "it was changed",
    };
    let why = format!("{how} since it was offered; send it again");
    Err(Unreadable::new(path, why))
}

/// Calls `read` until `max` bytes are there or the end is.
fn fill(
    max: usize,
    mut read: impl FnMut(usize) -> std::io::Result<usize>,
) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < max {
        match read(filled) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
