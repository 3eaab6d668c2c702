//! What is sent: files, folders and standard input, walked into an offer and read piece by piece.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use peersox_core::transfer::{Entry, Kind, Limits, Offer, SafePath, TransferId};
use rand_core::{OsRng, RngCore as _};

use crate::failure::Failure;

/// The files of an offer, to be read.
pub(crate) struct Source {
    offer: Offer,
    /// By entry number; nothing for a directory.
    origins: Vec<Option<Origin>>,
    open: Option<(u32, File)>,
}

enum Origin {
    File(PathBuf),
    Stdin,
}

impl Source {
    /// Walks what was named. A symbolic link is followed if it was named itself and skipped if it was
    /// found in a folder, as are sockets and devices; `skipped` hears of each.
    pub(crate) fn gather(paths: &[PathBuf], mut skipped: impl FnMut(&str)) -> anyhow::Result<Self> {
        let mut walk = Walk {
            entries: Vec::new(),
            origins: Vec::new(),
            skipped: &mut skipped,
        };
        for path in paths {
            walk.named(path)?;
        }
        let Walk {
            entries, origins, ..
        } = walk;
        let id = if entries.iter().any(is_stream) {
            // It cannot be read again, so that nothing of it can be resumed: every time is another.
            let mut id = [0; TransferId::LEN];
            OsRng.fill_bytes(&mut id);
            TransferId::from_bytes(id)
        } else {
            TransferId::of(&entries)
        };
        let offer = Offer::new(id, entries, &Limits::default())
            .map_err(|error| Failure::File(format!("this cannot be sent together: {error}")))?;
        Ok(Self {
            offer,
            origins,
            open: None,
        })
    }

    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Whether the same bytes come again, as those of a pipe do not.
    pub(crate) fn can_be_read_again(&self) -> bool {
        !self.offer.entries().iter().any(is_stream)
    }

    /// Reads up to `max` bytes; none only at the end of the file.
    pub(crate) fn read(&mut self, entry: u32, offset: u64, max: usize) -> anyhow::Result<Bytes> {
        let origin = self.origins.get(entry as usize).and_then(Option::as_ref);
        let mut buffer = vec![0; max];
        let filled = match origin {
            Some(Origin::Stdin) => tokio::task::block_in_place(|| {
                fill(max, |from| {
                    std::io::stdin().lock().read(&mut buffer[from..])
                })
            }),
            Some(Origin::File(path)) => {
                if self.open.as_ref().is_none_or(|(open, _)| *open != entry) {
                    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
                    unchanged(path, &file, self.offer.entry(entry))?;
                    self.open = Some((entry, file));
                }
                let Some((_, file)) = &self.open else {
                    anyhow::bail!("no file is open")
                };
                tokio::task::block_in_place(|| {
                    fill(max, |from| {
                        file.read_at(&mut buffer[from..], offset + from as u64)
                    })
                })
            }
            None => anyhow::bail!("entry {entry} is no file of the offer"),
        };
        let path = match origin {
            Some(Origin::File(path)) => path.as_path(),
            Some(Origin::Stdin) | None => Path::new("standard input"),
        };
        let filled = filled.map_err(|error| unreadable(path, &error))?;
        let offered = self.offer.entry(entry);
        let at_end = offered.and_then(|it| it.size) <= Some(offset + filled as u64);
        if let (Some(Origin::File(path)), Some((_, file))) = (origin, &self.open)
            && (at_end || filled < max)
        {
            // What was read in between may be a mixture of before and after.
            unchanged(path, file, offered)?;
        }
        buffer.truncate(filled);
        Ok(buffer.into())
    }
}

struct Walk<'a> {
    entries: Vec<Entry>,
    origins: Vec<Option<Origin>>,
    skipped: &'a mut dyn FnMut(&str),
}

