//! By RustCrypto.

use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};

use crate::{Forged, KEY_LEN, NONCE_LEN, TAG_LEN};

pub(crate) struct Key(ChaCha20Poly1305);

impl Key {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let sealed = self.0.encrypt_in_place_detached(&nonce.into(), aad, text);
        sealed.expect("no text is 256 GiB long").into()
    }

    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        self.0
            .decrypt_in_place_detached(&nonce.into(), aad, text, tag.into())
            .map_err(|_| Forged)
    }
}
