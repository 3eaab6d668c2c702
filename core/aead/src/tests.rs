//! Each implementation against the RFC, and against the other.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::aead::consts::{U12, U16};
use chacha20poly1305::{ChaCha20Poly1305, ChaChaPoly1305, KeyInit as _};
use proptest::prelude::*;

use crate::Forged;
use crate::stream::Stream;

/// What a server has, and what a page has.
fn both(key: [u8; 32]) -> (ChaCha20Poly1305, ChaChaPoly1305<Stream>) {
    let key = key.into();
    (ChaCha20Poly1305::new(&key), ChaChaPoly1305::new(&key))
}

fn seal<C>(cipher: &C, nonce: [u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16]
where
    C: AeadInPlace<NonceSize = U12, TagSize = U16>,
{
    let sealed = cipher.encrypt_in_place_detached(&nonce.into(), aad, text);
    sealed.unwrap().into()
}

fn open<C>(
    cipher: &C,
    nonce: [u8; 12],
    aad: &[u8],
    text: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged>
where
    C: AeadInPlace<NonceSize = U12, TagSize = U16>,
{
    let opened = cipher.decrypt_in_place_detached(&nonce.into(), aad, text, tag.into());
    opened.map_err(|_| Forged)
}

#[test]
fn both_agree_with_the_example_of_the_rfc() {
    // RFC 8439, section 2.8.2.
    let key = std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
    let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    let aad = [
        0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
    ];
    let text =
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
                 future, sunscreen would be it.";
    let tag = [
        0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06,
        0x91,
    ];
    let (native, portable) = both(key);
    let (mut one, mut other) = (text.to_vec(), text.to_vec());
    assert_eq!(seal(&native, nonce, &aad, &mut one), tag);
    assert_eq!(seal(&portable, nonce, &aad, &mut other), tag);
    assert_eq!(one, other);
    assert_eq!(one[..4], [0xd3, 0x1a, 0x8d, 0x34]);
}

proptest! {
    #[test]
    fn each_opens_what_the_other_sealed_and_nothing_else(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..40),
        text in prop::collection::vec(any::<u8>(), 0..600),
        at: prop::sample::Index,
        mask in 1u8..,
    ) {
        let (native, portable) = both(key);
        let (mut one, mut other) = (text.clone(), text.clone());
        let tag = seal(&native, nonce, &aad, &mut one);
        prop_assert_eq!(seal(&portable, nonce, &aad, &mut other), tag);
        prop_assert_eq!(&one, &other);

        let mut forged = tag;
        forged[at.index(16)] ^= mask;
        for tag in [&forged, &tag] {
            let expected = if *tag == forged { Err(Forged) } else { Ok(()) };
            prop_assert_eq!(open(&native, nonce, &aad, &mut other, tag), expected);
            prop_assert_eq!(open(&portable, nonce, &aad, &mut one, tag), expected);
            prop_assert_eq!(&one, &other);
        }
        prop_assert_eq!(one, text);
    }
}
