//! Each implementation against the RFC, and against the others.

use aead::consts::{U12, U16, U32};
use aead::{AeadInPlace, Error, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, ChaChaPoly1305};
use proptest::prelude::*;

use crate::{Forged, Key, native, stream, vector};

#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod traces;

/// What native programs have, what pages have with vectors and without, and what all are held against.
type Native = native::Ring;
type Vectors = ChaChaPoly1305<vector::Stream>;
type Plain = ChaChaPoly1305<stream::Stream>;
type Reference = ChaCha20Poly1305;

trait Cipher: AeadInPlace<NonceSize = U12, TagSize = U16> + KeyInit<KeySize = U32> {}

impl<C: AeadInPlace<NonceSize = U12, TagSize = U16> + KeyInit<KeySize = U32>> Cipher for C {}

#[test]
fn all_agree_with_the_examples_of_the_rfc() {
    for example in [section_2_8_2(), appendix_a_5()] {
        as_in_the_rfc::<Native>(&example);
        as_in_the_rfc::<Vectors>(&example);
        as_in_the_rfc::<Plain>(&example);
        as_in_the_rfc::<Reference>(&example);
    }
}

/// Each remainder of a block, and of the 16 blocks that `ring` takes at once, is there several times.
#[test]
fn all_agree_on_every_length() {
    let key: [u8; 32] = std::array::from_fn(|at| at.to_le_bytes()[0]);
    for len in (0..=2_100_usize).chain([16_383, 16_384, 65_506, 65_536, 65_581]) {
        let nonce = [len.to_le_bytes()[0]; 12];
        let text: Vec<u8> = (0..len).map(|at| (at * 7 + len).to_le_bytes()[0]).collect();
        let sealed = Sealed::by::<Reference>(&key, nonce, &text[..len.min(len % 41)], &text);
        for forgery in [Forgery::Tag(len, 1), Forgery::Text(len / 2, 0x80)] {
            agree::<Native>(&key, &sealed, &text, forgery).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn each_opens_what_the_other_sealed_and_nothing_else(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..300),
        text in prop::collection::vec(any::<u8>(), 0..3_000),
        forgery in forgery(),
    ) {
        let sealed = Sealed::by::<Reference>(&key, nonce, &aad, &text);
        agree::<Reference>(&key, &sealed, &text, forgery)?;
        agree::<Native>(&key, &sealed, &text, forgery)?;
        agree::<Vectors>(&key, &sealed, &text, forgery)?;
        agree::<Plain>(&key, &sealed, &text, forgery)?;
    }
}

#[test]
fn a_key_of_this_target_is_one_of_them() {
    let (mut one, mut other) = ([7; 100], [7; 100]);
    let (key, reference) = (Key::new(&[1; 32]), Reference::new(&[1; 32].into()));
    let tag = key.seal([2; 12], b"aad", &mut one);
    let expected = reference.encrypt_in_place_detached(&[2; 12].into(), b"aad", &mut other);
    assert_eq!((expected, other), (Ok(tag.into()), one));
    assert_eq!(key.open([2; 12], b"", &mut one.clone(), &tag), Err(Forged));
    assert_eq!(key.open([2; 12], b"aad", &mut one, &tag), Ok(()));
    assert_eq!(one, [7; 100]);
}

/// What one implementation sealed.
struct Sealed {
    nonce: [u8; 12],
    aad: Vec<u8>,
    text: Vec<u8>,
    tag: [u8; 16],
}

impl Sealed {
    fn by<C: Cipher>(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], text: &[u8]) -> Self {
        let (aad, mut text) = (aad.to_vec(), text.to_vec());
        let tag = C::new(key.into()).encrypt_in_place_detached(&nonce.into(), &aad, &mut text);
        Self {
            nonce,
            aad,
            text,
            tag: tag.unwrap().into(),
        }
    }

    fn open<C: Cipher>(&self, cipher: &C) -> Result<Vec<u8>, (Error, Vec<u8>)> {
        let mut text = self.text.clone();
        let (nonce, tag) = (self.nonce.into(), self.tag.into());
        match cipher.decrypt_in_place_detached(&nonce, &self.aad, &mut text, &tag) {
            Ok(()) => Ok(text),
            Err(error) => Err((error, text)),
        }
    }

    fn forged(&self, forgery: Forgery) -> Self {
        let (mut nonce, mut aad, mut text, mut tag) =
            (self.nonce, self.aad.clone(), self.text.clone(), self.tag);
        let alter = |bytes: &mut [u8], at: usize, mask: u8| match bytes.len() {
            0 => false,
            len => {
                bytes[at % len] ^= mask;
                true
            }
        };
        let altered = match forgery {
            Forgery::Nonce(at, mask) => alter(&mut nonce, at, mask),
            Forgery::Aad(at, mask) => alter(&mut aad, at, mask),
            Forgery::Text(at, mask) => alter(&mut text, at, mask),
            Forgery::Tag(at, mask) => alter(&mut tag, at, mask),
            Forgery::Shorter => text.pop().is_some(),
            Forgery::Longer => false,
            // What ends the one begins the other.
            Forgery::Moved => aad.pop().map(|byte| text.insert(0, byte)).is_some(),
        };
        if !altered {
            text.push(0);
        }
        Self {
            nonce,
            aad,
            text,
            tag,
        }
    }
}

