//! A certificate chain and its private key.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::validity::Validity;

/// A certificate chain and its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Takes a chain, the certificate of this server first, and the private key of that certificate, both in
    /// DER. Whether the two belong together turns out when the server is bound.
    ///
    /// # Errors
    /// [`IdentityError::Empty`] if the chain has no certificate.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        if chain.is_empty() {
            return Err(IdentityError::Empty);
        }
        Ok(Self { chain, key })
    }

    /// Reads a chain and a private key in PEM. The files are read at once and never again;
    /// [`CertificateFiles`](crate::CertificateFiles) reads them again when they change.
    ///
    /// # Errors
    /// [`IdentityError::File`] if one of them cannot be read, or does not hold what it should.
    pub fn from_pem_files(chain: &Path, key: &Path) -> Result<Self, IdentityError> {
        let unusable = |path: &Path, why: &dyn fmt::Display| IdentityError::File {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect)
            .map_err(|error| unusable(chain, &error))?;
        if certificates.is_empty() {
            return Err(unusable(chain, &"it holds no certificate in PEM"));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
        Self::new(certificates, key)
    }

    /// Reads a chain and a private key out of one text in PEM; says why it cannot.
    pub(crate) fn from_pem(text: &[u8]) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let chain = chain.map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| error.to_string())?;
        Self::new(chain, key).map_err(|error| error.to_string())
    }

    /// The certificate of the server itself.
    pub(crate) fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// What a handshake presents and signs with.
    ///
    /// # Errors
    /// What rustls says if the key does not fit the certificate, or one of them cannot be used.
    pub(crate) fn certified(self) -> Result<CertifiedKey, rustls::Error> {
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(self.chain, self.key, &provider)
    }

    /// The same, and when the certificate is valid; says in words why it cannot be used.
    pub(crate) fn checked(self) -> Result<(CertifiedKey, Validity), String> {
        let certified = self.certified().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                "the private key is not that of the certificate".to_owned()
            }
            other => other.to_string(),
        })?;
        let leaf = certified.end_entity_cert();
        let validity = leaf.ok().and_then(Validity::of);
        let validity = validity.ok_or("the certificate does not say when it is valid")?;
        Ok((certified, validity))
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(redacted)")
    }
}

/// A certificate and its key cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read, or holds something else.
    #[error("cannot use {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The chain has no certificate.
    #[error("the certificate chain is empty; its first certificate has to be that of the server")]
    Empty,
}
