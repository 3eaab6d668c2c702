//! What handshakes present, over TCP and over QUIC.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate that is presented from the next handshake on.
pub(crate) struct Presented {
    /// Nothing is done while it is locked but taking or replacing the reference.
    present: RwLock<Arc<CertifiedKey>>,
}

impl Presented {
    pub(crate) fn new(first: CertifiedKey) -> Arc<Self> {
        let present = RwLock::new(Arc::new(first));
        Arc::new(Self { present })
    }

    /// Presents another certificate. Connections that there are go on as they are.
    pub(crate) fn replace(&self, next: CertifiedKey) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        *present = Arc::new(next);
    }

    fn now(&self) -> Arc<CertifiedKey> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&present)
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(redacted)")
    }
}
