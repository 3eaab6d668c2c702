//! What an operator decides, with a default for each.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use peersox_control::directory::{self, PublicUrl};
use peersox_control::ice;
use peersox_core::limit::{Limit, Network, Networks};
use peersox_core::origin::{self, Origin};
use peersox_core::pairing;

use crate::access::Creators;
use crate::certificate::CertificateSource;
use crate::forwarded::ProxyHeader;
use crate::webhook::Webhook;

/// The configuration of a server. Every field has a default that suits a server in one's own network.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address for TCP and, with the same port, UDP. Port 0: one that the system chooses. Default: port
    /// 3000 of every address of this machine, IPv6 and IPv4.
    pub listen: Option<SocketAddr>,
    /// Where `GET /metrics` is answered with OpenMetrics text, without TLS and for everybody who gets there:
    /// an address of this machine, or of a network of the operator's. Default: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Certificate and key, for TLS on TCP and for QUIC. Default: plain HTTP on TCP, for one's own network or
    /// behind a proxy that terminates TLS, and a self-signed certificate for QUIC that peers pin.
    pub tls: Option<CertificateSource>,
    /// A folder for certificates that this server makes, and their keys: mode 0700, files of mode 0600; it is
    /// made unless it is there, its parent is not. For one server at a time. Default: none, and the next
    /// process makes other ones.
    pub certificate_folder: Option<PathBuf>,
    /// With TLS: for how long browsers that have seen this server call it over TLS only, whatever a link says
    /// (`Strict-Transport-Security`, RFC 6797). Whole seconds; zero makes browsers forget what they were told
    /// before. Callers that name it `localhost` are told nothing. Default: 30 days.
    pub hsts: Duration,
    /// How peers reach this server, with a path if a proxy serves it below one. Default: as each of them
    /// called it.
    pub public_url: Option<PublicUrl>,
    /// Whether to listen for QUIC on UDP. Default: yes.
    pub quic: bool,
    /// Whether to answer STUN (RFC 8489) on the UDP port of QUIC, and to tell peers of it unless
    /// [`Self::ice_servers`] names other servers. Default: yes.
    pub stun: bool,
    /// Web origins whose pages may call control and attach to the relay, beside those of this server itself.
    /// The embedder's routes are not guarded by it. Default: none.
    pub allowed_origins: Vec<Origin>,
    /// Proxies that are believed about the address of a client. Default: none.
    pub trusted_proxies: Vec<Network>,
    /// The header in which trusted proxies write that address. Default: `X-Forwarded-For`.
    pub proxy_header: ProxyHeader,
    /// Whether trusted proxies begin each connection of TCP with the address of its client (PROXY protocol,
    /// version 1 or 2), before TLS. Then each of them has to, within 10 s, and nobody else may; without
    /// trusted proxies nobody does. QUIC, metrics and HTTP-01 know nothing of it. Default: no.
    pub proxy_protocol: bool,
    /// Networks whose addresses have no budgets and no shares of their own. Default: none.
    pub unmetered: Vec<Network>,
    /// STUN and TURN servers that peers are told of. Default: STUN of this server, if it answers that.
    pub ice_servers: ice::Servers,
    /// Who may create pairings. Default: everybody.
    pub creators: Creators,
    /// Who is told what happens to pairings. Default: nobody.
    pub webhook: Option<Webhook>,
    /// How long codes and pairings live, and how long codes are. Each time is 1 s to 366 days. Default: 6
    /// digits; codes of 130 s after the last sign of their creator and at most a day; pairings of 10 minutes
    /// after the last use, of 7 days if a peer asked to keep them.
    pub pairing: pairing::Config,
    /// The largest frame in bytes, 4,096 to 1,048,576. Default: 65,536.
    pub max_frame: u32,
    /// Bytes of reliable frames held per direction of a session before its sender is slowed, 65,536 to
    /// 16,777,216. Default: 131,072.
    pub hold: u32,
    /// Bytes of memory for all frames that wait, the buffers of transports included, 4 MiB to 1 TiB. Default:
    /// 512 MiB.
    pub relay_memory: u64,
    /// Bytes per second that one peer may send through the relay before it is slowed, 65,536 to 1 TiB; each
    /// frame counts 256 bytes more. An address may send four times as much. Default: 1 GiB.
    pub leg_rate: u64,
    /// How long a lost peer is waited for, 1 s to an hour. Default: 30 s.
    pub park_grace: Duration,
    /// Whether to serve gRPC reflection. Default: no.
    pub reflection: bool,
    /// Whether to serve `/healthz`, `/readyz`, `/status.json` and `/.well-known/jwks.json`. Without, these
    /// paths are the embedder's. Default: yes.
    pub probes: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: None,
            metrics_listen: None,
            tls: None,
            certificate_folder: None,
            hsts: Duration::from_secs(30 * 24 * 3_600),
            public_url: None,
            quic: true,
            stun: true,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            proxy_protocol: false,
            unmetered: Vec::new(),
            ice_servers: ice::Servers::default(),
            creators: Creators::Everybody,
            webhook: None,
            pairing: pairing::Config::default(),
            max_frame: 65_536,
            hold: 131_072,
            relay_memory: 536_870_912,
            leg_rate: 1_073_741_824,
            park_grace: Duration::from_secs(30),
            reflection: false,
            probes: true,
        }
    }
}

