//! Puts verified files in place, with their modes and times, and makes sure that the disk has them.
//!
//! The order is: the bytes of files on the disk, folders, files, links, then modes and times of folders from
//! the innermost out, then the folders on the disk. Nothing is replaced unless that was asked for.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::os::fd::BorrowedFd;

use peersox_core::time::Timestamp;
use peersox_core::transfer::{Entry, Kind, Link, Offer, Report};
use rustix::fs::{AtFlags, Mode, RenameFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use serde_json::json;

use super::Unstorable;
use super::dirs::Dirs;
use super::folder::Folder;
use super::names::numbered;

pub(super) fn store(folder: &mut Folder, offer: &Offer) -> Result<Report, Unstorable> {
    let mut dirs = Dirs::below(&folder.root)?;
    if folder.is_batch {
        sync(&folder.root, dirs.at("")?)?;
    }
    let mut placing = Placing {
        default_mode: 0o666 & !umask(),
        missing: folder.missing.iter().copied().collect(),
        touched: BTreeSet::from([String::new()]),
        dirs,
        folder,
    };
    placing.folders(offer)?;
    for (number, entry) in offer.files_from(0) {
        if !placing.missing.contains(&number) {
            placing.file(number, entry)?;
        }
    }
    for link in offer.links() {
        placing.link(link)?;
    }
    placing.finish_folders(offer)?;
    placing.synchronise()?;
    let roots = folder.places.roots(offer);
    let paths: Vec<_> = roots.iter().map(|root| folder.root.join(root)).collect();
    folder
        .voice
        .say("", &json!({"event": "stored", "paths": paths}));
    folder.is_stored = true;
    Ok(std::mem::take(&mut folder.places.report))
}

struct Placing<'a> {
    folder: &'a mut Folder,
    dirs: Dirs,
    /// The mode that partial files have.
    default_mode: u32,
    missing: HashSet<u32>,
    /// Folders whose lists of names changed.
    touched: BTreeSet<String>,
}

impl Placing<'_> {
    fn folders(&mut self, offer: &Offer) -> Result<(), Unstorable> {
        let folders = offer.entries().iter();
        for entry in folders.filter(|entry| entry.kind == Kind::Directory) {
            let place = self.folder.places.of(&entry.path);
            self.dirs.at(&place)?;
            if let Some(mode) = entry.mode
                && self.dirs.made.contains(&place)
            {
                // Private before something is in it, and writable until everything is.
                let mode = Mode::from_raw_mode(u32::from(mode) | 0o700);
                match rustix::fs::fchmod(self.dirs.at(&place)?, mode) {
                    Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {}
                    Err(error) => return Err(self.wrong(&place, error)),
                }
            }
            self.touched.insert(above(&place).to_owned());
        }
        Ok(())
    }

    fn file(&mut self, number: u32, entry: &Entry) -> Result<(), Unstorable> {
        let place = self.folder.places.of(&entry.path);
        let part = number.to_string();
        let parts = self.folder.parts.fd();
        let mode = match (entry.mode, entry.executable) {
            (Some(mode), _) => u32::from(mode),
            (None, true) => self.default_mode | (0o111 & (self.default_mode >> 2)),
            (None, false) => self.default_mode,
        };
        if mode != self.default_mode {
            let mode = Mode::from_raw_mode(mode);
            // A file system that knows no modes keeps its own.
            match rustix::fs::chmodat(parts, &part, mode, AtFlags::empty()) {
                Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(self.wrong(&place, error)),
            }
        }
        if let Some(modified) = entry.modified {
            // A time that the file system cannot express is not worth failing for.
            let _ = rustix::fs::utimensat(parts, &part, &times(modified), AtFlags::empty());
        }
        let (folder, name) = (above(&place).to_owned(), last(&place).to_owned());
        for attempt in 0..10_000 {
            let name = numbered(&name, attempt);
            let into = self.dirs.at(&folder)?;
            match rename(self.folder, &part, into, &name) {
                Ok(()) => {
                    self.touched.insert(folder.clone());
                    if attempt > 0 {
                        let stored = join(&folder, &name);
                        let why = "has a name that something else took meanwhile";
                        let (from, voice) = (entry.path.as_str(), self.folder.voice);
                        self.folder.places.renamed(from, &stored, why, voice);
                    }
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(self.wrong(&place, error)),
            }
        }
        Err(self.wrong(&place, Errno::EXIST))
    }

    fn link(&mut self, link: &Link) -> Result<(), Unstorable> {
        let place = self.folder.places.of(link.path());
        let (folder, name) = (above(&place).to_owned(), last(&place).to_owned());
        let into = self.dirs.at(&folder)?;
        let mut made = rustix::fs::symlinkat(link.target(), into, &name);
        if made == Err(Errno::EXIST) && self.folder.overwrite {
            let removed = rustix::fs::unlinkat(into, &name, AtFlags::empty());
            made = removed.and_then(|()| rustix::fs::symlinkat(link.target(), into, &name));
        }
        match made {
            Ok(()) => {
                if let Some(modified) = link.modified() {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    let _ = rustix::fs::utimensat(into, &name, &times(modified), flags);
                }
                self.touched.insert(folder);
            }
            Err(
                error @ (Errno::PERM
                | Errno::OPNOTSUPP
                | Errno::NOSYS
                | Errno::EXIST
                | Errno::ISDIR),
            ) => {
                let why = if matches!(error, Errno::EXIST | Errno::ISDIR) {
                    "something with the name of this link is there"
                } else {
                    "this file system has no symbolic links"
                };
                let sentence = format!("{}: {why}", link.path());
                self.folder.voice.say(
                    &format!("not stored: {sentence}"),
                    &json!({"event": "left_out", "what": sentence}),
                );
                self.folder.places.report.left_out.push(&sentence);
            }
            Err(error) => return Err(self.wrong(&place, error)),
        }
        Ok(())
    }

    /// Modes and times of folders that were made here, the innermost first.
    fn finish_folders(&mut self, offer: &Offer) -> Result<(), Unstorable> {
        let folders = offer.entries().iter();
        let mut folders: Vec<_> = folders.filter(|it| it.kind == Kind::Directory).collect();
        folders.sort_unstable_by(|a, b| b.path.cmp(&a.path));
        for entry in folders {
            let place = self.folder.places.of(&entry.path);
            if !self.dirs.made.contains(&place) {
                continue;
            }
            let fd = self.dirs.at(&place)?;
            if let Some(modified) = entry.modified {
                let _ = rustix::fs::futimens(fd, &times(modified));
            }
            if let Some(mode) = entry.mode {
                let mode = Mode::from_raw_mode(u32::from(mode));
                match rustix::fs::fchmod(fd, mode) {
                    Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {}
                    Err(error) => return Err(self.wrong(&place, error)),
                }
            }
            // A folder that this user may not read cannot be opened again.
            if !self.folder.is_batch && self.touched.remove(&place) {
                let synced = rustix::fs::fsync(self.dirs.at(&place)?);
                synced
                    .or_else(unless_unknown)
                    .map_err(|error| self.wrong(&place, error))?;
            }
        }
        Ok(())
    }

    /// Makes sure that the names are on the disk.
    fn synchronise(&mut self) -> Result<(), Unstorable> {
        if self.folder.is_batch {
            return sync(&self.folder.root, self.dirs.at("")?);
        }
        for place in std::mem::take(&mut self.touched) {
            let synced = rustix::fs::fsync(self.dirs.at(&place)?);
            synced
                .or_else(unless_unknown)
                .map_err(|error| self.wrong(&place, error))?;
        }
        Ok(())
    }

    fn wrong(&self, place: &str, error: Errno) -> Unstorable {
        Unstorable {
            is_room: error == Errno::NOSPC,
            ..Unstorable::new(self.folder.root.join(place), io::Error::from(error))
        }
    }
}

