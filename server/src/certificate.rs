//! The certificate that TLS and QUIC present.
//!
//! With [`ServerConfig::tls`](crate::ServerConfig::tls) it is that one, for good. Without, the TCP port
//! speaks plain HTTP, and the server makes a certificate for QUIC: ECDSA P-256, valid for 13 days, because
//! browsers accept a pinned WebTransport certificate only up to 14 days. Peers learn its SHA-256 digest from
//! OpenSession. The successor is made, and its digest published, half-way through, so that a peer that opened
//! its session before the change is not cut off.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use peersox_relay::listen::quic::BadCertificate;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

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

    /// Reads a chain and a private key in PEM. The files are read at once and never again.
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

    /// Makes a self-signed one that is valid from an hour ago for [`LIFETIME`].
    pub(crate) fn self_signed() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec!["peersox.local".into(), "localhost".into()])?;
        let begins = SystemTime::now() - CLOCK_SLACK;
        params.not_before = begins.into();
        params.not_after = (begins + LIFETIME).into();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "PeerSox relay");
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// SHA-256 of the leaf's DER, as peers pin it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.chain[0]).into()
    }

    /// The QUIC server configuration that presents it.
    pub(crate) fn quic(self) -> Result<quinn::ServerConfig, BadCertificate> {
        peersox_relay::listen::quic::server_config(self.chain, self.key)
    }

    /// What presents it on TCP. The provider is named, so that nothing depends on which one the process
    /// has installed.
    pub(crate) fn acceptor(self) -> Result<TlsAcceptor, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
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

/// Presents a self-signed certificate on `endpoint`, and replaces it in time, for ever.
pub(crate) async fn rotate(
    endpoint: quinn::Endpoint,
    first: Identity,
    digests: watch::Sender<Vec<[u8; 32]>>,
) {
    let Err(error) = replace_in_turn(&endpoint, first, &digests).await;
    tracing::error!(%error, "no new certificate for QUIC: restart the server before this one expires");
}

async fn replace_in_turn(
    endpoint: &quinn::Endpoint,
    first: Identity,
    digests: &watch::Sender<Vec<[u8; 32]>>,
) -> Result<Infallible, Unrenewed> {
    let mut present = first;
    loop {
        digests.send_replace(vec![present.digest()]);
        tokio::time::sleep(LIFETIME / 3).await;
        let next = Identity::self_signed()?;
        digests.send_replace(vec![present.digest(), next.digest()]);
        tokio::time::sleep(LIFETIME / 3).await;
        endpoint.set_server_config(Some(next.clone().quic()?));
        tracing::info!("the QUIC certificate was replaced");
        present = next;
    }
}

/// Why there is no successor for the certificate that QUIC presents.
#[derive(Debug, thiserror::Error)]
enum Unrenewed {
    #[error("cannot sign a certificate: {0}")]
    Unsigned(#[from] rcgen::Error),
    #[error(transparent)]
    Unusable(#[from] BadCertificate),
}

const LIFETIME: Duration = Duration::from_secs(13 * 24 * 3600);

/// Peers whose clocks run late must not find the certificate in their future.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_accept_the_lifetime() {
        assert!(LIFETIME <= Duration::from_secs(14 * 24 * 3600));
        assert!(LIFETIME / 3 > CLOCK_SLACK);
    }

    #[test]
    fn each_certificate_has_its_own_key_and_digest() {
        let (a, b) = (
            Identity::self_signed().unwrap(),
            Identity::self_signed().unwrap(),
        );
        assert_ne!(a.digest(), b.digest());
        assert!(a.clone().quic().is_ok() && a.clone().acceptor().is_ok());
        let mixed = Identity {
            chain: a.chain,
            key: b.key,
        };
        assert!(mixed.clone().quic().is_err() && mixed.acceptor().is_err());
    }
}
