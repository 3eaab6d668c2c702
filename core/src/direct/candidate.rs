//! Where the other side may be sought.

use std::net::{IpAddr, SocketAddr};

/// Whether datagrams may be sent to an address that the other side names. They go to one device at most, and
/// to none that only this network card knows: not to an address that is unspecified, multicast, broadcast,
/// link-local or of IPv4 mapped to IPv6, and not to port 0.
#[must_use]
pub fn may_be_sought(at: SocketAddr) -> bool {
    let ip = at.ip();
    let is_one = match ip {
        IpAddr::V4(ip) => !ip.is_broadcast(),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_none(),
    };
    is_one && at.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_link_local(ip)
}

/// Whether an address means something on one network card only.
#[must_use]
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_names_one_device() {
        let sought = |at: &str| may_be_sought(at.parse().unwrap());
        for one in [
            "192.0.2.1:9",
            "[2001:db8::1]:9",
            "127.0.0.1:9",
            "[::1]:9",
            "10.0.0.255:9",
        ] {
            assert!(sought(one), "{one}");
        }
        for none in [
            "224.0.0.251:5353",
            "255.255.255.255:9",
            "0.0.0.0:9",
            "192.0.2.1:0",
            // Where clouds tell a machine its secrets.
            "169.254.169.254:80",
            "[ff02::1]:9",
            "[::]:9",
            "[fe80::1]:9",
            "[::ffff:192.0.2.1]:9",
        ] {
            assert!(!sought(none), "{none}");
        }
    }
}
