//! Each implementation against the RFC, and against the other.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::aead::consts::{U12, U16};
use chacha20poly1305::{ChaCha20Poly1305, ChaChaPoly1305, KeyInit as _};
use proptest::prelude::*;

use crate::{Forged, stream, vector};

/// What a page has with vectors, and without.
type Vectors = ChaChaPoly1305<vector::Stream>;
type Plain = ChaChaPoly1305<stream::Stream>;

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
fn all_agree_with_the_example_of_the_rfc() {
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
    let key = key.into();
    let mut sealed = [text.to_vec(), text.to_vec(), text.to_vec()];
    let [one, two, three] = &mut sealed;
    assert_eq!(seal(&ChaCha20Poly1305::new(&key), nonce, &aad, one), tag);
    assert_eq!(seal(&Vectors::new(&key), nonce, &aad, two), tag);
    assert_eq!(seal(&Plain::new(&key), nonce, &aad, three), tag);
    assert!(sealed.iter().all(|it| *it == sealed[0]));
    assert_eq!(sealed[0][..4], [0xd3, 0x1a, 0x8d, 0x34]);
}

proptest! {
    #[test]
    fn each_opens_what_the_other_sealed_and_nothing_else(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..40),
        text in prop::collection::vec(any::<u8>(), 0..1300),
        at: prop::sample::Index,
        mask in 1u8..,
    ) {
        let native = ChaCha20Poly1305::new(&key.into());
        let mut expected = text.clone();
        let tag = seal(&native, nonce, &aad, &mut expected);
        let sealed = Sealed { nonce, aad, text: expected, tag, at: at.index(16), mask };
        agree(&native, &sealed, &text)?;
        agree(&Vectors::new(&key.into()), &sealed, &text)?;
        agree(&Plain::new(&key.into()), &sealed, &text)?;
    }
}

/// What one implementation sealed, and which bits of which byte of the tag a forger turns.
struct Sealed {
    nonce: [u8; 12],
    aad: Vec<u8>,
    text: Vec<u8>,
    tag: [u8; 16],
    at: usize,
    mask: u8,
}

/// Another one seals the same, opens it, and refuses the forgery.
fn agree<C>(cipher: &C, sealed: &Sealed, text: &[u8]) -> Result<(), TestCaseError>
where
    C: AeadInPlace<NonceSize = U12, TagSize = U16>,
{
    let (nonce, aad) = (sealed.nonce, &sealed.aad);
    let mut own = text.to_vec();
    prop_assert_eq!(seal(cipher, nonce, aad, &mut own), sealed.tag);
    prop_assert_eq!(&own, &sealed.text);

    let mut forged = sealed.tag;
    forged[sealed.at] ^= sealed.mask;
    prop_assert_eq!(open(cipher, nonce, aad, &mut own, &forged), Err(Forged));
    prop_assert_eq!(&own, &sealed.text);
    prop_assert_eq!(open(cipher, nonce, aad, &mut own, &sealed.tag), Ok(()));
    prop_assert_eq!(own, text);
    Ok(())
}
