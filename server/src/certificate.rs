//! The certificate that TLS and QUIC present, and who replaces it.
//!
//! ```text
//! CertificateSource::Given ── Identity ─────────────────┐
//! CertificateSource::Files ── files, on change or asked ┼─► Presented ──► each handshake, TCP and QUIC
//! no source ── own: self-signed, for QUIC alone ────────┘
//! ```
//!
//! Both sockets ask [`Presented`] in each handshake, so that a new certificate is presented from the next
//! connection on, and nobody who is connected notices.

mod files;
mod identity;
mod kept;
mod own;
mod presented;
mod validity;

use std::sync::Arc;

use peersox_relay::listen::quic;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use crate::builder::BindError;
use crate::config::ServerConfig;
use own::Own;

pub use files::CertificateFiles;
pub use identity::{Identity, IdentityError};
pub(crate) use presented::Presented;

/// Where the certificate for TLS and QUIC comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CertificateSource {
    /// This one, for good.
    Given(Identity),
    /// Files that somebody else renews: they are read again when they change, and by
    /// [`Handle::reload_certificate`](crate::Handle::reload_certificate).
    Files(CertificateFiles),
}

impl From<Identity> for CertificateSource {
    fn from(identity: Identity) -> Self {
        Self::Given(identity)
    }
}

impl From<CertificateFiles> for CertificateSource {
    fn from(files: CertificateFiles) -> Self {
        Self::Files(files)
    }
}

/// What is presented, and what replaces it in time.
pub(crate) struct Certificates {
    pub(crate) presented: Arc<Presented>,
    keeper: Keeper,
}

enum Keeper {
    Nobody,
    Files(CertificateFiles),
    Own(Own),
}

impl Certificates {
    /// The operator's certificate, for TCP and QUIC.
    pub(crate) fn of(source: CertificateSource) -> Result<Self, BindError> {
        let (identity, keeper) = match source {
            CertificateSource::Given(identity) => (identity, Keeper::Nobody),
            CertificateSource::Files(files) => (files.identity().clone(), Keeper::Files(files)),
        };
        Ok(Self {
            presented: Presented::new(identity.certified().map_err(BindError::Tls)?),
            keeper,
        })
    }

    /// A self-signed certificate for QUIC, where there is none of the operator.
    pub(crate) fn own(config: &ServerConfig) -> Result<Self, BindError> {
        let own = Own::open(config.certificate_folder.as_deref());
        let own = own.map_err(|error| BindError::SelfSigned(error.into()))?;
        Ok(Self {
            presented: Presented::new(own.certified().map_err(BindError::Tls)?),
            keeper: Keeper::Own(own),
        })
    }

    /// What presents it on TCP. The provider is named, so that nothing depends on which one the process
    /// has installed.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, BindError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(BindError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(self.presented.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// The configuration of QUIC that presents it.
    pub(crate) fn quic(&self) -> Result<quinn::ServerConfig, BindError> {
        quic::server_config_with(self.presented.clone()).map_err(BindError::QuicCertificate)
    }

    /// The digests that peers are told at first: none of a certificate that anybody can verify.
    pub(crate) fn digests(&self) -> Vec<[u8; 32]> {
        match &self.keeper {
            Keeper::Own(own) => own.digests(),
            Keeper::Nobody | Keeper::Files(_) => Vec::new(),
        }
    }

    /// Whether [`Certificates::keep`] listens to somebody who asks it to look again.
    pub(crate) const fn can_reload(&self) -> bool {
        match self.keeper {
            Keeper::Files(_) => true,
            Keeper::Nobody | Keeper::Own(_) => false,
        }
    }

    /// Replaces what is presented, when it is time or somebody asks, for ever. The digests of self-signed
    /// certificates go to `digests`, the successor's before it is presented.
    pub(crate) async fn keep(self, digests: watch::Sender<Vec<[u8; 32]>>, asked: Arc<Notify>) {
        match self.keeper {
            Keeper::Nobody => {}
            Keeper::Files(files) => files.watch(&self.presented, &asked).await,
            Keeper::Own(own) => own.rotate(&self.presented, &digests).await,
        }
    }
}
