//! Who may create pairings, and where what says it comes from.

mod issuer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use peersox_control::access::{Access, Tokens};
use tokio::sync::{Notify, mpsc, watch};
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};
use crate::watched::Watched;

pub use issuer::{BadKeySetUrl, KeySetFile, KeySetSource, KeySetUrl};
pub use peersox_control::access::{BadKeys, Key, KeyName, Keys, NotAKeyName};
pub use peersox_core::pairing::Quota;

/// Who may create pairings.
#[derive(Clone, Debug, Default)]
pub enum Creators {
    /// Whoever reaches the server.
    #[default]
    Everybody,
    /// Who has a key of this list.
    Keys(KeyFile),
    /// Who has a token of an issuer.
    Tokens(Issuer),
}

/// Whose tokens are good: JSON Web Tokens (RFC 7519), signed by `EdDSA`, `ES256` or `RS256`.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What `iss` of a token has to be.
    pub name: String,
    /// What `aud` has to be, or to hold.
    pub audience: String,
    /// Where its keys are.
    pub keys: KeySetSource,
    /// What an account may hold whose token does not say so in `peersox_quota`.
    pub quota: Quota,
}

/// A list of keys in a file, which is read again when it changes.
#[derive(Clone, Debug)]
pub struct KeyFile {
    file: Watched<1>,
    keys: Keys,
}

impl KeyFile {
    /// Reads a file, to which nobody but its owner has access, for the first time. docs/operations.md says
    /// what stands in it.
    ///
    /// # Errors
    /// [`SecretFileError`] if it cannot be read, is open to others, or has a line that is no key.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, SecretFileError> {
        let file = Watched::new([path.into()]);
        let [path] = file.paths();
        Ok(Self {
            keys: read(path)?,
            file,
        })
    }
}

/// Reads the key or token of somebody who creates pairings from a file of one line, to which nobody but its
/// owner has access.
///
/// # Errors
/// [`SecretFileError`] if it cannot be read, is open to others, or cannot go into a header.
pub fn read_credential(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let danger = "create pairings on this account";
    secret_file::read(path, "key or token", danger, |content| {
        let text = secret_file::password(content)?;
        match text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(text),
            false => Err("a key or token consists of visible ASCII characters".to_owned()),
        }
    })
}

fn read(path: &Path) -> Result<Keys, SecretFileError> {
    secret_file::read(
        path,
        "list of keys",
        "see who may create pairings",
        |content| {
            let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
            text.parse().map_err(|error: BadKeys| error.to_string())
        },
    )
}

impl Creators {
    /// Whether there is a file that can be read again.
    pub(crate) const fn can_reload(&self) -> bool {
        match self {
            Self::Everybody => false,
            Self::Keys(_) | Self::Tokens(_) => true,
        }
    }

    /// What control asks, and what keeps that up to date for ever.
    pub(crate) fn open(self, asked: Arc<Notify>) -> (Access, BoxFuture<'static, ()>) {
        match self {
            Self::Everybody => (Access::Everybody, Box::pin(std::future::pending())),
            Self::Keys(KeyFile { file, keys }) => {
                let (now, keys) = watch::channel(Arc::new(keys));
                let keeping = async move { keep(file, &now, &asked).await };
                (Access::Keys(keys), Box::pin(keeping))
            }
            Self::Tokens(issuer) => {
                let (present, keys) = watch::channel(issuer.keys.first());
                let (newest, questions) = mpsc::channel(QUESTIONS);
                let tokens = Tokens {
                    issuer: issuer.name,
                    audience: issuer.audience,
                    quota: issuer.quota,
                    keys,
                    newest,
                };
                let keeping = issuer.keys.keep(present, questions, asked);
                (Access::Tokens(tokens), Box::pin(keeping))
            }
        }
    }
}

/// Calls that wait for the newest keys of an issuer; more are judged by those that are known.
const QUESTIONS: usize = 64;

async fn keep(file: Watched<1>, now: &watch::Sender<Arc<Keys>>, asked: &Notify) {
    let [path] = file.paths().clone();
    let reading = path.clone();
    let then = |outcome: Result<Keys, SecretFileError>| match outcome {
        Ok(keys) => {
            let (path, keys_now) = (path.display(), keys.len());
            tracing::info!(%path, keys = keys_now, "the list of keys was read again and is in use");
            now.send_replace(Arc::new(keys));
        }
        // The error names the file.
        Err(error) => tracing::warn!(%error, "the former list of keys stays in use"),
    };
    file.each_change(asked, move || read(&reading), then).await;
}
