//! ChaCha20-Poly1305 (RFC 8439), sealing and opening in place.
//!
//! | target | by | why |
//! |---|---|---|
//! | x86, Arm and others | `ring` | two to six times as fast as RustCrypto, and TLS brings it anyway |
//! | WebAssembly with vectors (`simd128`) | RustCrypto, ChaCha20 by `vector`, here | RustCrypto has none |
//! | WebAssembly without | RustCrypto, ChaCha20 by rust-bitcoin | twice as fast there as RustCrypto's |
//!
//! All stand behind the traits of the crate `aead`, make the same bytes and refuse the same forgeries. Tests
//! hold each against RustCrypto and the RFC: natively in `tests.rs`, and as WebAssembly by
//! `scripts/wasm-cipher`.
//!
//! A crate of its own, because a page downloads everything else compiled for size and this for speed, and
//! because core shall not see the rest of `ring`, random numbers among it.

#[cfg(not(target_family = "wasm"))]
use aead::{AeadInPlace as _, KeyInit as _};
#[cfg(target_family = "wasm")]
use chacha20poly1305::{KeyInit as _, aead::AeadInPlace as _};

#[cfg(any(all(target_family = "wasm", target_feature = "simd128"), test))]
mod lanes;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(any(all(target_family = "wasm", not(target_feature = "simd128")), test))]
mod stream;
#[cfg(any(all(target_family = "wasm", target_feature = "simd128"), test))]
mod vector;

#[cfg(not(target_family = "wasm"))]
type Chosen = native::Ring;
#[cfg(all(target_family = "wasm", not(target_feature = "simd128")))]
type Chosen = chacha20poly1305::ChaChaPoly1305<stream::Stream>;
#[cfg(all(target_family = "wasm", target_feature = "simd128"))]
type Chosen = chacha20poly1305::ChaChaPoly1305<vector::Stream>;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// Bytes of a nonce. One that is used twice with a key gives both plaintexts away.
pub const NONCE_LEN: usize = 12;

/// Bytes of a tag.
pub const TAG_LEN: usize = 16;

/// A key, erased when it goes.
pub struct Key(Chosen);

/// The tag is not that of the ciphertext: altered under way, or made without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl Key {
    /// Takes a key.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Chosen::new(key.into()))
    }

    /// Encrypts `text` and gives the tag over it and `aad`.
    ///
    /// `text` is at most 256 GiB long, which no frame is.
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        let sealed = self.0.encrypt_in_place_detached(&nonce.into(), aad, text);
        sealed.expect("no text is 256 GiB long").into()
    }

    /// Decrypts `text` if the tag is that of `text` and `aad`. Tags are compared in constant time.
    ///
    /// # Errors
    /// [`Forged`]; `text` is then worthless: zeros, or the ciphertext, and never a plaintext.
    pub fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        let opened = self
            .0
            .decrypt_in_place_detached(&nonce.into(), aad, text, tag.into());
        opened.map_err(|_| Forged)
    }
}

#[cfg(test)]
mod tests;
