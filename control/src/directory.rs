//! Where peers are sent: the relays there are, and servers for ICE.
//!
//! There is one relay, in the same process and on the same port as control. Its address is
//!
//! 1. the public URL of the configuration, if there is one: behind a proxy only that is right;
//! 2. otherwise the authority under which the caller reached control, which is an address that works
//!    for that caller. It is checked, as anybody can send anything there.

use std::str::FromStr;

use ::http::uri::Authority;
use bytes::Bytes;
use peersox_core::origin::Origin;
use peersox_core::time::Timestamp;
use peersox_proto::v1::{IceServer, RelayEndpoint, Transport};
use rand_core::RngCore;
use tokio::sync::watch;
use url::Url;

use crate::ice;

/// The relays of this deployment.
#[derive(Clone, Debug)]
pub struct Directory {
    config: Config,
    certificates: watch::Receiver<Vec<[u8; 32]>>,
}

/// How the relay can be reached.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where the deployment is reached from outside.
    pub public_url: Option<PublicUrl>,
    /// Whether the TCP port speaks TLS; matters where there is no public URL.
    pub tls: bool,
    /// The QUIC listener, if there is one.
    pub quic: Option<Quic>,
    /// Servers for ICE.
    pub ice_servers: ice::Servers,
}

/// The relay's QUIC listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quic {
    /// Its UDP port as seen from outside, if it is not the number of the TCP port.
    pub port: Option<u16>,
    /// Whether it answers STUN, and peers are told so.
    pub stun: bool,
}

impl Directory {
    /// Knows one relay. `certificates` are the SHA-256 digests of the DER certificates its QUIC
    /// listener may present, now and next; none if its certificate is one that anybody can verify.
    #[must_use]
    pub const fn new(config: Config, certificates: watch::Receiver<Vec<[u8; 32]>>) -> Self {
        Self {
            config,
            certificates,
        }
    }

    /// Where a caller who reached control under `authority` (host, and port if it is not the usual
    /// one) can attach: QUIC first, if there is any, then WebSocket, then WebTransport at the port of QUIC,
    /// then gRPC unless a proxy serves the deployment below a path, where generated code does not find it.
    ///
    /// # Errors
    /// [`BadAuthority`] if there is no public URL and the authority is missing or none.
    pub fn endpoints(&self, authority: Option<&str>) -> Result<Vec<RelayEndpoint>, BadAuthority> {
        let base = self.base(authority)?;
        let host = base.host_str().ok_or(BadAuthority)?;
        let mut endpoints = Vec::with_capacity(4);
        let udp = self.config.quic.map(|quic| quic.reached_at(&base));
        let udp = udp.transpose()?;
        let at_udp = |transport: Transport, url: String| RelayEndpoint {
            transport: transport.into(),
            url,
            certificate_hashes: self
                .certificates
                .borrow()
                .iter()
                .map(|hash| Bytes::copy_from_slice(hash))
                .collect(),
        };
        if let Some(address) = &udp {
            endpoints.push(at_udp(Transport::Quic, format!("quic://{address}")));
        }
        let scheme = if base.scheme() == "https" {
            "wss"
        } else {
            "ws"
        };
        let port = base.port().map(|port| format!(":{port}"));
        let (port, path) = (port.unwrap_or_default(), base.path().trim_end_matches('/'));
        endpoints.push(RelayEndpoint {
            transport: Transport::Websocket.into(),
            url: format!("{scheme}://{host}{port}{path}/v1/relay"),
            certificate_hashes: Vec::new(),
        });
        if let Some(address) = &udp {
            let url = format!("https://{address}/v1/relay");
            endpoints.push(at_udp(Transport::Webtransport, url));
        }
        if path.is_empty() {
            endpoints.push(RelayEndpoint {
                transport: Transport::Grpc.into(),
                url: format!("{}://{host}{port}", base.scheme()),
                certificate_hashes: Vec::new(),
            });
        }
        Ok(endpoints)
    }

    /// What pages have to be permitted to connect to for WebTransport, if the listener of QUIC has a port of
    /// its own.
    #[must_use]
    pub fn webtransport_origin(&self) -> Option<Origin> {
        self.config.quic?.port?;
        webtransport_origin(&self.endpoints(None).ok()?)
    }

