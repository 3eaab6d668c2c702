//! Rows of networks, and what holds for all of them.

use proptest::prelude::*;

use super::*;

const HOME: &str = "192.168.1.7";
const OUTSIDE: &str = "203.0.113.9";
const PORT: u16 = 4_000;

/// A device with one private and one public address, seen so by servers of these numbers.
fn family(seen: &[(u8, &str)]) -> Family {
    let seen = seen.iter().map(|(server, at)| Seen {
        by: SocketAddr::from(([198, 51, 100, *server], 3_478)),
        at: at.parse().unwrap(),
        round_trip: Duration::from_millis(20),
    });
    let seen: Vec<_> = seen.collect();
    Family {
        own: vec![HOME.parse().unwrap(), "198.18.0.1".parse().unwrap()],
        port: PORT,
        asked: seen.iter().map(|it| it.by).collect(),
        seen,
    }
}

#[test]
fn a_mapping_follows_from_what_two_servers_see() {
    let is = |seen: &[(u8, &str)], mapping, nat| {
        let family = family(seen);
        assert_eq!(family.mapping(), mapping, "{seen:?}");
        assert_eq!(family.has_nat(), nat, "{seen:?}");
    };
    is(&[], Mapping::Unseen, None);
    is(&[(1, "198.18.0.1:4000")], Mapping::Own, Some(false));
    is(&[(1, "203.0.113.9:4000")], Mapping::Unknown, Some(true));
    let same = [(1, "203.0.113.9:5000"), (2, "203.0.113.9:5000")];
    is(&same, Mapping::Independent, Some(true));
    let other_port = [(1, "203.0.113.9:5000"), (2, "203.0.113.9:5001")];
    is(&other_port, Mapping::Symmetric, Some(true));
    let other_address = [(1, "203.0.113.9:5000"), (2, "203.0.113.8:5000")];
    is(&other_address, Mapping::Symmetric, Some(true));
    // An own address with another port was changed on its way.
    is(&[(1, "198.18.0.1:4001")], Mapping::Unknown, Some(true));
    let twice = [(1, "203.0.113.9:5000"), (1, "203.0.113.9:5000")];
    is(&twice, Mapping::Unknown, Some(true));
}

#[test]
fn a_server_on_this_side_of_the_nat_tells_nothing_of_it() {
    for inside in ["192.168.1.7:4000", "127.0.0.1:4000"] {
        let family = family(&[(1, inside)]);
        assert_eq!(family.mapping(), Mapping::Inside, "{inside}");
        assert_eq!(family.has_nat(), Some(false), "{inside}");
    }
    for behind in ["10.0.0.3:4000", "100.64.0.3:9", "169.254.1.1:4000"] {
        let family = family(&[(1, behind)]);
        assert_eq!(family.mapping(), Mapping::Inside, "{behind}");
        assert_eq!(family.has_nat(), Some(true), "{behind}");
    }
    let and_one_beyond = family(&[(1, "192.168.1.7:4000"), (2, "203.0.113.9:5000")]);
    assert_eq!(and_one_beyond.mapping(), Mapping::Unknown);
    assert_eq!(and_one_beyond.has_nat(), Some(true));
    for (address, inside) in [
        ("100.63.255.255", false),
        ("100.64.0.0", true),
        ("100.127.255.255", true),
        ("100.128.0.0", false),
        ("fd00::1", true),
        ("fe80::1", true),
        ("::1", true),
        ("2001:db8::1", false),
    ] {
        assert_eq!(is_inside(address.parse().unwrap()), inside, "{address}");
    }
}

#[test]
fn a_verdict_takes_the_better_version_of_ip() {
    let unseen = family(&[]);
    let own = family(&[(1, "198.18.0.1:4000")]);
    let unknown = family(&[(1, "203.0.113.9:5000")]);
    let independent = family(&[(1, "203.0.113.9:5000"), (2, "203.0.113.9:5000")]);
    let symmetric = family(&[(1, "203.0.113.9:5000"), (2, "203.0.113.9:5001")]);
    let inside = family(&[(1, "192.168.1.7:4000")]);
    for (v4, v6, expected) in [
        (&own, &unseen, Verdict::Most),
        (&independent, &symmetric, Verdict::Most),
        (&symmetric, &unseen, Verdict::Open),
        (&symmetric, &inside, Verdict::Open),
        (&symmetric, &own, Verdict::Ipv6OrOpen),
        (&unknown, &unseen, Verdict::Unknown),
        (&unknown, &own, Verdict::Unknown),
        (&unseen, &own, Verdict::Ipv6),
        (&inside, &own, Verdict::Ipv6),
        (&unseen, &symmetric, Verdict::Open),
        (&unseen, &unknown, Verdict::Unknown),
        (&inside, &unseen, Verdict::Inside),
        (&unseen, &inside, Verdict::Inside),
    ] {
        for quic in [false, true] {
            assert_eq!(judge(v4, v6, quic), expected, "{v4:?}, {v6:?}");
        }
    }
}

#[test]
fn udp_is_blocked_only_if_somebody_was_asked_and_nothing_came_back() {
    let nobody = family(&[]);
    let asked = Family {
        asked: vec!["198.51.100.1:3478".parse().unwrap()],
        ..family(&[])
    };
    for (v4, v6, quic, expected) in [
        (&asked, &nobody, false, Verdict::Blocked),
        (&nobody, &asked, false, Verdict::Blocked),
        (&nobody, &nobody, false, Verdict::Unseen),
        (&nobody, &nobody, true, Verdict::Unseen),
        (&asked, &asked, true, Verdict::Unseen),
    ] {
        assert_eq!(judge(v4, v6, quic), expected, "{v4:?}, {v6:?}, {quic:?}");
    }
}

proptest! {
    /// The order of answers does not matter, nor that one comes twice; one more server that sees the same
    /// never makes a network worse; and one that sees another address makes it symmetric.
    #[test]
    fn what_answers_say_does_not_depend_on_their_order(
        ports in proptest::collection::vec(5_000u16..5_003, 1..6), turn in 0usize..6,
    ) {
        let texts: Vec<_> = ports.iter().map(|port| format!("{OUTSIDE}:{port}")).collect();
        let rows: Vec<_> = (1..).zip(texts.iter().map(String::as_str)).collect();
        let before = family(&rows);
        let mapping = before.mapping();
        let alike = ports.iter().all(|port| *port == ports[0]);
        let expected = match (alike, ports.len()) {
            (false, _) => Mapping::Symmetric,
            (true, 1) => Mapping::Unknown,
            (true, _) => Mapping::Independent,
        };
        prop_assert_eq!(mapping, expected);

        let mut turned = before.clone();
        turned.seen.rotate_left(turn % ports.len());
        prop_assert_eq!(turned.mapping(), mapping);
        let mut doubled = before.clone();
        doubled.seen.push(before.seen[turn % ports.len()]);
        prop_assert_eq!(doubled.mapping(), mapping);

        let mut more = before.clone();
        more.seen.push(Seen { by: "192.0.2.1:1".parse().unwrap(), ..before.seen[0] });
        let same = if alike { Mapping::Independent } else { Mapping::Symmetric };
        prop_assert_eq!(more.mapping(), same);
        more.seen.push(Seen { at: "203.0.113.200:1".parse().unwrap(), ..before.seen[0] });
        prop_assert_eq!(more.mapping(), Mapping::Symmetric);
        let other = family(&[]);
        prop_assert_eq!(judge(&more, &other, true), Verdict::Open);
    }
}
