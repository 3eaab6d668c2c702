//! By rust-bitcoin. It copies the key for each call and erases no copy; ours is.

use chacha20_poly1305::{ChaCha20Poly1305, Key as RawKey, Nonce};
use zeroize::Zeroizing;

use crate::{Forged, KEY_LEN, NONCE_LEN, TAG_LEN};

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
        self.cipher(nonce).encrypt(text, Some(aad))
    }

    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        let opened = self.cipher(nonce).decrypt(text, *tag, Some(aad));
        opened.map_err(|_| Forged)
    }

    fn cipher(&self, nonce: [u8; NONCE_LEN]) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(RawKey::new(*self.0), Nonce::new(nonce))
    }
}
