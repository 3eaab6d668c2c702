//! ChaCha20-Poly1305 by `ring`, and no copy of a key where it was.
//!
//! `ring` erases nothing: neither a key that goes, nor the copies that a call makes on its stack. So a key is
//! 32 bytes that are erased when they go, `ring` gets a copy for each call, and after the call the stack
//! that it used is overwritten. A copy costs no computation: ChaCha20 has no key schedule.
//!
//! ```text
//! the stack, growing down
//!   methods of Ring             a reference to the key
//!     seal, open                ring's form of the key                    ┐ overwritten afterwards,
//!       ring                    state of ChaCha20, key of Poly1305        ┘ `DEPTH` bytes
//! ```

use aead::consts::{U0, U12, U16, U32};
use aead::{AeadCore, AeadInPlace, Error, Key, KeyInit, KeySizeUser, Nonce, Tag};
use ring::aead as ring;
use zeroize::{Zeroizing, zeroize_stack};

use crate::{KEY_LEN, NONCE_LEN, TAG_LEN};

/// A key for `ring`.
pub(crate) struct Ring(Zeroizing<[u8; KEY_LEN]>);

impl KeySizeUser for Ring {
    type KeySize = U32;
}

impl KeyInit for Ring {
    fn new(key: &Key<Self>) -> Self {
        Self(Zeroizing::new((*key).into()))
    }
}

impl AeadCore for Ring {
    type NonceSize = U12;
    type TagSize = U16;
    type CiphertextOverhead = U0;
}

impl AeadInPlace for Ring {
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        aad: &[u8],
        text: &mut [u8],
    ) -> Result<Tag<Self>, Error> {
        let sealed = seal(&self.0, (*nonce).into(), aad, text);
        zeroize_stack::<DEPTH>();
        sealed.map(Into::into)
    }

    /// Writes zeros over `text` if the tag is wrong: `ring` decrypts while it computes the tag.
    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        aad: &[u8],
        text: &mut [u8],
        tag: &Tag<Self>,
    ) -> Result<(), Error> {
        let opened = open(&self.0, (*nonce).into(), aad, text, (*tag).into());
        zeroize_stack::<DEPTH>();
        opened
    }
}

/// How much of the stack is overwritten, in bytes. In a debug build `ring` uses more than 2 KiB.
const DEPTH: usize = 4096;

// Neither of the two is inlined: what is overwritten is the stack below the frame of its caller.

#[inline(never)]
fn seal(
    key: &[u8; KEY_LEN],
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    text: &mut [u8],
) -> Result<[u8; TAG_LEN], Error> {
    let nonce = ring::Nonce::assume_unique_for_key(nonce);
    let sealed = borrowed(key).seal_in_place_separate_tag(nonce, ring::Aad::from(aad), text);
    let tag = sealed.map_err(|_| Error)?;
    Ok(tag.as_ref().try_into().expect("a tag has 16 bytes"))
}

#[inline(never)]
fn open(
    key: &[u8; KEY_LEN],
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    text: &mut [u8],
    tag: [u8; TAG_LEN],
) -> Result<(), Error> {
    let nonce = ring::Nonce::assume_unique_for_key(nonce);
    let aad = ring::Aad::from(aad);
    let opened = borrowed(key).open_in_place_separate_tag(nonce, aad, tag.into(), text, 0..);
    opened.map(|_| ()).map_err(|_| Error)
}

#[inline]
fn borrowed(key: &[u8; KEY_LEN]) -> ring::LessSafeKey {
    let key = ring::UnboundKey::new(&ring::CHACHA20_POLY1305, key);
    ring::LessSafeKey::new(key.expect("a key has 32 bytes"))
}
