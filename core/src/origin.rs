//! Which web pages may call a server (RFC 6454).
//!
//! A browser names the origin of the calling page in a header: `Origin: https://app.example`. Two judges read
//! this header, CORS of gRPC-Web and the WebSocket upgrade of the relay. Both parse it into an [`Origin`], as
//! the operator's list is parsed, and ask one [`Allowed`]:
//!
//! ```text
//! Origin: https://app.example   ── parse ──► Origin ──┐
//! Host: relay.example:3000      ── parse ──► Authority ┴─► Allowed::permits ──► bool
//! --allow-origin https://App.example:443 ── parse ──► Allowed
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A web origin: scheme, host and port.
///
/// Two texts that name one origin give equal values: `https://App.example:443` is `https://app.example`.
/// `Display` writes the form in which browsers send an origin: lower case, and no port if it is the usual one
/// of the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Host {
    /// A name in lower-case ASCII.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// The host and the port under which a server was called: the header `Host`, or `:authority` of HTTP/2.
///
/// A scheme is not part of it: behind a proxy that terminates TLS a server does not know its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: Host,
    port: Option<u16>,
}

/// The origins whose pages may call a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(BTreeSet<Origin>);

impl Allowed {
    /// Whether a page of `origin` may call. A page of the server itself always may; `own` is the authority
    /// under which the page called the server. A judge whom browsers ask about foreign pages only hands in
    /// `None`.
    #[must_use]
    pub fn permits(&self, origin: &Origin, own: Option<&Authority>) -> bool {
        self.0.contains(origin) || own.is_some_and(|own| origin.is_at(own))
    }
}

impl Allowed {
    /// Those that may call from elsewhere, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter()
    }
}

impl FromIterator<Origin> for Allowed {
    fn from_iter<T: IntoIterator<Item = Origin>>(origins: T) -> Self {
        Self(origins.into_iter().collect())
    }
}

/// The origins that a judge has refused so far: the operator reads once about each.
#[derive(Debug, Default)]
pub struct Refused(BTreeSet<Origin>);

impl Refused {
    /// How many origins are remembered. Anybody can send any origin; those beyond this number are never news.
    pub const MOST: usize = 64;

    /// Remembers a refused origin and tells whether it is the first refusal of this origin.
    pub fn is_news(&mut self, origin: &Origin) -> bool {
        self.0.len() < Self::MOST && self.0.insert(origin.clone())
    }
}

impl Origin {
    /// Whether both are of the same host and port, by whichever schemes.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }

    /// Whether a server that is called `authority` has this origin, by whichever scheme. An authority without
    /// a port has the usual port of the origin's scheme.
    fn is_at(&self, authority: &Authority) -> bool {
        let port = authority.port.unwrap_or(self.scheme.usual_port());
        self.host == authority.host && self.port == port
    }
}

impl FromStr for Origin {
    type Err = BadOrigin;

    /// Reads `scheme://host`, with `:port` if it is not the usual one. A single `/` at the end is ignored,
    /// because people copy it from the address bar.
    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        match text {
            "*" => return Err(BadOrigin::Any),
            "null" => return Err(BadOrigin::Null),
            _ => {}
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadOrigin::Scheme)?;
        let scheme = scheme.parse::<Scheme>()?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '\\', '?', '#']) {
            return Err(BadOrigin::Path);
        }
        if rest.contains('@') {
            return Err(BadOrigin::UserInfo);
        }
        let Authority { host, port } = rest.parse()?;
        let port = port.unwrap_or(scheme.usual_port());
        Ok(Self { scheme, host, port })
    }
}

impl FromStr for Authority {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or(BadOrigin::Host)?;
                let address = address.parse().map_err(|_| BadOrigin::Host)?;
                let port = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix(':').ok_or(BadOrigin::Host)?),
                };
                (Host::V6(address), port)
            }
            None => match text.split_once(':') {
                Some((name, port)) => (Host::named(name)?, Some(port)),
                None => (Host::named(text)?, None),
            },
        };
        let port = port.map(port_number).transpose()?;
        Ok(Self { host, port })
    }
}

fn port_number(text: &str) -> Result<u16, BadOrigin> {
    // `parse` alone would take a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadOrigin::Port);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(BadOrigin::Port),
        Ok(port) => Ok(port),
    }
}

