//! Candidates that hide an address behind a name, as those of browsers do where a page may use no camera.
//!
//! The name is a UUID in `local` (draft-ietf-mmusic-mdns-ice-candidates), which the browser answers for by
//! multicast DNS (RFC 6762). The system is asked for it: macOS and Windows know how, Linux with `nss-mdns` or
//! `systemd-resolved`. Elsewhere the page is found by the checks that it sends.

use std::net::IpAddr;

use peersox_core::direct::IceCandidate;

use super::gather;

/// The name and the port of a candidate that hides an address. No other name is asked for, so that the other
/// side cannot have this one look up what it likes.
pub(super) fn hidden(candidate: &str) -> Option<(&str, u16)> {
    let mut words = candidate.split(' ').skip(ADDRESS);
    let (name, port) = (words.next()?, words.next()?.parse().ok()?);
    is_hiding(name).then_some((name, port))
}

/// The same candidate with its address, if the system knows that.
pub(super) async fn shown(mut candidate: IceCandidate) -> Option<IceCandidate> {
    let (name, port) = hidden(&candidate.candidate)?;
    let found = gather::resolve(name, port, 1).await;
    let ip = found.first()?.ip();
    candidate.candidate = with_address(&candidate.candidate, ip);
    Some(candidate)
}

fn with_address(candidate: &str, ip: IpAddr) -> String {
    let ip = ip.to_string();
    let words = candidate.split(' ').enumerate();
    let words = words.map(|(at, word)| if at == ADDRESS { &ip } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether it is 32 digits and 4 hyphens in `local`.
fn is_hiding(name: &str) -> bool {
    let Some(id) = name.strip_suffix(".local") else {
        return false;
    };
    let is_right = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    id.len() == 36 && id.bytes().enumerate().all(is_right)
}

/// Which word of a candidate is its address (RFC 8839, section 5.1).
const ADDRESS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const HIDING: &str = "candidate:1 1 udp 2113937151 \
        0b5f2a9e-7c1d-4e8f-9a3b-5d6c7e8f9a0b.local 50123 typ host generation 0 ufrag F7gI";

    #[test]
    fn a_name_that_hides_an_address_is_told_from_others() {
        let name = "0b5f2a9e-7c1d-4e8f-9a3b-5d6c7e8f9a0b.local";
        assert_eq!(hidden(HIDING), Some((name, 50_123)));
        for other in [
            "192.0.2.1",
            "fd00::1",
            "localhost",
            "printer.local",
            "0b5f2a9e-7c1d-4e8f-9a3b-5d6c7e8f9a0b.example",
            "0b5f2a9e-7c1d-4e8f-9a3b-5d6c7e8f9a0.local",
            "0b5f2a9e07c1d-4e8f-9a3b-5d6c7e8f9a0b.local",
            "0b5f2a9e-7c1d-4e8f-9a3b-5d6c7e8f9a0g.local",
            "",
        ] {
            assert_eq!(hidden(&HIDING.replace(name, other)), None, "{other}");
        }
        for short in ["", "candidate:1 1 udp 1", "candidate:1 1 udp 1 x.local"] {
            assert_eq!(hidden(short), None);
        }
        assert_eq!(hidden(&HIDING.replace("50123", "123456")), None);
    }

    #[test]
    fn its_address_takes_the_place_of_the_name() {
        for ip in ["192.0.2.1", "fd00::1"] {
            let shown = with_address(HIDING, ip.parse().unwrap());
            assert!(shown.starts_with(&format!(
                "candidate:1 1 udp 2113937151 {ip} 50123 typ host "
            )));
            let read = is::Candidate::from_sdp_string(&shown).unwrap();
            assert_eq!(
                read.addr().to_string(),
                std::net::SocketAddr::new(ip.parse().unwrap(), 50_123).to_string()
            );
        }
    }
}
