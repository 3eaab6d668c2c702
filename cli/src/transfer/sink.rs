//! Where files are received: partial files kept apart, put in place when all of it is verified.
//!
//! ```text
//! DIR/.peersox-part-<transfer id>/<entry number>     while it comes
//! DIR/<path of the entry>                            when everything is there
//! ```
//!
//! What is broken off stays in its partial files. The same transfer, started again, finds them by
//! its id, hashes them and goes on from there; the sender compares the hash.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use peersox_core::transfer::{Choice, Entry, Kind, Offer, Prefix};
use serde_json::json;

use crate::failure::Failure;
use crate::terminal::Voice;

/// Takes the files of one offer.
pub(crate) enum Sink {
    Folder(Folder),
    /// Standard output: one file, and no second chance.
    Stdout,
}

pub(crate) struct Folder {
    root: PathBuf,
    parts: PathBuf,
    overwrite: bool,
    open: Option<(u32, File)>,
    /// Partial files of streams, which no later attempt can use.
    useless_later: Vec<PathBuf>,
    /// Locks the partial files against another process for as long as it is open.
    _lock: Option<File>,
}

impl Sink {
    /// Prepares to receive into `output`, and says how to take each file.
    pub(crate) fn open(
        output: &Path,
        offer: &Offer,
        overwrite: bool,
    ) -> anyhow::Result<(Self, HashMap<u32, Choice>)> {
        if output == Path::new("-") {
            if offer.files_from(0).count() != 1 || offer.entries().len() != 1 {
                let text = "standard output takes one file; name a folder with -o";
                return Err(Failure::Usage(text.into()).into());
            }
            return Ok((Self::Stdout, HashMap::new()));
        }
        if output.exists() && !output.is_dir() {
            return Err(Failure::File(format!("{} is no folder", output.display())).into());
        }
        let parts = output.join(format!(".peersox-part-{}", offer.id()));
        fs::create_dir_all(&parts).map_err(|error| unwritable(&parts, &error))?;
        let lock = lock(&parts)?;
        let mut folder = Folder {
            root: output.to_owned(),
            parts,
            overwrite,
            open: None,
            useless_later: Vec::new(),
            _lock: lock,
        };
        folder.useless_later = offer
            .files_from(0)
            .filter(|(_, entry)| entry.size.is_none())
            .map(|(number, _)| folder.part(number))
            .collect();
        let mut choices = HashMap::new();
        for (number, entry) in offer.files_from(0) {
            if let Some(prefix) = folder.prefix(number, entry)? {
                choices.insert(number, Choice::Resume(prefix));
            }
        }
        Ok((Self::Folder(folder), choices))
    }

    /// Writes a piece of a file.
    pub(crate) fn write(&mut self, entry: u32, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| match self {
            Self::Folder(folder) => folder.write(entry, offset, bytes),
            Self::Stdout => io::stdout()
                .lock()
                .write_all(bytes)
                .map_err(|error| no_output(&error)),
        })
    }

    /// Makes sure that a file, complete and verified, is on the disk.
    pub(crate) fn finish(&mut self, entry: u32, size: u64) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| match self {
            Self::Folder(folder) => folder.finish(entry, size),
            Self::Stdout => io::stdout()
                .lock()
                .flush()
                .map_err(|error| no_output(&error)),
        })
    }

    /// Puts everything in place.
    pub(crate) fn store(&mut self, offer: &Offer, voice: Voice) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| match self {
            Self::Folder(folder) => folder.store(offer, voice),
            Self::Stdout => Ok(()),
        })
    }
}

impl Folder {
    fn part(&self, entry: u32) -> PathBuf {
        self.parts.join(entry.to_string())
    }

