//! Measures what this network lets through: STUN over each version of IP, and both ways to the relay.
//!
//! ```text
//! names of servers ─► addresses ─┬─ IPv4 ─► one socket ─► requests, answers ─► Family
//!                                └─ IPv6 ─► one socket ─► requests, answers ─► Family
//! endpoints of a relay ─► QUIC, WebSocket ─► Relayed, and nobody says Hello there
//! ```
//!
//! One socket asks all servers of a version of IP: only so its mapped addresses can be compared.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::network::{Family, Seen};
use peersox_core::stun::{self, Transaction};
use peersox_proto::v1::{RelayEndpoint, Transport as Wire};
use rand_core::RngCore as _;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::direct::{outward, own_addresses, resolve};
use super::leg::Leg;
use super::{Dialer, Random, Trust};

/// What carries a connection to the relay, as far as it was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// The server does not offer it, or a proxy is in between that does not pass it.
    NotOffered,
    /// It does not connect; the text of the transport says why.
    Fails(String),
    /// It connects.
    Works {
        /// The round trip, where the transport measures it.
        round_trip: Option<Duration>,
        /// The largest packet of UDP that was seen to pass, in bytes of payload; only QUIC looks for it.
        udp_payload: Option<u16>,
    },
}

impl Relayed {
    /// Whether it connects.
    #[must_use]
    pub const fn works(&self) -> bool {
        matches!(self, Self::Works { .. })
    }
}

/// What STUN told.
pub(crate) struct Heard {
    pub(crate) v4: Family,
    pub(crate) v6: Family,
    /// Servers whose names have no address.
    pub(crate) nameless: Vec<String>,
}

/// Asks these servers, hosts and ports, under which addresses they see this device.
pub(crate) async fn ask(servers: &[(String, u16)]) -> Heard {
    let (mut addresses, mut nameless) = (Vec::new(), Vec::new());
    for (host, port) in servers.iter().take(MOST_SERVERS) {
        let found = resolve(host, *port, MOST_ADDRESSES).await;
        if found.is_empty() {
            nameless.push(host.clone());
        }
        addresses.extend(found);
    }
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    let (v4, v6) = tokio::join!(
        family(Ipv4Addr::UNSPECIFIED.into(), v4),
        family(Ipv6Addr::UNSPECIFIED.into(), v6)
    );
    Heard { v4, v6, nameless }
}

/// Connects by this transport, and hangs up.
pub(crate) async fn relayed(
    wire: Wire,
    endpoints: &[RelayEndpoint],
    trust: &Trust,
    dialer: &Dialer,
) -> Relayed {
    let Some(endpoint) = endpoints.iter().find(|it| it.transport() == wire) else {
        return Relayed::NotOffered;
    };
    let connecting = Leg::connect(endpoint, trust, dialer);
    let leg = match tokio::time::timeout(CONNECTING, connecting).await {
        Ok(Ok(leg)) => leg,
        Ok(Err(end)) => return Relayed::Fails(end.to_string()),
        Err(_) => {
            let why = format!("no answer within {} s", CONNECTING.as_secs());
            return Relayed::Fails(why);
        }
    };
    if wire == Wire::Quic {
        tokio::time::sleep(SETTLING).await;
    }
    let (round_trip, udp_payload) = leg.source.measured().unzip();
    leg.sink.hang_up(CloseReason::Done).await;
    Relayed::Works {
        round_trip,
        udp_payload,
    }
}

/// What servers of one version of IP tell a socket that is bound to `any`. Without a socket, nobody is asked.
async fn family(any: IpAddr, servers: Vec<SocketAddr>) -> Family {
    let mut own = own_addresses();
    own.retain(|it| it.is_ipv4() == any.is_ipv4());
    let mut family = Family {
        own,
        ..Family::default()
    };
    let Ok(socket) = UdpSocket::bind((any, 0)).await else {
        return family;
    };
    family.port = socket.local_addr().map_or(0, |it| it.port());
    for server in servers {
        let Some(from) = outward(server) else {
            continue;
        };
        if family.asked.contains(&server) {
            continue;
        }
        if !family.own.contains(&from) {
            family.own.push(from);
        }
        family.asked.push(server);
    }
    listen(&socket, &mut family).await;
    family
}

