//! A folder with keys that have to be there after a restart, for the owner of the process alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A folder of mode 0700 whose files have mode 0600. Everything here blocks for as long as the disk takes.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// Makes the folder unless it is there.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // It may be an old one, or a file.
        if fs::metadata(folder)?.permissions().mode() & OTHERS != 0 {
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        }
        let folder = folder.to_owned();
        Ok(Self { folder })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// All of a file; nothing if there is none.
    ///
    /// # Errors
    /// What the system says, or that others than its owner have access: what they may have read is no secret
    /// any more.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let mut file = match File::open(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if file.metadata()?.permissions().mode() & OTHERS != 0 {
            let why = "others than its owner have access to it, and it holds a private key";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let mut content = Zeroizing::new(Vec::new());
        file.read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Replaces a file as a whole, or not at all: whoever is killed here leaves the former one behind.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let begun = self.path(&format!("{name}.new"));
        // One that a killed process left behind may be open to others.
        let _ = fs::remove_file(&begun);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&begun)?;
        file.write_all(content)?;
        file.sync_all()?;
        self.rename(&format!("{name}.new"), name)
    }

    /// Puts a file in the place of another.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))?;
        File::open(&self.folder)?.sync_all()
    }
}

const OTHERS: u32 = 0o077;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("kept");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let kept = Kept::open(&folder).unwrap();
        assert_eq!(kept.read("key").unwrap(), None);
        kept.write("key", b"one").unwrap();
        kept.write("key", b"two").unwrap();
        assert_eq!(kept.read("key").unwrap().unwrap().as_slice(), b"two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!((mode(&folder), mode(&kept.path("key"))), (0o700, 0o600));

        // Somebody has opened it to others meanwhile.
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(kept.path("key"), Permissions::from_mode(0o644)).unwrap();
        let kept = Kept::open(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        let why = kept.read("key").unwrap_err().to_string();
        assert!(why.contains("others than its owner"), "{why}");
    }
}