impl Walk<'_> {
    fn named(&mut self, path: &Path) -> anyhow::Result<()> {
        if path == Path::new("-") {
            let entry = Entry {
                path: SafePath::new(&["stdin"])?,
                kind: Kind::File,
                size: None,
                modified: None,
                executable: false,
            };
            self.entries.push(entry);
            self.origins.push(Some(Origin::Stdin));
            return Ok(());
        }
        let real = path
            .canonicalize()
            .map_err(|error| unreadable(path, &error))?;
        let name = path.file_name().or(real.file_name());
        let Some(name) = name else {
            return Err(
                Failure::File(format!("{} has no name to send it under", path.display())).into(),
            );
        };
        let metadata = real.metadata().map_err(|error| unreadable(path, &error))?;
        self.add(
            &real,
            &mut vec![name.to_string_lossy().into_owned()],
            &metadata,
        )
    }

    fn add(
        &mut self,
        path: &Path,
        names: &mut Vec<String>,
        metadata: &Metadata,
    ) -> anyhow::Result<()> {
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_file() {
            Kind::File
        } else {
            (self.skipped)(&format!(
                "skipped {}: neither file nor folder",
                path.display()
            ));
            return Ok(());
        };
        let safe = SafePath::new(names)
            .map_err(|error| Failure::File(format!("{}: {error}", path.display())))?;
        let file = kind == Kind::File;
        self.entries.push(Entry {
            path: safe,
            kind,
            size: file.then_some(metadata.len()),
            modified: metadata.modified().ok().map(Into::into),
            executable: file && metadata.permissions().mode() & 0o100 != 0,
        });
        self.origins
            .push(file.then(|| Origin::File(path.to_owned())));
        if file {
            return Ok(());
        }
        let list = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut children = list.map_err(|error| unreadable(path, &error))?;
        // The same order every time gives the same transfer id, which resuming needs.
        children.sort_by_key(std::fs::DirEntry::file_name);
        for child in children {
            let metadata = child
                .metadata()
                .map_err(|error| unreadable(&child.path(), &error))?;
            names.push(child.file_name().to_string_lossy().into_owned());
            self.add(&child.path(), names, &metadata)?;
            names.pop();
        }
        Ok(())
    }
}

fn is_stream(entry: &Entry) -> bool {
    entry.kind == Kind::File && entry.size.is_none()
}

/// Checks that a file still is what was offered.
fn unchanged(path: &Path, file: &File, offered: Option<&Entry>) -> anyhow::Result<()> {
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    let modified = metadata.modified().ok().map(Into::into);
    let same = offered.is_some_and(|it| it.size == Some(metadata.len()) && it.modified == modified);
    if same {
        return Ok(());
    }
    Err(Failure::File(format!(
        "{} changed since it was offered; send it again",
        path.display()
    ))
    .into())
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

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    Failure::File(format!("cannot read {}: {error}", path.display())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn folders_are_walked_in_order_and_links_skipped() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        std::fs::create_dir_all(folder.join("b")).unwrap();
        std::fs::write(folder.join("b/two"), b"2222").unwrap();
        std::fs::write(folder.join("a"), b"1").unwrap();
        std::os::unix::fs::symlink("a", folder.join("link")).unwrap();

        let mut skipped = Vec::new();
        let paths = [folder];
        let mut source = Source::gather(&paths, |what| skipped.push(what.to_owned())).unwrap();
        let names: Vec<_> = source
            .offer()
            .entries()
            .iter()
            .map(|it| it.path.as_str())
            .collect();
        assert_eq!(names, ["folder", "folder/a", "folder/b", "folder/b/two"]);
        assert_eq!(skipped.len(), 1, "{skipped:?}");
        assert_eq!(&source.read(3, 0, 100).unwrap()[..], b"2222");
        assert_eq!(&source.read(3, 1, 2).unwrap()[..], b"22");
        assert_eq!(&source.read(3, 4, 10).unwrap()[..], b"");

        let again = Source::gather(&paths, |_| {}).unwrap();
        assert_eq!(again.offer().id(), source.offer().id());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_changed_is_not_sent() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, b"before").unwrap();
        let mut source = Source::gather(std::slice::from_ref(&file), |_| {}).unwrap();
        std::fs::write(&file, b"before and after").unwrap();
        let error = source.read(0, 0, 100).unwrap_err();
        assert!(error.to_string().contains("changed"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_changes_while_it_is_read_is_noticed_at_its_end() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        for grown in ["one, two, three", "ONE, TWO", "one"] {
            std::fs::write(&path, b"one, two").unwrap();
            let mut source = Source::gather(std::slice::from_ref(&path), |_| {}).unwrap();
            source.read(0, 0, 4).unwrap();
            // Further than the grain of any file system's times.
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::fs::write(&path, grown).unwrap();
            let error = source.read(0, 4, 4).unwrap_err();
            assert!(error.to_string().contains("changed"), "{grown}: {error}");
        }
    }

    #[test]
    fn a_stream_is_another_transfer_every_time() {
        let id = || Source::gather(&["-".into()], |_| {}).unwrap().offer().id();
        assert_ne!(id(), id());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = Source::gather(&["/no/such/file".into()], |_| {})
            .err()
            .unwrap();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
