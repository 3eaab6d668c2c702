//! Walks what was named into entries and links.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use peersox_core::transfer::{Entry, Kind, Link, Listing, Names, SafePath};
use rustix::fs::OFlags;

use super::stream::Stream;
use super::{Notice, Unreadable};
use crate::failure::Failure;

/// What was found so far.
pub(super) struct Walk<F> {
    pub(super) listing: Listing,
    pub(super) roots: Vec<(u32, PathBuf)>,
    pub(super) elsewhere: HashMap<u32, PathBuf>,
    pub(super) streams: HashMap<u32, Stream>,
    notice: F,
    /// How many of the names above are not what they are here.
    changed: usize,
}

impl<F: FnMut(Notice)> Walk<F> {
    pub(super) fn new(notice: F) -> Self {
        Self {
            listing: Listing::default(),
            roots: Vec::new(),
            elsewhere: HashMap::new(),
            streams: HashMap::new(),
            notice,
            changed: 0,
        }
    }

    /// Adds what was named. `name` is used instead of its own.
    pub(super) fn named(&mut self, path: &Path, name: Option<&str>) -> anyhow::Result<()> {
        if path == Path::new("-") {
            let names = [name.unwrap_or("stdin").to_owned()];
            return self.stream(&names, Stream::stdin(), None);
        }
        let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            let own = path
                .file_name()
                .map(|own| own.to_string_lossy().into_owned());
            let names = [name.map_or(own.unwrap_or_else(|| "pipe".into()), str::to_owned)];
            return self.stream(&names, Stream::file(path.to_owned()), None);
        }
        if !kind.is_file() && !kind.is_dir() {
            let text = format!(
                "{} is neither a file nor a folder nor a pipe",
                path.display()
            );
            return Err(Failure::File(text).into());
        }
        let real = path
            .canonicalize()
            .map_err(|error| unreadable(path, &error))?;
        let own = path.file_name().or(real.file_name());
        let (name, original) = match (name, own) {
            (Some(name), _) => (name.to_owned(), None),
            (None, Some(own)) => {
                let name = as_text(own);
                let is_changed = name.as_bytes() != own.as_bytes();
                (name, is_changed.then_some(own))
            }
            (None, None) => {
                let text = format!("{} has no name; give it one with --name", path.display());
                return Err(Failure::File(text).into());
            }
        };
        self.roots.push((self.next_number(), real.clone()));
        if let Some(original) = original {
            self.renamed(original, &name, false);
        }
        self.add(&real, &mut vec![name], &metadata)
    }

    fn next_number(&self) -> u32 {
        u32::try_from(self.listing.entries.len()).unwrap_or(u32::MAX)
    }

    fn renamed(&mut self, own: &OsStr, name: &str, is_link: bool) {
        (self.notice)(Notice::Renamed {
            from: shown(own.as_bytes()),
            to: name.to_owned(),
        });
        // The receiver hears of entries, and not of links.
        if !is_link {
            let (number, own) = (self.next_number(), own.as_bytes().to_vec());
            self.listing.originals.push((number, own));
        }
    }

    fn left_out(&mut self, path: &Path, names: &[String], why: &str) {
        (self.notice)(Notice::Skipped(format!("{}: {why}", path.display())));
        let sentence = format!("{}: {why}", names.join("/"));
        self.listing.left_out.push(&sentence);
    }

    fn stream(
        &mut self,
        names: &[String],
        stream: Stream,
        metadata: Option<&Metadata>,
    ) -> anyhow::Result<()> {
        let path = SafePath::on(Names::Unix, names)
            .map_err(|error| Failure::Usage(format!("{}: {error}", names.join("/"))))?;
        self.streams.insert(self.next_number(), stream);
        self.listing.entries.push(Entry {
            path,
            kind: Kind::File,
            size: None,
            modified: None,
            executable: false,
            mode: metadata.and_then(mode),
            data_bytes: None,
        });
        Ok(())
    }

    fn add(
        &mut self,
        path: &Path,
        names: &mut Vec<String>,
        metadata: &Metadata,
    ) -> anyhow::Result<()> {
        if metadata.is_symlink() {
            self.link(path, names, metadata);
            return Ok(());
        }
        if metadata.is_file() {
            return self.file(path, names, metadata);
        }
        if !metadata.is_dir() {
            let why = if metadata.file_type().is_fifo() {
                "a pipe in a folder; name it itself to send what it carries"
            } else {
                "neither a file nor a folder"
            };
            self.left_out(path, names, why);
            return Ok(());
        }
        self.push(path, names, metadata, None)?;
        let list = sorted_names(path).map_err(|error| unreadable(path, &error))?;
        let mut taken = HashSet::new();
        if list.iter().any(|name| name.to_str().is_none()) {
            taken.extend(
                list.iter()
                    .filter_map(|name| name.to_str().map(str::to_owned)),
            );
        }
        for own in list {
            let path = path.join(&own);
            let metadata = path
                .symlink_metadata()
                .map_err(|error| unreadable(&path, &error))?;
            let (name, is_changed) = match own.into_string() {
                Ok(name) => (name, false),
                Err(own) => {
                    let name = free_text(&own, &mut taken);
                    self.renamed(&own, &name, metadata.is_symlink());
                    (name, true)
                }
            };
            self.changed += usize::from(is_changed);
            names.push(name);
            self.add(&path, names, &metadata)?;
            names.pop();
            self.changed -= usize::from(is_changed);
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, names: &[String], metadata: &Metadata) {
        let target = std::fs::read_link(path);
        let Some(target) = target.as_ref().ok().and_then(|it| it.to_str()) else {
            return self.left_out(path, names, "a link to a name that is no UTF-8");
        };
        let modified = metadata.modified().ok().map(Into::into);
        let place = SafePath::on(Names::Unix, names).ok();
        match place.and_then(|place| Link::new(place, target, modified)) {
            Some(link) => self.listing.links.push(link),
            None => self.left_out(path, names, "a link that leads out of what is sent"),
        }
    }

    fn file(&mut self, path: &Path, names: &[String], metadata: &Metadata) -> anyhow::Result<()> {
        let size = metadata.len();
        let size_is_true = open(path)
            .and_then(|file| is_as_long_as_it_says(&file, size))
            .map_err(|error| unreadable(path, &error))?;
        if !size_is_true {
            return self.stream(names, Stream::file(path.to_owned()), Some(metadata));
        }
        self.push(path, names, metadata, Some(size))
    }

    fn push(
        &mut self,
        path: &Path,
        names: &[String],
        metadata: &Metadata,
        size: Option<u64>,
    ) -> anyhow::Result<()> {
        let safe = SafePath::on(Names::Unix, names)
            .map_err(|error| Failure::File(format!("{}: {error}", path.display())))?;
        let is_same = safe.components().eq(names.iter().map(String::as_str));
        if names.len() > 1 && (self.changed > 0 || !is_same) {
            self.elsewhere.insert(self.next_number(), path.to_owned());
        }
        let data_bytes = metadata.blocks().saturating_mul(512);
        self.listing.entries.push(Entry {
            path: safe,
            kind: if size.is_some() {
                Kind::File
            } else {
                Kind::Directory
            },
            size,
            modified: metadata.modified().ok().map(Into::into),
            executable: size.is_some() && metadata.mode() & 0o100 != 0,
            mode: mode(metadata),
            data_bytes: size.and_then(|size| (data_bytes < size).then_some(data_bytes)),
        });
        Ok(())
    }
}

