//! What a network allows for direct paths, judged from how servers of STUN see one socket of each version
//! of IP.
//!
//! ```text
//! own addresses, answers over IPv4 ─► Family ─► Mapping ─┐
//!                   the same of IPv6 ─► Family ─► Mapping ─┼─► Verdict
//!                          whether QUIC reaches the relay ─┘
//! ```
//!
//! A NAT gives a socket another address. One that gives it the same address towards all destinations
//! (*endpoint-independent mapping*, RFC 4787, section 4.1) leaves it where the other side was told to send.
//! One that gives it another address for each destination (*symmetric*) does not, and two destinations are
//! needed to tell the two apart. A server in the network of this device is on this side of the NAT: what it
//! sees says nothing of the internet.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// What was measured over one version of IP, with one socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// The addresses of this device.
    pub own: Vec<IpAddr>,
    /// The port of the socket.
    pub port: u16,
    /// The servers that were asked. One without a route to it is not among them.
    pub asked: Vec<SocketAddr>,
    /// What they answered.
    pub seen: Vec<Seen>,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The server.
    pub by: SocketAddr,
    /// The address under which it sees the socket.
    pub at: SocketAddr,
    /// From the request to the answer.
    pub round_trip: Duration,
}

/// How the network maps the address of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Nobody answered.
    Unseen,
    /// Only servers in a private network answered.
    Inside,
    /// The socket is seen under its own address: there is no NAT.
    Own,
    /// A NAT gives it the same address towards all destinations.
    Independent,
    /// A NAT gives it another address for each destination.
    Symmetric,
    /// There is a NAT, and one destination does not tell which.
    Unknown,
}

/// With whom a device in this network may find a direct path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// With all but devices behind symmetric NATs or without UDP.
    Most,
    /// With devices that have IPv6.
    Ipv6,
    /// With devices that have IPv6, and with those whose network lets everybody in.
    Ipv6OrOpen,
    /// With devices whose network lets everybody in.
    Open,
    /// There is a NAT whose kind is not known.
    Unknown,
    /// With devices in the network of the server; nobody beyond was asked.
    Inside,
    /// UDP may pass, and nobody told the address of this device.
    Unseen,
    /// With nobody: no UDP passes.
    Blocked,
}

/// Judges what was measured. `quic`: QUIC reaches the relay, so UDP passes. That it does not may have other
/// reasons than UDP.
#[must_use]
pub fn judge(v4: &Family, v6: &Family, quic: bool) -> Verdict {
    use Mapping::{Independent, Inside, Own, Symmetric, Unknown, Unseen};
    match (v4.mapping(), v6.mapping()) {
        (Own | Independent, _) => Verdict::Most,
        (Symmetric, Own | Independent) => Verdict::Ipv6OrOpen,
        (Symmetric, Unseen | Inside | Symmetric | Unknown) => Verdict::Open,
        (Unknown, _) => Verdict::Unknown,
        (Unseen | Inside, Own | Independent) => Verdict::Ipv6,
        (Unseen | Inside, Symmetric) => Verdict::Open,
        (Unseen | Inside, Unknown) => Verdict::Unknown,
        (Inside, Unseen | Inside) | (Unseen, Inside) => Verdict::Inside,
        (Unseen, Unseen) if quic || (v4.asked.is_empty() && v6.asked.is_empty()) => Verdict::Unseen,
        (Unseen, Unseen) => Verdict::Blocked,
    }
}

impl Family {
    /// How the network maps the address of the socket.
    #[must_use]
    pub fn mapping(&self) -> Mapping {
        let outside = self.seen.iter().filter(|it| !is_inside(it.at.ip()));
        let outside: Vec<_> = outside.collect();
        let Some(first) = outside.first() else {
            return match self.seen.is_empty() {
                true => Mapping::Unseen,
                false => Mapping::Inside,
            };
        };
        if outside.iter().all(|it| self.is_own(it.at)) {
            Mapping::Own
        } else if outside.iter().any(|it| it.at != first.at) {
            Mapping::Symmetric
        } else if outside.iter().any(|it| it.by != first.by) {
            Mapping::Independent
        } else {
            Mapping::Unknown
        }
    }

    /// Whether there is a NAT towards the servers; nothing if nobody answered. Servers in a private network
    /// count only where no other answered.
    #[must_use]
    pub fn has_nat(&self) -> Option<bool> {
        match self.mapping() {
            Mapping::Unseen => None,
            Mapping::Inside => Some(!self.seen.iter().all(|it| self.is_own(it.at))),
            Mapping::Own => Some(false),
            Mapping::Independent | Mapping::Symmetric | Mapping::Unknown => Some(true),
        }
    }

    fn is_own(&self, seen: SocketAddr) -> bool {
        seen.port() == self.port && (self.own.contains(&seen.ip()) || seen.ip().is_loopback())
    }
}

impl Mapping {
    /// Its name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Inside => "inside",
            Self::Own => "own",
            Self::Independent => "independent",
            Self::Symmetric => "symmetric",
            Self::Unknown => "unknown",
        }
    }
}

impl Verdict {
    /// Its name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Most => "most",
            Self::Ipv6 => "ipv6",
            Self::Ipv6OrOpen => "ipv6_or_open",
            Self::Open => "open",
            Self::Unknown => "unknown",
            Self::Inside => "inside",
            Self::Unseen => "unseen",
            Self::Blocked => "blocked",
        }
    }
}

/// An address that the internet does not know: private, of this machine, of a network card, or of a
/// provider's customers (RFC 6598).
fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && (64..128).contains(&second);
            shared || ip.is_private() || ip.is_loopback() || ip.is_link_local()
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}
