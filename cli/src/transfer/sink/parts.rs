//! The folder of partial files of one transfer.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use peersox_core::transfer::Offer;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde_json::json;

use super::{Unstorable, bytes_of};
use crate::terminal::Voice;

const PREFIX: &str = ".peersox-part-";

/// Partial files that nobody asked for again are removed after this time.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Room that streams of unknown length leave on a disk: this many bytes, or a twentieth of a small one.
const RESERVE: u64 = 256 << 20;

/// The folder of partial files. It is this user's own, and locked against other processes for as long
/// as it is open.
pub(super) struct Parts {
    path: PathBuf,
    /// Also holds the lock.
    folder: File,
    /// There was none before.
    pub(super) is_new: bool,
}

impl Parts {
    pub(super) fn open(output: &Path, offer: &Offer) -> Result<Self, Unstorable> {
        fs::create_dir_all(output).map_err(|error| Unstorable::new(output, error))?;
        let path = output.join(format!("{PREFIX}{}", offer.id()));
        let wrong = |error: Errno| Unstorable::new(&path, io::Error::from(error));
        let is_new = match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(wrong(error)),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty()).map_err(wrong)?;
        let owner = rustix::fs::fstat(&folder).map_err(wrong)?.st_uid;
        if !is_new && owner != rustix::process::geteuid().as_raw() {
            let why = "somebody else made this folder; remove it and try again";
            return Err(Unstorable::new(&path, why));
        }
        let folder = File::from(folder);
        // Two processes that write the same partial files would spoil them after they were verified.
        // Where the file system knows no locks there is none.
        match folder.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "another peersox is receiving the same files";
                return Err(Unstorable::new(&path, why));
            }
        }
        Ok(Self {
            path,
            folder,
            is_new,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Opens the partial file of an entry; makes it if `flags` say so.
    pub(super) fn file(&self, entry: u32, flags: OFlags) -> Result<File, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o666);
        let open = || rustix::fs::openat(self.fd(), entry.to_string(), flags, mode);
        match open() {
            // It was complete, and its sender does not want it to be written to; or it is a link.
            Err(Errno::ACCESS | Errno::LOOP) if flags.contains(OFlags::CREATE) => {
                self.remove(entry)?;
                open().map(File::from)
            }
            other => other.map(File::from),
        }
    }

    pub(super) fn remove(&self, entry: u32) -> Result<(), Errno> {
        match rustix::fs::unlinkat(self.fd(), entry.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Removes what other transfers into this folder left long ago: what was broken off and never sent
/// again.
pub(super) fn remove_old(output: &Path, own: &Path, voice: Voice) {
    let Ok(list) = fs::read_dir(output) else {
        return;
    };
    for child in list.flatten() {
        let (name, path) = (child.file_name(), child.path());
        let is_part = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_part || path == own || !child.file_type().is_ok_and(|it| it.is_dir()) {
            continue;
        }
        if newest(&path).is_none_or(|age| age < KEPT) {
            continue;
        }
        // Somebody may be at it right now.
        let Ok(folder) = File::open(&path) else {
            continue;
        };
        if folder.try_lock().is_ok() && fs::remove_dir_all(&path).is_ok() {
            let sentence = format!("removed {}, which was broken off long ago", path.display());
            voice.say(
                &sentence,
                &json!({"event": "old_parts_removed", "path": path}),
            );
        }
    }
}

/// The age of the newest thing in a folder.
fn newest(folder: &Path) -> Option<Duration> {
    let children = fs::read_dir(folder).ok()?.flatten().map(|it| it.path());
    let times = children
        .chain([folder.to_owned()])
        .filter_map(|path| fs::symlink_metadata(path).ok()?.modified().ok());
    SystemTime::now().duration_since(times.max()?).ok()
}

/// Whether there is room for an offer.
pub(super) fn check_room(output: &Path, offer: &Offer) -> Result<(), Unstorable> {
    let held = output.join(format!("{PREFIX}{}", offer.id()));
    let held = fs::read_dir(held).into_iter().flatten().flatten();
    let held: u64 = held
        .filter_map(|it| it.metadata().ok().map(|it| it.len()))
        .sum();
    let needed = offer.files_from(0).map(|(_, file)| bytes_of(file));
    let needed = needed.fold(0_u64, u64::saturating_add).saturating_sub(held);
    match free(output) {
        Some((free, _)) if free < needed => Err(Unstorable::no_room(
            output,
            format!(
                "there is no room for {}; {} are free",
                indicatif::HumanBytes(needed),
                indicatif::HumanBytes(free)
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Whether a stream may go on: it leaves some room to others.
pub(super) fn check_reserve(output: &Path) -> Result<(), Unstorable> {
    match free(output) {
        Some((free, all)) if is_reserve(free, all) => Err(Unstorable::no_room(
            output,
            format!(
                "only {} are left on the disk, and nobody knows how long this stream is",
                indicatif::HumanBytes(free)
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Whether so little is free that a stream has to leave it: 256 MiB, or a twentieth of a small disk.
const fn is_reserve(free: u64, all: u64) -> bool {
    free < RESERVE && free < all / 20
}

/// Free bytes for this user, and all bytes of the file system; none if that cannot be told.
fn free(output: &Path) -> Option<(u64, u64)> {
    let there = output.ancestors().find(|it| it.exists());
    let there = there.filter(|it| !it.as_os_str().is_empty());
    let found = rustix::fs::statvfs(there.unwrap_or(Path::new("."))).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    (found.f_blocks > 0).then(|| (bytes(found.f_bavail), bytes(found.f_blocks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_leaves_room_to_others() {
        const MIB: u64 = 1 << 20;
        let large = 1 << 40;
        assert!(is_reserve(256 * MIB - 1, large) && !is_reserve(256 * MIB, large));
        // A twentieth of a disk of one gigabyte.
        assert!(is_reserve(51 * MIB, 1024 * MIB) && !is_reserve(52 * MIB, 1024 * MIB));
    }
}