/// Moves a partial file to its place. Fails with [`Errno::EXIST`] where something is, unless that may
/// be replaced.
fn rename(folder: &Folder, part: &str, into: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let parts = folder.parts.fd();
    if folder.overwrite {
        return rustix::fs::renameat(parts, part, into, name);
    }
    match rustix::fs::renameat_with(parts, part, into, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other,
    }
    // A link fails where something is, too.
    match rustix::fs::linkat(parts, part, into, name, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlinkat(parts, part, AtFlags::empty()),
        Err(Errno::EXIST) => Err(Errno::EXIST),
        // A file system with neither.
        Err(_) => match rustix::fs::statat(into, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(_) => rustix::fs::renameat(parts, part, into, name),
        },
    }
}

/// A file system that cannot synchronise folders does it by itself.
fn unless_unknown(error: Errno) -> Result<(), Errno> {
    match error {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => Ok(()),
        error => Err(error),
    }
}

/// Writes all that a file system holds back to the disk: for many files far cheaper than one by one.
#[cfg(target_os = "linux")]
fn sync(root: &std::path::Path, fd: BorrowedFd<'_>) -> Result<(), Unstorable> {
    let synced = rustix::fs::syncfs(fd).or_else(unless_unknown);
    synced.map_err(|error| Unstorable::new(root, io::Error::from(error)))
}

#[cfg(not(target_os = "linux"))]
fn sync(_root: &std::path::Path, _fd: BorrowedFd<'_>) -> Result<(), Unstorable> {
    rustix::fs::sync();
    Ok(())
}

fn above(place: &str) -> &str {
    place.rsplit_once('/').map_or("", |(above, _)| above)
}

fn last(place: &str) -> &str {
    place.rsplit_once('/').map_or(place, |(_, name)| name)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

fn times(modified: Timestamp) -> Timestamps {
    let millis = modified.as_millis();
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: i64::try_from(millis / 1_000).unwrap_or(i64::MAX),
            // Less than a billion.
            tv_nsec: i64::try_from(millis % 1_000 * 1_000_000).unwrap_or(0),
        },
    }
}

/// The file mode bits that new files of this process do not get.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o022)
}
