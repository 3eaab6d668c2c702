//! The handshake: fresh traffic keys for every connection, from the pairing secret.
//!
//! `Noise_NNpsk0_25519_ChaChaPoly_SHA256` (noiseprotocol.org, revision 34). The pairing's initiator
//! is Noise's. Both messages prove the pairing secret; the ephemeral keys give forward secrecy:
//! whoever steals the secret later reads nothing that was recorded before.
//!
//! ```text
//! -> psk, e   "hello" of the initiator   secret only from those who never get the pairing secret
//! <- e, ee    "hello" of the joiner      forward secret
//! prologue = label ‖ " noise " ‖ pairing id ‖ " initiator joiner " ‖ attempt
//! ```
//!
//! The hello is a few bytes of the application, at most [`MAX_HELLO_LEN`]. The initiator names each
//! attempt with 8 random bytes; an answer to another attempt is stale. The first message can be
//! replayed, so the joiner uses the keys only after the initiator has used them.

use bytes::Bytes;
use noise_protocol::patterns::{HandshakePattern, Token};
use rand_core::CryptoRngCore;

use super::failure::Violation;
use super::keys::{Key, LABEL, PairingSecret};
use super::noise::{KeyPair, Noise};
use super::seal::Transport;
use super::wire::{Attempt, HandshakeMessage};
use crate::id::PairingId;
use crate::role::Role;

/// The longest hello, in bytes.
pub const MAX_HELLO_LEN: usize = 1024;

/// What both messages add to their hello: an ephemeral key and a tag.
const OVERHEAD: usize = 32 + 16;

/// An attempt that the initiator has begun and the joiner not yet answered.
///
/// Nothing of Noise's state is kept: all of it follows from the ephemeral key, and a forged answer would
/// leave it in disorder while the genuine one may yet come.
pub struct Handshake {
    attempt: Attempt,
    pairing: PairingId,
    secret: PairingSecret,
    ephemeral: KeyPair,
    hello: Vec<u8>,
}

impl Handshake {
    /// Begins an attempt with `hello`, cut to [`MAX_HELLO_LEN`] bytes. [`Self::first`] is what to
    /// send.
    pub fn initiate(
        pairing: &PairingId,
        secret: &PairingSecret,
        hello: &[u8],
        rng: &mut impl CryptoRngCore,
    ) -> Self {
        let mut attempt = Attempt::default();
        rng.fill_bytes(&mut attempt);
        Self {
            attempt,
            pairing: *pairing,
            secret: secret.clone(),
            ephemeral: draw(rng),
            hello: hello.to_vec(),
        }
    }

    /// The message to send, and to send again on a new path until the answer is there.
    #[must_use]
    pub fn first(&self) -> Bytes {
        let (_, message) = self.begin();
        HandshakeMessage::First(self.attempt, &message).encode()
    }

    /// Noise up to the first message, and that.
    fn begin(&self) -> (Noise, Vec<u8>) {
        let mut noise = build(
            Role::Initiator,
            &self.pairing,
            &self.secret,
            self.attempt,
            self.ephemeral.clone(),
        );
        let message = write(&mut noise, &self.hello);
        (noise, message)
    }

    /// Takes the joiner's answer, and gives the keys and the joiner's hello.
    ///
    /// # Errors
    /// [`Violation`]; the attempt still waits for a genuine answer.
    pub fn finish(&self, payload: &[u8]) -> Result<(Transport, Bytes), Violation> {
        let HandshakeMessage::Second(attempt, message) = HandshakeMessage::parse(payload)? else {
            return Err(Violation::Unexpected);
        };
        if attempt != self.attempt {
            return Err(Violation::TooOld);
        }
        let (mut noise, _) = self.begin();
        let hello = read(&mut noise, message)?;
        Ok((split(Role::Initiator, attempt, &noise), hello))
    }

    /// Answers an attempt of the initiator: the keys, its hello, and the message to send.
    ///
    /// # Errors
    /// [`Violation`] if the initiator does not hold the same secret for the same pairing.
    pub fn respond(
        payload: &[u8],
        pairing: &PairingId,
        secret: &PairingSecret,
        hello: &[u8],
        rng: &mut impl CryptoRngCore,
    ) -> Result<(Transport, Bytes, Bytes), Violation> {
        let HandshakeMessage::First(attempt, message) = HandshakeMessage::parse(payload)? else {
            return Err(Violation::Unexpected);
        };
        let mut noise = build(Role::Joiner, pairing, secret, attempt, draw(rng));
        let theirs = read(&mut noise, message)?;
        let answer = write(&mut noise, hello);
        let second = HandshakeMessage::Second(attempt, &answer).encode();
        Ok((split(Role::Joiner, attempt, &noise), theirs, second))
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handshake(redacted)")
    }
}

/// Draws an ephemeral key.
fn draw(rng: &mut impl CryptoRngCore) -> KeyPair {
    let mut private = Key::default();
    rng.fill_bytes(&mut *private);
    KeyPair::of(private)
}

