//! What this network allows: how far the server is, and whether devices here may find direct paths.
//!
//! ```text
//! GetConfig, several times ────────────────► round trip of a call
//! CreatePairing, OpenSession, DeletePairing ─► servers of STUN, endpoints of the relay
//!                             └─ STUN, then both ways to the relay ─► Survey
//! ```
//!
//! Where to ask is what any peer is told, and only a session tells it. So a pairing is made, and revoked
//! before anything is measured; nobody learns its code.

use std::str::FromStr;
use std::time::Duration;

use peersox_core::network::{Family, Verdict, judge};
use peersox_proto::v1::Transport as Wire;

use crate::platform::{Clock, Relayed, ask, relayed, stun_server};
use crate::{Error, Server, Terms};

/// What [`Server::survey`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Survey {
    /// The version of the server, as it says.
    pub version: String,
    /// How long a call takes: the median of several.
    pub call: Duration,
    /// How servers of STUN see this device over IPv4.
    pub v4: Family,
    /// The same over IPv6.
    pub v6: Family,
    /// The servers of STUN whose names have no address.
    pub nameless: Vec<String>,
    /// Whether QUIC reaches the relay.
    pub quic: Relayed,
    /// Whether a WebSocket reaches the relay.
    pub websocket: Relayed,
}

/// A server of STUN: `HOST`, `HOST:PORT`, or either as a URL, `stun:HOST:PORT` (RFC 7064).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StunServer {
    host: String,
    port: u16,
}

/// The text names no server of STUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a server of STUN as HOST:PORT")]
pub struct NotAStunServer;

impl Survey {
    /// With whom a device in this network may find a direct path.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        judge(&self.v4, &self.v6, self.quic.works())
    }
}

impl Server {
    /// Measures what this network allows, by the server's own STUN and by the servers in `also`, of which at
    /// most eight are asked in all. It takes some seconds where packets get lost. Native only.
    ///
    /// # Errors
    /// Any failure to reach the server, or [`Error::RateLimited`]: it is called as for a new pairing.
    pub async fn survey(&self, also: &[StunServer]) -> Result<Survey, Error> {
        let clock = Clock::start();
        let (mut calls, mut version) = (Vec::new(), String::new());
        for _ in 0..CALLS {
            let before = clock.now();
            version = self.config().await?.server_version;
            calls.push(clock.now().saturating_since(before));
        }
        calls.sort_unstable();

        let terms = Terms {
            ephemeral: true,
            ..Terms::default()
        };
        let pairing = self.create_pairing_on(&terms).await?.pairing;
        let session = self.open_session(&pairing, 0).await;
        if let Err(error) = self.delete_pairing(&pairing).await {
            tracing::debug!(%error, "the pairing of a survey stays until it expires");
        }
        let session = session?;

        let urls = session.ice_servers.iter().flat_map(|it| &it.urls);
        let mut servers: Vec<_> = urls
            .filter_map(|it| stun_server(it))
            .take(MOST_TOLD)
            .collect();
        servers.extend(also.iter().map(|it| (it.host.clone(), it.port)));
        let by = |wire| relayed(wire, &session.endpoints, self.trust(), self.dialer());
        // One after the other: handshakes compute, which would delay answers that are timed.
        let heard = ask(&servers).await;
        let (quic, websocket) = tokio::join!(by(Wire::Quic), by(Wire::Websocket));
        Ok(Survey {
            version,
            call: calls.get(CALLS / 2).copied().unwrap_or_default(),
            v4: heard.v4,
            v6: heard.v6,
            nameless: heard.nameless,
            quic,
            websocket,
        })
    }
}

impl FromStr for StunServer {
    type Err = NotAStunServer;

    fn from_str(text: &str) -> Result<Self, NotAStunServer> {
        let is_url = text
            .get(..5)
            .is_some_and(|it| it.eq_ignore_ascii_case("stun:"));
        let parsed = match is_url {
            true => stun_server(text),
            false => stun_server(&format!("stun:{text}")),
        };
        let (host, port) = parsed.ok_or(NotAStunServer)?;
        let is_wrong = |c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c);
        // An address of IPv6 without brackets leaves open where its port begins.
        let is_bare = host.contains(':') && !text.contains('[');
        match port == 0 || is_bare || host.contains(is_wrong) {
            true => Err(NotAStunServer),
            false => Ok(Self { host, port }),
        }
    }
}

/// Calls whose median is told.
const CALLS: usize = 5;

/// How many of the servers that the server names are asked, so that those of the caller have room.
const MOST_TOLD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_stun_is_a_host_and_perhaps_a_port() {
        let at = |host: &str, port| {
            let host = host.to_owned();
            Ok(StunServer { host, port })
        };
        for (text, expected) in [
            ("p.example", at("p.example", 3478)),
            ("p.example:443", at("p.example", 443)),
            ("stun:p.example", at("p.example", 3478)),
            ("STUN:192.0.2.1:99", at("192.0.2.1", 99)),
            ("[2001:db8::1]:99", at("2001:db8::1", 99)),
            ("", Err(NotAStunServer)),
            (":99", Err(NotAStunServer)),
            ("p.example:0", Err(NotAStunServer)),
            ("p.example:70000", Err(NotAStunServer)),
            ("turn:p.example", Err(NotAStunServer)),
            ("https://p.example", Err(NotAStunServer)),
            ("p example:1", Err(NotAStunServer)),
            ("2001:db8::1", Err(NotAStunServer)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