fn mode(metadata: &Metadata) -> Option<u16> {
    u16::try_from(metadata.mode() & u32::from(Entry::MAX_MODE)).ok()
}

/// Opens a file to read it. A pipe that took its place meanwhile is not waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)
}

/// Whether a file has a last byte where its size says so, and none after it. Files that a kernel makes
/// up while they are read, as in `/proc` and `/sys`, have not.
fn is_as_long_as_it_says(file: &File, size: u64) -> io::Result<bool> {
    let mut byte = [0; 1];
    let at = size.saturating_sub(1);
    let read = loop {
        match file.read_at(&mut byte, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It has bytes, and they are still to come.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 1,
            other => break other?,
        }
    };
    Ok((read == 1) == (size > 0))
}

/// The names in a folder. The same order every time gives the same transfer id, which resuming needs.
fn sorted_names(path: &Path) -> io::Result<Vec<OsString>> {
    let list = std::fs::read_dir(path)?.map(|entry| entry.map(|it| it.file_name()));
    let mut list = list.collect::<io::Result<Vec<_>>>()?;
    list.sort_unstable();
    Ok(list)
}

/// A name as text that nothing beside it has.
fn free_text(name: &OsStr, taken: &mut HashSet<String>) -> String {
    let text = as_text(name);
    let mut free = text.clone();
    let mut number = 1;
    while !taken.insert(free.clone()) {
        free = format!("{text} ({number})");
        number += 1;
    }
    free
}

/// A name as text: `%` and two hexadecimal digits for each byte that is no UTF-8.
fn as_text(name: &OsStr) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A name that is no UTF-8, for people.
pub(in crate::transfer) fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

fn unreadable(path: &Path, error: &io::Error) -> anyhow::Error {
    Unreadable::new(path, error).into()
}
