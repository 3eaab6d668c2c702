//! Each rule that shells used to answer in two ways has its test here.

use peersox_proto::v1;

use super::*;
use crate::frame::Lane;
use crate::testing::Dice;

mod browsers;

mod giving_up;

mod moving;

/// An [`Attach`] at a clock, and what it asked for.
struct Leg {
    attach: Attach,
    now: Moment,
    dice: Dice,
    seen: Vec<Action>,
    /// What the leg took while time passed.
    taken: Vec<Kind>,
}

impl Leg {
    fn new(config: Config) -> Self {
        let now = Moment::from_origin(Duration::from_secs(1_000));
        let attach = Attach::new(config, "test".into(), now);
        let mut leg = Self {
            attach,
            now,
            dice: Dice::new(7),
            seen: Vec::new(),
            taken: Vec::new(),
        };
        leg.look();
        leg
    }

    fn ws() -> Self {
        Self::new(Config {
            transports: Transport::WebSocket.into(),
            ..Config::default()
        })
    }

    /// A leg over WebSocket that is admitted.
    fn up() -> (Self, LegId) {
        let mut leg = Self::ws();
        let id = leg.attach();
        (leg, id)
    }

    fn look(&mut self) {
        while let Some(action) = self.attach.poll() {
            self.seen.push(action);
        }
    }

    fn take(&mut self) -> Vec<Action> {
        self.look();
        std::mem::take(&mut self.seen)
    }

    /// What is asked for once the clock stands so much later, step by step.
    fn after(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now + time;
        while self.attach.timeout() <= end {
            self.now = self.now.max(self.attach.timeout());
            self.attach.handle_timeout(self.now, &mut self.dice);
            self.look();
            if let Some(leg) = self.attach.leg() {
                let said = self.said(leg);
                self.taken.extend(said);
            }
        }
        self.now = end;
        self.take()
    }

    /// How long it waits before it opens a session, if it does within ten minutes.
    fn pause(&mut self) -> Duration {
        let from = self.now;
        let end = from + Duration::from_secs(1_000);
        while !asks(&self.take()) {
            assert!(self.attach.timeout() <= end, "nothing is tried");
            self.now = self.now.max(self.attach.timeout());
            self.attach.handle_timeout(self.now, &mut self.dice);
        }
        self.now - from
    }

    fn opened(&mut self) -> Vec<Action> {
        let session = Session {
            offered: Transports::ALL,
            ticket: "T".into(),
        };
        self.attach
            .session_opened(session, self.now, &mut self.dice);
        self.take()
    }

    fn refused(&mut self, is_final: bool, retry_after: Option<Duration>) -> Vec<Action> {
        self.attach
            .session_failed(is_final, retry_after, self.now, &mut self.dice);
        self.take()
    }

    fn connected(&mut self, leg: LegId) -> Vec<Action> {
        self.attach.leg_connected(leg, self.now, &mut self.dice);
        self.take()
    }

    fn ended(&mut self, leg: LegId, ended: Ended) -> Vec<Action> {
        self.attach.leg_ended(leg, ended, self.now, &mut self.dice);
        self.take()
    }

    fn hear(&mut self, leg: LegId, kind: Kind) -> Vec<Action> {
        let bytes = notice::encode(kind).into_bytes();
        let frame = self
            .attach
            .handle_frame(leg, bytes, self.now, &mut self.dice);
        assert_eq!(frame, None, "a notice is the leg's own");
        self.take()
    }

    fn welcome(&mut self, leg: LegId, keepalive_millis: u32) -> Vec<Action> {
        let limits = v1::RelayLimits {
            keepalive_millis,
            ..v1::RelayLimits::default()
        };
        self.hear(
            leg,
            Kind::Welcome(v1::Welcome {
                limits: Some(limits),
                ..v1::Welcome::default()
            }),
        )
    }

    fn said(&mut self, leg: LegId) -> Vec<Kind> {
        let mut kinds = std::mem::take(&mut self.taken);
        while let Some(frame) = self.attach.poll_transmit(leg, self.now) {
            assert_eq!(frame.lane(), Lane::Notice);
            kinds.extend(notice::decode(frame.payload()).unwrap());
        }
        kinds
    }

