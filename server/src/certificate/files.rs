//! A certificate in files that somebody else renews.
//!
//! Both are read again when they have changed. What does not fit is not used: the former pair stays until the
//! next change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::identity::{Identity, IdentityError};
use super::presented::Presented;
use crate::watched::Watched;

/// A certificate chain and a private key in PEM, in files that somebody else renews.
#[derive(Clone)]
pub struct CertificateFiles {
    /// Chain and key.
    files: Watched<2>,
    identity: Identity,
}

impl CertificateFiles {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`IdentityError::File`] if one of them cannot be read, or does not hold what it should. Whether the
    /// two belong together turns out when the server is bound.
    pub fn read(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, IdentityError> {
        let files = Watched::new([chain.into(), key.into()]);
        let [chain, key] = files.paths();
        Ok(Self {
            identity: Identity::from_pem_files(chain, key)?,
            files,
        })
    }

    /// What was read at first.
    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Presents what the files hold whenever they have changed or somebody asks, for ever.
    pub(super) async fn watch(self, presented: &Presented, asked: &Notify) {
        let [chain, key] = self.files.paths().clone();
        let read = {
            let (chain, key) = (chain.clone(), key.clone());
            move || read_again(&chain, &key)
        };
        let (chain, key) = (chain.display(), key.display());
        let then = |outcome: Result<Checked, String>| match outcome {
            Ok((certified, validity)) => {
                presented.replace(certified);
                let valid_for = validity.left_in_words(SystemTime::now());
                tracing::info!(%chain, %key, %valid_for, "the certificate was read again and is in use");
            }
            Err(why) => tracing::warn!(
                %chain, %key, why,
                "the changed certificate cannot be used; the former one stays in use"
            ),
        };
        self.files.each_change(asked, read, then).await;
    }
}

fn read_again(chain: &Path, key: &Path) -> Result<Checked, String> {
    let identity = Identity::from_pem_files(chain, key);
    identity.map_err(|error| error.to_string())?.checked()
}

type Checked = (rustls::sign::CertifiedKey, super::validity::Validity);

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [chain, key] = self.files.paths();
        f.debug_struct("CertificateFiles")
            .field("chain", chain)
            .field("key", key)
            .finish_non_exhaustive()
    }
}
