//! The certificate that QUIC presents.
//!
//! With `--tls-cert` it is that one, for good. Without, the server makes its own: ECDSA P-256, valid
//! for 13 days, because browsers accept a pinned WebTransport certificate only up to 14 days. Peers
//! learn its SHA-256 digest from OpenSession. The successor is made, and its digest published,
//! half-way through, so that a peer that opened its session before the change is not cut off.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// A certificate chain and its private key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Makes a self-signed one that is valid from an hour ago for [`LIFETIME`].
    pub(crate) fn self_signed() -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec!["peersox.local".into(), "localhost".into()])?;
        let begins = SystemTime::now() - CLOCK_SLACK;
        params.not_before = begins.into();
        params.not_after = (begins + LIFETIME).into();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "PeerSox relay");
        let certificate = params
            .self_signed(&key)
            .context("cannot sign a certificate")?;
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
    pub(crate) fn quic(self) -> anyhow::Result<quinn::ServerConfig> {
        peersox_relay::listen::quic::server_config(self.chain, self.key)
            .context("the certificate cannot be used for QUIC")
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

/// Presents a self-signed certificate on `endpoint`, and replaces it in time, for ever.
pub(crate) async fn rotate(
    endpoint: quinn::Endpoint,
    first: Identity,
    digests: watch::Sender<Vec<[u8; 32]>>,
) -> anyhow::Result<()> {
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
        assert!(a.quic().is_ok());
    }
}