/// What a forger does: which byte it alters, and which bits of that; or it moves an end.
#[derive(Clone, Copy, Debug)]
enum Forgery {
    Nonce(usize, u8),
    Aad(usize, u8),
    Text(usize, u8),
    Tag(usize, u8),
    Shorter,
    Longer,
    Moved,
}

fn forgery() -> impl Strategy<Value = Forgery> {
    let byte = || (any::<usize>(), 1u8..);
    prop_oneof![
        byte().prop_map(|(at, mask)| Forgery::Nonce(at, mask)),
        byte().prop_map(|(at, mask)| Forgery::Aad(at, mask)),
        byte().prop_map(|(at, mask)| Forgery::Text(at, mask)),
        byte().prop_map(|(at, mask)| Forgery::Tag(at, mask)),
        Just(Forgery::Shorter),
        Just(Forgery::Longer),
        Just(Forgery::Moved),
    ]
}

/// An implementation seals the same, opens it, and refuses the forgery without telling any of the text.
fn agree<C: Cipher>(
    key: &[u8; 32],
    sealed: &Sealed,
    text: &[u8],
    forgery: Forgery,
) -> Result<(), TestCaseError> {
    let own = Sealed::by::<C>(key, sealed.nonce, &sealed.aad, text);
    prop_assert_eq!(own.tag, sealed.tag);
    prop_assert_eq!(&own.text, &sealed.text);

    let cipher = C::new(key.into());
    let forged = sealed.forged(forgery);
    let (refused, left) = forged
        .open(&cipher)
        .expect_err("one byte is not the sealer's");
    prop_assert_eq!(refused, Error);
    prop_assert!(left == forged.text || left == vec![0; left.len()]);
    prop_assert_eq!(sealed.open(&cipher), Ok(text.to_vec()));
    Ok(())
}

/// An example of RFC 8439.
struct Example {
    key: [u8; 32],
    nonce: [u8; 12],
    aad: [u8; 12],
    text: &'static [u8],
    /// How the ciphertext begins.
    sealed: [u8; 4],
    tag: [u8; 16],
}

fn as_in_the_rfc<C: Cipher>(example: &Example) {
    let sealed = Sealed::by::<C>(&example.key, example.nonce, &example.aad, example.text);
    assert_eq!(sealed.tag, example.tag);
    assert_eq!(sealed.text[..4], example.sealed);
    assert_eq!(
        sealed.open(&C::new(&example.key.into())),
        Ok(example.text.to_vec())
    );
}

fn section_2_8_2() -> Example {
    Example {
        key: std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap()),
        nonce: [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47],
        aad: [
            0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
        ],
        text: b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
                the future, sunscreen would be it.",
        sealed: [0xd3, 0x1a, 0x8d, 0x34],
        tag: [
            0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60,
            0x06, 0x91,
        ],
    }
}

fn appendix_a_5() -> Example {
    Example {
        key: [
            0x1c, 0x92, 0x40, 0xa5, 0xeb, 0x55, 0xd3, 0x8a, 0xf3, 0x33, 0x88, 0x86, 0x04, 0xf6,
            0xb5, 0xf0, 0x47, 0x39, 0x17, 0xc1, 0x40, 0x2b, 0x80, 0x09, 0x9d, 0xca, 0x5c, 0xbc,
            0x20, 0x70, 0x75, 0xc0,
        ],
        nonce: [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        aad: [0xf3, 0x33, 0x88, 0x86, 0, 0, 0, 0, 0, 0, 0x4e, 0x91],
        text: "Internet-Drafts are draft documents valid for a maximum of six months and may be \
               updated, replaced, or obsoleted by other documents at any time. It is inappropriate \
               to use Internet-Drafts as reference material or to cite them other than as \
               /\u{201c}work in progress./\u{201d}"
            .as_bytes(),
        sealed: [0x64, 0xa0, 0x86, 0x15],
        tag: [
            0xee, 0xad, 0x9d, 0x67, 0x89, 0x0c, 0xbb, 0x22, 0x39, 0x23, 0x36, 0xfe, 0xa1, 0x85,
            0x1f, 0x38,
        ],
    }
}