    /// The digests of the certificates, whenever they change.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Vec<[u8; 32]>> {
        self.certificates.clone()
    }

    /// The STUN server that the QUIC listener is; none if it is not, or if the operator names other servers.
    ///
    /// # Errors
    /// [`BadAuthority`] if there is no public URL.
    pub fn stun_urls(&self) -> Result<Vec<String>, BadAuthority> {
        let quic = self.config.quic.filter(|quic| quic.stun);
        let address = quic
            .map(|quic| quic.reached_at(&self.base(None)?))
            .transpose()?;
        Ok(address
            .into_iter()
            .map(|address| format!("stun:{address}"))
            .collect())
    }

    /// Whether the operator names servers for ICE.
    #[must_use]
    pub fn has_ice_servers(&self) -> bool {
        !self.config.ice_servers.is_empty()
    }

    /// The transports on which the relay can be reached, in the same order.
    #[must_use]
    pub fn transports(&self) -> Vec<Transport> {
        let public = self.config.public_url.as_ref();
        let udp = |it| self.config.quic.map(|_| it);
        let grpc = public.is_none_or(|public| public.path() == "/");
        let all = [
            udp(Transport::Quic),
            Some(Transport::Websocket),
            udp(Transport::Webtransport),
            grpc.then_some(Transport::Grpc),
        ];
        all.into_iter().flatten().collect()
    }

    /// Servers for ICE, with credentials for the caller where they are needed: those of the operator, and
    /// the QUIC listener if it answers STUN, at the address of its endpoint.
    ///
    /// # Errors
    /// [`BadAuthority`], as [`Directory::endpoints`].
    pub fn ice_servers(
        &self,
        authority: Option<&str>,
        now: Timestamp,
        rng: &mut impl RngCore,
    ) -> Result<Vec<IceServer>, BadAuthority> {
        let mut servers = self.config.ice_servers.hand_out(now, rng);
        if let Some(quic) = self.config.quic.filter(|quic| quic.stun) {
            let address = quic.reached_at(&self.base(authority)?)?;
            servers.push(IceServer {
                urls: vec![format!("stun:{address}")],
                ..IceServer::default()
            });
        }
        Ok(servers)
    }

    fn base(&self, authority: Option<&str>) -> Result<Url, BadAuthority> {
        match &self.config.public_url {
            Some(public) => Ok(public.url.clone()),
            None => reached_at(self.config.tls, authority.ok_or(BadAuthority)?),
        }
    }
}

impl Quic {
    /// Host and port for whoever reaches the deployment under `base`.
    fn reached_at(self, base: &Url) -> Result<String, BadAuthority> {
        let host = base.host_str().ok_or(BadAuthority)?;
        let port = self.port.or(base.port_or_known_default());
        Ok(format!("{host}:{}", port.ok_or(BadAuthority)?))
    }
}

/// The origin of the endpoint for WebTransport, if there is one.
pub(crate) fn webtransport_origin(endpoints: &[RelayEndpoint]) -> Option<Origin> {
    let mut endpoints = endpoints.iter();
    let endpoint = endpoints.find(|it| it.transport() == Transport::Webtransport)?;
    let url = Url::parse(&endpoint.url).ok()?;
    url.origin().ascii_serialization().parse().ok()
}

/// Checks what a caller claims to have connected to and brings it into one form.
fn reached_at(tls: bool, authority: &str) -> Result<Url, BadAuthority> {
    // The longest name of DNS and a port.
    const LONGEST: usize = 253 + 6;
    if authority.len() > LONGEST || authority.contains(['@', '%', '\\']) {
        return Err(BadAuthority);
    }
    let authority = Authority::from_str(authority).map_err(|_| BadAuthority)?;
    let scheme = if tls { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{authority}/")).map_err(|_| BadAuthority)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(BadAuthority);
    }
    Ok(url)
}

/// The `:authority` or `Host` of a request is missing or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's authority is not a host with an optional port; set `Host` or `:authority`")]
pub struct BadAuthority;

/// Where a deployment is reached from outside: `https://peersox.example`, with a path if a proxy
/// serves it below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    origin: Origin,
}

impl PublicUrl {
    /// The origin of pages that are served under this URL.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path below which a proxy serves the deployment; `/` if there is no proxy that does.
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.path()
    }
}

impl FromStr for PublicUrl {
    type Err = BadPublicUrl;

    fn from_str(text: &str) -> Result<Self, BadPublicUrl> {
        let bad = || BadPublicUrl(text.to_owned());
        let url = Url::parse(text).map_err(|_| bad())?;
        let usable = matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !usable {
            return Err(bad());
        }
        let origin = url.origin().ascii_serialization().parse();
        let origin = origin.map_err(|_| bad())?;
        Ok(Self { url, origin })
    }
}

