//! What one process is: control and a relay, or one of the two.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use peersox_control::Token;
use peersox_core::placement::RelayName;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::secret_file::{self, SecretFileError};

/// What one process is.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// Control, and the one relay that there is.
    #[default]
    All,
    /// Control alone: it sends peers to relays that announce themselves. Several nodes share one store.
    Control(ControlRole),
    /// A relay alone. It keeps nothing and holds no secret but the token.
    Relay(RelayRole),
}

impl Role {
    /// As flags and metrics call it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Control(_) => "control",
            Self::Relay(_) => "relay",
        }
    }
}

/// Control alone.
#[derive(Clone, Debug)]
pub struct ControlRole {
    /// What relays show.
    pub token: Token,
    /// The region that this node is in: its relays are preferred. May be empty.
    pub region: String,
}

/// A relay alone. [`ServerConfig::public_url`](crate::ServerConfig::public_url) says how peers reach it.
#[derive(Clone, Debug)]
pub struct RelayRole {
    /// Where control is; the relay announces itself at every address of each.
    pub controls: Vec<ControlUrl>,
    /// What it shows there.
    pub token: Token,
    /// Its name, the same after a restart, and of this relay only.
    pub name: RelayName,
    /// The region that it is in. May be empty.
    pub region: String,
    /// Certificate authorities of control, in PEM, that are trusted beside those of the machine.
    pub authorities: Option<Vec<u8>>,
}

impl RelayRole {
    pub(crate) fn tls(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = &self.authorities {
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

/// Reads the token that relays and control share from a file of one line, to which nobody but its owner has
/// access.
///
/// # Errors
/// [`SecretFileError`] if it cannot be read, is open to others, or is too short for a token.
pub fn read_token(path: &Path) -> Result<Token, SecretFileError> {
    let danger = "run a relay of yours, and see who talks to whom";
    secret_file::read(path, "token", danger, |content| {
        let text = secret_file::password(content)?;
        Token::new(text).ok_or_else(|| {
            let shortest = Token::SHORTEST;
            format!("a token has at least {shortest} visible characters; `openssl rand -hex 32` writes one")
        })
    })
}

/// Where control is: `http://HOST:PORT` or `https://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlUrl(Url);

impl ControlUrl {
    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whose certificate it has to show, if it speaks TLS.
    pub(crate) fn tls_name(&self) -> Option<ServerName<'static>> {
        if self.0.scheme() != "https" {
            return None;
        }
        match self.0.host()? {
            Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
            Host::Ipv4(address) => Some(ServerName::IpAddress(
                std::net::IpAddr::from(address).into(),
            )),
            Host::Ipv6(address) => Some(ServerName::IpAddress(
                std::net::IpAddr::from(address).into(),
            )),
        }
    }

    /// All its addresses.
    pub(crate) async fn resolve(&self) -> io::Result<BTreeSet<SocketAddr>> {
        let port = self.0.port_or_known_default().unwrap_or_default();
        match self.0.host() {
            Some(Host::Ipv4(address)) => Ok(BTreeSet::from([(address, port).into()])),
            Some(Host::Ipv6(address)) => Ok(BTreeSet::from([(address, port).into()])),
            Some(Host::Domain(name)) => {
                let looking = tokio::net::lookup_host((name, port));
                let found = timeout(LOOKING, looking).await;
                Ok(found.map_err(|_| io::ErrorKind::TimedOut)??.collect())
            }
            None => Ok(BTreeSet::new()),
        }
    }
}

impl FromStr for ControlUrl {
    type Err = BadControlUrl;

    fn from_str(text: &str) -> Result<Self, BadControlUrl> {
        let url = Url::parse(text).map_err(|_| BadControlUrl)?;
        let usable = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        usable.then_some(Self(url)).ok_or(BadControlUrl)
    }
}

impl fmt::Display for ControlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

/// A text is not where control can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write where control is as in http://10.0.0.1:3000 or https://control.example, without a path"
)]
pub struct BadControlUrl;

const LOOKING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn control_is_a_host_and_its_addresses() {
        for (text, origin, tls) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000", false),
            ("http://127.0.0.1", "http://127.0.0.1", false),
            ("https://[::1]:9/", "https://[::1]:9", true),
        ] {
            let url: ControlUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), origin);
            assert_eq!(url.tls_name().is_some(), tls);
            assert_eq!(url.resolve().await.unwrap().len(), 1);
        }
        for bad in [
            "",
            "c.example",
            "ftp://c.example",
            "http://c.example/x",
            "http://u@c.example",
        ] {
            assert_eq!(bad.parse::<ControlUrl>(), Err(BadControlUrl), "{bad}");
        }
    }
}