impl ServerConfig {
    /// What [`Self::max_frame`] may be, in bytes.
    pub const MAX_FRAME: RangeInclusive<u64> = 4_096..=1_048_576;
    /// What [`Self::hold`] may be, in bytes.
    pub const HOLD: RangeInclusive<u64> = 65_536..=16_777_216;
    /// What [`Self::relay_memory`] may be, in bytes.
    pub const RELAY_MEMORY: RangeInclusive<u64> = 4_194_304..=1_099_511_627_776;
    /// What [`Self::leg_rate`] may be, in bytes per second.
    pub const LEG_RATE: RangeInclusive<u64> = 65_536..=1_099_511_627_776;
    /// What [`Self::park_grace`] may be, in seconds.
    pub const PARK_GRACE: RangeInclusive<u64> = 1..=3_600;
    /// What each time of [`Self::pairing`] may be, in seconds.
    pub const LIFE: RangeInclusive<u64> = 1..=366 * 24 * 3_600;

    /// Whether every number is in its range; [`Builder::bind`](crate::Builder::bind) asks, too.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let life = &self.pairing;
        let bytes = |field, value, range| in_range(field, value, "bytes", range);
        let rate = |field, value, range| in_range(field, value, "bytes per second", range);
        let time = |field, time: Duration, range| in_range(field, time.as_secs(), "seconds", range);
        bytes("max_frame", self.max_frame.into(), Self::MAX_FRAME)?;
        bytes("hold", self.hold.into(), Self::HOLD)?;
        bytes("relay_memory", self.relay_memory, Self::RELAY_MEMORY)?;
        rate("leg_rate", self.leg_rate, Self::LEG_RATE)?;
        time("park_grace", self.park_grace, Self::PARK_GRACE)?;
        time("pairing.code_ttl", life.code_ttl, Self::LIFE)?;
        time("pairing.code_max", life.code_max, Self::LIFE)?;
        time("pairing.restore_ttl", life.restore_ttl, Self::LIFE)?;
        time("pairing.unkept_ttl", life.unkept_ttl, Self::LIFE)
    }

    /// Pages of which other origins may call: those that the operator lists, and pages under the public URL,
    /// whose proxy may call this server by another name.
    fn allowed_origins(&self) -> origin::Allowed {
        let public = self.public_url.as_ref().map(PublicUrl::origin);
        self.allowed_origins.iter().chain(public).cloned().collect()
    }

    /// All clients of a trusted proxy come from its address, so it has no share of its own.
    pub(crate) fn unmetered_connections(&self) -> Networks {
        let proxies = &self.trusted_proxies;
        self.unmetered.iter().chain(proxies).copied().collect()
    }

    /// With `quic`, there is a relay here that listens for it.
    pub(crate) fn directory(&self, quic: bool) -> directory::Config {
        directory::Config {
            public_url: self.public_url.clone(),
            tls: self.tls.is_some(),
            quic: quic.then(|| directory::Quic {
                // An operator who names servers names all of them.
                stun: self.stun && self.ice_servers.is_empty(),
                ..directory::Quic::default()
            }),
            ice_servers: self.ice_servers.clone(),
        }
    }

    pub(crate) fn control(&self, relay: &peersox_relay::Config) -> peersox_control::Config {
        peersox_control::Config {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            pairing: self.pairing,
            guard: peersox_control::guard::Config {
                unmetered: self.unmetered.iter().copied().collect(),
                ..peersox_control::guard::Config::default()
            },
            reflection: self.reflection,
            relay_limits: relay.announced(),
            allowed_origins: self.allowed_origins(),
            ..peersox_control::Config::default()
        }
    }

    pub(crate) fn relay(&self) -> peersox_relay::Config {
        let mut config = peersox_relay::Config {
            hold_bytes: self.hold as usize,
            allowed_origins: Some(self.allowed_origins()),
            memory: self.relay_memory,
            leg_rate: Limit::per(self.leg_rate, Duration::from_secs(1)),
            host_rate: peersox_relay::Config::host_rate(self.leg_rate),
            unmetered: self.unmetered.iter().copied().collect(),
            ..peersox_relay::Config::default()
        };
        config.limits.frame_bytes = self.max_frame as usize;
        config.session.park_grace = self.park_grace;
        config
    }
}

fn in_range(
    field: &'static str,
    value: u64,
    unit: &'static str,
    range: RangeInclusive<u64>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        field,
        value,
        unit,
        range,
    })
}

/// A number of the configuration is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{field}` cannot be {value} {unit}; set it to a number from {} to {}",
    range.start(),
    range.end()
)]
pub struct ConfigError {
    field: &'static str,
    value: u64,
    unit: &'static str,
    range: RangeInclusive<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut ServerConfig);

    #[test]
    fn a_number_out_of_its_range_is_named() {
        let valid = ServerConfig::default();
        assert_eq!(valid.validate(), Ok(()));
        let rows: [(&str, Change); 6] = [
            (
                "`max_frame` cannot be 4095 bytes; set it to a number from 4096 to 1048576",
                |it| {
                    it.max_frame = 4_095;
                },
            ),
            ("`hold` cannot be 16777217 bytes", |it| it.hold = 16_777_217),
            ("`relay_memory` cannot be 0 bytes", |it| it.relay_memory = 0),
            ("`leg_rate` cannot be 1 bytes per second", |it| {
                it.leg_rate = 1
            }),
            ("`park_grace` cannot be 0 seconds", |it| {
                it.park_grace = Duration::from_millis(999)
            }),
            ("`pairing.code_ttl` cannot be 0 seconds", |it| {
                it.pairing.code_ttl = Duration::ZERO
            }),
        ];
        for (expected, change) in rows {
            let mut config = valid.clone();
            change(&mut config);
            let said = config.validate().unwrap_err().to_string();
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
