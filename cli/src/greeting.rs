//! What `serve` says once it is ready: where people of this machine and of others find it.

use std::net::{IpAddr, SocketAddr};

use crate::reach;

/// Where a server is.
pub(crate) struct Place<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) quic: bool,
    /// What `--public-url` says.
    pub(crate) public: Option<&'a str>,
    /// For a relay alone: its name, and where control is.
    pub(crate) relay: Option<(&'a str, &'a str)>,
}

/// The lines of the greeting; `others` are addresses of this machine in its networks.
pub(crate) fn lines(place: &Place<'_>, others: &[IpAddr]) -> Vec<String> {
    let scheme = if place.tls { "https" } else { "http" };
    let (ip, port) = (place.address.ip(), place.address.port());
    let url = |host: &str| format!("{scheme}://{host}:{port}");
    let here = match ip.is_unspecified() {
        true => url("localhost"),
        false => url(&reach::host(ip)),
    };
    let udp = if place.quic { " and UDP (QUIC)" } else { "" };
    let mut lines = vec![
        format!("PeerSox is ready at {here} on TCP{udp}."),
        String::new(),
    ];
    let others: Vec<String> = match place.public {
        Some(public) => vec![public.trim_end_matches('/').to_owned()],
        None if ip.is_loopback() || place.tls && ip.is_unspecified() => Vec::new(),
        // An IPv4 socket does not answer for IPv6.
        None if ip.is_unspecified() => others
            .iter()
            .filter(|other| ip.is_ipv6() || other.is_ipv4())
            .map(|&other| url(&reach::host(other)))
            .collect(),
        None => vec![here.clone()],
    };
    if let Some((name, control)) = place.relay {
        let public = others.first().unwrap_or(&here);
        lines.extend([
            format!("  relay:    {name}, which peers reach at {public}"),
            format!("  control:  {control}"),
            "  people:   call control, not this relay".to_owned(),
        ]);
        return lines;
    }
    let server = others.first().unwrap_or(&here);
    lines.extend([
        format!("  send:     peersox send --server {server} FILE"),
        format!("  receive:  peersox receive --server {server} CODE"),
        format!("  browser:  {server}/"),
    ]);
    lines.extend(
        others
            .iter()
            .skip(1)
            .map(|other| format!("  or:       {other}")),
    );
    if others.is_empty() {
        lines.push(String::new());
        lines.push(match (ip.is_loopback(), place.tls) {
            (true, _) => format!(
                "It listens for this machine only; `--listen [::]:{port}` lets other devices reach it."
            ),
            (false, true) => format!(
                "Other devices call it by a name of its certificate: https://NAME:{port}"
            ),
            (false, false) => "This machine is in no network at present.".to_owned(),
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(address: &str, tls: bool, public: Option<&str>) -> String {
        let place = Place {
            address: address.parse().unwrap(),
            tls,
            quic: true,
            public,
            relay: None,
        };
        let others = ["192.168.0.7", "2001:db8::5"].map(|it| it.parse().unwrap());
        lines(&place, &others).join("\n")
    }

    #[test]
    fn a_relay_sends_nobody_to_itself() {
        let place = Place {
            address: "[::]:3000".parse().unwrap(),
            tls: false,
            quic: true,
            public: Some("https://r1.example"),
            relay: Some(("r1", "http://control:3000")),
        };
        let said = lines(&place, &[]).join("\n");
        for part in [
            "r1, which peers reach at https://r1.example",
            "http://control:3000",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("--server"), "{said}");
    }

    #[test]
    fn what_is_shown_for_other_devices_works_there() {
        let all = greeting("[::]:3000", false, None);
        for part in [
            "ready at http://localhost:3000 on TCP and UDP",
            "peersox send --server http://192.168.0.7:3000 FILE",
            "browser:  http://192.168.0.7:3000/",
            "or:       http://[2001:db8::5]:3000",
        ] {
            assert!(all.contains(part), "{part:?} is missing in\n{all}");
        }
        let four = greeting("0.0.0.0:3000", false, None);
        assert!(!four.contains("2001"), "{four}");
        let here = greeting("127.0.0.1:3000", false, None);
        assert!(here.contains("this machine only"), "{here}");
        assert!(!here.contains("192.168"), "{here}");
        let one = greeting("[2001:db8::5]:3000", false, None);
        assert!(
            one.contains("--server http://[2001:db8::5]:3000 FILE"),
            "{one}"
        );
        let named = greeting("0.0.0.0:3000", true, None);
        assert!(named.contains("https://NAME:3000"), "{named}");
        let public = greeting("127.0.0.1:3000", false, Some("https://p.example/x/"));
        assert!(
            public.contains("--server https://p.example/x CODE"),
            "{public}"
        );
        assert!(!public.contains("this machine only"), "{public}");
    }
}
