//! Holds the cipher of this target against RustCrypto's plain one, and both against the example of RFC 8439,
//! section 2.8.2. It ends quietly, or panics.
//!
//! `scripts/wasm-cipher` runs it as WebAssembly, where the cipher is the one that pages get. Natively the
//! tests of this crate do the same and more, with arrays in place of vectors: `cargo test -p peersox-aead`.

use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use peersox_aead::{Forged, Key};

fn main() {
    the_example_of_the_rfc();
    // Every length up to 20 blocks, each remainder of a block and of four blocks among them; then a few long
    // ones.
    let lengths = (0..1_300).chain([4_095, 4_096, 16_383, 65_536, 65_581]);
    let mut numbers = Numbers(1);
    for length in lengths {
        each_opens_what_the_other_sealed(&mut numbers, length);
    }
}

fn the_example_of_the_rfc() {
    let mut key = [0; 32];
    for (byte, value) in key.iter_mut().zip(0x80..) {
        *byte = value;
    }
    let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    let aad = [
        0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
    ];
    let mut text =
        *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
           the future, sunscreen would be it.";
    let tag = Key::new(&key).seal(nonce, &aad, &mut text);
    let expected = [
        0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06,
        0x91,
    ];
    assert!(tag == expected);
    assert!(text[..4] == [0xd3, 0x1a, 0x8d, 0x34]);
}

fn each_opens_what_the_other_sealed(numbers: &mut Numbers, length: usize) {
    let mut key = [0; 32];
    numbers.fill(&mut key);
    let mut nonce = [0; 12];
    numbers.fill(&mut nonce);
    let mut aad = vec![0; length % 40];
    numbers.fill(&mut aad);
    let mut text = vec![0; length];
    numbers.fill(&mut text);

    let (ours, plain) = (Key::new(&key), ChaCha20Poly1305::new(&key.into()));
    let (mut one, mut other) = (text.clone(), text.clone());
    let tag = ours.seal(nonce, &aad, &mut one);
    let sealed = plain.encrypt_in_place_detached(&nonce.into(), &aad, &mut other);
    assert!(sealed.is_ok_and(|expected| tag[..] == expected[..]));
    assert!(one == other);

    let mut forged = tag;
    forged[length % 16] ^= 1;
    assert!(ours.open(nonce, &aad, &mut one, &forged) == Err(Forged));
    assert!(ours.open(nonce, &aad, &mut other, &tag) == Ok(()));
    assert!(other == text);
}

/// Numbers that look random: SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next().to_le_bytes()[0];
        }
    }
}
