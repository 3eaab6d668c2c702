//! What handshakes present, over TCP and over QUIC.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use super::acme::{self, Challenges};
use super::validity::Validity;

/// The certificate that is presented from the next handshake on.
pub(crate) struct Presented {
    /// None before an authority has issued the first one. Nothing is done while it is locked but taking or
    /// replacing the reference.
    present: RwLock<Option<Arc<CertifiedKey>>>,
    /// What authorities get instead.
    pub(crate) challenges: Challenges,
    settled: watch::Sender<bool>,
}

impl Presented {
    pub(crate) fn new(first: Option<CertifiedKey>) -> Arc<Self> {
        Arc::new(Self {
            settled: watch::Sender::new(first.is_some()),
            present: RwLock::new(first.map(Arc::new)),
            challenges: Challenges::default(),
        })
    }

    /// Presents another certificate. Connections that there are go on as they are.
    pub(crate) fn replace(&self, next: CertifiedKey) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        *present = Some(Arc::new(next));
        drop(present);
        self.settle();
    }

    /// Says that there is none yet, and that this may last.
    pub(crate) fn settle(&self) {
        self.settled.send_replace(true);
    }

    /// Whether there is a certificate, or the first attempt to get one has failed.
    pub(crate) fn settled(&self) -> watch::Receiver<bool> {
        self.settled.subscribe()
    }

    /// Until when the present certificate is valid; nothing while there is none.
    pub(crate) fn until(&self) -> Option<SystemTime> {
        let present = self.now()?;
        Some(Validity::of(present.cert.first()?)?.until)
    }

    fn now(&self) -> Option<Arc<CertifiedKey>> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        present.clone()
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match acme::is_challenge(&hello) {
            true => self.challenges.certificate(hello.server_name()),
            false => self.now(),
        }
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(redacted)")
    }
}
