//! ChaCha20-Poly1305 by `ring`, and no copy of a key where it was.
//!
//! `ring` erases nothing: neither a key that goes, nor the copies that a call makes on its stack. So a key is
//! 32 bytes that are erased when they go, `ring` gets a copy for each call, and after the call the stack
//! that it used is overwritten. A copy costs no computation, ChaCha20 has no key schedule.
//!
//! ```text
//! the stack, growing down
//!   Ring::seal, Ring::open      a reference to the key
//!     seal, open                ring's form of the key                    ┐ overwritten afterwards,
//!       ring                    state of ChaCha20, key of Poly1305        ┘ `DEPTH` bytes
//! ```

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroizing, zeroize_stack};

use crate::{Cipher, Forged, KEY_LEN, NONCE_LEN, TAG_LEN};

/// A key for `ring`.
pub(crate) struct Ring(Zeroizing<[u8; KEY_LEN]>);

impl Cipher for Ring {
    fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(*key))
    }

    fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = seal(&self.0, nonce, aad, text);
        zeroize_stack::<DEPTH>();
        tag
    }

    fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        let opened = open(&self.0, nonce, aad, text, *tag);
        zeroize_stack::<DEPTH>();
        opened
    }
}

/// How much of the stack is overwritten, in bytes. In a debug build `ring` uses more than 2 KiB.
const DEPTH: usize = 4096;

// Neither of the two is inlined: what is overwritten is the stack below the frame of its caller.

#[inline(never)]
fn seal(key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let sealed = borrowed(key).seal_in_place_separate_tag(nonce, Aad::from(aad), text);
    let tag = sealed.expect("no text is 256 GiB long");
    tag.as_ref().try_into().expect("a tag has 16 bytes")
}

/// `ring` decrypts while it computes the tag, and writes zeros over the text if the tag is wrong.
#[inline(never)]
fn open(
    key: &[u8; KEY_LEN],
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    text: &mut [u8],
    tag: [u8; TAG_LEN],
) -> Result<(), Forged> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened =
        borrowed(key).open_in_place_separate_tag(nonce, Aad::from(aad), tag.into(), text, 0..);
    opened.map(|_| ()).map_err(|_| Forged)
}

#[inline]
fn borrowed(key: &[u8; KEY_LEN]) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key);
    LessSafeKey::new(key.expect("a key has 32 bytes"))
}
