//! Folders below the one that is received into, each reached through folders only.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Unstorable;

/// Keeps the folders open that lead to the last one; files come in the order of their folders.
pub(super) struct Dirs {
    path: PathBuf,
    root: OwnedFd,
    stack: Vec<(String, OwnedFd)>,
    /// Folders that were made here, by their paths.
    pub(super) made: HashSet<String>,
}

impl Dirs {
    pub(super) fn below(root: &Path) -> Result<Self, Unstorable> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(root, flags, Mode::empty());
        Ok(Self {
            path: root.to_owned(),
            root: opened.map_err(|error| Unstorable::new(root, io::Error::from(error)))?,
            stack: Vec::new(),
            made: HashSet::new(),
        })
    }

    /// The folder with this path, made if it is not there; the root if the path is empty.
    pub(super) fn at(&mut self, path: &str) -> Result<BorrowedFd<'_>, Unstorable> {
        let names = || path.split('/').filter(|name| !name.is_empty());
        let open = self.stack.iter().zip(names());
        let common = open.take_while(|((open, _), name)| open == name).count();
        self.stack.truncate(common);
        for name in names().skip(common) {
            let above = self.stack.last().map_or(&self.root, |(_, fd)| fd);
            let opened = enter(above.as_fd(), name);
            let (fd, is_new) = opened.map_err(|error| self.wrong(name, error))?;
            self.stack.push((name.to_owned(), fd));
            if is_new {
                let names: Vec<_> = self.stack.iter().map(|(name, _)| name.as_str()).collect();
                self.made.insert(names.join("/"));
            }
        }
        Ok(self.stack.last().map_or(&self.root, |(_, fd)| fd).as_fd())
    }

    fn wrong(&self, name: &str, error: Errno) -> Unstorable {
        let mut path = self.path.clone();
        path.extend(self.stack.iter().map(|(name, _)| name));
        path.push(name);
        if matches!(error, Errno::LOOP | Errno::NOTDIR) {
            let is_link = std::fs::symlink_metadata(&path).is_ok_and(|it| it.is_symlink());
            let why = if is_link {
                "it is a symbolic link, and nothing is stored behind it"
            } else {
                "a file of that name is in the way"
            };
            return Unstorable::new(path, why);
        }
        Unstorable {
            is_room: error == Errno::NOSPC,
            ..Unstorable::new(path, io::Error::from(error))
        }
    }
}

/// Opens a folder, made if it is not there, and says whether it was. A symbolic link is none.
fn enter(above: BorrowedFd<'_>, name: &str) -> Result<(OwnedFd, bool), Errno> {
    let is_new = match rustix::fs::mkdirat(above, name, Mode::from_raw_mode(0o777)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(above, name, flags, Mode::empty())?;
    Ok((folder, is_new))
}
