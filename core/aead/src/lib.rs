//! ChaCha20-Poly1305 (RFC 8439), sealing and opening in place.
//!
//! Two implementations of others behind one key: `chacha20poly1305` of RustCrypto, which knows the vector
//! instructions of servers and laptops, and the parts of `chacha20-poly1305` of rust-bitcoin for WebAssembly,
//! where they are small and several times as fast. A test holds one against the other.
//!
//! A crate of its own, because a page downloads everything else compiled for size and this for speed.

#[cfg(any(not(target_family = "wasm"), test))]
mod native;
#[cfg(any(target_family = "wasm", test))]
mod portable;

#[cfg(not(target_family = "wasm"))]
use native as chosen;
#[cfg(target_family = "wasm")]
use portable as chosen;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// Bytes of a nonce. One that is used twice with a key gives both plaintexts away.
pub const NONCE_LEN: usize = 12;

/// Bytes of a tag.
pub const TAG_LEN: usize = 16;

/// A key, erased when it goes.
pub struct Key(chosen::Key);

/// The tag is not that of the ciphertext: altered under way, or made without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl Key {
    /// Takes a key.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(chosen::Key::new(key))
    }

    /// Encrypts `text` and gives the tag over it and `aad`.
    ///
    /// `text` is at most 256 GiB long, which no frame is.
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        self.0.seal(nonce, aad, text)
    }

    /// Checks the tag, in constant time, and only then decrypts `text`.
    ///
    /// # Errors
    /// [`Forged`]; `text` is then as it was.
    pub fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        self.0.open(nonce, aad, text, tag)
    }
}

#[cfg(test)]
mod tests;
