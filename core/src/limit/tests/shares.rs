//! Shares: against a plain model, and against somebody who takes all that can be had.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::limit::{Full, Level, Network, Networks, Pool, Prefix, Shares};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn networks(texts: &[&str]) -> Networks {
    texts
        .iter()
        .map(|it| it.parse::<Network>().unwrap())
        .collect()
}

/// How many one after the other are granted.
fn fill(shares: &mut Shares, addresses: impl Iterator<Item = IpAddr>) -> usize {
    addresses.filter(|it| shares.take(*it, 1).is_ok()).count()
}

#[test]
fn an_address_belongs_to_a_host_and_to_networks() {
    let prefixes = |text: &str| Prefix::of(ip(text)).collect::<Vec<_>>();
    let shared = |a: &str, b: &str| {
        let (a, b) = (prefixes(a), prefixes(b));
        let levels = a
            .iter()
            .filter(|it| b.contains(it))
            .map(|(level, _)| *level);
        levels.collect::<Vec<_>>()
    };
    let all = Level::ALL.to_vec();
    let v4 = vec![Level::Host, Level::Network];
    for (a, b, expected) in [
        ("192.0.2.1", "::ffff:192.0.2.1", v4),
        ("192.0.2.1", "192.0.2.2", vec![Level::Network]),
        ("192.0.2.1", "192.0.3.1", vec![]),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", all),
        (
            "2001:db8:1:2::1",
            "2001:db8:1:3::1",
            vec![Level::Site, Level::Network],
        ),
        ("2001:db8:1:2::1", "2001:db8:1:102::1", vec![Level::Network]),
        ("2001:db8:1:2::1", "2001:db8:2:2::1", vec![]),
        ("0.0.0.0", "::", vec![]),
    ] {
        assert_eq!(shared(a, b), expected, "{a} {b}");
    }
}

