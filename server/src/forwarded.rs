//! Whose request it is, if proxies stand in between.
//!
//! Each proxy appends the address that it was called from. The list is read from its end: an entry counts
//! only if the address that wrote it is trusted.
//!
//! ```text
//! X-Forwarded-For: 6.6.6.6, 203.0.113.9:51000, 10.0.0.2        called from 10.0.0.1
//!                  a stranger   the client  ◄── trusted ◄────── trusted
//!                  may write this
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, header};
use peersox_core::limit::Networks;

/// In which header proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For: 192.0.2.7`, with or without a port.
    #[default]
    XForwardedFor,
    /// `Forwarded: for="[2001:db8::1]:443"` (RFC 7239).
    Forwarded,
}

/// Who is believed about whom.
#[derive(Debug, Default)]
pub(crate) struct Forwarded {
    pub(crate) trusted: Networks,
    pub(crate) header: ProxyHeader,
    /// Whether the operator was told of a proxy that is not trusted.
    pub(crate) warned: AtomicBool,
}

impl Forwarded {
    /// The address that budgets are kept by: the nearest one that no trusted proxy vouches for.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.to_canonical();
        if !self.trusted.contains(address) {
            self.warn(address, headers);
            return address;
        }
        let name = match self.header {
            ProxyHeader::XForwardedFor => X_FORWARDED_FOR,
            ProxyHeader::Forwarded => header::FORWARDED,
        };
        let lines = headers.get_all(name).iter();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or("").split(','));
        let hops: Vec<&str> = hops.collect();
        for hop in hops.into_iter().rev() {
            let hop = match self.header {
                ProxyHeader::XForwardedFor => Some(hop),
                ProxyHeader::Forwarded => forwarded_for(hop),
            };
            let Some(next) = hop.and_then(node) else {
                break;
            };
            address = next;
            if !self.trusted.contains(address) {
                break;
            }
        }
        address
    }

    /// Says once that a proxy seems to be in front which nobody named.
    fn warn(&self, address: IpAddr, headers: &HeaderMap) {
        let named = [X_FORWARDED_FOR, header::FORWARDED];
        if !named.iter().any(|name| headers.contains_key(name))
            || self.warned.swap(true, Ordering::Relaxed)
        {
            return;
        }
        tracing::debug!(%address, "a request with forwarded addresses came from here");
        tracing::warn!(
            "requests with X-Forwarded-For or Forwarded come from an address that is not trusted, so all \
             clients behind it share the budgets of one; if it is your proxy, name it with --trust-proxy \
             (`ServerConfig::trusted_proxies`)"
        );
    }
}

/// The value of `for` in one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(value.trim().trim_matches('"'))
}

/// An address as proxies write it, with or without a port: `192.0.2.7:443`, `[2001:db8::1]`, `2001:db8::1`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let with_port = || text.parse::<SocketAddr>().map(|it| it.ip());
    address
        .or_else(|_| with_port())
        .ok()
        .map(|it| it.to_canonical())
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, trusted: &[&str], header: ProxyHeader, lines: &[&str]) -> String {
        let forwarded = Forwarded {
            trusted: trusted.iter().map(|it| it.parse().unwrap()).collect(),
            header,
            ..Forwarded::default()
        };
        let mut headers = HeaderMap::new();
        for value in lines {
            let name = match header {
                ProxyHeader::XForwardedFor => X_FORWARDED_FOR,
                ProxyHeader::Forwarded => header::FORWARDED,
            };
            headers.append(name, value.parse().unwrap());
        }
        forwarded
            .client(peer.parse().unwrap(), &headers)
            .to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let one = &["10.0.0.1"][..];
        let net = &["10.0.0.0/8", "2001:db8:a::/48"][..];
        for (peer, trusted, lines, expected) in [
            ("9.9.9.9", &[][..], &["1.1.1.1"][..], "9.9.9.9"),
            ("::ffff:9.9.9.9", &[], &[], "9.9.9.9"),
            ("10.0.0.1", one, &[], "10.0.0.1"),
            ("10.0.0.1", one, &["1.1.1.1, 2.2.2.2"], "2.2.2.2"),
            ("::ffff:10.0.0.1", one, &["2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", net, &["1.1.1.1", "10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", net, &["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", net, &["6.6.6.6, junk, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", one, &["junk"], "10.0.0.1"),
            ("10.0.0.1", one, &["203.0.113.9:51000"], "203.0.113.9"),
            ("10.0.0.1", one, &["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", one, &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", one, &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", one, &["::ffff:1.2.3.4"], "1.2.3.4"),
            ("2001:db8:a::9", net, &["1.1.1.1"], "1.1.1.1"),
            ("2001:db8:b::9", net, &["1.1.1.1"], "2001:db8:b::9"),
        ] {
            let told = client(peer, trusted, ProxyHeader::XForwardedFor, lines);
            assert_eq!(told, expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_standard_header_is_read_where_the_operator_says_so() {
        let net = &["10.0.0.0/8"][..];
        for (lines, expected) in [
            (&["for=192.0.2.43"][..], "192.0.2.43"),
            (
                &["For=\"[2001:db8:cafe::17]:4711\";proto=http"],
                "2001:db8:cafe::17",
            ),
            (
                &["for=6.6.6.6, for=1.1.1.1;by=10.0.0.9", "for=10.0.0.2"],
                "1.1.1.1",
            ),
            (&["for=1.1.1.1, for=unknown"], "10.0.0.1"),
            (&["for=1.1.1.1, for=_hidden"], "10.0.0.1"),
            (&["proto=https"], "10.0.0.1"),
        ] {
            let told = client("10.0.0.1", net, ProxyHeader::Forwarded, lines);
            assert_eq!(told, expected, "{lines:?}");
        }
        // A client can write the other header as it likes.
        let mut headers = HeaderMap::new();
        headers.append(header::FORWARDED, "for=6.6.6.6".parse().unwrap());
        let forwarded = Forwarded {
            trusted: ["10.0.0.1".parse().unwrap()].into_iter().collect(),
            ..Forwarded::default()
        };
        let peer = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(forwarded.client(peer, &headers), peer);
    }

    #[test]
    fn a_proxy_that_nobody_named_is_noticed_once() {
        let forwarded = Forwarded::default();
        let peer = IpAddr::from([10, 0, 0, 1]);
        forwarded.client(peer, &HeaderMap::new());
        assert!(!forwarded.warned.load(Ordering::Relaxed));
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, "1.1.1.1".parse().unwrap());
        assert_eq!(forwarded.client(peer, &headers), peer);
        assert!(forwarded.warned.load(Ordering::Relaxed));
    }
}
