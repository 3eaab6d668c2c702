//! Where a holder and its guests meet: a lock and a socket beside the file of the saved device, in the folder
//! that only this user enters.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::saved::{Devices, Name};

pub(super) struct Place {
    folder: PathBuf,
    name: Name,
}

impl Place {
    pub(super) fn of(devices: &Devices, name: &Name) -> Self {
        Self {
            folder: devices.folder().to_owned(),
            name: name.clone(),
        }
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Takes the lock that a holder keeps for its life; `None` if another one has it.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let path = self.folder.join(format!(".{}.lock", self.name));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Listens, for this user only. Only whoever has the lock may.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let (path, _folder) = self.socket()?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Connects to the holder, if there is one.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        let (path, _folder) = self.socket()?;
        UnixStream::connect(&path).await
    }

    /// Takes the socket away.
    pub(super) fn clear(&self) {
        if let Ok((path, _folder)) = self.socket() {
            let _ = fs::remove_file(path);
        }
    }

    /// Whether the process at the other end belongs to the user whose folder this is.
    pub(super) fn is_ours(&self, stream: &UnixStream) -> bool {
        let owner = fs::metadata(&self.folder).map(|folder| folder.uid());
        let caller = stream.peer_cred().map(|caller| caller.uid());
        matches!((owner, caller), (Ok(owner), Ok(caller)) if owner == caller || caller == 0)
    }

    /// The path of the socket. The system takes some hundred bytes only: a longer one leads over the open
    /// folder, which has to stay open meanwhile.
    fn socket(&self) -> io::Result<(PathBuf, Option<File>)> {
        let file = format!(".{}.sock", self.name);
        let path = self.folder.join(&file);
        if path.as_os_str().len() <= MAX_PATH {
            return Ok((path, None));
        }
        let folder = File::open(&self.folder)?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        Ok((short.join(file), Some(folder)))
    }
}

/// What every Unix takes as the path of a socket.
const MAX_PATH: usize = 100;