#[test]
fn networks_are_read_as_operators_write_them() {
    let listed = networks(&[
        "10.0.0.0/8",
        "192.0.2.7",
        "2001:db8::/32",
        "::ffff:172.16.0.0/108",
    ]);
    for (address, expected) in [
        ("10.255.0.1", true),
        ("::ffff:10.255.0.1", true),
        ("11.0.0.1", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8:ffff::1", true),
        ("2001:db9::1", false),
        ("172.31.0.1", true),
        ("172.32.0.1", false),
    ] {
        assert_eq!(listed.contains(ip(address)), expected, "{address}");
    }
    for junk in [
        "",
        "10.0.0.0/33",
        "010.0.0.0/8",
        "10.0.0.0/",
        "10.0.0/8",
        "localhost",
        "1.2.3.4:5",
        "10.0.0.0/-1",
    ] {
        assert!(junk.parse::<Network>().is_err(), "{junk}");
    }
}

#[test]
fn a_host_that_takes_all_it_gets_leaves_room_for_its_neighbours_and_for_others() {
    let mut shares = Shares::new(1_000, Networks::default());
    let host = ip("192.0.2.2");
    assert_eq!(fill(&mut shares, std::iter::repeat_n(host, 1_000)), 500);
    assert_eq!(shares.take(host, 1), Err(Full::Share));
    // The host counts against its network with its share of 31, so 31 of 62 are left.
    let neighbours = (3..=254).map(|last| IpAddr::from([192, 0, 2, last]));
    assert_eq!(fill(&mut shares, neighbours), 31);
    assert_eq!(
        fill(&mut shares, std::iter::repeat_n(ip("192.0.3.1"), 99)),
        31
    );
    assert_eq!(shares.take(ip("2001:db8::1"), 1), Ok(()));
    // Who lets go may come again once less than half is used.
    for _ in 0..500 {
        shares.give_back(host, 1);
    }
    assert_eq!(shares.take(host, 1), Ok(()));
}

#[test]
fn one_network_of_ipv6_at_full_effort_takes_half_and_a_sixteenth() {
    let mut shares = Shares::new(1_600, Networks::default());
    let bits = u128::from_be_bytes(match ip("2001:db8:7::") {
        IpAddr::V6(v6) => v6.octets(),
        IpAddr::V4(_) => unreachable!(),
    });
    let hosts = (0..65_536u128).map(|at| IpAddr::V6((bits | at << 64).into()));
    let taken = fill(&mut shares, hosts);
    assert!(taken <= 800 + 100, "{taken}");
    for other in ["2001:db8:8::1", "192.0.2.1", "198.51.100.1"] {
        assert_eq!(
            fill(&mut shares, std::iter::repeat_n(ip(other), 40)),
            40,
            "{other}"
        );
    }
}

#[test]
fn the_smallest_caps_leave_a_place_for_another_host_and_another_network() {
    let mut shares = Shares::new(4, Networks::default());
    assert_eq!(
        fill(&mut shares, std::iter::repeat_n(ip("127.0.0.2"), 9)),
        2
    );
    assert_eq!(shares.take(ip("127.0.0.1"), 1), Ok(()));
    assert_eq!(shares.take(ip("127.0.0.3"), 1), Err(Full::Share));
    assert_eq!(shares.take(ip("127.0.1.1"), 1), Ok(()));
    assert_eq!(shares.take(ip("198.51.100.1"), 1), Err(Full::Cap));
}

#[test]
fn unmetered_networks_are_bounded_by_the_cap_alone() {
    let mut shares = Shares::new(100, networks(&["192.0.2.0/24"]));
    let inside = std::iter::repeat_n(ip("192.0.2.1"), 200);
    assert_eq!(fill(&mut shares, inside), 100);
    assert_eq!(shares.prefixes(), 0);
}

#[test]
fn a_place_is_given_back_when_it_is_dropped() {
    let pool = Pool::new(2, &Networks::default());
    let one = pool.take(ip("192.0.2.1"), 1).unwrap();
    assert_eq!(pool.take(ip("192.0.2.1"), 2).unwrap_err(), Full::Cap);
    assert_eq!((one.count(), pool.used()), (1, 1));
    drop(one);
    assert_eq!(pool.used(), 0);
}

/// Few hosts in few networks, so that they meet.
fn some_address() -> impl Strategy<Value = IpAddr> {
    let v4 = (0u8..3, 0u8..3).prop_map(|(net, host)| IpAddr::from([198, 51, net, host]));
    let v6 = (0u16..2, 0u16..2, 0u16..3).prop_map(|(net, site, host)| {
        IpAddr::from([0x2001, 0xdb8, net, site << 8 | host, 0, 0, 0, 1])
    });
    prop_oneof![v4, v6]
}

/// What counts against a prefix: the sum over the prefixes right below it, each up to its share.
fn charge(held: &[(IpAddr, u64)], shares: &Shares, address: IpAddr, level: Level) -> u64 {
    let at = |address: IpAddr, level: Level| {
        Prefix::of(address)
            .find(|(at, _)| *at == level)
            .map(|(_, it)| it)
    };
    let Some(prefix) = at(address, level) else {
        return 0;
    };
    let below = match level {
        Level::Host => {
            let mine = held.iter().filter(|(it, _)| at(*it, level) == Some(prefix));
            return mine.map(|(_, count)| count).sum();
        }
        Level::Site => Level::Host,
        Level::Network if address.is_ipv4() => Level::Host,
        Level::Network => Level::Site,
    };
    let mut seen = Vec::new();
    let mut sum = 0;
    for (other, _) in held {
        let child = at(*other, below);
        if at(*other, level) == Some(prefix) && !seen.contains(&child) {
            seen.push(child);
            sum += charge(held, shares, *other, below).min(shares.share(below));
        }
    }
    sum
}

proptest! {
    #[test]
    fn shares_do_what_a_plain_model_does(
        cap in 1u64..80,
        steps in prop::collection::vec((some_address(), 1u64..5, any::<bool>()), 1..150),
    ) {
        let mut shares = Shares::new(cap, Networks::default());
        let mut held: Vec<(IpAddr, u64)> = Vec::new();
        for (address, count, give_back) in steps {
            if give_back {
                if let Some(at) = held.iter().position(|(it, _)| *it == address) {
                    let (address, count) = held.swap_remove(at);
                    shares.give_back(address, count);
                }
                continue;
            }
            let used: u64 = held.iter().map(|(_, count)| count).sum();
            let over = |(level, _)| {
                charge(&held, &shares, address, level) + count > shares.share(level)
            };
            let expected = if used + count > cap {
                Err(Full::Cap)
            } else if used + count > cap / 2 && Prefix::of(address).any(over) {
                Err(Full::Share)
            } else {
                Ok(())
            };
            prop_assert_eq!(shares.take(address, count), expected);
            if expected.is_ok() {
                held.push((address, count));
            }
            let used: u64 = held.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(shares.used(), used);
            prop_assert!(used <= cap);
            prop_assert!(shares.prefixes() <= 3 * held.len());
        }
        for (address, count) in held {
            shares.give_back(address, count);
        }
        prop_assert_eq!((shares.used(), shares.prefixes()), (0, 0));
    }

    #[test]
    fn a_newcomer_from_elsewhere_always_gets_a_place(
        cap in 8u64..500,
        takes in prop::collection::vec((0u16..4, 0u16..4, any::<bool>()), 1..600),
    ) {
        // One network of IPv6, however it divides its efforts among sites and hosts, and lets go in between.
        let mut shares = Shares::new(cap, Networks::default());
        let mut held = Vec::new();
        for (site, host, let_go) in takes {
            let address = IpAddr::from([0x2001, 0xdb8, 7, site << 8 | host, 0, 0, 0, 1]);
            if let_go && let Some(address) = held.pop() {
                shares.give_back(address, 1);
            } else if shares.take(address, 1).is_ok() {
                held.push(address);
            }
            prop_assert_eq!(shares.clone().take(ip("2001:db8:8::1"), 1), Ok(()));
            prop_assert_eq!(shares.clone().take(ip("192.0.2.1"), 1), Ok(()));
        }
    }
}
