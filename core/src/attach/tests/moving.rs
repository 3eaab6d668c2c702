//! How a leg moves to another relay, and how control learns that one cannot be reached.

use super::*;

impl Leg {
    /// A leg that carries, and whose other peer is there.
    fn carrying() -> (Self, LegId) {
        let (mut leg, id) = Self::up();
        leg.hear(id, Kind::PeerOnline(v1::PeerOnline {}));
        (leg, id)
    }

    /// Is told to go elsewhere, and says Hello there.
    fn greets_elsewhere(&mut self, old: LegId) -> LegId {
        self.hear(old, draining(0));
        self.pause();
        let new = connecting(&self.opened());
        self.connected(new);
        assert!(matches!(self.said(new)[..], [Kind::Hello(_)]));
        new
    }

    fn frame(&mut self, leg: LegId) -> Option<Frame> {
        let frame = Frame::new(Lane::Reliable, b"x").into_bytes();
        self.attach
            .handle_frame(leg, frame, self.now, &mut self.dice)
    }
}

fn draining(spread_millis: u32) -> Kind {
    Kind::Draining(v1::Draining {
        grace_millis: 20_000,
        spread_millis,
    })
}

/// A leg that is hung up, and with which reason.
type HungUp = (LegId, Option<CloseReason>);

/// Which leg takes over, whether the other peer is there, and how the one before is hung up.
fn takes_over(actions: &[Action]) -> Option<(LegId, bool, Option<HungUp>)> {
    let at = actions
        .iter()
        .position(|it| matches!(it, Action::Tell(Event::Attached { .. })))?;
    let Action::Tell(Event::Attached {
        leg, peer_online, ..
    }) = actions[at]
    else {
        return None;
    };
    let hung_up = actions[at..].iter().find_map(|it| match it {
        Action::HangUp(leg, reason) => Some((*leg, *reason)),
        _ => None,
    });
    Some((leg, peer_online, hung_up))
}

#[test]
fn the_old_leg_carries_until_the_other_peer_has_moved_too() {
    let moved = Some(CloseReason::Moved);
    for by_notice in [true, false] {
        let (mut leg, old) = Leg::carrying();
        let new = leg.greets_elsewhere(old);
        assert_eq!(leg.welcome(new, 20_000), []);
        assert_eq!(leg.attach.leg(), Some(old));
        assert!(leg.frame(old).is_some());
        // Both are kept alive.
        leg.after(21 * SECOND);
        assert!(leg.said(new).iter().any(|it| matches!(it, Kind::Ping(_))));
        let told = if by_notice {
            leg.hear(new, Kind::PeerOnline(v1::PeerOnline {}))
        } else {
            assert!(leg.frame(new).is_some(), "the notice is overtaken");
            leg.take()
        };
        assert_eq!(takes_over(&told), Some((new, true, Some((old, moved)))));
        assert!(leg.frame(old).is_none());
        assert!(leg.frame(new).is_some());
    }
}

#[test]
fn who_comes_second_takes_over_at_once() {
    let (mut leg, old) = Leg::carrying();
    let new = leg.greets_elsewhere(old);
    let told = leg.hear(
        new,
        Kind::Welcome(v1::Welcome {
            peer_online: true,
            ..v1::Welcome::default()
        }),
    );
    let moved = Some(CloseReason::Moved);
    assert_eq!(takes_over(&told), Some((new, true, Some((old, moved)))));
}

/// There is nothing to wait for where the other peer is not.
#[test]
fn a_peer_that_is_alone_moves_at_once() {
    let moved = Some(CloseReason::Moved);
    let (mut leg, old) = Leg::up();
    let new = leg.greets_elsewhere(old);
    let told = leg.welcome(new, 20_000);
    assert_eq!(takes_over(&told), Some((new, false, Some((old, moved)))));
    // Or is not any more.
    let (mut leg, old) = Leg::carrying();
    let new = leg.greets_elsewhere(old);
    leg.welcome(new, 20_000);
    let told = leg.hear(
        old,
        Kind::PeerAway(v1::PeerAway {
            grace_millis: 30_000,
        }),
    );
    assert_eq!(takes_over(&told), Some((new, false, Some((old, moved)))));
}

#[test]
fn the_new_leg_takes_over_when_the_old_one_ends() {
    for ended in [BROKEN, Ended::Closed(4003), Ended::Closed(4005)] {
        let (mut leg, old) = Leg::carrying();
        let new = leg.greets_elsewhere(old);
        leg.welcome(new, 20_000);
        let told = leg.ended(old, ended);
        let (taken, peer_online, _) = takes_over(&told).unwrap();
        assert_eq!((taken, peer_online), (new, false), "{ended:?}");
        let lost = |it: &Action| matches!(it, Action::Tell(Event::Lost { .. }));
        assert!(!told.iter().any(lost), "{told:?}");
    }
    // What ends the session ends it.
    let (mut leg, old) = Leg::carrying();
    let new = leg.greets_elsewhere(old);
    leg.welcome(new, 20_000);
    let told = leg.ended(old, Ended::Closed(4001));
    assert_eq!(end(&told), Some(End::HungUp(CloseReason::PeerLeft)));
    assert!(told.contains(&Action::HangUp(new, Some(CloseReason::Done))));
}

