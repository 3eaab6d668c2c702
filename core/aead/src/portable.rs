//! The construction and Poly1305 of RustCrypto, over any ChaCha20. It checks a tag before it decrypts.

use chacha20poly1305::aead::consts::{U12, U16, U32};
use chacha20poly1305::aead::{AeadInPlace, KeyInit, KeySizeUser};

use crate::{Cipher, Forged, KEY_LEN, NONCE_LEN, TAG_LEN};

impl<C> Cipher for C
where
    C: AeadInPlace<NonceSize = U12, TagSize = U16> + KeyInit + KeySizeUser<KeySize = U32>,
{
    fn new(key: &[u8; KEY_LEN]) -> Self {
        KeyInit::new(key.into())
    }

    fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        let sealed = self.encrypt_in_place_detached(&nonce.into(), aad, text);
        sealed.expect("no text is 256 GiB long").into()
    }

    fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        let opened = self.decrypt_in_place_detached(&nonce.into(), aad, text, tag.into());
        opened.map_err(|_| Forged)
    }
}