    /// Attaches by the transport that is asked for first.
    fn attach(&mut self) -> LegId {
        let leg = connecting(&self.opened());
        self.connected(leg);
        assert!(matches!(self.said(leg)[..], [Kind::Hello(_)]));
        self.welcome(leg, 20_000);
        assert!(matches!(self.said(leg)[..], [Kind::Ping(_)]));
        leg
    }
}

/// Whether a session is asked for.
fn asks(actions: &[Action]) -> bool {
    actions
        .iter()
        .any(|it| matches!(it, Action::OpenSession { .. }))
}

fn connecting(actions: &[Action]) -> LegId {
    let connects = actions.iter().find_map(|action| match action {
        Action::Connect(leg, _) => Some(*leg),
        _ => None,
    });
    connects.unwrap_or_else(|| panic!("nothing is connected: {actions:?}"))
}

fn end(actions: &[Action]) -> Option<End> {
    actions.iter().find_map(|action| match action {
        Action::End(end) => Some(*end),
        _ => None,
    })
}

const BROKEN: Ended = Ended::Broken;
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_pause_is_short_and_pauses_grow_to_a_bound() {
    let (mut leg, id) = Leg::up();
    leg.after(Duration::from_secs(9));
    leg.said(id);
    leg.hear(id, Kind::Pong(v1::Pong { nonce: 1 }));
    leg.after(2 * SECOND);
    // Without a ticket, so that control has to answer.
    leg.ended(id, Ended::Closed(4010));
    let first = leg.pause();
    assert!(first >= PAUSE / 2 && first <= PAUSE, "{first:?}");
    for doublings in 1..40 {
        leg.refused(false, None);
        let full = PAUSE * (1 << doublings.min(20));
        let full = full.min(PAUSE_AT_MOST);
        let pause = leg.pause();
        assert!(pause >= full / 2 && pause <= full, "{doublings}: {pause:?}");
    }
}

#[test]
fn a_leg_that_dies_young_does_not_make_the_pause_short_again() {
    let (mut leg, mut id) = Leg::up();
    for lives in 1..6 {
        leg.ended(id, BROKEN);
        let full = PAUSE * (1 << lives);
        let pause = leg.pause();
        assert!(pause >= full / 2 && pause <= full, "{lives}: {pause:?}");
        id = leg.attach();
    }
}

#[test]
fn retry_info_is_a_lower_bound_also_for_one_who_wakes_up() {
    let (mut leg, id) = Leg::up();
    leg.ended(id, BROKEN);
    leg.pause();
    leg.refused(false, Some(7 * SECOND));
    leg.attach.wake(leg.now, &mut leg.dice);
    leg.attach.hurry(leg.now, &mut leg.dice);
    assert_eq!(leg.pause(), 7 * SECOND);
    leg.refused(false, Some(100_000 * SECOND));
    assert_eq!(leg.pause(), RETRY_AFTER_AT_MOST);
}

#[test]
fn replaced_by_the_own_newer_leg_ends_nothing() {
    let (mut leg, old) = Leg::up();
    leg.hear(
        old,
        Kind::Draining(v1::Draining {
            grace_millis: 5_000,
            spread_millis: 0,
        }),
    );
    leg.pause();
    let new = connecting(&leg.opened());
    leg.connected(new);
    leg.said(new);
    assert_eq!(leg.ended(old, Ended::Closed(4003)), []);
    let told = leg.welcome(new, 20_000);
    let attached = |action: &Action| match action {
        Action::Tell(Event::Attached { leg, .. }) => *leg == new,
        _ => false,
    };
    assert!(told.iter().any(attached), "{told:?}");
}

#[test]
fn replaced_by_another_process_is_final() {
    let (mut leg, id) = Leg::up();
    let actions = leg.ended(id, Ended::Closed(4003));
    assert_eq!(
        end(&actions),
        Some(End::HungUp(CloseReason::Replaced)),
        "{actions:?}"
    );
    // An attempt that has not said Hello cannot be what replaced the leg.
    let (mut leg, id) = Leg::up();
    leg.hear(
        id,
        Kind::Draining(v1::Draining {
            grace_millis: 5_000,
            spread_millis: 0,
        }),
    );
    leg.pause();
    leg.opened();
    let actions = leg.ended(id, Ended::Closed(4003));
    assert_eq!(end(&actions), Some(End::HungUp(CloseReason::Replaced)));
}

