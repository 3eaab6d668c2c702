//! The certificate that TLS and QUIC present, and who replaces it.
//!
//! ```text
//! CertificateSource::Given ── Identity ─────────────────┐
//! CertificateSource::Files ── files, on change or asked ┼─► Presented ──► each handshake, TCP and QUIC
//! CertificateSource::Acme ─── acme, when it is time ────┤
//! no source ── own: self-signed, for QUIC alone ────────┘
//! ```
//!
//! Both sockets ask [`Presented`] in each handshake, so that a new certificate is presented from the next
//! connection on, and nobody who is connected notices.

pub(crate) mod acme;
mod files;
mod identity;
mod kept;
mod own;
mod presented;
mod validity;

use std::net::SocketAddr;
use std::sync::Arc;

use peersox_relay::listen::quic;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use crate::builder::BindError;
use crate::config::ServerConfig;
use acme::Acme;
use own::Own;

pub use acme::{AcmeConfig, AcmeError, AcmeName, BadAcmeName};
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
    /// An authority that speaks ACME: ordered when the server starts, unless one is kept, and renewed
    /// after two thirds of its life. The server listens at once, and completes no handshake before it has
    /// one.
    Acme(AcmeConfig),
}

impl CertificateSource {
    /// Where an authority may come by HTTP-01.
    pub(crate) const fn http_listen(&self) -> Option<SocketAddr> {
        match self {
            Self::Acme(config) => config.http_listen,
            Self::Given(_) | Self::Files(_) => None,
        }
    }
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

impl From<AcmeConfig> for CertificateSource {
    fn from(config: AcmeConfig) -> Self {
        Self::Acme(config)
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
    Acme(Box<Acme>),
    Own(Own),
}

impl Certificates {
    /// The operator's certificate, for TCP and QUIC.
    pub(crate) fn of(source: CertificateSource, config: &ServerConfig) -> Result<Self, BindError> {
        let folder = config.certificate_folder.as_deref();
        let (first, keeper) = match source {
            CertificateSource::Given(identity) => (Some(identity.certified()), Keeper::Nobody),
            CertificateSource::Files(files) => {
                let first = files.identity().clone().certified();
                (Some(first), Keeper::Files(files))
            }
            CertificateSource::Acme(config) => {
                let (acme, found) = Acme::open(config, folder)?;
                (found.map(Ok), Keeper::Acme(Box::new(acme)))
            }
        };
        Ok(Self {
            presented: Presented::new(first.transpose().map_err(BindError::Tls)?),
            keeper,
        })
    }

    /// A self-signed certificate for QUIC, where there is none of the operator.
    pub(crate) fn own(config: &ServerConfig) -> Result<Self, BindError> {
        let own = Own::open(config.certificate_folder.as_deref());
        let own = own.map_err(|error| BindError::SelfSigned(error.into()))?;
        Ok(Self {
            presented: Presented::new(Some(own.certified().map_err(BindError::Tls)?)),
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
        if let Keeper::Acme(_) = self.keeper {
            config.alpn_protocols.push(acme::ACME_TLS.to_vec());
        }
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
            Keeper::Nobody | Keeper::Files(_) | Keeper::Acme(_) => Vec::new(),
        }
    }

    /// Whether [`Certificates::keep`] listens to somebody who asks it to look again.
    pub(crate) const fn can_reload(&self) -> bool {
        match self.keeper {
            Keeper::Files(_) | Keeper::Acme(_) => true,
            Keeper::Nobody | Keeper::Own(_) => false,
        }
    }

    /// Replaces what is presented, when it is time or somebody asks, for ever. The digests of self-signed
    /// certificates go to `digests`, the successor's before it is presented.
    pub(crate) async fn keep(self, digests: watch::Sender<Vec<[u8; 32]>>, asked: Arc<Notify>) {
        match self.keeper {
            Keeper::Nobody => {}
            Keeper::Files(files) => files.watch(&self.presented, &asked).await,
            Keeper::Acme(acme) => acme.renew(&self.presented, &asked).await,
            Keeper::Own(own) => own.rotate(&self.presented, &digests).await,
        }
    }
}
