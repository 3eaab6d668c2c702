//! The cryptography of DTLS 1.2, by `ring`, which QUIC brings.
//!
//! What RFC 8827, section 6.5 asks of every endpoint is here: ECDHE with ECDSA on P-256 and AES-128-GCM.

use std::fmt;

use dimpl::crypto::{
    Aad, ActiveKeyExchange, Buf, Cipher, CryptoProvider, Dtls12CipherSuite, Dtls13CipherSuite,
    HashAlgorithm, HashContext, HashProvider, HmacProvider, KeyProvider, NamedGroup, Nonce,
    SecureRandom, SignatureAlgorithm, SignatureVerifier, SigningKey, SupportedDtls12CipherSuite,
    SupportedDtls13CipherSuite, SupportedKxGroup, TmpBuf,
};
use dimpl::{CryptoError, CryptoOperation};
use ring::{aead, agreement, digest, hmac, rand, signature};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;

/// What there is.
pub(super) const PROVIDER: CryptoProvider = CryptoProvider {
    kx_groups: &[
        &Group {
            name: NamedGroup::X25519,
            algorithm: &agreement::X25519,
        },
        &Group {
            name: NamedGroup::Secp256r1,
            algorithm: &agreement::ECDH_P256,
        },
    ],
    signature_verification: &Ring,
    key_provider: &Ring,
    secure_random: &Ring,
    hash_provider: &Ring,
    hmac_provider: &Ring,
    // In the order in which this side likes them: with AES the library draws nonces, and here it counts.
    cipher_suites: &[
        &Suite {
            suite: Dtls12CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256,
            algorithm: &aead::CHACHA20_POLY1305,
            fixed_nonce: aead::NONCE_LEN,
        },
        &Suite {
            suite: Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256,
            algorithm: &aead::AES_128_GCM,
            fixed_nonce: 4,
        },
    ],
    dtls13_cipher_suites: &[&Newer],
};

#[derive(Debug)]
struct Ring;

#[derive(Debug)]
struct Group {
    name: NamedGroup,
    algorithm: &'static agreement::Algorithm,
}

struct Exchange {
    group: NamedGroup,
    /// Only ever moved out whole: nothing is seen half done after a panic.
    secret: std::panic::AssertUnwindSafe<agreement::EphemeralPrivateKey>,
    public: agreement::PublicKey,
}

#[derive(Debug)]
struct Suite {
    suite: Dtls12CipherSuite,
    algorithm: &'static aead::Algorithm,
    /// How many bytes of the nonce come from the handshake; each record brings the others.
    fixed_nonce: usize,
}

/// The library asks for a suite of DTLS 1.3. Connections are of 1.2, which every browser speaks.
#[derive(Debug)]
struct Newer;

#[derive(Debug)]
struct Key(aead::LessSafeKey);

#[derive(Debug)]
struct Signer(signature::EcdsaKeyPair);

struct Hash(digest::Context);

impl SupportedKxGroup for Group {
    fn name(&self) -> NamedGroup {
        self.name
    }

    fn start_exchange(&self, _: Buf) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let failed = |_| CryptoError::OperationFailed(CryptoOperation::StartKeyExchange);
        let random = rand::SystemRandom::new();
        let secret = agreement::EphemeralPrivateKey::generate(self.algorithm, &random);
        let secret = secret.map_err(failed)?;
        Ok(Box::new(Exchange {
            group: self.name,
            public: secret.compute_public_key().map_err(failed)?,
            secret: std::panic::AssertUnwindSafe(secret),
        }))
    }
}

impl ActiveKeyExchange for Exchange {
    fn pub_key(&self) -> &[u8] {
        self.public.as_ref()
    }

    fn complete(self: Box<Self>, theirs: &[u8], out: &mut Buf) -> Result<(), CryptoError> {
        let secret = self.secret.0;
        let theirs = agreement::UnparsedPublicKey::new(secret.algorithm(), theirs);
        out.clear();
        let agreed = agreement::agree_ephemeral(secret, &theirs, |it| out.extend_from_slice(it));
        agreed.map_err(|_| CryptoError::InvalidPublicKey(self.group))
    }