    /// What an earlier attempt left of a file.
    fn prefix(&self, number: u32, entry: &Entry) -> anyhow::Result<Option<Prefix>> {
        let path = self.part(number);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unwritable(&path, &error)),
        };
        // A pipe of unknown length cannot be rewound by its sender.
        let Some(size) = entry.size else {
            return Ok(None);
        };
        let mut prefix = Prefix::default();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = file
                .read(&mut buffer)
                .map_err(|error| unwritable(&path, &error))?;
            if read == 0 || prefix.len() + read as u64 > size {
                break;
            }
            prefix.update(&buffer[..read]);
        }
        Ok((!prefix.is_empty()).then_some(prefix))
    }

    fn write(&mut self, entry: u32, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.part(entry);
        if self.open.as_ref().is_none_or(|(open, _)| *open != entry) {
            let opened = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(false)
                .open(&path);
            let file = opened.map_err(|error| unwritable(&path, &error))?;
            // What is there beyond the beginning of this attempt is not part of it.
            file.set_len(offset)
                .map_err(|error| unwritable(&path, &error))?;
            self.open = Some((entry, file));
        }
        let Some((_, file)) = &self.open else {
            anyhow::bail!("no file is open")
        };
        file.write_all_at(bytes, offset)
            .map_err(|error| unwritable(&path, &error))
    }

    fn finish(&mut self, entry: u32, size: u64) -> anyhow::Result<()> {
        let path = self.part(entry);
        let opened = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path);
        let file = opened.map_err(|error| unwritable(&path, &error))?;
        file.set_len(size)
            .and_then(|()| file.sync_all())
            .map_err(|error| unwritable(&path, &error))?;
        self.open = None;
        Ok(())
    }

    fn store(&mut self, offer: &Offer, voice: Voice) -> anyhow::Result<()> {
        let mut roots: HashMap<&str, PathBuf> = HashMap::new();
        for (number, entry) in (0..).zip(offer.entries()) {
            let root = entry.path.root();
            if !roots.contains_key(root) {
                let place = self.free_place(root)?;
                if place.file_name() != Some(root.as_ref()) {
                    let sentence = format!("{root} is there already; saved as {}", place.display());
                    voice.say(
                        &sentence,
                        &json!({"event": "renamed", "from": root, "to": place}),
                    );
                }
                roots.insert(root, place);
            }
            let below: PathBuf = entry.path.components().skip(1).collect();
            let base = &roots[root];
            let target = if below.as_os_str().is_empty() {
                base.clone()
            } else {
                base.join(below)
            };
            match entry.kind {
                Kind::Directory => {
                    self.refuse_links(&target)?;
                    fs::create_dir_all(&target).map_err(|error| unwritable(&target, &error))?;
                }
                Kind::File => self.place(number, entry, &target)?,
            }
        }
        let places: Vec<&PathBuf> = roots.values().collect();
        voice.say("", &json!({"event": "stored", "paths": places}));
        Ok(())
    }

    fn place(&self, number: u32, entry: &Entry, target: &Path) -> anyhow::Result<()> {
        let part = self.part(number);
        let in_the_way = |error: io::Error| unwritable(target, &error);
        self.refuse_links(target)?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(in_the_way)?;
        }
        let mode = if entry.executable { 0o755 } else { 0o644 };
        fs::set_permissions(&part, fs::Permissions::from_mode(mode & !umask()))
            .map_err(in_the_way)?;
        if let Some(modified) = entry.modified {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(modified.as_millis());
            // A time that the file system cannot express is not worth failing for.
            let _ =
                File::open(&part).and_then(|it| it.set_times(FileTimes::new().set_modified(time)));
        }
        if self.overwrite {
            return fs::rename(&part, target).map_err(in_the_way);
        }
        // A link fails where something has appeared meanwhile; a rename would replace it.
        match fs::hard_link(&part, target) {
            Ok(()) => fs::remove_file(&part).map_err(in_the_way),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(in_the_way(error)),
            Err(_) if target.exists() => {
                Err(in_the_way(io::Error::from(io::ErrorKind::AlreadyExists)))
            }
            // A file system without hard links.
            Err(_) => fs::rename(&part, target).map_err(in_the_way),
        }
    }

    /// Refuses to go through a symbolic link below the output folder: files that replace others would
    /// land wherever it leads.
    fn refuse_links(&self, target: &Path) -> anyhow::Result<()> {
        let folders = target.ancestors().skip(1);
        for folder in folders.take_while(|folder| **folder != *self.root) {
            if fs::symlink_metadata(folder).is_ok_and(|it| it.is_symlink()) {
                let text = format!(
                    "{} is a symbolic link; nothing is stored behind it",
                    folder.display()
                );
                return Err(Failure::File(text).into());
            }
        }
        Ok(())
    }

    /// `name`, or `name (1)`, `name (2)`… if something is there and must not be replaced.
    fn free_place(&self, name: &str) -> anyhow::Result<PathBuf> {
        let first = self.root.join(name);
        if self.overwrite || fs::symlink_metadata(&first).is_err() {
            return Ok(first);
        }
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        for number in 1..10_000 {
            let place = self.root.join(format!("{stem} ({number}){extension}"));
            if fs::symlink_metadata(&place).is_err() {
                return Ok(place);
            }
        }
        Err(Failure::File(format!("{} is there already, many times", first.display())).into())
    }
}

impl Drop for Folder {
    /// Leaves what a later attempt can go on with, and nothing else.
    fn drop(&mut self) {
        for path in &self.useless_later {
            let _ = fs::remove_file(path);
        }
        // Fails while there are partial files in it.
        let _ = fs::remove_dir(&self.parts);
    }
}

