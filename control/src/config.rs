//! What the binary decides about control.

use std::str::FromStr;
use std::time::Duration;

use ::http::HeaderValue;
use peersox_core::pairing;
use peersox_proto::v1::RelayLimits;
use url::Url;

use crate::guard;

/// The configuration of control.
#[derive(Clone, Debug)]
pub struct Config {
    /// Version of the server software, shown to peers.
    pub server_version: String,
    /// How long codes and pairings live.
    pub pairing: pairing::Config,
    /// Who may try how often.
    pub guard: guard::Config,
    /// The limits of the relay, shown to peers.
    pub relay_limits: RelayLimits,
    /// How long a ticket is accepted. A peer is asked to fetch a new one at 80 % of it.
    pub ticket_lifetime: Duration,
    /// Pages of which other origins may call. The page that control itself is served with needs no
    /// entry.
    pub allowed_origins: Vec<Origin>,
    /// How long a call may take to its reply, or a stream to its beginning, if the caller asks for
    /// no less.
    pub deadline: Duration,
}

impl Default for Config {
    /// Tickets of 5 minutes, calls of 10 seconds, no foreign origins.
    fn default() -> Self {
        Self {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            pairing: pairing::Config::default(),
            guard: guard::Config::default(),
            relay_limits: RelayLimits::default(),
            ticket_lifetime: Duration::from_secs(5 * 60),
            allowed_origins: Vec::new(),
            deadline: Duration::from_secs(10),
        }
    }
}

/// A web origin (RFC 6454) in the form in which browsers send it: `https://example.com:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Origin {
    /// The value of an `Origin` header from there.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let bad = || BadOrigin(text.to_owned());
        let url = Url::parse(text).map_err(|_| bad())?;
        let bare = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(bad());
        }
        let origin = url.origin().ascii_serialization();
        HeaderValue::try_from(origin).map(Self).map_err(|_| bad())
    }
}

/// A configured origin is none. `*` is none either: which pages may pair is to be said one by one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no origin; write scheme, host and port, as in https://example.com:8443")]
pub struct BadOrigin(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for (text, expected) in [
            ("https://example.com", "https://example.com"),
            ("https://Example.com:443/", "https://example.com"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            let origin: Origin = text.parse().unwrap();
            assert_eq!(origin.header(), expected);
        }
        for text in [
            "*",
            "null",
            "example.com",
            "https://a.b/path",
            "ws://a.b",
            "https://u@a.b",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
