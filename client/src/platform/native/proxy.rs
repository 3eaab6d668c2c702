//! Proxies on the way to a server, as the environment names them.
//!
//! | variable, or in lower case | for servers at |
//! |---|---|
//! | `HTTPS_PROXY` | `https://…` |
//! | `HTTP_PROXY` | `http://…` |
//! | `ALL_PROXY` | both, where the variable above is not set |
//! | `NO_PROXY` | names, addresses, networks that are reached without a proxy; `*` for all |
//!
//! `http://` and `https://` name a proxy that is asked with CONNECT (RFC 9110, section 9.3.6),
//! `socks5://` and `socks5h://` one of SOCKS5 (RFC 1928). With `socks5` names are resolved here, with all
//! others by the proxy. Loopback addresses and `localhost` are always reached without a proxy, because
//! the proxy's loopback is another one.

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use crate::Error;

/// Which proxies lead to servers. Credentials that a proxy's address holds are never shown.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    /// No proxy, whatever the environment says.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. A variable in capitals goes before
    /// the one in small letters; an empty one is like none. `HTTP_PROXY` in capitals is not read in a CGI
    /// program, where a request can set it.
    ///
    /// # Errors
    /// [`Error::ProxyVariable`] if a variable does not name a proxy.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var_os(name).map(|it| it.to_string_lossy().into()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let first = |names: [&'static str; 2]| {
            let mut names = names.into_iter();
            names.find_map(|name| {
                let value = variable(name).filter(|it| !it.trim().is_empty())?;
                (!is_cgi || name != "HTTP_PROXY").then(|| (name, value.trim().to_owned()))
            })
        };
        let proxy = |names| match first(names) {
            Some((name, value)) => address(name, &value).map(Some),
            None => Ok(None),
        };
        let https = proxy(["HTTPS_PROXY", "https_proxy"])?;
        let http = proxy(["HTTP_PROXY", "http_proxy"])?;
        let all = proxy(["ALL_PROXY", "all_proxy"])?;
        if https.is_none() && http.is_none() && all.is_none() {
            return Ok(Self::none());
        }
        let no = first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value);
        let matcher = Matcher::builder()
            .https(https.unwrap_or_default())
            .http(http.unwrap_or_default())
            .all(all.unwrap_or_default())
            .no(no.unwrap_or_default());
        Ok(Self(Some(Arc::new(matcher.build()))))
    }

    /// The proxy that leads to an address with the scheme `http`, `https`, `ws`, `wss` or `quic`.
    pub(super) fn towards(&self, url: &Url) -> Option<Intercept> {
        let matcher = self.0.as_ref()?;
        match is_loopback(url.host_str()?) {
            true => None,
            false => matcher.intercept(&target(url)?),
        }
    }
}

/// The same address with the scheme of a server: variables tell proxies for `http` from those for `https`,
/// and say nothing of QUIC.
pub(super) fn called_as(url: &Url, server: &str) -> Url {
    let scheme = match server.starts_with("https:") {
        true => "https",
        false => "http",
    };
    let rest = url.as_str().split_once("://").map(|(_, rest)| rest);
    let called = rest.and_then(|rest| Url::parse(&format!("{scheme}://{rest}")).ok());
    called.unwrap_or_else(|| url.clone())
}

/// Whether a host, as a URL has it, is this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = bare.to_ascii_lowercase();
    let address = bare.parse::<IpAddr>();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// What a proxy is asked for: host and port. QUIC and TLS are judged alike.
pub(super) fn target(url: &Url) -> Option<Uri> {
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        _ => "https",
    };
    let default = if scheme == "http" { 80 } else { 443 };
    let (host, port) = (url.host()?, url.port().unwrap_or(default));
    format!("{scheme}://{host}:{port}/").parse().ok()
}

/// Checks the address of a proxy and writes its port out.
fn address(variable: &'static str, value: &str) -> Result<String, Error> {
    let bad = |why| Error::ProxyVariable { variable, why };
    let full = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    let uri: Uri = full.parse().map_err(|_| bad(FORM))?;
    let port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        Some("socks5" | "socks5h") => 1080,
        Some("socks4" | "socks4a") => return Err(bad("SOCKS4 is not spoken; use socks5h://")),
        _ => return Err(bad(FORM)),
    };
    let authority = uri.authority().ok_or_else(|| bad(FORM))?;
    let host_ok = !uri.host().unwrap_or_default().is_empty();
    let user = authority.as_str().matches('@').count();
    if !host_ok || user > 1 {
        return Err(bad(FORM));
    }
    let scheme = uri.scheme_str().unwrap_or("http");
    Ok(match uri.port() {
        Some(_) => format!("{scheme}://{authority}"),
        None => format!("{scheme}://{authority}:{port}"),
    })
}

