//! Credentials: a peer's long-lived right to its pairing.
//!
//! ```text
//! offset 0            16                            48
//!        +------------+------------------------------+
//!        | pairing id |  secret, 256 random bits     |
//!        +------------+------------------------------+
//! ```
//!
//! Opaque to peers. The server keeps SHA-256 of the secret; a slow hash would add nothing to 256
//! random bits.

use std::fmt;

use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::id::PairingId;

/// A credential. Wiped from memory when dropped, never shown by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Credential {
    #[zeroize(skip)]
    pairing: PairingId,
    secret: [u8; 32],
}

impl Credential {
    /// Length on the wire, in bytes.
    pub const LEN: usize = PairingId::LEN + 32;

    /// Draws a fresh secret for a pairing.
    #[must_use]
    pub fn random(pairing: PairingId, rng: &mut impl CryptoRngCore) -> Self {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        Self { pairing, secret }
    }

    /// The pairing it is for.
    #[must_use]
    pub const fn pairing(&self) -> PairingId {
        self.pairing
    }

    /// As it goes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        bytes[..PairingId::LEN].copy_from_slice(self.pairing.as_bytes());
        bytes[PairingId::LEN..].copy_from_slice(&self.secret);
        bytes
    }

    /// What the server keeps of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.secret).into())
    }
}

impl TryFrom<&[u8]> for Credential {
    type Error = NotACredential;

    fn try_from(bytes: &[u8]) -> Result<Self, NotACredential> {
        let (pairing, secret) = bytes
            .split_at_checked(PairingId::LEN)
            .ok_or(NotACredential)?;
        Ok(Self {
            pairing: PairingId::try_from(pairing).map_err(|_| NotACredential)?,
            secret: secret.try_into().map_err(|_| NotACredential)?,
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, redacted)", self.pairing)
    }
}

/// Something else than 48 bytes stood where a credential belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a credential has {} bytes", Credential::LEN)]
pub struct NotACredential;

/// Whether two secrets are the same. What is compared in constant time is their SHA-256, so that the time
/// taken tells no more than how long each is.
#[must_use]
pub fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    Sha256::digest(one).ct_eq(&Sha256::digest(other)).into()
}

/// SHA-256 of a credential's secret.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

impl ConstantTimeEq for SecretHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(redacted)")
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> Self {
        data_encoding::HEXLOWER.encode(&hash.0)
    }
}

impl TryFrom<String> for SecretHash {
    type Error = NotAHash;

    fn try_from(text: String) -> Result<Self, NotAHash> {
        let bytes = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| NotAHash)?;
        bytes.try_into().map(Self).map_err(|_| NotAHash)
    }
}

/// A stored hash is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret's hash is 64 digits of lower-case hex")]
pub struct NotAHash;
