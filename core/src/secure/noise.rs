//! What Noise is made of here: X25519, ChaCha20-Poly1305 and SHA-256, as `noise-protocol` asks for them.
//!
//! ```text
//! HKDF(ck, ikm) = HKDF-Expand(HKDF-Extract(ck, ikm), "")     Noise's own definition says the same
//! nonce         = 00 00 00 00 ‖ counter, little-endian
//! ```

use curve25519_dalek::constants::X25519_BASEPOINT;
use curve25519_dalek::montgomery::MontgomeryPoint;
use noise_protocol::{Cipher, DH, HandshakeState, Hash, U8Array};
use peersox_aead as aead;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::keys::{self, Key};
use super::seal::TAG_LEN;

/// One side of a handshake.
pub(super) type Noise = HandshakeState<X25519, ChaChaPoly, Hasher>;

/// Thirty-two bytes of Noise's, erased when they go.
pub(super) struct Secret(pub(super) Key);

impl U8Array for Secret {
    fn new() -> Self {
        Self(Key::default())
    }

    fn new_with(byte: u8) -> Self {
        Self(Zeroizing::new([byte; 32]))
    }

    fn from_slice(bytes: &[u8]) -> Self {
        let mut secret = Self::new();
        secret.0.copy_from_slice(bytes);
        secret
    }

    fn len() -> usize {
        32
    }

    fn as_slice(&self) -> &[u8] {
        &*self.0
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut *self.0
    }
}

/// A private key with its public half, which Noise asks for whenever a message is written again.
#[derive(Clone)]
pub(super) struct KeyPair {
    private: Key,
    public: [u8; 32],
}

impl KeyPair {
    pub(super) fn of(private: Key) -> Self {
        let public = X25519_BASEPOINT.mul_clamped(*private).to_bytes();
        Self { private, public }
    }
}

impl U8Array for KeyPair {
    fn new() -> Self {
        Self::new_with(0)
    }

    fn new_with(byte: u8) -> Self {
        Self::of(Zeroizing::new([byte; 32]))
    }

    fn from_slice(bytes: &[u8]) -> Self {
        Self::of(Secret::from_slice(bytes).0)
    }

    fn len() -> usize {
        32
    }

    fn as_slice(&self) -> &[u8] {
        &*self.private
    }

    fn as_mut(&mut self) -> &mut [u8] {
        unreachable!("a key is written once, by its caller")
    }
}

pub(super) enum X25519 {}

impl DH for X25519 {
    type Key = KeyPair;
    type Pubkey = [u8; 32];
    type Output = Secret;

    fn name() -> &'static str {
        "25519"
    }

    fn genkey() -> KeyPair {
        unreachable!("each side of the pattern draws one key, and gets it from its caller")
    }

    fn pubkey(key: &KeyPair) -> [u8; 32] {
        key.public
    }

    fn dh(key: &KeyPair, public: &[u8; 32]) -> Result<Secret, ()> {
        let shared = MontgomeryPoint(*public).mul_clamped(*key.private);
        Ok(Secret(Zeroizing::new(shared.to_bytes())))
    }
}

pub(super) enum ChaChaPoly {}

impl Cipher for ChaChaPoly {
    type Key = Secret;

    fn name() -> &'static str {
        "ChaChaPoly"
    }

    fn encrypt(key: &Secret, counter: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) {
        out[..plaintext.len()].copy_from_slice(plaintext);
        Self::encrypt_in_place(key, counter, ad, out, plaintext.len());
    }

    fn encrypt_in_place(
        key: &Secret,
        counter: u64,
        ad: &[u8],
        in_out: &mut [u8],
        plaintext_len: usize,
    ) -> usize {
        let (plaintext, tag) = in_out.split_at_mut(plaintext_len);
        let made = aead::Key::new(&key.0).seal(nonce(counter), ad, plaintext);
        tag[..TAG_LEN].copy_from_slice(&made);
        plaintext_len + TAG_LEN
    }

    fn decrypt(
        key: &Secret,
        counter: u64,
        ad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), ()> {
        let (ciphertext, tag) = ciphertext.split_last_chunk().ok_or(())?;
        out.copy_from_slice(ciphertext);
        let opened = aead::Key::new(&key.0).open(nonce(counter), ad, out, tag);
        opened.map_err(|_| ())
    }

    fn decrypt_in_place(
        key: &Secret,
        counter: u64,
        ad: &[u8],
        in_out: &mut [u8],
        ciphertext_len: usize,
    ) -> Result<usize, ()> {
        let ciphertext = in_out[..ciphertext_len].to_vec();
        let len = ciphertext_len - TAG_LEN;
        Self::decrypt(key, counter, ad, &ciphertext, &mut in_out[..len])?;
        Ok(len)
    }
}

fn nonce(counter: u64) -> [u8; aead::NONCE_LEN] {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

/// SHA-256. What it gives may be a key.
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hash for Hasher {
    type Block = [u8; 64];
    type Output = Secret;

    fn name() -> &'static str {
        "SHA256"
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self) -> Secret {
        let hash = std::mem::take(&mut self.0).finalize();
        Secret(Zeroizing::new(hash.into()))
    }

    fn hkdf(chaining_key: &[u8], input_key_material: &[u8]) -> (Secret, Secret) {
        let (first, second, _) = Self::hkdf3(chaining_key, input_key_material);
        (first, second)
    }

    fn hkdf3(chaining_key: &[u8], input_key_material: &[u8]) -> (Secret, Secret, Secret) {
        let prk = keys::extract(chaining_key, input_key_material);
        let mut out = Zeroizing::new([0; 96]);
        keys::expand_raw(&prk, &[], &mut *out);
        let part = |index: usize| Secret::from_slice(&out[index * 32..][..32]);
        (part(0), part(1), part(2))
    }
}
