//! TLS for the three ways to a server, gRPC, WebSocket and QUIC, and for direct paths.
//!
//! A certificate is verified against the machine's roots and those added by hand, or, where control
//! handed out hashes of the relay's certificates, against exactly these. The hashes came over a
//! connection that was itself verified, so pinning is no weaker than that connection. The two sides
//! of a direct path pin each other's: the digests came sealed.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use sha2::{Digest as _, Sha256};

/// Which certificate authorities a peer trusts.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// PEM of authorities trusted beside those of the machine.
    extra_pem: Option<Vec<u8>>,
}

impl Trust {
    /// Trusts the authorities in this PEM beside those of the machine.
    #[must_use]
    pub fn with_pem(pem: Vec<u8>) -> Self {
        Self {
            extra_pem: Some(pem),
        }
    }

    /// A configuration that verifies against the trusted authorities.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = &self.extra_pem {
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
        }
        builder()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// A configuration that accepts the certificates with these SHA-256 digests and no others.
pub(crate) fn pinned(hashes: Vec<[u8; 32]>) -> ClientConfig {
    builder()
        .dangerous()
        .with_custom_certificate_verifier(Pinned::new(hashes))
        .with_no_client_auth()
}

/// The certificate of one side of a direct path, and its key.
pub(crate) type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// The side of a direct path that connects: it shows its certificate, and accepts the one with this digest.
pub(crate) fn caller(shown: Shown, theirs: [u8; 32]) -> Result<ClientConfig, rustls::Error> {
    let (certificate, key) = shown;
    builder()
        .dangerous()
        .with_custom_certificate_verifier(Pinned::new(vec![theirs]))
        .with_client_auth_cert(vec![certificate], key)
}

/// The side of a direct path that is connected to: the same.
pub(crate) fn callee(shown: Shown, theirs: [u8; 32]) -> Result<ServerConfig, rustls::Error> {
    let (certificate, key) = shown;
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Pinned::new(vec![theirs]))
        .with_single_cert(vec![certificate], key)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
}

/// Accepts certificates by digest. The handshake still proves possession of their keys.
#[derive(Debug)]
struct Pinned {
    hashes: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(hashes: Vec<[u8; 32]>) -> Arc<Self> {
        let provider = provider();
        Arc::new(Self { hashes, provider })
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let digest: [u8; 32] = Sha256::digest(certificate).into();
        match self.hashes.contains(&digest) {
            true => Ok(()),
            false => Err(rustls::CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}
