//! The addresses at which this side may be reached: its own, and those at which servers of STUN see it.
//!
//! ```text
//! own addresses ──────────────────────────────────► host candidates, at once
//! names of servers ─► addresses ─► requests ─► answers ─► server-reflexive candidates
//! ```
//!
//! Servers of TURN are not used: a relay of our own is there already.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use peersox_core::direct::is_link_local;
use peersox_core::stun::{self, Transaction};
use peersox_proto::v1::IceServer;
use rand_core::RngCore as _;
use tokio::time::Instant;

use crate::platform::native::{BoxFuture, Random};

/// What is asked of servers, and not answered yet.
#[derive(Default)]
pub(super) struct Gather {
    resolving: Option<BoxFuture<Vec<SocketAddr>>>,
    asked: Vec<Asked>,
}

struct Asked {
    server: SocketAddr,
    transaction: Transaction,
    /// When to ask again, and how long to wait after that.
    at: Instant,
    pause: Duration,
}

impl Gather {
    /// Begins anew, with these servers.
    pub(super) fn begin(&mut self, servers: &[IceServer]) {
        let urls = servers.iter().flat_map(|it| &it.urls);
        let servers: Vec<_> = urls
            .filter_map(|it| server(it))
            .take(MOST_SERVERS)
            .collect();
        self.asked.clear();
        self.resolving = Some(Box::pin(async move {
            let mut found = Vec::new();
            for (host, port) in servers {
                // One of each version of IP: what the others would tell is the same.
                found.extend(resolve(&host, port, 1).await);
            }
            found
        }));
    }

    /// Waits until something is to be sent, and says what and to whom.
    pub(super) async fn next(&mut self) -> (SocketAddr, [u8; stun::REQUEST_LEN]) {
        loop {
            let due = self.asked.iter().map(|it| it.at).min();
            let later = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let resolving = async {
                match &mut self.resolving {
                    Some(resolving) => resolving.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                servers = resolving => {
                    self.resolving = None;
                    let now = Instant::now();
                    self.asked.extend(servers.into_iter().map(|it| Asked::new(it, now)));
                }
                () = later => {
                    if let Some(request) = self.due(Instant::now()) {
                        return request;
                    }
                }
            }
        }
    }

    /// The address that a datagram tells, if it answers a request.
    pub(super) fn answered(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<SocketAddr> {
        let (transaction, address) = stun::mapped(datagram)?;
        let is_it = |it: &Asked| it.transaction == transaction && it.server == from;
        let at = self.asked.iter().position(is_it)?;
        self.asked.swap_remove(at);
        Some(address)
    }

    fn due(&mut self, now: Instant) -> Option<(SocketAddr, [u8; stun::REQUEST_LEN])> {
        self.asked.retain(|it| it.pause <= LONGEST || it.at > now);
        let asked = self.asked.iter_mut().find(|it| it.at <= now)?;
        asked.at = now + asked.pause;
        asked.pause *= 2;
        Some((asked.server, stun::request(&asked.transaction)))
    }
}

impl Asked {
    fn new(server: SocketAddr, now: Instant) -> Self {
        let mut transaction = Transaction::default();
        Random.fill_bytes(&mut transaction);
        Self {
            server,
            transaction,
            at: now,
            pause: FIRST,
        }
    }
}

/// The addresses of a name, at most `each` of each version of IP.
pub(in crate::platform::native) async fn resolve(
    host: &str,
    port: u16,
    each: usize,
) -> Vec<SocketAddr> {
    let resolved = tokio::net::lookup_host((host, port));
    let Ok(Ok(addresses)) = tokio::time::timeout(RESOLVING, resolved).await else {
        tracing::debug!(host, "a name has no address");
        return Vec::new();
    };
    let (v4, v6) = addresses.partition::<Vec<_>, _>(SocketAddr::is_ipv4);
    let (v4, v6) = (v4.into_iter().take(each), v6.into_iter().take(each));
    v4.chain(v6).collect()
}

/// The addresses of this device that another one may reach: no link-local ones, and loopback only if there is
/// nothing else. Those that packets to elsewhere leave from come first.
pub(in crate::platform::native) fn own() -> Vec<IpAddr> {
    let interfaces = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::debug!(%error, "the system does not tell the addresses of this device");
            return Vec::new();
        }
    };
    let running = interfaces.iter().filter(|it| it.is_oper_up());
    let all = running.map(if_addrs::Interface::ip);
    let (here, reachable): (Vec<_>, Vec<_>) = all
        .filter(|ip| !is_link_local(*ip))
        .partition(IpAddr::is_loopback);
    let mut own = if reachable.is_empty() {
        here
    } else {
        reachable
    };
    let first = ELSEWHERE.map(|ip| outward((ip, stun::PORT).into()));
    own.sort_by_key(|ip| !first.contains(&Some(*ip)));
    own.truncate(MOST_OWN);
    own
}