impl Host {
    /// A name or an IPv4 address. Browsers read a host as an IPv4 address if its last label is a number.
    fn named(text: &str) -> Result<Self, BadOrigin> {
        // The longest name of DNS, and the dot of the root.
        const LONGEST: usize = 253 + 1;
        if !text.is_ascii() {
            return Err(BadOrigin::NotAscii);
        }
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(is_legal) {
            return Err(BadOrigin::Host);
        }
        let last = text.trim_end_matches('.').rsplit('.').next();
        if last.is_none_or(|label| label.is_empty() || is_number(label)) {
            return text.parse().map(Self::V4).map_err(|_| BadOrigin::Host);
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

/// Whether a browser reads this label as a number: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or(label.strip_prefix("0X"));
    let is_hex = |hex: &str| hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    label.bytes().all(|byte| byte.is_ascii_digit()) || hex.is_some_and(is_hex)
}

impl Scheme {
    const fn usual_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl FromStr for Scheme {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let schemes = [Self::Http, Self::Https];
        let named = |scheme: &Self| text.eq_ignore_ascii_case(scheme.as_str());
        schemes.into_iter().find(named).ok_or(BadOrigin::Scheme)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.usual_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Why a text does not name an origin. Each sentence says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// The text is `*`.
    #[error("`*` allows every page; list the origins one by one, as in https://app.example")]
    Any,
    /// The text is `null`: browsers send it for files, sandboxed frames and other pages without an origin.
    #[error("pages of the origin `null` cannot be told apart; serve the page by http or https")]
    Null,
    /// The text does not begin with `http://` or `https://`.
    #[error("an origin begins with http:// or https://, as in https://app.example")]
    Scheme,
    /// There is a user name or a password.
    #[error("an origin has no user name and no password; leave out what is before the @")]
    UserInfo,
    /// There is a path, a query or a fragment.
    #[error("an origin has no path; write scheme, host and port only, as in https://app.example")]
    Path,
    /// The host is missing, or has characters that no host has.
    #[error("the host is missing or not valid; write a name, an IPv4 address or [an IPv6 address]")]
    Host,
    /// The host has characters beyond ASCII.
    #[error("write the host in its ASCII form, which begins with xn--; browsers send that form")]
    NotAscii,
    /// The port is not a number from 1 to 65535.
    #[error(
        "the port is not a number from 1 to 65535; leave it out, with its colon, if it is 80 or 443"
    )]
    Port,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (text, expected) in [
            ("https://app.example", "https://app.example"),
            ("https://App.example:443", "https://app.example"),
            ("HTTPS://app.example/", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("https://app.example:08443", "https://app.example:8443"),
            (
                "https://xn--bcher-kva.example",
                "https://xn--bcher-kva.example",
            ),
            ("https://app.example.", "https://app.example."),
            ("http://my_host", "http://my_host"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[2001:DB8:0:0::1]", "http://[2001:db8::1]"),
        ] {
            assert_eq!(origin(text).to_string(), expected);
        }
    }

    #[test]
    fn what_is_not_an_origin_is_told_apart() {
        let long = format!("https://{}", "a".repeat(255));
        for (text, expected) in [
            ("*", BadOrigin::Any),
            ("null", BadOrigin::Null),
            ("", BadOrigin::Scheme),
            ("app.example", BadOrigin::Scheme),
            ("ws://app.example", BadOrigin::Scheme),
            ("https:/app.example", BadOrigin::Scheme),
            (" https://app.example", BadOrigin::Scheme),
            ("https://user@app.example", BadOrigin::UserInfo),
            ("https://user:pass@app.example:443", BadOrigin::UserInfo),
            ("https://app.example/chat", BadOrigin::Path),
            ("https://app.example//", BadOrigin::Path),
            ("https://app.example?x", BadOrigin::Path),
            ("https://app.example#x", BadOrigin::Path),
            ("https://app.example\\x", BadOrigin::Path),
            ("https://", BadOrigin::Host),
            ("https://:443", BadOrigin::Host),
            ("https://app example", BadOrigin::Host),
            ("https://*.example", BadOrigin::Host),
            ("https://1.2.3", BadOrigin::Host),
            ("https://1.2.3.256", BadOrigin::Host),
            ("https://a.0x7f", BadOrigin::Host),
            ("https://...", BadOrigin::Host),
            ("https://::1", BadOrigin::Host),
            ("https://[::1", BadOrigin::Host),
            ("https://[::1]3000", BadOrigin::Host),
            ("https://[app.example]", BadOrigin::Host),
            (&long, BadOrigin::Host),
            ("https://bücher.example", BadOrigin::NotAscii),
            ("https://app.example:", BadOrigin::Port),
            ("https://app.example:0", BadOrigin::Port),
            ("https://app.example:65536", BadOrigin::Port),
            ("https://app.example:+443", BadOrigin::Port),
            ("https://app.example:443:443", BadOrigin::Port),
        ] {
            assert_eq!(text.parse::<Origin>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn listed_pages_and_pages_of_the_server_itself_are_permitted() {
        let allowed: Allowed = [origin("https://App.example:443")].into_iter().collect();
        for (page, own, expected) in [
            ("https://app.example", None, true),
            ("https://APP.example:443", None, true),
            ("http://app.example", None, false),
            ("https://app.example:8443", None, false),
            ("https://app.example.evil.example", None, false),
            ("https://p.example", None, false),
            ("https://p.example", Some("p.example"), true),
            ("http://p.example", Some("P.example"), true),
            ("https://p.example", Some("p.example:443"), true),
            ("http://p.example", Some("p.example:443"), false),
            ("http://localhost:3000", Some("localhost:3000"), true),
            ("http://localhost:3001", Some("localhost:3000"), false),
            ("http://localhost", Some("localhost:3000"), false),
            ("http://[::1]:3000", Some("[0::1]:3000"), true),
        ] {
            let own = own.map(|own| own.parse::<Authority>().unwrap());
            let permitted = allowed.permits(&origin(page), own.as_ref());
            assert_eq!(permitted, expected, "{page} at {own:?}");
        }
    }

    #[test]
    fn a_refused_origin_is_news_once_and_the_memory_is_bounded() {
        let mut refused = Refused::default();
        assert!(refused.is_news(&origin("https://evil.example")));
        assert!(!refused.is_news(&origin("https://Evil.example:443")));
        let other = |port| origin(&format!("https://evil.example:{port}"));
        let news = (1..=400).filter(|port| refused.is_news(&other(*port)));
        assert_eq!(news.count(), Refused::MOST - 1);
    }

    proptest! {
        #[test]
        fn each_way_to_write_an_origin_gives_one_value(
            https: bool,
            host in "[a-z][a-z0-9_-]{0,8}(\\.[a-z][a-z0-9-]{0,5}){0,3}",
            port in prop_oneof![Just(80), Just(443), 1u16..],
            upper: u64,
            slash: bool,
        ) {
            let (scheme, usual) = if https { ("https", 443) } else { ("http", 80) };
            let written = if port == usual { String::new() } else { format!(":{port}") };
            let plain = format!("{scheme}://{host}{written}");
            let full = format!("{scheme}://{host}:{port}{}", if slash { "/" } else { "" });
            let mixed: String = full
                .chars()
                .enumerate()
                .map(|(at, c)| if upper >> (at % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c })
                .collect();
            prop_assert_eq!(origin(&mixed).to_string(), plain.as_str());
            prop_assert_eq!(origin(&mixed), origin(&plain));
            let own: Authority = format!("{host}:{port}").parse().unwrap();
            prop_assert!(Allowed::default().permits(&origin(&plain), Some(&own)));
        }

        #[test]
        fn what_is_read_is_written_and_read_alike(
            text in prop_oneof![
                any::<String>(),
                "(https?|ws)://[a-zA-Z0-9.:\\[\\]@/_%-]{0,20}",
            ],
        ) {
            if let Ok(read) = text.parse::<Origin>() {
                let written = read.to_string();
                prop_assert_eq!(written.parse::<Origin>(), Ok(read));
                prop_assert!(!written.contains('@') && written.matches('/').count() == 2);
                prop_assert!(!written.bytes().any(|byte| byte.is_ascii_uppercase()));
            }
        }
    }
}
