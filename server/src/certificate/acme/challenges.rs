//! By what an authority sees that this server has the names it wants a certificate for.
//!
//! ```text
//! TLS-ALPN-01 (RFC 8737)            a handshake for `acme-tls/1` alone ── a certificate with the key's
//! digest HTTP-01 (RFC 8555, section 8.3)   GET /.well-known/acme-challenge/TOKEN ── token and digest of
//! the key
//! ```
//!
//! Nothing is answered but while an order waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

/// What is answered at the moment. There are as many answers as an order has names, at most.
#[derive(Default)]
pub(crate) struct Challenges(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    /// Certificates by name.
    tls: BTreeMap<String, Arc<CertifiedKey>>,
    /// Texts by token.
    http: BTreeMap<String, String>,
}

impl Challenges {
    /// Answers a handshake of TLS-ALPN-01 for this name.
    pub(super) fn present(&self, name: &str, certificate: CertifiedKey) {
        let certificate = Arc::new(certificate);
        self.answers().tls.insert(name.to_owned(), certificate);
    }

    /// Answers a request of HTTP-01 for this token.
    pub(super) fn tell(&self, token: &str, text: &str) {
        self.answers()
            .http
            .insert(token.to_owned(), text.to_owned());
    }

    /// Answers nothing any more.
    pub(super) fn clear(&self) {
        *self.answers() = Answers::default();
    }

    /// The certificate for a handshake of TLS-ALPN-01.
    pub(crate) fn certificate(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name?.to_ascii_lowercase();
        self.answers().tls.get(&name).cloned()
    }

    /// The text for a request of HTTP-01.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix("/.well-known/acme-challenge/")?;
        self.answers().http.get(token).cloned()
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a handshake is one of TLS-ALPN-01: it offers that protocol and no other.
pub(crate) fn is_challenge(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else {
        return false;
    };
    offered.next() == Some(ACME_TLS) && offered.next().is_none()
}

/// The protocol of TLS-ALPN-01 (RFC 8737, section 6.2).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";
