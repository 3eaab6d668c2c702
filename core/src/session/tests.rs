use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const CONFIG: Config = Config {
    park_grace: Duration::from_secs(30),
    max_wait: Duration::from_secs(600),
};

fn at(seconds: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(seconds))
}

fn live() -> Session {
    let mut session = Session::new(CONFIG, at(0));
    let _ = session.handle(Input::Attach(Role::Initiator, LegId(1)), at(0));
    let _ = session.handle(Input::Attach(Role::Joiner, LegId(2)), at(0));
    assert_eq!(session.state(), State::Live);
    session
}

#[test]
fn two_peers_meet() {
    let mut session = Session::new(CONFIG, at(0));
    assert_eq!(session.deadline(), Some(at(600)));
    let first = session.handle(Input::Attach(Role::Joiner, LegId(1)), at(1));
    let admit = Action::Admit {
        role: Role::Joiner,
        leg: LegId(1),
        peer_online: false,
        resumed: false,
    };
    assert_eq!(first, [Action::Presence(Role::Joiner, true), admit]);
    assert_eq!(session.state(), State::Waiting);

    let second = session.handle(Input::Attach(Role::Initiator, LegId(2)), at(2));
    let admit = Action::Admit {
        role: Role::Initiator,
        leg: LegId(2),
        peer_online: true,
        resumed: false,
    };
    let online = Action::Notify(Role::Joiner, Notice::PeerOnline);
    assert_eq!(
        second,
        [Action::Presence(Role::Initiator, true), admit, online]
    );
    assert_eq!(
        (session.state(), session.deadline()),
        (State::Live, None),
        "a live session waits for nothing"
    );
}

/// The other peer is told where to go, and never that its partner is away, which it is not.
#[test]
fn a_peer_that_has_moved_is_followed() {
    let mut session = live();
    let moved = session.handle(Input::Moved(Role::Joiner, LegId(2)), at(10));
    let draining = Notice::Draining(Drain::within(CONFIG.park_grace));
    let expected = [
        Action::Presence(Role::Joiner, false),
        Action::Notify(Role::Initiator, draining),
    ];
    assert_eq!(moved, expected);
    assert_eq!(session.deadline(), Some(at(40)));
    let last = session.handle(Input::Moved(Role::Initiator, LegId(1)), at(11));
    let expected = [
        Action::Presence(Role::Initiator, false),
        Action::End(Ended::Drained),
    ];
    assert_eq!(last, expected);
    // Who does not follow is hung up.
    let mut session = live();
    let _ = session.handle(Input::Drain(Drain::within(CONFIG.park_grace)), at(5));
    let moved = session.handle(Input::Moved(Role::Joiner, LegId(2)), at(10));
    assert_eq!(moved, [Action::Presence(Role::Joiner, false)]);
    let last = session.handle(Input::Timeout, at(35));
    let hung_up = Action::HangUp(Role::Initiator, LegId(1), CloseReason::Draining);
    assert_eq!(last.first(), Some(&hung_up));
}

#[test]
fn a_lost_leg_parks_and_may_come_back() {
    let mut session = live();
    let lost = session.handle(Input::Lost(Role::Joiner, LegId(2)), at(10));
    let away = Notice::PeerAway(CONFIG.park_grace);
    assert_eq!(
        lost,
        [
            Action::Presence(Role::Joiner, false),
            Action::Notify(Role::Initiator, away)
        ]
    );
    assert_eq!(session.state(), State::Parked(at(40)));
    assert_eq!(session.handle(Input::Timeout, at(39)), []);

    let back = session.handle(Input::Attach(Role::Joiner, LegId(3)), at(39));
    let admit = Action::Admit {
        role: Role::Joiner,
        leg: LegId(3),
        peer_online: true,
        resumed: true,
    };
    assert!(back.contains(&admit));
    assert!(back.contains(&Action::Notify(Role::Initiator, Notice::PeerOnline)));
    assert_eq!((session.state(), session.deadline()), (State::Live, None));
}

#[test]
fn every_way_to_end_tells_the_remaining_leg_why() {
    let rows: [(&[(Input, u64)], CloseReason); 5] = [
        (
            &[
                (Input::Lost(Role::Joiner, LegId(2)), 0),
                (Input::Timeout, 30),
            ],
            CloseReason::PeerLost,
        ),
        (
            &[(Input::Done(Role::Joiner, LegId(2)), 0)],
            CloseReason::PeerLeft,
        ),
        (&[(Input::Revoke, 0)], CloseReason::Revoked),
        (
            &[
                (Input::Drain(Drain::within(Duration::from_secs(5))), 0),
                (Input::Timeout, 5),
            ],
            CloseReason::Draining,
        ),
        (
            &[
                (
                    Input::Fault(Role::Joiner, LegId(2), CloseReason::LaneUnknown),
                    0,
                ),
                (Input::Timeout, 30),
            ],
            CloseReason::PeerLost,
        ),
    ];
    for (inputs, reason) in rows {
        let mut session = live();
        let mut last = Vec::new();
        for (input, second) in inputs {
            last = session.handle(*input, at(*second));
        }
        let hang_up = Action::HangUp(Role::Initiator, LegId(1), reason);
        assert!(last.contains(&hang_up), "{inputs:?} gave {last:?}");
        assert!(matches!(last.last(), Some(Action::End(_))));
    }
}