#[test]
fn an_own_newer_leg_that_fails_tells_the_loss() {
    let (mut leg, old) = Leg::up();
    leg.hear(
        old,
        Kind::Draining(v1::Draining {
            grace_millis: 5_000,
            spread_millis: 0,
        }),
    );
    leg.pause();
    let new = connecting(&leg.opened());
    leg.connected(new);
    leg.said(new);
    leg.ended(old, Ended::Closed(4003));
    let told = leg.ended(new, BROKEN);
    let cause = Cause::HungUp(CloseReason::Replaced);
    let lost = |action: &Action| match action {
        Action::Tell(Event::Lost { cause: it, .. }) => *it == cause,
        _ => false,
    };
    assert!(told.iter().any(lost), "{told:?}");
    leg.pause();
}

#[test]
fn what_a_relay_asks_of_keepalive_is_clamped() {
    for (asked, period) in [(1, 1), (0, 20), (5_000, 5), (3_600_000, 25)] {
        let mut leg = Leg::ws();
        let id = connecting(&leg.opened());
        leg.connected(id);
        leg.said(id);
        leg.welcome(id, asked);
        let mut pings = 0;
        for _ in 0..10 * period {
            let said = leg.said(id);
            for ping in said {
                let Kind::Ping(v1::Ping { nonce }) = ping else {
                    panic!("{ping:?}");
                };
                pings += 1;
                leg.hear(id, Kind::Pong(v1::Pong { nonce }));
            }
            leg.after(SECOND);
            // One who wakes up all the time does not ping more often than once a second.
            if asked == 1 {
                leg.attach.wake(leg.now, &mut leg.dice);
            }
        }
        assert_eq!(pings, 10, "asked for {asked} ms");
    }
}

#[test]
fn a_leg_that_answers_nothing_is_lost_after_one_and_a_half_periods() {
    let (mut leg, id) = Leg::up();
    assert_eq!(leg.after(29 * SECOND), []);
    let actions = leg.after(2 * SECOND);
    assert_eq!(actions[0], Action::HangUp(id, None));
    assert!(matches!(
        actions[1],
        Action::Tell(Event::Lost {
            cause: Cause::Silent,
            ..
        })
    ));
}

#[test]
fn a_leg_whose_own_frames_wait_is_spared_for_two_minutes() {
    let (mut leg, id) = Leg::up();
    leg.attach.waiting(id, true);
    assert_eq!(leg.after(BLOCKED - SECOND), []);
    assert_eq!(leg.after(2 * SECOND)[0], Action::HangUp(id, None));
    // Whatever comes proves that it lives, however much waits.
    let (mut leg, id) = Leg::up();
    for _ in 0..20 {
        leg.attach.waiting(id, true);
        leg.hear(
            id,
            Kind::DatagramsDropped(v1::DatagramsDropped { count: 1 }),
        );
        let lost = |action: &Action| matches!(action, Action::HangUp(..));
        assert!(!leg.after(20 * SECOND).iter().any(lost));
    }
}

#[test]
fn a_wake_up_judges_the_leg_soon() {
    let (mut leg, id) = Leg::up();
    leg.hear(id, Kind::Pong(v1::Pong { nonce: 1 }));
    leg.after(10 * SECOND);
    leg.attach.wake(leg.now, &mut leg.dice);
    assert!(matches!(leg.said(id)[..], [Kind::Ping(_)]));
    assert_eq!(leg.after(5 * SECOND)[0], Action::HangUp(id, None));
}

#[test]
fn an_old_ticket_is_used_while_control_is_away() {
    let (mut leg, id) = Leg::up();
    leg.ended(id, BROKEN);
    for _ in 1..CONTROL_IS_DOWN {
        leg.pause();
        leg.refused(false, None);
    }
    leg.pause();
    let id = connecting(&leg.refused(false, None));
    leg.connected(id);
    // The relay refuses the ticket: it is not tried again.
    leg.said(id);
    leg.ended(id, Ended::Closed(4010));
    for _ in 0..10 {
        leg.pause();
        let asked = leg.refused(false, None);
        let connects = |action: &Action| matches!(action, Action::Connect(..));
        assert!(!asked.iter().any(connects), "{asked:?}");
    }
}