/// Locks a folder of partial files; two processes that write the same ones would spoil them after
/// they were verified. Where the file system knows no locks there is none.
fn lock(parts: &Path) -> anyhow::Result<Option<File>> {
    let folder = File::open(parts).map_err(|error| unwritable(parts, &error))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(Failure::File(format!(
            "another peersox is receiving the same files; its partial files are in {}",
            parts.display()
        ))
        .into()),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// The file mode bits that new files of this process do not get.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o022)
}

fn unwritable(path: &Path, error: &io::Error) -> anyhow::Error {
    Failure::File(format!("cannot store {}: {error}", path.display())).into()
}

fn no_output(error: &io::Error) -> anyhow::Error {
    Failure::File(format!("cannot write to standard output: {error}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use peersox_core::transfer::{Limits, SafePath, TransferId};

    fn offer(entries: &[(&[&str], Option<u64>)]) -> Offer {
        let entry = |(path, size): &(&[&str], Option<u64>)| Entry {
            path: SafePath::new(path).unwrap(),
            kind: if size.is_some() {
                Kind::File
            } else {
                Kind::Directory
            },
            size: *size,
            modified: None,
            executable: false,
        };
        let entries: Vec<_> = entries.iter().map(entry).collect();
        Offer::new(TransferId::of(&entries), entries, &Limits::default()).unwrap()
    }

    fn take(dir: &Path, offer: &Offer, overwrite: bool, contents: &[(u32, &[u8])]) {
        let (mut sink, _) = Sink::open(dir, offer, overwrite).unwrap();
        for (entry, bytes) in contents {
            sink.write(*entry, 0, bytes).unwrap();
            sink.finish(*entry, bytes.len() as u64).unwrap();
        }
        sink.store(offer, Voice::new(true)).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_overwritten_unless_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let offer = offer(&[(&["a.tar.gz"], Some(3))]);
        for bytes in [b"one", b"two"] {
            take(dir.path(), &offer, false, &[(0, bytes)]);
        }
        assert_eq!(fs::read(dir.path().join("a.tar.gz")).unwrap(), b"one");
        assert_eq!(fs::read(dir.path().join("a.tar (1).gz")).unwrap(), b"two");
        take(dir.path(), &offer, true, &[(0, b"new")]);
        assert_eq!(fs::read(dir.path().join("a.tar.gz")).unwrap(), b"new");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            2,
            "no partial files are left"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn folders_are_made_and_renamed_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let offer = offer(&[(&["d"], None), (&["d", "e"], None), (&["d", "f"], Some(1))]);
        take(dir.path(), &offer, false, &[(2, b"1")]);
        take(dir.path(), &offer, false, &[(2, b"2")]);
        assert_eq!(fs::read(dir.path().join("d/f")).unwrap(), b"1");
        assert_eq!(fs::read(dir.path().join("d (1)/f")).unwrap(), b"2");
        assert!(dir.path().join("d (1)/e").is_dir());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_broken_off_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let offer = offer(&[(&["f"], Some(6))]);
        let (mut sink, choices) = Sink::open(dir.path(), &offer, false).unwrap();
        assert!(choices.is_empty());
        sink.write(0, 0, b"abc").unwrap();
        drop(sink);
        assert!(!dir.path().join("f").exists());

        let (mut sink, choices) = Sink::open(dir.path(), &offer, false).unwrap();
        assert!(matches!(&choices[&0], Choice::Resume(prefix) if prefix.len() == 3));
        sink.write(0, 3, b"def").unwrap();
        sink.finish(0, 6).unwrap();
        sink.store(&offer, Voice::new(true)).unwrap();
        assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"abcdef");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn partial_files_have_one_owner_and_streams_leave_none() {
        let dir = tempfile::tempdir().unwrap();
        let offer = offer(&[(&["f"], Some(6))]);
        let (sink, _) = Sink::open(dir.path(), &offer, false).unwrap();
        let error = Sink::open(dir.path(), &offer, false).err().unwrap();
        assert!(error.to_string().contains("another peersox"), "{error}");
        drop(sink);
        let (sink, _) = Sink::open(dir.path(), &offer, false).unwrap();
        drop(sink);

        let mut stream = offer.entries().to_vec();
        stream[0].size = None;
        let stream = Offer::new(offer.id(), stream, &Limits::default()).unwrap();
        let (mut sink, _) = Sink::open(dir.path(), &stream, false).unwrap();
        sink.write(0, 0, b"abc").unwrap();
        drop(sink);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_replaced_behind_a_symbolic_link() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join("f"), b"mine").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("d")).unwrap();
        for entries in [&[(&["d", "f"][..], Some(1))], &[(&["d", "e"][..], None)]] {
            let offer = offer(entries);
            let (mut sink, _) = Sink::open(dir.path(), &offer, true).unwrap();
            sink.write(0, 0, b"x").unwrap();
            let error = sink.store(&offer, Voice::new(true)).unwrap_err();
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        assert_eq!(fs::read(elsewhere.path().join("f")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }
}
