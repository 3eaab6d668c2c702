//! Under which address other devices reach this machine: `localhost` means another machine on each of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use peersox_client::{Server, Trust};

/// Addresses of this machine in its networks: the one that leads to the internet first, then IPv4. Neither
/// loopback nor link-local ones, which need the name of an interface.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let up = interfaces.iter().filter(|it| it.is_oper_up());
    sorted(up.map(if_addrs::Interface::ip), main_address())
}

fn sorted(all: impl Iterator<Item = IpAddr>, main: Option<IpAddr>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = all.filter(is_of_a_network).collect();
    found.sort_by_key(|&ip| (Some(ip) != main, ip.is_ipv6(), ip));
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    found
}

fn is_of_a_network(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

/// The address that packets to the internet leave from. Nothing is sent: to connect a UDP socket only chooses
/// a route.
fn main_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address of documentation (RFC 5737), which no network owns.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// `host` and `host:port` of a URL with this address in it.
pub(crate) fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// How another device reaches a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By this address.
    By(String),
    /// Not at all: the server listens for this machine only.
    ThisMachineOnly(String),
}

impl Reach {
    /// Looks whether a server that was named by a local address answers at another address of this machine,
    /// too.
    pub(crate) async fn of(server: &Server, trust: &Trust) -> Self {
        let url = server.url().trim_end_matches('/');
        let Some((before, after)) = around_local_host(url) else {
            return Self::By(url.to_owned());
        };
        for ip in addresses() {
            let other = format!("{before}{}{after}", host(ip));
            let connecting = Server::connect(&other, trust.clone());
            if matches!(tokio::time::timeout(PATIENCE, connecting).await, Ok(Ok(_))) {
                return Self::By(other);
            }
        }
        Self::ThisMachineOnly(url.to_owned())
    }

    /// The server's address, for the other device if it can reach it.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::By(url) | Self::ThisMachineOnly(url) => url,
        }
    }
}

/// What stands before and after a host that means this machine; `None` for other hosts.
fn around_local_host(url: &str) -> Option<(&str, &str)> {
    let start = url.find("://")? + 3;
    let rest = &url[start..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let end = match authority.starts_with('[') {
        true => authority.find(']')? + 1,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let host = &authority[..end];
    is_local(host).then(|| (&url[..start], &url[start + end..]))
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_unspecified(),
        Ok(IpAddr::V6(v6)) => v6 == Ipv6Addr::LOCALHOST || v6.is_unspecified(),
        Err(_) => {
            let name = host.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// More addresses than these help nobody: machines with containers have dozens.
const MAX_ADDRESSES: usize = 4;

/// How long an address of this machine may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_mean_this_machine_are_found_in_urls() {
        for (url, around) in [
            ("http://localhost:3000", Some(("http://", ":3000"))),
            ("https://LOCALHOST", Some(("https://", ""))),
            ("http://127.0.0.1:1/x/y", Some(("http://", ":1/x/y"))),
            ("http://[::1]:3000/", Some(("http://", ":3000/"))),
            ("http://0.0.0.0", Some(("http://", ""))),
            ("http://p.example:3000", None),
            ("http://localhost.example", None),
            ("http://192.168.0.2/localhost", None),
            ("http://[2001:db8::1]:3000", None),
            ("localhost", None),
        ] {
            assert_eq!(around_local_host(url), around, "{url}");
        }
    }

    #[test]
    fn the_address_of_the_main_route_comes_first_and_none_that_others_cannot_use() {
        let all = [
            "::1",
            "fe80::1",
            "2001:db8::5",
            "127.0.0.1",
            "172.17.0.1",
            "192.168.0.7",
        ];
        let all = all.map(|it| it.parse::<IpAddr>().unwrap());
        let main = Some(all[5]);
        let found = sorted(all.into_iter().chain([all[5]]), main);
        assert_eq!(found, [all[5], all[4], all[2]]);
        assert_eq!(host(all[2]), "[2001:db8::5]");
    }
}
