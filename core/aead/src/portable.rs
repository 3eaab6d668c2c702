//! By rust-bitcoin: its block function and its authenticator, put together as RFC 8439, section 2.8 says.
//!
//! The crate's own composition has the rounds of ChaCha20 in it four times, and a page would download each. The crate
//! copies keys and erases no copy; ours are erased.
//!
//! ```text
//! block 0, first half -> key of Poly1305        block 1, 2, ... -> keystream
//! tag = Poly1305(aad, zeros, ciphertext, zeros, length of aad, length of ciphertext)
//! ```

use chacha20_poly1305::chacha20::ChaCha20;
use chacha20_poly1305::poly1305::Poly1305;
use chacha20_poly1305::{Key as RawKey, Nonce};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{Forged, KEY_LEN, NONCE_LEN, TAG_LEN};

/// What ChaCha20 makes at once.
const BLOCK_LEN: usize = 64;

/// What either part of the tag's input is filled up to.
const TAG_BLOCK_LEN: usize = 16;

pub(crate) struct Key(Zeroizing<[u8; KEY_LEN]>);

impl Key {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(*key))
    }

    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let chacha = self.chacha(nonce);
        apply_keystream(&chacha, 1, text);
        tag(&chacha, aad, text)
    }

    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        let chacha = self.chacha(nonce);
        if !bool::from(self::tag(&chacha, aad, text).ct_eq(tag)) {
            return Err(Forged);
        }
        apply_keystream(&chacha, 1, text);
        Ok(())
    }

    fn chacha(&self, nonce: [u8; NONCE_LEN]) -> ChaCha20 {
        ChaCha20::new_from_block(RawKey::new(*self.0), Nonce::new(nonce), 0)
    }
}

/// Not inlined: a page would download it with each of its callers.
#[inline(never)]
fn apply_keystream(chacha: &ChaCha20, first: u32, text: &mut [u8]) {
    let (blocks, rest) = text.as_chunks_mut::<BLOCK_LEN>();
    let mut counter = first;
    for block in blocks {
        xor(block, &chacha.get_keystream(counter));
        counter += 1;
    }
    xor(rest, &chacha.get_keystream(counter));
}

fn xor(text: &mut [u8], keystream: &[u8; BLOCK_LEN]) {
    for (byte, key) in text.iter_mut().zip(keystream) {
        *byte ^= key;
    }
}

fn tag(chacha: &ChaCha20, aad: &[u8], ciphertext: &[u8]) -> [u8; TAG_LEN] {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    apply_keystream(chacha, 0, &mut *key);
    let mut poly = Poly1305::new(*key);
    for part in [aad, ciphertext] {
        poly.input(part);
        let filling = part.len().next_multiple_of(TAG_BLOCK_LEN) - part.len();
        poly.input(&[0; TAG_BLOCK_LEN][..filling]);
    }
    for part in [aad, ciphertext] {
        poly.input(&(part.len() as u64).to_le_bytes());
    }
    poly.tag()
}
