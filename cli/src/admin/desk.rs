//! The server's side of the socket: who may open it, and who answers.

use std::fs::{self, DirBuilder, FileType};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peersox_core::role::Role;
use peersox_server::state::{self, Secret};
use peersox_server::store::{KeptSecret, Pairing, StoreError};
use peersox_server::{Handle, Server};
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::JoinHandle;

use super::{Ask, Listed, Standing, Told};
use crate::failure::Failure;
use crate::share::{hear, tell};
use crate::telemetry::Filter;

/// Where a server's secret comes from, and where the next one is taken from.
pub(crate) enum Origin {
    /// A file that the operator writes.
    SecretFile(PathBuf),
    /// The state file, which keeps what is drawn.
    State(KeptSecret),
    /// It is drawn, and ends with the process.
    Drawn,
    /// A relay alone has none.
    Elsewhere,
}

/// Answers on the socket until it is dropped, and then takes the file away.
pub(crate) struct Desk {
    path: PathBuf,
    /// Device and inode of the socket's file.
    file: (u64, u64),
    drain: Arc<Notify>,
    doorman: JoinHandle<()>,
}

impl Desk {
    /// Listens at `path`, with mode 0600 from the first moment on.
    ///
    /// # Errors
    /// [`Failure::File`] if something else is there, or another server listens on it.
    pub(crate) fn open(
        path: &Path,
        server: &Server,
        filter: Filter,
        secret: Origin,
    ) -> Result<Self, Failure> {
        let (listener, file) = listen(path).map_err(|error| {
            Failure::File(format!("cannot listen on {}: {error}", path.display()))
        })?;
        let drain = Arc::new(Notify::new());
        let clerk = Arc::new(Clerk {
            server: server.handle(),
            filter,
            secret,
            rotating: Mutex::default(),
            drain: Arc::clone(&drain),
        });
        let doorman = tokio::spawn(accept(listener, clerk));
        Ok(Self {
            path: path.to_owned(),
            file,
            drain,
            doorman,
        })
    }

