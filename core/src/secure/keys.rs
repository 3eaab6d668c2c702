//! Secrets, and how they follow from one another. Every derivation is HKDF-SHA256 (RFC 5869).

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::code::Words;
use crate::id::PairingId;
use crate::role::Role;

/// Opens everything that is hashed or bound, so that no other protocol's values fit here.
pub(super) const LABEL: &[u8] = b"peersox/secure/1";

/// The length of commitments, confirmations and keys.
pub(super) const TAG: usize = 32;

/// Thirty-two secret bytes that are erased when they go.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// What both peers of a pairing know and nobody else: 32 bytes, agreed once from the code.
///
/// Whoever holds it can pose as either peer of the pairing until the pairing is revoked. It is
/// erased when dropped, compared in constant time, and never shown by `Debug`.
#[derive(Clone, ZeroizeOnDrop)]
pub struct PairingSecret([u8; Self::LEN]);

impl PairingSecret {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The secret that was stored as these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for storage that nobody else can read.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The verification phrase of the pairing.
    #[must_use]
    pub fn sas(&self) -> Sas {
        let mut bytes = [0; 4];
        expand(
            &extract(LABEL, &self.0),
            &[b"verification phrase"],
            &mut bytes,
        );
        Sas(bytes)
    }
}

impl TryFrom<&[u8]> for PairingSecret {
    type Error = NotASecret;

    fn try_from(bytes: &[u8]) -> Result<Self, NotASecret> {
        bytes.try_into().map(Self).map_err(|_| NotASecret)
    }
}

impl ConstantTimeEq for PairingSecret {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for PairingSecret {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for PairingSecret {}

impl std::fmt::Debug for PairingSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PairingSecret(redacted)")
    }
}

/// Something else than 32 bytes stood where a pairing secret belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pairing secret has {} bytes", PairingSecret::LEN)]
pub struct NotASecret;

/// A short verification phrase: both peers show the same one, unless somebody sits in between.
///
/// `Display` writes three words, 30 bits. The initiator's commitment keeps a man in the middle from
/// searching for a match, so he has one try in 2^30 per code. The phrase stays the same for the life
/// of the pairing and reveals nothing of use about its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sas([u8; 4]);

impl Sas {
    /// The words, of [`Words::list`]: the number of 32 bits, big-endian, gives 10 bits to each from
    /// the highest down. Its last two bits are not shown.
    #[must_use]
    pub fn words(self) -> [&'static str; 3] {
        let bits = u32::from_be_bytes(self.0);
        let word = |shift: u32| Words::list()[(bits >> shift & 0x3ff) as usize];
        [word(22), word(12), word(2)]
    }
}

impl std::fmt::Display for Sas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second, third] = self.words();
        write!(f, "{first} {second} {third}")
    }
}

/// HKDF-Extract: a pseudorandom key of `secret`, bound to `salt`.
pub(super) fn extract(salt: &[u8], secret: &[u8]) -> Key {
    let (mut prk, _) = Hkdf::<Sha256>::extract(Some(salt), secret);
    let key = Zeroizing::new(prk.into());
    prk.as_mut_slice().zeroize();
    key
}

/// HKDF-Expand: fills `out` from a pseudorandom key. The info is the label, then each part behind a
/// space.
///
/// `out` is at most 32 bytes long, far below the 8,160 where HKDF ends.
pub(super) fn expand(prk: &[u8; 32], info: &[&[u8]], out: &mut [u8]) {
    let mut parts: [&[u8]; 9] = [&[]; 9];
    parts[0] = LABEL;
    for (index, part) in info.iter().enumerate() {
        parts[1 + 2 * index] = b" ";
        parts[2 + 2 * index] = part;
    }
    expand_raw(prk, &parts, out);
}

/// HKDF-Expand with nothing in its info but `info`.
pub(super) fn expand_raw(prk: &[u8; 32], info: &[&[u8]], out: &mut [u8]) {
    let hkdf = Hkdf::<Sha256>::from_prk(prk).expect("a key is as long as a SHA-256 hash");
    hkdf.expand_multi_info(info, out)
        .expect("at most 96 bytes are drawn from one key");
}

/// [`expand`] to a key.
pub(super) fn expand_key(prk: &[u8; 32], info: &[&[u8]]) -> Key {
    let mut key = Key::default();
    expand(prk, info, &mut *key);
    key
}

/// SHA-256 over the label, the name of the purpose, and `parts`, each part behind its length as a
/// 32-bit big-endian number.
pub(super) fn digest(purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut put = |part: &[u8]| {
        let length = u32::try_from(part.len()).expect("transcripts are made of short parts");
        hash.update(length.to_be_bytes());
        hash.update(part);
    };
    put(LABEL);
    put(purpose);
    for part in parts {
        put(part);
    }
    hash.finalize().into()
}

/// The name of a peer in the PAKE: label, space, role, space, pairing id.
pub(super) fn identity(role: Role, pairing: &PairingId) -> Vec<u8> {
    [
        LABEL,
        b" ",
        role.as_str().as_bytes(),
        b" ",
        pairing.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_redacted_and_compared_whole() {
        let secret = PairingSecret::from_bytes([7; 32]);
        assert_eq!(format!("{secret:?}"), "PairingSecret(redacted)");
        assert_eq!(secret, PairingSecret::try_from(&[7; 32][..]).unwrap());
        assert_eq!(PairingSecret::try_from(&[7; 31][..]), Err(NotASecret));
        for index in 0..32 {
            let mut other = [7; 32];
            other[index] ^= 1;
            assert_ne!(secret, PairingSecret::from_bytes(other));
        }
    }

    #[test]
    fn a_phrase_is_three_words() {
        let list = Words::list();
        assert_eq!(Sas([0, 0, 0, 3]).words(), [list[0]; 3]);
        assert_eq!(Sas([0xff; 4]).words(), [list[1023]; 3]);
        assert_eq!(
            Sas([0, 0x40, 0x20, 0x0c]).words(),
            [list[1], list[2], list[3]]
        );
        let text = Sas([0, 0x40, 0x20, 0x0c]).to_string();
        assert_eq!(text, format!("{} {} {}", list[1], list[2], list[3]));
    }

    #[test]
    fn the_parts_of_a_digest_do_not_run_together() {
        assert_ne!(digest(b"p", &[b"ab", b"c"]), digest(b"p", &[b"a", b"bc"]));
        assert_ne!(digest(b"pa", &[b"b"]), digest(b"p", &[b"ab"]));
    }
}
