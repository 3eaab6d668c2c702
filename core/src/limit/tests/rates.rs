//! Rates: what a host, a network and all together are granted.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use crate::limit::{Level, Limit, Networks, Prefix, Rates, Tiers};
use crate::time::Moment;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: f64) -> Moment {
    Moment::from_origin(Duration::from_secs_f64(seconds))
}

/// As failed joins are limited: 20 an hour for a host, 50 a second for all.
fn failed_joins() -> Rates {
    let joint = Limit::per(50, Duration::from_secs(1));
    Rates::new(Tiers::of(Limit::per(20, HOUR)), 65_536, Networks::default())
        .with_joint(joint, at(0.0))
}

fn host_of(network: u16, at: u16) -> IpAddr {
    IpAddr::from([0x2001, 0xdb8, network, at, 0, 0, 0, 1])
}

#[test]
fn a_network_at_full_effort_does_not_keep_others_from_joining() {
    let mut rates = failed_joins();
    let (mut granted, mut refused) = (0, 0);
    // Ten minutes of a loop over all 65,536 hosts of a /48, a thousand tries a second.
    for millis in 0..600_000u32 {
        let now = at(f64::from(millis) / 1000.0);
        let attacker = host_of(7, u16::try_from(millis % 65_536).unwrap());
        match rates.take(attacker, 1, now) {
            Ok(_) => granted += 1,
            Err(_) => refused += 1,
        }
        if millis % 1_000 == 999 {
            let person = rates.take(IpAddr::from([192, 0, 2, 1]), 1, now);
            rates.give_back(
                IpAddr::from([192, 0, 2, 1]),
                person.expect("a person joins"),
            );
        }
    }
    // 320 at once and 320 an hour.
    assert!((320..=380).contains(&granted), "{granted} of {refused}");
    assert!(rates.prefixes() < 700, "{}", rates.prefixes());
}

#[test]
fn who_has_no_failures_is_served_from_the_reserved_half() {
    let mut rates = failed_joins();
    let now = at(1.0);
    // Two hundred hosts, each in a network of its own, have failed before, and fail again all at once.
    for network in 0..200 {
        let before = at(1.0 - 1.0 / 4.0 * f64::from(network) / 200.0);
        let _ = rates.take(host_of(network, 0), 1, before);
    }
    let again = (0..200).filter(|network| rates.take(host_of(*network, 1), 1, now).is_ok());
    assert!(again.count() <= 25);
    let clean = rates.take(IpAddr::from([192, 0, 2, 1]), 1, at(1.2));
    assert!(clean.is_ok(), "{clean:?}");
}

#[test]
fn what_is_given_back_was_never_taken() {
    let mut rates = failed_joins();
    let person = IpAddr::from([192, 0, 2, 1]);
    for _ in 0..1_000 {
        let paid = rates.take(person, 1, at(0.0)).unwrap();
        rates.give_back(person, paid);
    }
    let granted = (0..1_000).filter(|_| rates.take(person, 1, at(0.0)).is_ok());
    assert_eq!(granted.count(), 20);
    // A refusal takes nothing from the wider prefixes.
    let neighbour = IpAddr::from([192, 0, 2, 2]);
    let granted = (0..1_000).filter(|_| rates.take(neighbour, 1, at(10.0)).is_ok());
    assert_eq!(granted.count(), 20);
}

#[test]
fn a_debt_of_a_host_is_a_debt_of_its_network_too() {
    let tiers = Tiers::of(Limit::per(10, Duration::from_secs(1)));
    let mut rates = Rates::new(tiers, 8, Networks::default());
    assert_eq!(rates.spend(host_of(1, 0), 10, at(0.0)), Duration::ZERO);
    assert_eq!(
        rates.spend(host_of(1, 0), 10, at(0.0)),
        Duration::from_secs(1)
    );
    assert_eq!(
        rates.spend(host_of(1, 1), 40, at(0.0)),
        Duration::from_secs(3)
    );
    assert_eq!(rates.spend(host_of(2, 0), 1, at(0.0)), Duration::ZERO);
}

proptest! {
    #[test]
    fn no_prefix_and_not_all_together_are_granted_more_than_their_budgets(
        steps in prop::collection::vec((0u64..3_000, 0u16..3, 0u16..3, 0u16..3), 1..400),
    ) {
        let host = Limit::per(3, Duration::from_secs(20));
        let tiers = Tiers { host, site: host.times(2), network: host.times(3) };
        let all = Limit::per(6, Duration::from_secs(20));
        let mut rates = Rates::new(tiers, 64, Networks::default()).with_joint(all, at(0.0));
        let (mut now, mut granted) = (at(0.0), std::collections::BTreeMap::new());
        let mut total = 0;
        for (pause, network, site, host) in steps {
            now = now + Duration::from_millis(pause);
            let address = host_of(network, site << 8 | host);
            if rates.take(address, 1, now).is_ok() {
                total += 1;
                for (level, prefix) in Prefix::of(address) {
                    *granted.entry((level, prefix)).or_insert(0u32) += 1;
                }
            }
        }
        let most = |limit: Limit| {
            limit.capacity as f64 + limit.per_second * now.since_origin().as_secs_f64() + 0.01
        };
        for ((level, prefix), count) in granted {
            let limit = match level {
                Level::Host => tiers.host,
                Level::Site => tiers.site,
                Level::Network => tiers.network,
            };
            prop_assert!(f64::from(count) <= most(limit), "{:?} {:?}", level, prefix);
        }
        prop_assert!(f64::from(total) <= most(all));
    }
}