/// Sends requests until every server has answered, or the last pause is over. Each request has a number of
/// its own, so that an answer tells the round trip of the request that it belongs to.
async fn listen(socket: &UdpSocket, family: &mut Family) {
    let mut sent = HashMap::<Transaction, (SocketAddr, Instant)>::new();
    let mut waiting = family.asked.clone();
    for pause in PAUSES {
        for server in &waiting {
            let mut transaction = Transaction::default();
            Random.fill_bytes(&mut transaction);
            sent.insert(transaction, (*server, Instant::now()));
            if let Err(error) = socket.send_to(&stun::request(&transaction), server).await {
                tracing::debug!(%server, %error, "a request of STUN was not sent");
            }
        }
        let until = Instant::now() + pause;
        let mut buffer = [0; LONGEST_ANSWER];
        while !waiting.is_empty() && Instant::now() < until {
            let (len, from) =
                match tokio::time::timeout_at(until, socket.recv_from(&mut buffer)).await {
                    Ok(Ok(received)) => received,
                    // Some systems report here that a request got nowhere.
                    Ok(Err(_)) => {
                        tokio::time::sleep_until(until).await;
                        break;
                    }
                    Err(_) => break,
                };
            let Some((transaction, at)) = stun::mapped(&buffer[..len]) else {
                continue;
            };
            let Some((by, when)) = sent.get(&transaction).copied().filter(|it| it.0 == from) else {
                continue;
            };
            if waiting.contains(&by) {
                waiting.retain(|it| *it != by);
                let round_trip = when.elapsed();
                family.seen.push(Seen { by, at, round_trip });
            }
        }
        if waiting.is_empty() {
            return;
        }
    }
}

/// More servers than these tell nothing new.
const MOST_SERVERS: usize = 8;

/// How many addresses of a server are asked of each version of IP: two tell what kind of NAT there is.
const MOST_ADDRESSES: usize = 2;

/// How long answers are waited for before the silent servers are asked again, and after the last time: RTO in
/// RFC 8489, section 6.2.1.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Longer than any answer of STUN over UDP that fits a packet; what is cut off is no sound answer.
const LONGEST_ANSWER: usize = 1_500;

/// How long a transport may take to connect.
const CONNECTING: Duration = Duration::from_secs(5);

/// How long a connection of QUIC looks for larger packets before it is asked how large they may be.
const SETTLING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers as `answer` says; it gives its address.
    async fn server(
        answer: impl Fn(&[u8], SocketAddr) -> Option<Vec<u8>> + Send + 'static,
    ) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 100];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = answer(&buffer[..len], from) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        at
    }

    fn sound(request: &[u8], seen: SocketAddr) -> Option<Vec<u8>> {
        stun::answer(request, seen).map(|it| it.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn every_server_is_asked_from_one_socket() {
        let (one, two) = (server(sound).await, server(sound).await);
        let names = [one, two, one].map(|it| (it.ip().to_string(), it.port()));
        let heard = ask(&names).await;
        assert_eq!(heard.v4.asked, [one, two]);
        assert_eq!(heard.v4.seen.len(), 2);
        let own = SocketAddr::from(([127, 0, 0, 1], heard.v4.port));
        assert!(heard.v4.seen.iter().all(|it| it.at == own));
        assert!(heard.v6.asked.is_empty() && heard.nameless.is_empty());
    }

    /// The first request is lost; the answer to another request, and one from elsewhere, do not count.
    #[tokio::test]
    async fn who_is_silent_is_asked_again_and_other_answers_do_not_count() {
        let asked = std::sync::atomic::AtomicU32::new(0);
        let late = server(move |request, from| {
            let before = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if before > 0 {
                return sound(request, from);
            }
            let mut other = request.to_vec();
            *other.last_mut()? ^= 1;
            sound(&other, from)
        })
        .await;
        let heard = ask(&[("127.0.0.1".to_owned(), late.port())]).await;
        assert_eq!(heard.v4.seen.len(), 1);
        // Measured from the second request.
        assert!(heard.v4.seen[0].round_trip < PAUSES[0]);
    }

    #[tokio::test]
    async fn names_without_an_address_are_told() {
        let heard = ask(&[("name.invalid".to_owned(), 1)]).await;
        assert_eq!(heard.nameless, ["name.invalid"]);
        assert!(heard.v4.asked.is_empty() && heard.v4.seen.is_empty());
    }
}