    fn group(&self) -> NamedGroup {
        self.group
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl SupportedDtls12CipherSuite for Suite {
    fn suite(&self) -> Dtls12CipherSuite {
        self.suite
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn key_lengths(&self) -> (usize, usize, usize) {
        (0, self.algorithm.key_len(), self.fixed_nonce)
    }

    fn explicit_nonce_len(&self) -> usize {
        aead::NONCE_LEN - self.fixed_nonce
    }

    fn tag_len(&self) -> usize {
        self.algorithm.tag_len()
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        Key::boxed(self.algorithm, key)
    }
}

impl SupportedDtls13CipherSuite for Newer {
    fn suite(&self) -> Dtls13CipherSuite {
        Dtls13CipherSuite::CHACHA20_POLY1305_SHA256
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn key_len(&self) -> usize {
        aead::CHACHA20_POLY1305.key_len()
    }

    fn iv_len(&self) -> usize {
        aead::NONCE_LEN
    }

    fn tag_len(&self) -> usize {
        aead::CHACHA20_POLY1305.tag_len()
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        Key::boxed(&aead::CHACHA20_POLY1305, key)
    }

    fn encrypt_sn(&self, key: &[u8], sample: &[u8; 16]) -> [u8; 16] {
        let key = aead::quic::HeaderProtectionKey::new(&aead::quic::CHACHA20, key);
        let mut mask = [0; 16];
        // A number of DTLS takes two bytes of it. Both lengths are right, so that nothing fails.
        if let Ok(short) = key.and_then(|it| it.new_mask(sample)) {
            mask[..short.len()].copy_from_slice(&short);
        }
        mask
    }
}

impl Key {
    fn boxed(
        algorithm: &'static aead::Algorithm,
        key: &[u8],
    ) -> Result<Box<dyn Cipher>, CryptoError> {
        let key = aead::UnboundKey::new(algorithm, key);
        let key = key.map_err(|_| CryptoError::OperationFailed(CryptoOperation::CreateCipher))?;
        Ok(Box::new(Self(aead::LessSafeKey::new(key))))
    }
}

impl Cipher for Key {
    fn encrypt(&mut self, data: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce.0);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, aead::Aad::from(&aad[..]), data.as_mut())
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Encrypt))?;
        data.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn decrypt(
        &mut self,
        data: &mut TmpBuf<'_>,
        aad: Aad,
        nonce: Nonce,
    ) -> Result<(), CryptoError> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce.0);
        let opened = self
            .0
            .open_in_place(nonce, aead::Aad::from(&aad[..]), data.as_mut())
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Decrypt))?
            .len();
        data.truncate(opened);
        Ok(())
    }
}

impl SignatureVerifier for Ring {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        if algorithm != SignatureAlgorithm::ECDSA {
            return Err(CryptoError::OperationFailed(
                CryptoOperation::VerifySignature,
            ));
        }
        let algorithms: [&dyn SignatureVerificationAlgorithm; 2] = match hash {
            HashAlgorithm::SHA384 => [
                webpki::ring::ECDSA_P256_SHA384,
                webpki::ring::ECDSA_P384_SHA384,
            ],
            _ => [
                webpki::ring::ECDSA_P256_SHA256,
                webpki::ring::ECDSA_P384_SHA256,
            ],
        };
        let certificate = CertificateDer::from(certificate);
        let failed = |_| CryptoError::OperationFailed(CryptoOperation::VerifySignature);
        let certificate = EndEntityCert::try_from(&certificate).map_err(failed)?;
        let verified = |it: &&dyn SignatureVerificationAlgorithm| {
            certificate.verify_signature(*it, data, signature).is_ok()
        };
        match algorithms.iter().any(verified) {
            true => Ok(()),
            false => Err(CryptoError::OperationFailed(
                CryptoOperation::VerifySignature,
            )),
        }
    }
}

impl KeyProvider for Ring {
    fn load_private_key(&self, key: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let random = rand::SystemRandom::new();
        let algorithm = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = signature::EcdsaKeyPair::from_pkcs8(algorithm, key, &random);
        let key = key.map_err(|_| CryptoError::OperationFailed(CryptoOperation::LoadPrivateKey))?;
        Ok(Box::new(Signer(key)))
    }
}

impl SigningKey for Signer {
    fn sign(
        &mut self,
        data: &[u8],
        requested: HashAlgorithm,
        out: &mut Buf,
    ) -> Result<(), CryptoError> {
        let key_hash = self.hash_algorithm();
        if requested != key_hash {
            return Err(CryptoError::SigningKeyHashMismatch {
                key_hash,
                requested,
            });
        }
        let signed = self.0.sign(&rand::SystemRandom::new(), data);
        let signed = signed.map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signed.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

impl SecureRandom for Ring {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        let filled = rand::SecureRandom::fill(&rand::SystemRandom::new(), buffer);
        filled.map_err(|_| CryptoError::OperationFailed(CryptoOperation::FillRandom))
    }
}

impl HashProvider for Ring {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(Hash(digest::Context::new(match algorithm {
            HashAlgorithm::SHA384 => &digest::SHA384,
            _ => &digest::SHA256,
        })))
    }
}

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        out.clear();
        out.extend_from_slice(self.0.clone().finish().as_ref());
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hash").finish_non_exhaustive()
    }
}

impl HmacProvider for Ring {
    fn hmac(
        &self,
        hash: HashAlgorithm,
        key: &[u8],
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let algorithm = match hash {
            HashAlgorithm::SHA384 => hmac::HMAC_SHA384,
            _ => hmac::HMAC_SHA256,
        };
        let tag = hmac::sign(&hmac::Key::new(algorithm, key), data);
        let tag = tag.as_ref();
        let place = out.get_mut(..tag.len());
        let place = place.ok_or(CryptoError::OperationFailed(CryptoOperation::ComputeHmac))?;
        place.copy_from_slice(tag);
        Ok(tag.len())
    }
}
