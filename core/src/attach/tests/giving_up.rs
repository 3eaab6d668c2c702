//! For how long a leg is sought.

use super::*;

#[test]
fn the_embedder_says_when_to_give_up() {
    let config = Config {
        patience: 60 * SECOND,
        ..Config::default()
    };
    for (config, gives_up) in [(config, true), (Config::default(), false)] {
        let mut leg = Leg::new(config);
        let id = leg.attach();
        leg.ended(id, Ended::Closed(4010));
        let mut ended = None;
        for _ in 0..100 {
            leg.pause();
            ended = ended.or(end(&leg.refused(false, None)));
            if ended.is_some() {
                break;
            }
        }
        assert_eq!(ended, gives_up.then_some(End::Refused));
    }
}

#[test]
fn the_first_attempt_is_repeated_for_half_a_minute() {
    for (patience, at_least) in [
        (Duration::MAX, FIRST),
        (300 * SECOND, FIRST),
        (12 * SECOND, 12 * SECOND),
    ] {
        let mut leg = Leg::new(Config {
            patience,
            ..Config::default()
        });
        let began = leg.now;
        assert_eq!(end(&leg.refused(false, None)), None);
        leg.pause();
        let id = connecting(&leg.opened());
        leg.connected(id);
        leg.said(id);
        // The relay is full.
        assert_eq!(end(&leg.ended(id, Ended::Closed(4016))), None);
        let ended = loop {
            let refused = end(&leg.refused(false, None));
            if let Some(ended) = refused.or_else(|| end(&leg.after(SECOND))) {
                break ended;
            }
        };
        assert!(matches!(ended, End::Refused | End::NoLeg(_)), "{ended:?}");
        let took = leg.now - began;
        assert!(
            took >= at_least && took < at_least + 2 * PAUSE_AT_MOST,
            "{took:?}"
        );
    }
    // What would fail the same way again is not repeated.
    assert_eq!(end(&Leg::ws().refused(true, None)), Some(End::Refused));
}

#[test]
fn control_that_asks_to_wait_longer_than_the_patience_lasts_is_not_waited_for() {
    let patience = 60 * SECOND;
    let config = Config {
        patience,
        ..Config::default()
    };
    for (wait, ended) in [(29, None), (31, Some(End::Refused))] {
        let mut leg = Leg::new(Config::default());
        let told = leg.refused(false, Some(wait * SECOND));
        assert_eq!(end(&told), ended, "the first leg, {wait} s");
    }
    for (wait, ended) in [(31, None), (61, Some(End::Refused))] {
        let mut leg = Leg::new(config);
        let id = leg.attach();
        leg.ended(id, BROKEN);
        leg.pause();
        let told = leg.refused(false, Some(wait * SECOND));
        assert_eq!(end(&told), ended, "another leg, {wait} s");
    }
}

/// A leg that answers every Ping, and is cut by a proxy once it has been idle for nine seconds.
#[test]
fn a_leg_that_a_proxy_cuts_is_followed_by_one_that_pings_more_often() {
    let (mut leg, id) = Leg::up();
    leg.hear(id, Kind::Pong(v1::Pong { nonce: 1 }));
    leg.after(9 * SECOND);
    leg.ended(id, BROKEN);
    leg.pause();
    let id = leg.attach();
    leg.hear(id, Kind::Pong(v1::Pong { nonce: 1 }));
    leg.after(5 * SECOND);
    let said = leg.said(id);
    assert!(
        matches!(said[..], [Kind::Ping(_)]),
        "the proxy cuts it again: {said:?}"
    );
    // What was not answered says nothing about proxies.
    leg.after(3 * SECOND);
    leg.ended(id, BROKEN);
    assert_eq!(leg.attach.ping_within, 9 * SECOND / 2);
}
