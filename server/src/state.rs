//! What a server still has after a restart: its store, and a secret from which its keys follow.
//!
//! ```text
//! secret ─ HKDF-SHA256, a label per purpose ─┬─ the key that signs tickets
//!                                            ├─ the key of QUIC's stateless resets
//!                                            └─ the key of QUIC's connection ids
//! ```
//!
//! [`open`] keeps both in a file. A server without a file has its store in memory and draws its secret at
//! start, so that the next process accepts nothing of this one. Whoever has another store keeps the secret
//! beside it, in a file for [`read_secrets`] for instance.

use std::fmt;
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use hkdf::Hkdf;
use peersox_control::File;
use peersox_core::pairing;
use peersox_core::ticket::Signer;
use peersox_relay::listen::quic::Keys;
use rand_core::{OsRng, RngCore as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};
use crate::server::now;

pub use peersox_control::store::OpenError;

/// Opens a state file, or creates it, readable by its owner only; for one server at a time.
///
/// Give the store and the secret to [`Builder::store`](crate::Builder::store) and
/// [`Builder::secret`](crate::Builder::secret), and the same `pairing` to
/// [`ServerConfig::pairing`](crate::ServerConfig::pairing).
///
/// # Errors
/// [`OpenError`] if the file is not ours, not readable, damaged, or in use; it names what to do.
pub async fn open(file: &Path, pairing: &pairing::Config) -> Result<(File, Secret), OpenError> {
    let store = File::open(file, pairing, now()).await?;
    let secret = Secret(store.secret().clone());
    Ok((store, secret))
}

/// Reads secrets from a file to which nobody but its owner has access: one to eight lines of 64 hexadecimal
/// digits each, as `openssl rand -hex 32` writes one. The first signs, and all are believed, so that a new
/// one can be written above the old one before that is taken away.
///
/// # Errors
/// [`SecretFileError`] if it cannot be read, is open to others, or holds something else.
pub fn read_secrets(path: &Path) -> Result<Vec<Secret>, SecretFileError> {
    let danger = "sign tickets for every pairing";
    secret_file::read(path, "secret", danger, |content| {
        let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        if !(1..=MOST_SECRETS).contains(&lines.len()) {
            return Err(format!(
                "it has {} lines; one to {MOST_SECRETS} are of use",
                lines.len()
            ));
        }
        lines
            .into_iter()
            .zip(1..)
            .map(|(line, at)| secret(line, at))
            .collect()
    })
}

fn secret(line: &[u8], at: usize) -> Result<Secret, String> {
    let mut bytes = Zeroizing::new([0; 32]);
    let decoded = match line.len() {
        64 => HEXLOWER_PERMISSIVE.decode_mut(line, &mut *bytes).is_ok(),
        _ => false,
    };
    match decoded {
        true => Ok(Secret(bytes)),
        false => Err(format!(
            "line {at} is not 64 hexadecimal digits; `openssl rand -hex 32` writes such a line"
        )),
    }
}

const MOST_SECRETS: usize = 8;

/// 32 random bytes from which all keys of a server follow. Whoever has them can sign tickets: keep them as a
/// private key is kept.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// Takes bytes that were drawn by a cryptographic source once, and kept since.
    #[must_use]
    pub const fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Draws a secret from the system's source.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    /// The bytes, to be kept for the next process.
    #[must_use]
    pub const fn as_bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.0
    }

    /// Signs tickets; those from before a restart stay valid.
    pub(crate) fn signer(&self) -> Signer {
        Signer::from_seed(&self.derive("peersox 1 ticket signer"))
    }

    /// Lets peers learn at once that a restarted server has forgotten their connections.
    pub(crate) fn quic_keys(&self) -> Keys {
        let connection_ids = self.derive("peersox 1 quic connection ids");
        Keys {
            reset: *self.derive("peersox 1 quic stateless reset"),
            connection_ids: u64::from_be_bytes(*connection_ids),
        }
    }

    fn derive<const LEN: usize>(&self, label: &str) -> Zeroizing<[u8; LEN]> {
        let mut key = Zeroizing::new([0; LEN]);
        Hkdf::<Sha256>::new(None, &*self.0)
            .expand(label.as_bytes(), &mut *key)
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        key
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Calculated with another implementation. A server that derives other keys refuses the tickets
    /// of its predecessor.
    #[test]
    fn keys_follow_from_the_secret() {
        let secret = Secret(Zeroizing::new(std::array::from_fn(|at| {
            u8::try_from(at).unwrap()
        })));
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let seed = secret.derive::<32>("peersox 1 ticket signer");
        assert_eq!(
            hex(&*seed),
            "f7e3ca8e1bea7e754b772316d4af993fd9af6af383c570711cf74c51f6d54d08"
        );
        let signer = Signer::from_seed(&seed);
        assert_eq!(secret.signer().public_key(), signer.public_key());
        let keys = secret.quic_keys();
        assert_eq!(
            hex(&keys.reset),
            "d308973373d19233b3c65a76c7508fb49bd7ac77393fac6d7fd6ae0d10ac51e1"
        );
        assert_eq!(hex(&keys.connection_ids.to_be_bytes()), "38c032c3203d2f1a");
    }

    #[test]
    fn secrets_are_read_from_a_file_of_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            let owner_only = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, owner_only).unwrap();
            read_secrets(&path)
        };
        let (new, old) = ("0F".repeat(32), "1e".repeat(32));
        let secrets = read(&format!("{new}\n\n{old}\n")).unwrap();
        assert_eq!(secrets[0].as_bytes()[..], [0x0f; 32]);
        assert_eq!(secrets[1].as_bytes()[..], [0x1e; 32]);
        let many = format!("{new}\n").repeat(9);
        for (content, why) in [
            ("", "0 lines"),
            (&many[..], "9 lines"),
            ("north", "line 1 is not 64"),
            (&format!("{new}\n{}", "x".repeat(64)), "line 2 is not 64"),
        ] {
            let error = read(content).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("0F0F"), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_secrets(&path).unwrap_err().to_string();
        assert!(error.contains("sign tickets"), "{error}");
    }

    #[tokio::test]
    async fn the_secret_is_as_lasting_as_the_store() {
        let public_key = async |file: &Path| {
            let opened = open(file, &pairing::Config::default()).await;
            let (_store, secret) = opened.unwrap();
            secret.signer().public_key()
        };
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        assert_eq!(public_key(&one).await, public_key(&one).await);
        assert_ne!(public_key(&one).await, public_key(&two).await);
        let random = || Secret::random().signer().public_key();
        assert_ne!(random(), random());
        let kept = Secret::random();
        let again = Secret::from_bytes(kept.as_bytes().clone());
        assert_eq!(again.signer().public_key(), kept.signer().public_key());
    }
}