#[test]
fn control_that_answers_nothing_is_not_waited_for_while_there_is_a_ticket() {
    let (mut leg, id) = Leg::up();
    leg.ended(id, BROKEN);
    leg.pause();
    connecting(&leg.after(OPENING_WITH_TICKET));
}

#[test]
fn numbers_are_final_as_the_table_says() {
    for reason in CloseReason::ALL {
        let (mut leg, id) = Leg::up();
        let actions = leg.ended(id, Ended::Closed(reason.number()));
        let is_final = reason.then() == Then::Stop;
        let expected = is_final.then_some(End::HungUp(*reason));
        assert_eq!(end(&actions), expected, "{reason:?}");
    }
    // 1001 of a proxy that restarts.
    let (mut leg, id) = Leg::up();
    assert_eq!(end(&leg.ended(id, Ended::Closed(1001))), None);
}

#[test]
fn transports_race_and_only_the_winner_says_hello() {
    let mut leg = Leg::new(Config::default());
    let quic = connecting(&leg.opened());
    let ws = connecting(&leg.after(HEAD_START));
    assert_eq!(leg.connected(ws), [Action::HangUp(quic, None)]);
    assert!(matches!(leg.said(ws)[..], [Kind::Hello(_)]));
    assert_eq!(leg.said(quic), []);
    // It connects all the same, too late.
    assert_eq!(leg.connected(quic), [Action::HangUp(quic, None)]);
}

#[test]
fn a_transport_that_fails_makes_room_for_the_next_at_once() {
    let mut leg = Leg::new(Config::default());
    let quic = connecting(&leg.opened());
    let ws = connecting(&leg.ended(quic, BROKEN));
    let told = leg.ended(ws, BROKEN);
    let failed = |it: &Action| {
        matches!(
            it,
            Action::Tell(Event::Failed {
                cause: Cause::Broken,
                ..
            })
        )
    };
    assert!(told.iter().any(failed), "{told:?}");
}

#[test]
fn a_websocket_gives_way_to_quic_when_that_passes() {
    let mut leg = Leg::new(Config::default());
    let quic = connecting(&leg.opened());
    let ws = connecting(&leg.ended(quic, BROKEN));
    leg.connected(ws);
    leg.said(ws);
    leg.welcome(ws, 20_000);
    leg.said(ws);
    leg.hear(ws, Kind::Pong(v1::Pong { nonce: 1 }));
    leg.hear(ws, Kind::PeerOnline(v1::PeerOnline {}));
    assert_eq!(leg.after(29 * SECOND), []);
    leg.said(ws);
    leg.hear(ws, Kind::Pong(v1::Pong { nonce: 2 }));
    assert!(asks(&leg.after(2 * SECOND)));
    let quic = connecting(&leg.opened());
    leg.connected(quic);
    leg.said(quic);
    let told = leg.welcome(quic, 20_000);
    assert_eq!(told.last(), Some(&Action::HangUp(ws, None)));
}

#[test]
fn a_direct_path_outlives_what_control_refuses() {
    let (mut leg, id) = Leg::up();
    leg.attach.set_direct(true);
    leg.ended(id, BROKEN);
    leg.pause();
    assert_eq!(end(&leg.refused(true, None)), None);
    leg.attach.set_direct(false);
    leg.pause();
    assert_eq!(end(&leg.refused(true, None)), Some(End::Refused));
}

#[test]
fn the_loss_of_the_leg_itself_does_not_cut_the_pause() {
    let (mut leg, mut id) = Leg::up();
    for lives in 1..6 {
        leg.ended(id, BROKEN);
        // The path goes with the leg, at the same moment.
        leg.attach.hurry(leg.now, &mut leg.dice);
        let pause = leg.pause();
        assert!(pause >= PAUSE * (1 << lives) / 2, "{lives}: {pause:?}");
        id = leg.attach();
    }
    // A direct path that ends while the leg is long gone does.
    leg.ended(id, BROKEN);
    leg.now = leg.now + Duration::from_millis(10);
    leg.attach.hurry(leg.now, &mut leg.dice);
    assert_eq!(leg.pause(), Duration::ZERO);
}