const FORM: &str = "write it as http://host:port or socks5h://user:password@host:port, \
                    with special characters percent-encoded";

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, Error> {
        Proxies::from_variables(|name| {
            let found = variables.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn towards(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let proxy = proxies(variables).unwrap().towards(&url.parse().unwrap());
        proxy.map(|it| it.uri().to_string())
    }

    /// QUIC goes past a proxy, and is used exactly where nothing else goes through one.
    #[test]
    fn quic_is_judged_by_how_its_server_is_called() {
        let quic: Url = "quic://192.0.2.2:7500".parse().unwrap();
        for (variable, server, expected) in [
            ("HTTP_PROXY", "http://192.0.2.2:7500", true),
            ("HTTPS_PROXY", "http://192.0.2.2:7500", false),
            ("HTTPS_PROXY", "https://192.0.2.2:7500", true),
            ("ALL_PROXY", "http://192.0.2.2:7500", true),
        ] {
            let proxies = proxies(&[(variable, "p:1")]).unwrap();
            let proxy = proxies.towards(&called_as(&quic, server));
            assert_eq!(proxy.is_some(), expected, "{variable} {server}");
        }
    }

    #[test]
    fn the_environment_chooses_the_proxy() {
        let both = [("HTTPS_PROXY", "p:1"), ("all_proxy", "socks5h://q")];
        for (variables, url, proxy) in [
            (&[][..], "https://a.example", None),
            (&[("HTTPS_PROXY", " ")], "https://a.example", None),
            (&both, "https://a.example", Some("http://p:1/")),
            (&both, "wss://a.example/v1/relay", Some("http://p:1/")),
            (&both, "quic://a.example:443", Some("http://p:1/")),
            (&both, "http://a.example", Some("socks5h://q:1080/")),
            (&both, "https://localhost", None),
            (&both, "quic://127.0.0.1:3000", None),
            (&both, "quic://[::1]:3000", None),
            (&both, "https://127.1.2.3", None),
            (&both, "https://[::1]:9", None),
            (
                &[("http_proxy", "x"), ("HTTP_PROXY", "https://u:p@y")],
                "ws://a.example",
                Some("https://y:443/"),
            ),
            (
                &[
                    ("http_proxy", "x"),
                    ("HTTP_PROXY", "y"),
                    ("REQUEST_METHOD", "GET"),
                ],
                "ws://a.example",
                Some("http://x:80/"),
            ),
            (
                &[("ALL_PROXY", "x"), ("NO_PROXY", "b.example, 10.0.0.0/8")],
                "https://a.b.example",
                None,
            ),
            (
                &[("ALL_PROXY", "x"), ("NO_PROXY", "b.example, 10.0.0.0/8")],
                "https://10.1.2.3",
                None,
            ),
            (
                &[("ALL_PROXY", "x"), ("NO_PROXY", "*")],
                "https://a.b",
                None,
            ),
        ] {
            assert_eq!(towards(variables, url).as_deref(), proxy, "{url}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_by_the_name_of_its_variable() {
        for value in [
            "ftp://x",
            "socks4://x",
            "http://",
            "a b",
            "u:p@w@x",
            "http://:80",
        ] {
            let refused = proxies(&[("ALL_PROXY", value)]).unwrap_err();
            let variable = matches!(
                refused,
                Error::ProxyVariable {
                    variable: "ALL_PROXY",
                    ..
                }
            );
            assert!(variable, "{value}: {refused}");
        }
        let secret = proxies(&[("HTTPS_PROXY", "ftp://user:hunter2@x")]).unwrap_err();
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
        let kept = proxies(&[("HTTPS_PROXY", "http://user:hunter2@x")]).unwrap();
        assert!(!format!("{kept:?}").contains("hunter2"), "{kept:?}");
    }
}
