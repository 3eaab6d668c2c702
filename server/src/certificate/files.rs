//! A certificate in files that somebody else renews.
//!
//! ```text
//! the files differ from what was read ── the same a second later ──┐
//! somebody asks ───────────────────────────────────────────────────┴─► read both ─┬─ they fit ── present
//!                                                                                 └─ they do not ── warn
//! ```
//!
//! Who renews a certificate writes two files one after the other, and each of them in pieces. What does not
//! fit is not used: the former pair stays until the next change.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::identity::{Identity, IdentityError};
use super::presented::Presented;

/// A certificate chain and a private key in PEM, in files that somebody else renews.
#[derive(Clone)]
pub struct CertificateFiles {
    chain: PathBuf,
    key: PathBuf,
    identity: Identity,
    seen: Seen,
}

/// By what a change of the two files shows: device, inode, length and time of the last change of each; none
/// of a file that is not there. Links are followed, so that one that leads elsewhere shows, too.
type Seen = [Option<(u64, u64, u64, i64, i64)>; 2];

impl CertificateFiles {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`IdentityError::File`] if one of them cannot be read, or does not hold what it should. Whether the
    /// two belong together turns out when the server is bound.
    pub fn read(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, IdentityError> {
        let (chain, key) = (chain.into(), key.into());
        // A change between the two steps is noticed as one that comes later.
        let seen = seen(&chain, &key);
        Ok(Self {
            identity: Identity::from_pem_files(&chain, &key)?,
            chain,
            key,
            seen,
        })
    }

    /// What was read at first.
    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Looks at the files every second, and reads them when they have changed or somebody asks, for ever.
    pub(super) async fn watch(self, presented: &Presented, asked: &Notify) {
        let (mut read, mut before) = (self.seen, self.seen);
        loop {
            let was_asked = tokio::select! {
                () = asked.notified() => true,
                () = tokio::time::sleep(PACE) => false,
            };
            let files = self.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let now = seen(&files.chain, &files.key);
                let has_settled = now != read && now == before;
                (now, (was_asked || has_settled).then(|| files.read_again()))
            });
            let Ok((now, outcome)) = looked.await else {
                continue;
            };
            before = now;
            let Some(outcome) = outcome else {
                continue;
            };
            read = now;
            let (chain, key) = (self.chain.display(), self.key.display());
            match outcome {
                Ok((certified, validity)) => {
                    presented.replace(certified);
                    let valid_for = validity.left_in_words(SystemTime::now());
                    tracing::info!(%chain, %key, %valid_for, "the certificate was read again and is in use");
                }
                Err(why) => tracing::warn!(
                    %chain, %key, why,
                    "the changed certificate cannot be used; the former one stays in use"
                ),
            }
        }
    }

    fn read_again(&self) -> Result<Checked, String> {
        let identity = Identity::from_pem_files(&self.chain, &self.key);
        identity.map_err(|error| error.to_string())?.checked()
    }
}

type Checked = (rustls::sign::CertifiedKey, super::validity::Validity);

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (chain, key) = (&self.chain, &self.key);
        f.debug_struct("CertificateFiles")
            .field("chain", chain)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

fn seen(chain: &Path, key: &Path) -> Seen {
    [chain, key].map(|path| {
        let found = fs::metadata(path).ok()?;
        let changed = (found.mtime(), found.mtime_nsec());
        Some((found.dev(), found.ino(), found.len(), changed.0, changed.1))
    })
}

/// How often the files are looked at: two calls of the system.
const PACE: Duration = Duration::from_secs(1);