#[test]
fn a_leg_that_is_held_and_lost_is_sought_again_while_the_old_one_carries() {
    for silent in [true, false] {
        let (mut leg, old) = Leg::carrying();
        let new = leg.greets_elsewhere(old);
        leg.welcome(new, 20_000);
        if silent {
            // The old relay answers, the new one does not.
            leg.said(new);
            while !asks(&leg.after(SECOND)) {
                leg.hear(old, Kind::Pong(v1::Pong { nonce: 0 }));
            }
        } else {
            assert_eq!(leg.ended(new, BROKEN), []);
            leg.pause();
        }
        assert_eq!(leg.attach.leg(), Some(old));
        assert!(leg.frame(old).is_some());
        let next = connecting(&leg.opened());
        assert_ne!(next, new);
        leg.connected(next);
        leg.said(next);
        leg.welcome(next, 20_000);
        let told = leg.hear(next, Kind::PeerOnline(v1::PeerOnline {}));
        assert_eq!(takes_over(&told).unwrap().0, next);
    }
}

/// What is final at the next relay is final: another program took the place there, or the other one is done.
#[test]
fn a_leg_that_is_held_may_end_everything() {
    for reason in [CloseReason::Replaced, CloseReason::PeerLeft] {
        let (mut leg, old) = Leg::carrying();
        let new = leg.greets_elsewhere(old);
        leg.welcome(new, 20_000);
        let told = leg.ended(new, Ended::Closed(reason.number()));
        assert_eq!(end(&told), Some(End::HungUp(reason)));
        assert!(told.contains(&Action::HangUp(old, Some(CloseReason::Done))));
    }
}

/// The next relay stops as well, before the other peer came there.
#[test]
fn a_leg_that_is_held_is_drained_too() {
    let (mut leg, old) = Leg::carrying();
    let new = leg.greets_elsewhere(old);
    leg.welcome(new, 20_000);
    let told = leg.hear(new, draining(0));
    assert_eq!(told, [Action::HangUp(new, Some(CloseReason::Moved))]);
    leg.pause();
    assert_eq!(leg.attach.leg(), Some(old));
}

#[test]
fn peers_of_a_relay_that_stops_spread_over_the_time_it_names() {
    let mut pauses = Vec::new();
    for seed in 0..100 {
        let (mut leg, old) = Leg::carrying();
        leg.dice = Dice::new(seed);
        leg.hear(old, draining(10_000));
        pauses.push(leg.pause());
    }
    pauses.sort();
    assert!(pauses[99] <= 10 * SECOND);
    assert!(pauses[25] > SECOND && pauses[75] > 6 * SECOND, "{pauses:?}");
    // A relay cannot send them away for hours.
    let (mut leg, old) = Leg::carrying();
    leg.hear(old, draining(u32::MAX));
    assert!(leg.pause() <= Duration::from_secs(60));
}

/// Whether the next call of control reports the relay.
fn reports(leg: &mut Leg) -> bool {
    loop {
        let actions = leg.take();
        let asked = actions.iter().find_map(|it| match it {
            Action::OpenSession { unreached } => Some(*unreached),
            _ => None,
        });
        if let Some(unreached) = asked {
            return unreached;
        }
        leg.now = leg.now.max(leg.attach.timeout());
        leg.attach.handle_timeout(leg.now, &mut leg.dice);
    }
}

#[test]
fn control_is_told_of_a_relay_that_cannot_be_reached() {
    let (mut leg, id) = Leg::up();
    leg.ended(id, BROKEN);
    assert!(!reports(&mut leg));
    for attempt in 1..5 {
        let next = connecting(&leg.opened());
        leg.ended(next, BROKEN);
        assert_eq!(reports(&mut leg), attempt >= UNREACHED, "{attempt}");
    }
    // It is sent elsewhere.
    let id = leg.attach();
    leg.ended(id, BROKEN);
    assert!(!reports(&mut leg));
    // A relay that is full is as good as none; one that refuses the ticket, or stops, was reached.
    for (number, expected) in [(4016, true), (4009, false), (4005, false)] {
        let (mut leg, id) = Leg::up();
        leg.ended(id, BROKEN);
        let mut said = reports(&mut leg);
        for _ in 0..UNREACHED {
            let next = connecting(&leg.opened());
            leg.connected(next);
            leg.said(next);
            leg.ended(next, Ended::Closed(number));
            said = reports(&mut leg);
        }
        assert_eq!(said, expected, "{number}");
    }
}
