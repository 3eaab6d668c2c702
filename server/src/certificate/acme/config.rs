//! What an operator says of the authority, and of the names that a certificate is for.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Where a certificate comes from by ACME (RFC 8555), and for which names.
///
/// Who orders a certificate agrees to the terms of the authority. The account and the certificate are kept in
/// [`ServerConfig::certificate_folder`](crate::ServerConfig::certificate_folder).
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// The names, 1 to 100 of them. Each has to lead the authority to this server: to its port by port 443
    /// (TLS-ALPN-01, RFC 8737), or to a port of plain HTTP by port 80 (HTTP-01).
    pub names: Vec<AcmeName>,
    /// Where the authority may write to. Default: nowhere.
    pub email: Option<String>,
    /// The URL of the authority's directory, `https`. Default: Let's Encrypt.
    pub directory: String,
    /// Certificate authorities in PEM that the directory may be verified by, beside those of the machine.
    pub roots: Option<Vec<u8>>,
    /// An address for HTTP-01, mostly port 80, where everything else is sent to `https`. It is tried before
    /// TLS-ALPN-01 then. Default: none, and TLS-ALPN-01 alone.
    pub http_listen: Option<SocketAddr>,
}

impl AcmeConfig {
    /// The directory of Let's Encrypt.
    pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

    /// A certificate of Let's Encrypt for these names.
    #[must_use]
    pub fn new(names: Vec<AcmeName>) -> Self {
        Self {
            names,
            email: None,
            directory: Self::LETS_ENCRYPT.to_owned(),
            roots: None,
            http_listen: None,
        }
    }

    /// Whether it can be tried.
    pub(super) fn validate(&self) -> Result<(), AcmeError> {
        if !(1..=MOST_NAMES).contains(&self.names.len()) {
            return Err(AcmeError::Names(self.names.len()));
        }
        let directory = Url::parse(&self.directory);
        if !directory.is_ok_and(|url| url.scheme() == "https" && url.has_host()) {
            return Err(AcmeError::Directory(self.directory.clone()));
        }
        let mut email = self.email.iter();
        if let Some(email) = email.find(|email| !is_mailbox(email)) {
            return Err(AcmeError::Email(email.clone()));
        }
        let is_public = self.directory == Self::LETS_ENCRYPT;
        match self
            .names
            .iter()
            .find(|name| is_public && !name.is_public())
        {
            Some(name) => Err(AcmeError::NotPublic(name.clone())),
            None => Ok(()),
        }
    }
}

/// Enough to tell an address from a name or a URL.
fn is_mailbox(text: &str) -> bool {
    let parts = text.split_once('@');
    let is_part = |part: &str| !part.is_empty() && !part.contains([' ', '@', ',', ':', '?']);
    parts.is_some_and(|(local, domain)| is_part(local) && is_part(domain))
}

/// As many as Let's Encrypt puts into a certificate.
const MOST_NAMES: usize = 100;

/// A name of DNS that a certificate can be for, in small letters, other scripts as punycode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AcmeName(String);

impl AcmeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether authorities of the internet may have heard of it.
    fn is_public(&self) -> bool {
        let last = self.0.rsplit('.').next().unwrap_or_default();
        self.0.contains('.') && !NOT_PUBLIC.contains(&last) && !self.0.ends_with(".home.arpa")
    }
}

/// Ends of names that lead nowhere on the internet (RFC 6761, RFC 6762, ICANN's `internal`).
const NOT_PUBLIC: [&str; 7] = [
    "internal",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "test",
];

impl FromStr for AcmeName {
    type Err = BadAcmeName;

    fn from_str(text: &str) -> Result<Self, BadAcmeName> {
        let bad = |why| BadAcmeName {
            text: text.to_owned(),
            why,
        };
        if text.contains('*') {
            return Err(bad(
                "neither TLS-ALPN-01 nor HTTP-01 proves a wildcard; name each host",
            ));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        match Host::parse(name) {
            Ok(Host::Domain(name)) if name.len() <= 253 && !name.contains('_') => Ok(Self(name)),
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) => Err(bad(
                "it is an address; a certificate needs a name that leads to it",
            )),
            Ok(Host::Domain(_)) | Err(_) => Err(bad(
                "write a name of DNS, as in p.example, without scheme and port",
            )),
        }
    }
}

impl fmt::Display for AcmeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text cannot be the name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be in a certificate: {why}")]
pub struct BadAcmeName {
    text: String,
    why: &'static str,
}

/// ACME cannot be tried as it is configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// There is no folder for account and certificate.
    #[error("an account and a certificate by ACME have to be kept; set `certificate_folder`")]
    NoFolder,
    /// The folder cannot be used.
    #[error("cannot keep certificates in {}: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There are no names, or too many.
    #[error("a certificate by ACME is for 1 to {MOST_NAMES} names; there are {0}")]
    Names(usize),
    /// The authority cannot know the name.
    #[error(
        "`{0}` is no public name, and Let's Encrypt issues certificates for public names only; name the \
         directory of an authority of your own network, or use certificate files"
    )]
    NotPublic(AcmeName),
    /// The directory is no URL of HTTPS.
    #[error(
        "`{0}` cannot be the directory of an authority; write it as in https://ca.example/directory"
    )]
    Directory(String),
    /// The address of the operator is none.
    #[error("`{0}` is no address for mail; write it as in admin@p.example")]
    Email(String),
    /// The roots have no certificate in PEM.
    #[error("the certificate authorities for the directory hold no certificate in PEM")]
    Roots,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_dns() {
        for (text, name, public) in [
            ("p.example", "p.example", true),
            ("P.Example.", "p.example", true),
            ("straße.example", "xn--strae-oqa.example", true),
            ("localhost", "localhost", false),
            ("server", "server", false),
            ("a.b.local", "a.b.local", false),
            ("box.home.arpa", "box.home.arpa", false),
        ] {
            let parsed: AcmeName = text.parse().unwrap();
            assert_eq!((parsed.as_str(), parsed.is_public()), (name, public));
        }
        for (text, why) in [
            ("192.0.2.7", "it is an address"),
            ("[2001:db8::1]", "it is an address"),
            ("*.p.example", "wildcard"),
            ("https://p.example", "without scheme"),
            ("p.example:443", "without scheme"),
            ("", "write a name"),
            ("a_b.example", "write a name"),
        ] {
            let said = text.parse::<AcmeName>().unwrap_err().to_string();
            assert!(said.contains(why) && said.contains(text), "{said}");
        }
    }

    #[test]
    fn what_cannot_be_tried_is_named() {
        type Change = fn(&mut AcmeConfig);
        let public = AcmeConfig::new(vec!["p.example".parse().unwrap()]);
        assert!(public.validate().is_ok());
        let rows: [(&str, Change); 5] = [
            ("there are 0", |it| it.names.clear()),
            ("`localhost` is no public name", |it| {
                it.names.push("localhost".parse().unwrap());
            }),
            ("`http://ca.example` cannot", |it| {
                it.directory = "http://ca.example".into()
            }),
            ("`nowhere` cannot", |it| it.directory = "nowhere".into()),
            ("`admin` is no address", |it| {
                it.email = Some("admin".into())
            }),
        ];
        for (expected, change) in rows {
            let mut config = public.clone();
            change(&mut config);
            let said = config.validate().unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
        // An authority of one's own network knows its names.
        let mut private = AcmeConfig::new(vec!["localhost".parse().unwrap()]);
        private.directory = "https://ca.internal/directory".into();
        private.email = Some("admin@p.example".into());
        assert!(private.validate().is_ok());
    }
}
