//! For how long a leg is sought.

use super::*;

impl Leg {
    fn unconfirmed(&mut self, retry_after: Option<Duration>) -> Vec<Action> {
        self.attach
            .unconfirmed(retry_after, self.now, &mut self.dice);
        self.take()
    }
}

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

/// A person answers there, and nobody knows how soon. Control keeps each call for a while.
#[test]
fn a_peer_that_has_to_be_let_in_waits_longer_and_not_for_ever() {
    for (patience, at_least) in [
        (Duration::MAX, UNCONFIRMED),
        (300 * SECOND, UNCONFIRMED),
        (50 * SECOND, 50 * SECOND),
    ] {
        let mut leg = Leg::new(Config {
            patience,
            ..Config::default()
        });
        let began = leg.now;
        assert!(asks(&leg.take()));
        let mut asked = 0;
        let ended = loop {
            let told = leg.unconfirmed(Some(SECOND / 2));
            if let Some(ended) = end(&told) {
                break ended;
            }
            assert_eq!(told, [], "it is no failure");
            assert!(leg.pause() <= SECOND, "the yes is heard at once");
            asked += 1;
            leg.now = leg.now + 8 * SECOND;
        };
        assert_eq!(ended, End::Refused);
        let took = leg.now - began;
        assert!(
            took + SECOND >= at_least && took < at_least + 10 * SECOND,
            "{took:?}"
        );
        assert!(asked <= 19, "{asked}");
    }
}

#[test]
fn a_peer_that_is_let_in_attaches_at_once() {
    let mut leg = Leg::new(Config::default());
    assert!(asks(&leg.take()));
    assert_eq!(leg.unconfirmed(None), []);
    leg.pause();
    let id = connecting(&leg.opened());
    leg.connected(id);
    // It was in, so control that says this now is an ordinary failure.
    leg.welcome(id, 10_000);
    leg.ended(id, BROKEN);
    leg.pause();
    assert_ne!(leg.unconfirmed(None), [], "it is told");
}

#[test]
fn an_answer_that_is_late_and_says_to_wait_changes_no_attempt() {
    let mut leg = Leg::new(Config::default());
    let id = connecting(&leg.opened());
    assert_eq!(leg.unconfirmed(None), []);
    leg.connected(id);
    assert!(matches!(leg.said(id)[..], [Kind::Hello(_)]));
}
