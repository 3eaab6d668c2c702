//! Names of things.

use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

/// The name of a pairing, and of the session its peers share at a relay: 16 random bytes.
///
/// Not a secret, yet nothing people should have to see: `Display` is lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PairingId([u8; Self::LEN]);

impl PairingId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Draws a fresh name.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        let mut bytes = [0; Self::LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The name with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl TryFrom<&[u8]> for PairingId {
    type Error = NotAPairingId;

    fn try_from(bytes: &[u8]) -> Result<Self, NotAPairingId> {
        bytes.try_into().map(Self).map_err(|_| NotAPairingId)
    }
}

impl TryFrom<String> for PairingId {
    type Error = NotAPairingId;

    fn try_from(text: String) -> Result<Self, NotAPairingId> {
        let bytes = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| NotAPairingId)?;
        Self::try_from(bytes.as_slice())
    }
}

impl From<PairingId> for String {
    fn from(id: PairingId) -> Self {
        data_encoding::HEXLOWER.encode(&id.0)
    }
}

impl std::fmt::Display for PairingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(*self))
    }
}

impl std::fmt::Debug for PairingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PairingId({self})")
    }
}

/// Something else than 16 bytes, or 32 digits of lower-case hex, stood where a pairing id belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pairing id has {} bytes", PairingId::LEN)]
pub struct NotAPairingId;