    /// Resolves when somebody has asked to drain. May be dropped and called again.
    pub(crate) async fn drain(&self) {
        self.drain.notified().await;
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.doorman.abort();
        // Somebody may have removed it, and started another server on the path.
        if file_at(&self.path).is_ok_and(|there| there == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the socket in a folder that only this user enters, and moves it to its place: between `bind` and a
/// change of its mode anybody could connect.
fn listen(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    match fs::symlink_metadata(path).map(|found| found.file_type()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => is_left_behind(path, found?)?,
    }
    let mut folder = path.as_os_str().to_owned();
    folder.push(format!(".{}", std::process::id()));
    let folder = PathBuf::from(folder);
    let begun = folder.join("s");
    let clear = || {
        let _ = fs::remove_file(&begun);
        let _ = fs::remove_dir(&folder);
    };
    // A server with this process id may have been killed right here; in a container every one has the same.
    clear();
    DirBuilder::new().mode(0o700).create(&folder)?;
    let listening = listen_at(&begun, path);
    clear();
    listening
}

fn listen_at(begun: &Path, path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let listener = net::UnixListener::bind(begun)?;
    fs::set_permissions(begun, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    let file = file_at(begun)?;
    fs::rename(begun, path)?;
    Ok((UnixListener::from_std(listener)?, file))
}

/// By what the system tells this file from all others.
fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Whether what is there is the socket of a server that was killed.
fn is_left_behind(path: &Path, found: FileType) -> io::Result<()> {
    if !found.is_socket() {
        return Err(io::Error::other(
            "something that is no socket is there, and was left as it is; name another path",
        ));
    }
    match net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other(
            "another server listens on it; stop that one, or name another path",
        )),
    }
}

/// Answers for the server.
struct Clerk {
    server: Handle,
    filter: Filter,
    secret: Origin,
    /// One rotation at a time: each begins with the keys that the last one left.
    rotating: Mutex<()>,
    drain: Arc<Notify>,
}

async fn accept(listener: UnixListener, clerk: Arc<Clerk>) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let clerk = Arc::clone(&clerk);
                tokio::spawn(async move {
                    let _place = place;
                    clerk.serve(stream).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of the operator");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Clerk {
    /// Until the other side ends, or neither asks nor reads for a while.
    async fn serve(&self, stream: UnixStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let heard = hear(&mut stream);
            let told = match tokio::time::timeout(IDLE, heard).await {
                Ok(Ok(Some(ask))) => self.answer(ask).await,
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Told::Refused {
                    why: format!("this server does not understand: {error}"),
                },
                _ => return,
            };
            let read = tokio::time::timeout(IDLE, tell(&mut stream, &told)).await;
            if matches!(told, Told::Draining) {
                // A server without peers ends at once, so the answer has to leave before.
                self.drain.notify_one();
                // The system closes it with the process, which is what the other side waits for.
                std::mem::forget(stream);
                return;
            }
            let Ok(Ok(())) = read else { return };
        }
    }

    async fn answer(&self, ask: Ask) -> Told {
        match ask {
            Ask::Status => {
                let now = self.server.status();
                Told::Status(Standing {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    pid: std::process::id(),
                    url: self.server.url().to_owned(),
                    sessions: now.sessions,
                    legs: now.legs,
                    draining: now.draining,
                    log: self.filter.text(),
                })
            }
            Ask::Log { filter } => match self.filter.set(&filter) {
                Ok(()) => {
                    let filter = self.filter.text();
                    tracing::info!(filter, "the log filter was changed by the operator");
                    Told::Log { filter }
                }
                Err(why) => Told::Refused { why },
            },
            Ask::Pairings { after } => match self.server.pairings(after, PIECE).await {
                Ok(stored) => Told::Pairings {
                    more: stored.len() == PIECE,
                    pairings: stored.iter().map(|it| self.listed(&it.pairing)).collect(),
                },
                Err(error) => failed(&error),
            },
            Ask::Revoke { pairing } => match self.server.revoke(pairing).await {
                Ok(found) => Told::Revoked { found },
                Err(error) => failed(&error),
            },
            Ask::Rotate => self.rotate().await,
            Ask::Drain => {
                tracing::info!("the operator asks to drain");
                Told::Draining
            }
        }
    }

    async fn rotate(&self) -> Told {
        let _alone = self.rotating.lock().await;
        let rotated = match &self.secret {
            Origin::SecretFile(path) => match state::read_secrets(path) {
                Ok(secrets) => self.server.sign_with(&secrets),
                // Nothing has changed.
                Err(error) => {
                    return Told::Refused {
                        why: error.to_string(),
                    };
                }
            },
            Origin::State(kept) => match kept.renew().await {
                Ok(bytes) => self.server.renew_secret(&Secret::from_bytes(bytes)),
                Err(error) => Err(error),
            },
            Origin::Drawn => self.server.renew_secret(&Secret::random()),
            Origin::Elsewhere => {
                return Told::Refused {
                    why: "a relay signs nothing; ask each node of control".to_owned(),
                };
            }
        };
        match rotated {
            Ok(keys) => {
                tracing::info!(keys, "tickets are signed with another key");
                Told::Rotated { keys }
            }
            Err(error) => failed(&error),
        }
    }

    /// What the operator sees of a pairing: nothing by which anybody could join it or take part in it.
    fn listed(&self, pairing: &Pairing) -> Listed {
        let online = self.server.online(pairing.id());
        Listed {
            pairing: pairing.id(),
            joined: pairing.is_joined(),
            initiator_online: online[Role::Initiator.index()],
            joiner_online: online[Role::Joiner.index()],
            expires_at_millis: pairing.expires_at().as_millis(),
        }
    }
}

fn failed(error: &StoreError) -> Told {
    Told::Failed {
        why: error.to_string(),
    }
}

/// Pairings in one answer, whose line has to be shorter than 64 KiB.
const PIECE: usize = 256;
/// Connections at a time: an operator and some scripts.
const MOST: usize = 16;
/// For how long a connection may say nothing, or not read its answer.
const IDLE: Duration = Duration::from_secs(60);
/// After a failure to accept, which is mostly "too many open files".
const PAUSE: Duration = Duration::from_millis(50);