#[test]
fn a_lone_peer_waits_only_so_long() {
    let mut session = Session::new(CONFIG, at(0));
    let _ = session.handle(Input::Attach(Role::Initiator, LegId(1)), at(0));
    assert_eq!(session.handle(Input::Timeout, at(599)), []);
    let end = session.handle(Input::Timeout, at(600));
    assert_eq!(end.last(), Some(&Action::End(Ended::NobodyCame)));
}

#[test]
fn a_session_without_legs_does_not_hold_up_a_drain() {
    let mut session = live();
    let _ = session.handle(Input::Drain(Drain::within(Duration::from_secs(60))), at(0));
    let _ = session.handle(Input::Lost(Role::Joiner, LegId(2)), at(1));
    let last = session.handle(Input::Lost(Role::Initiator, LegId(1)), at(1));
    assert_eq!(last.last(), Some(&Action::End(Ended::Drained)));
}

/// What an onlooker believes, from the actions alone.
#[derive(Default)]
struct Onlooker {
    legs: HashMap<Role, LegId>,
    /// What each role was last told about the other.
    told_online: HashMap<Role, bool>,
    present: HashMap<Role, bool>,
    ended: bool,
}

impl Onlooker {
    fn see(&mut self, action: Action) -> Result<(), TestCaseError> {
        prop_assert!(!self.ended, "{action:?} after the end");
        match action {
            Action::Admit {
                role,
                leg,
                peer_online,
                ..
            } => {
                prop_assert_eq!(self.legs.insert(role, leg), None, "two legs of one role");
                prop_assert_eq!(peer_online, self.legs.contains_key(&role.other()));
                self.told_online.insert(role, peer_online);
            }
            Action::Notify(role, notice) => {
                prop_assert!(self.legs.contains_key(&role), "a notice without a leg");
                let online = match notice {
                    Notice::PeerOnline => true,
                    Notice::PeerAway(_) => false,
                    Notice::Draining(_) => return Ok(()),
                };
                let before = self.told_online.insert(role, online);
                prop_assert_eq!(before, Some(!online), "the same news twice");
            }
            Action::HangUp(role, leg, _) => {
                if self.legs.get(&role) == Some(&leg) {
                    self.legs.remove(&role);
                }
            }
            Action::Presence(role, online) => {
                let before = self.present.insert(role, online).unwrap_or(false);
                prop_assert_eq!(before, !online, "presence said twice");
            }
            Action::End(_) => {
                prop_assert!(self.legs.is_empty(), "a leg outlives its session");
                prop_assert!(self.present.values().all(|present| !present));
                self.ended = true;
            }
        }
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<(u8, bool, u64)>> {
    proptest::collection::vec((0u8..9, any::<bool>(), 0u64..25), 1..60)
}

proptest! {
    #[test]
    fn no_sequence_breaks_the_promises(steps in steps()) {
        let mut session = Session::new(CONFIG, at(0));
        let mut onlooker = Onlooker::default();
        let mut now = 0;
        for (next_leg, (kind, initiator, pause)) in (100..).zip(steps) {
            now += pause;
            // The owner keeps the deadline, as it must.
            if let Some(due) = session.deadline().filter(|due| *due <= at(now)) {
                let both = onlooker.legs.len() == 2;
                let actions = session.handle(Input::Timeout, due);
                let drained = actions.contains(&Action::End(Ended::Drained));
                prop_assert!(!both || drained, "a live session ran out of time");
                prop_assert!(matches!(actions.last(), Some(Action::End(_))), "idle deadline");
                for action in actions {
                    onlooker.see(action)?;
                }
            }
            let role = if initiator { Role::Initiator } else { Role::Joiner };
            let current = session.leg(role);
            let leg = current.unwrap_or(LegId(1));
            let input = match kind {
                0..=3 => Input::Attach(role, LegId(next_leg)),
                4 => Input::Lost(role, leg),
                5 => Input::Fault(role, leg, CloseReason::LaneUnknown),
                6 => match pause {
                    0..3 => Input::Done(role, leg),
                    3..9 => Input::Moved(role, leg),
                    _ => Input::Lost(role, leg),
                },
                7 => match pause {
                    0 => Input::Revoke,
                    1 => Input::Drain(Drain::within(Duration::from_secs(10))),
                    _ => Input::Lost(role, LegId(1)),
                },
                _ => Input::Timeout,
            };
            if let (Input::Lost(..) | Input::Done(..) | Input::Moved(..), Some(leg)) = (input, current)
                && input != Input::Lost(role, LegId(1))
            {
                prop_assert_eq!(onlooker.legs.remove(&role), Some(leg));
            }
            let was_over = onlooker.ended;
            for action in session.handle(input, at(now)) {
                if was_over {
                    prop_assert!(matches!(action, Action::HangUp(_, LegId(new), _) if new == next_leg));
                } else {
                    onlooker.see(action)?;
                }
            }
            for role in Role::BOTH {
                prop_assert_eq!(session.leg(role), onlooker.legs.get(&role).copied());
            }
            prop_assert_eq!(onlooker.ended, matches!(session.state(), State::Ended(_)));
            prop_assert_eq!(onlooker.ended, session.deadline().is_none() && session.state() != State::Live);
        }
    }
}
