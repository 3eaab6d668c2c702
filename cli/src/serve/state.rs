//! What a server still has after a restart: its store, and a secret from which its keys follow.
//!
//! ```text
//! secret ─ HKDF-SHA256, a label per purpose ─┬─ the key that signs tickets
//!                                            ├─ the key of QUIC's stateless resets
//!                                            └─ the key of QUIC's connection ids
//! ```
//!
//! With `--state` both are kept in a file. Without, the store is in memory and the secret is drawn
//! at start, so that nothing of this process is accepted by the next.

use std::path::Path;

use hkdf::Hkdf;
use peersox_control::{AnyStore, File, Memory};
use peersox_core::pairing;
use peersox_core::ticket::Signer;
use peersox_core::time::Timestamp;
use peersox_relay::listen::quic::Keys;
use rand_core::{OsRng, RngCore as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Opens the file, if there is one to be used.
pub(super) async fn open(
    file: Option<&Path>,
    pairing: &pairing::Config,
    now: Timestamp,
) -> anyhow::Result<(AnyStore, Secret)> {
    let Some(file) = file else {
        return Ok((AnyStore::Memory(Memory::default()), Secret::random()));
    };
    let store = File::open(file, pairing, now)
        .await
        .map_err(|error| Failure::File(error.to_string()))?;
    let secret = Secret(store.secret().clone());
    Ok((AnyStore::File(store), secret))
}

/// 32 random bytes that leave the process in no form.
pub(super) struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    /// Signs tickets; those from before a restart stay valid.
    pub(super) fn signer(&self) -> Signer {
        Signer::from_seed(&self.derive("peersox 1 ticket signer"))
    }

    /// Lets peers learn at once that a restarted server has forgotten their connections.
    pub(super) fn quic_keys(&self) -> Keys {
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

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn the_secret_is_as_lasting_as_the_store() {
        let public_key = async |file: Option<&Path>| {
            let now = Timestamp::from_millis(1_790_000_000_000);
            let opened = open(file, &pairing::Config::default(), now).await;
            let (_store, secret) = opened.unwrap();
            secret.signer().public_key()
        };
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        assert_eq!(public_key(Some(&one)).await, public_key(Some(&one)).await);
        assert_ne!(public_key(Some(&one)).await, public_key(Some(&two)).await);
        assert_ne!(public_key(None).await, public_key(None).await);
    }
}