/// The address that packets to this one leave from; nothing if no route leads there. Nothing is sent: to
/// connect a socket of UDP only chooses a route.
pub(in crate::platform::native) fn outward(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The host and the port of a URL of a server of STUN over UDP (RFC 7064).
pub(crate) fn server(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("stun") {
        return None;
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (rest, stun::PORT),
    };
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

const MOST_SERVERS: usize = 4;
/// Each makes a candidate, and every pair of candidates is checked, a pair each 50 ms. A device with more has
/// virtual network cards.
const MOST_OWN: usize = 6;
/// Addresses that are not of this network, whichever it is: they are for documentation (RFC 5737, RFC 3849).
const ELSEWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];
/// How long the address of a server is looked for.
const RESOLVING: Duration = Duration::from_secs(3);
/// A server is asked again after this time, and twice that and so on: RTO in RFC 8489, section 6.2.1.
const FIRST: Duration = Duration::from_millis(500);
/// After a wait that was longer than this a server is not asked any more.
const LONGEST: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_perhaps_a_port() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(server("stun:p.example"), at("p.example", 3478));
        assert_eq!(server("STUN:p.example:443"), at("p.example", 443));
        assert_eq!(server("stun:192.0.2.1:99"), at("192.0.2.1", 99));
        assert_eq!(server("stun:[2001:db8::1]"), at("2001:db8::1", 3478));
        assert_eq!(server("stun:[2001:db8::1]:443"), at("2001:db8::1", 443));
        for none in [
            "turn:p.example",
            "stuns:p.example",
            "stun:",
            "stun::1",
            "stun:p:x",
            "stun:p:99999",
            "",
        ] {
            assert_eq!(server(none), None, "{none}");
        }
    }

    #[test]
    fn there_is_an_address_and_none_of_a_network_card_alone() {
        let own = own();
        assert!(!own.is_empty() && own.len() <= MOST_OWN);
        assert!(!own.iter().any(|ip| is_link_local(*ip)));
    }

    /// Asked at these seconds, unless it answers.
    #[test]
    fn a_server_is_asked_a_few_times_and_its_answer_counts_once() {
        let (mut gather, start) = (Gather::default(), Instant::now());
        let server = "192.0.2.1:7".parse().unwrap();
        gather.asked.push(Asked::new(server, start));
        let (_, request) = gather.due(start).unwrap();
        let seen = "203.0.113.9:4000".parse().unwrap();
        let answer = stun::answer(&request, seen).unwrap();
        let elsewhere = "192.0.2.2:7".parse().unwrap();
        assert_eq!(gather.answered(elsewhere, answer.as_bytes()), None);

        let tenths = (0..600).map(|tenth| Duration::from_millis(100 * tenth));
        let again = tenths.filter(|time| gather.due(start + *time) == Some((server, request)));
        let again: Vec<_> = again.map(|time| time.as_millis()).collect();
        assert_eq!(again, [500, 1_500, 3_500]);
        assert_eq!(gather.answered(server, answer.as_bytes()), None, "too late");

        gather.asked.push(Asked::new(server, start));
        let (_, request) = gather.due(start).unwrap();
        let answer = stun::answer(&request, seen).unwrap();
        assert_eq!(gather.answered(server, answer.as_bytes()), Some(seen));
        assert_eq!(gather.answered(server, answer.as_bytes()), None);
        assert_eq!(gather.due(start + LONGEST), None);
    }
}
