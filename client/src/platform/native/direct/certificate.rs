//! The certificate that a side of a direct path shows, made for one attempt.

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    /// Of ECDSA on P-256, in PKCS #8.
    pub(super) key: Vec<u8>,
}

impl Certificate {
    /// # Errors
    /// What its maker says.
    pub(super) fn make() -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
        let made = made.map_err(|error| error.to_string())?;
        Ok(Self {
            key: made.signing_key.serialize_der(),
            der: made.cert.into(),
        })
    }

    /// SHA-256 of it, by which the other side knows it.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }
}

/// The name in certificates, which nobody verifies: digests are.
pub(super) const NAME: &str = "peersox";