fn build(
    role: Role,
    pairing: &PairingId,
    secret: &PairingSecret,
    attempt: Attempt,
    ephemeral: KeyPair,
) -> Noise {
    let prologue = [
        LABEL,
        b" noise ",
        pairing.as_bytes(),
        b" initiator joiner ",
        &attempt,
    ]
    .concat();
    let initiator = role == Role::Initiator;
    let pattern = HandshakePattern::new(
        &[],
        &[],
        &[&[Token::PSK, Token::E], &[Token::E, Token::EE]],
        "NNpsk0",
    );
    let mut noise = Noise::new(
        pattern,
        initiator,
        &prologue,
        None,
        Some(ephemeral),
        None,
        None,
    );
    noise.push_psk(secret.as_bytes());
    noise
}

fn write(noise: &mut Noise, hello: &[u8]) -> Vec<u8> {
    let hello = &hello[..hello.len().min(MAX_HELLO_LEN)];
    let mut message = vec![0; OVERHEAD + hello.len()];
    noise
        .write_message(hello, &mut message)
        .expect("the pattern needs no key but the ephemeral ones and the psk");
    message
}

fn read(noise: &mut Noise, message: &[u8]) -> Result<Bytes, Violation> {
    let len = message.len().checked_sub(OVERHEAD);
    let len = len.filter(|len| *len <= MAX_HELLO_LEN);
    let mut hello = vec![0; len.ok_or(Violation::Malformed)?];
    noise
        .read_message(message, &mut hello)
        .map_err(|_| Violation::Forged)?;
    Ok(hello.into())
}

/// Noise's `Split()`. Its keys never seal anything: those of the lanes are derived from them, bound
/// to the handshake hash.
fn split(role: Role, attempt: Attempt, noise: &Noise) -> Transport {
    let (initiator, joiner) = noise.get_ciphers();
    let keys = [initiator.extract().0.0, joiner.extract().0.0];
    Transport::new(role, attempt, &keys, noise.get_hash())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Seeded;
    use super::*;
    use crate::frame::Lane;
    use crate::secure::HEADROOM;
    use bytes::BytesMut;
    use proptest::prelude::*;

    const PAIRING: PairingId = PairingId::from_bytes([9; 16]);

    #[test]
    fn both_sides_get_the_same_keys_and_each_others_hello() {
        let secret = PairingSecret::from_bytes([1; 32]);
        let first = initiate(&secret, 1);
        let (mut b, hello, second) = respond(&first.first(), &PAIRING, &secret).unwrap();
        assert_eq!(&hello[..], b"from a");
        let (mut a, hello) = first.finish(&second).unwrap();
        assert_eq!(&hello[..], b"from b");
        for (from, to) in [(0, 1), (1, 0)] {
            let sides = [&mut a, &mut b];
            let mut buffer = [&[0; HEADROOM], &b"text"[..]].concat();
            sides[from].seal(Lane::Signal, &mut buffer).unwrap();
            let mut buffer = BytesMut::from(&buffer[..]);
            sides[to].open(&mut buffer).unwrap();
            assert_eq!(&buffer[..], b"text");
        }
    }

    #[test]
    fn another_secret_pairing_role_or_attempt_is_refused() {
        let secret = PairingSecret::from_bytes([1; 32]);
        let first = initiate(&secret, 1);
        let message = first.first();
        let other = PairingSecret::from_bytes([2; 32]);
        assert_eq!(
            respond(&message, &PAIRING, &other).unwrap_err(),
            Violation::Forged
        );
        let elsewhere = PairingId::from_bytes([8; 16]);
        assert_eq!(
            respond(&message, &elsewhere, &secret).unwrap_err(),
            Violation::Forged
        );

        assert_eq!(first.finish(&message).unwrap_err(), Violation::Unexpected);
        let (_, _, second) = respond(&message, &PAIRING, &secret).unwrap();
        assert_eq!(
            respond(&second, &PAIRING, &secret).unwrap_err(),
            Violation::Unexpected
        );
        let later = initiate(&secret, 2);
        assert_eq!(later.finish(&second).unwrap_err(), Violation::TooOld);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_flipped_byte_is_noticed(place: prop::sample::Index, mask in 1u8..) {
            let secret = PairingSecret::from_bytes([1; 32]);
            let first = initiate(&secret, 1);
            let mut altered = first.first().to_vec();
            let at = place.index(altered.len());
            altered[at] ^= mask;
            // But for the highest bit of a public key, which X25519 ignores (RFC 7748): the hash
            // over the message does not.
            prop_assert!(respond(&altered, &PAIRING, &secret).is_err());

            let (_, _, second) = respond(&first.first(), &PAIRING, &secret).unwrap();
            let mut altered = second.to_vec();
            let at = place.index(altered.len());
            altered[at] ^= mask;
            prop_assert!(first.finish(&altered).is_err());
            prop_assert!(first.finish(&second[..place.index(second.len())]).is_err());
            // A forgery does not spoil the attempt.
            prop_assert!(first.finish(&second).is_ok());
        }
    }

    fn initiate(secret: &PairingSecret, seed: u64) -> Handshake {
        Handshake::initiate(&PAIRING, secret, b"from a", &mut Seeded::new(seed))
    }

    fn respond(
        message: &[u8],
        pairing: &PairingId,
        secret: &PairingSecret,
    ) -> Result<(Transport, Bytes, Bytes), Violation> {
        Handshake::respond(message, pairing, secret, b"from b", &mut Seeded::new(7))
    }
}