/// A configured public URL cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the public URL; write it as in https://peersox.example:8443")]
pub struct BadPublicUrl(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(config: Config, authority: Option<&str>) -> Result<Vec<String>, BadAuthority> {
        let (_, certificates) = watch::channel(vec![[7; 32]]);
        let endpoints = Directory::new(config, certificates).endpoints(authority)?;
        Ok(endpoints.into_iter().map(|endpoint| endpoint.url).collect())
    }

    #[test]
    fn peers_are_sent_where_they_came_from() {
        let plain = Config {
            quic: Some(Quic::default()),
            ..Config::default()
        };
        let tls = Config {
            tls: true,
            ..Config::default()
        };
        for (config, authority, expected) in [
            (
                &plain,
                "a.b:3000",
                vec![
                    "quic://a.b:3000",
                    "ws://a.b:3000/v1/relay",
                    "https://a.b:3000/v1/relay",
                    "http://a.b:3000",
                ],
            ),
            (
                &plain,
                "A.b",
                vec![
                    "quic://a.b:80",
                    "ws://a.b/v1/relay",
                    "https://a.b:80/v1/relay",
                    "http://a.b",
                ],
            ),
            (
                &plain,
                "[::1]:9",
                vec![
                    "quic://[::1]:9",
                    "ws://[::1]:9/v1/relay",
                    "https://[::1]:9/v1/relay",
                    "http://[::1]:9",
                ],
            ),
            (&tls, "a.b", vec!["wss://a.b/v1/relay", "https://a.b"]),
        ] {
            assert_eq!(urls(config.clone(), Some(authority)).unwrap(), expected);
        }
        let endpoints = Directory::new(plain, watch::channel(vec![[7; 32]]).1);
        let endpoints = endpoints.endpoints(Some("a.b")).unwrap();
        assert_eq!(endpoints[0].certificate_hashes, [Bytes::from(vec![7; 32])]);
        assert!(endpoints[1].certificate_hashes.is_empty());
        assert_eq!(endpoints[2].certificate_hashes, [Bytes::from(vec![7; 32])]);
    }

    #[test]
    fn a_public_url_wins() {
        let config = Config {
            public_url: Some("https://p.example/x/".parse().unwrap()),
            quic: Some(Quic {
                port: Some(4433),
                stun: false,
            }),
            ..Config::default()
        };
        let expected = [
            "quic://p.example:4433",
            "wss://p.example/x/v1/relay",
            "https://p.example:4433/v1/relay",
        ];
        assert_eq!(urls(config.clone(), Some("@@@")).unwrap(), expected);
        let directory = Directory::new(config, watch::channel(Vec::new()).1);
        let origin = directory.webtransport_origin().unwrap();
        assert_eq!(origin.to_string(), "https://p.example:4433");
        for text in [
            "p.example",
            "ftp://p.example",
            "https://u:p@p.example",
            "https://p/?q",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn stun_is_where_quic_is() {
        let stun = |config: &Config, authority| {
            let (_, certificates) = watch::channel(Vec::new());
            let directory = Directory::new(config.clone(), certificates);
            let rng = &mut rand_core::OsRng;
            let servers = directory.ice_servers(authority, Timestamp::from_millis(0), rng);
            servers.map(|it| it.into_iter().flat_map(|it| it.urls).collect::<Vec<_>>())
        };
        let quic = |port, stun| Some(Quic { port, stun });
        let own = ["turn:t.example"];
        let servers = own.iter().map(|url| url.parse().unwrap()).collect();
        let secret = ice::Secret::parse(b"north").unwrap();
        let ice_servers = ice::Servers::new(servers, Some(secret), Default::default()).unwrap();
        let public_url: Option<PublicUrl> = Some("https://p.example/x".parse().unwrap());
        for (quic, public_url, authority, expected) in [
            (quic(None, true), None, "a.b:3000", vec!["stun:a.b:3000"]),
            (quic(None, true), None, "[::1]:9", vec!["stun:[::1]:9"]),
            (quic(None, true), None, "A.b", vec!["stun:a.b:80"]),
            (
                quic(None, true),
                public_url.clone(),
                "a.b",
                vec!["stun:p.example:443"],
            ),
            (
                quic(Some(4433), true),
                public_url,
                "a.b",
                vec!["stun:p.example:4433"],
            ),
            (quic(None, false), None, "a.b", vec![]),
            (None, None, "a.b", vec![]),
        ] {
            let mut config = Config {
                public_url,
                quic,
                ..Config::default()
            };
            assert_eq!(stun(&config, Some(authority)).unwrap(), expected);
            for url in &expected {
                let read = url.parse::<ice::ServerUrl>();
                assert!(read.is_ok(), "{url}");
            }
            config.ice_servers = ice_servers.clone();
            let all = [&own[..], &expected[..]].concat();
            assert_eq!(stun(&config, Some(authority)).unwrap(), all);
        }
        let config = Config {
            quic: quic(None, true),
            ..Config::default()
        };
        assert_eq!(stun(&config, Some("u@h")), Err(BadAuthority));
        assert_eq!(stun(&config, None), Err(BadAuthority));
    }

    #[test]
    fn junk_is_no_authority() {
        let long = "a".repeat(300);
        for junk in [
            None,
            Some(""),
            Some("u@h"),
            Some("h/p"),
            Some("h?q"),
            Some("h#f"),
            Some("h:99999"),
            Some("h%2f"),
            Some("a b"),
            Some("[::1"),
            Some(":80"),
            Some(long.as_str()),
        ] {
            assert_eq!(urls(Config::default(), junk), Err(BadAuthority), "{junk:?}");
        }
    }
}
