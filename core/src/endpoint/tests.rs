//! Orders of events that a simulated world shows too seldom.

use peersox_proto::v1;

use super::*;
use crate::attach::{Ended, Session, Transports};
use crate::direct::{Channel, Connection, SessionDescription};
use crate::id::PairingId;
use crate::notice::{self, Kind};
use crate::peer::Proof;
use crate::role::Role;
use crate::secure::PairingSecret;
use crate::testing::Dice;

const SECOND: Duration = Duration::from_secs(1);
const SECRET: [u8; 32] = [9; 32];

/// An endpoint at a clock, and what it asked for.
struct Side {
    endpoint: Endpoint,
    dice: Dice,
    now: Moment,
    leg: Option<LegId>,
    seen: Vec<Action>,
}

impl Side {
    fn new(role: Role, proof: Proof<'_>) -> Self {
        let now = Moment::default() + SECOND;
        let mut dice = Dice::named("endpoint", role.index() as u64);
        let identity = Identity {
            role,
            pairing: PairingId::from_bytes([7; 16]),
            proof,
            hello: Bytes::new(),
            agent: "test".into(),
            trace: None,
        };
        let endpoint = Endpoint::new(Config::default(), identity, now, &mut dice);
        Self {
            endpoint,
            dice,
            now,
            leg: None,
            seen: Vec::new(),
        }
    }

    fn pair() -> [Self; 2] {
        Role::BOTH.map(|role| Self::new(role, Proof::Secret(PairingSecret::from_bytes(SECRET))))
    }

    /// What was asked for since this was called last.
    fn take(&mut self) -> Vec<Action> {
        while let Some(action) = self.endpoint.poll_action(self.now, &mut self.dice) {
            self.seen.push(action);
        }
        std::mem::take(&mut self.seen)
    }

    fn give(&mut self, input: Input) -> Vec<Action> {
        self.endpoint.handle(input, self.now, &mut self.dice);
        self.take()
    }

    fn opened(&mut self, call: u32, outlives: Option<Duration>) -> Vec<Action> {
        self.give(Input::SessionOpened {
            call,
            session: Session {
                offered: Transports::ALL,
                ticket: "T".into(),
            },
            outlives,
        })
    }

    /// Attaches its first leg.
    fn attach(&mut self, peer_online: bool, outlives: Option<Duration>) -> Vec<Action> {
        assert_eq!(self.take(), [opens(1)]);
        let [Action::Connect(leg, _)] = self.opened(1, outlives)[..] else {
            panic!("nothing is connected");
        };
        assert_eq!(self.give(Input::LegConnected(leg)), []);
        let hello = self.endpoint.poll_transmit(Way::Leg(leg), self.now);
        assert_eq!(hello.map(|frame| frame.lane()), Some(Lane::Notice));
        self.leg = Some(leg);
        self.hear(Kind::Welcome(v1::Welcome {
            peer_online,
            ..v1::Welcome::default()
        }))
    }

    fn hear(&mut self, kind: Kind) -> Vec<Action> {
        let bytes = notice::encode(kind).into_bytes();
        self.frame(bytes);
        self.take()
    }

    fn frame(&mut self, bytes: Bytes) {
        let way = Way::Leg(self.leg.unwrap());
        self.endpoint
            .handle_frame(way, bytes, self.now, &mut self.dice);
    }

    /// The next frame for the other peer.
    fn sends(&mut self) -> Option<Bytes> {
        loop {
            let way = Way::Leg(self.leg?);
            let frame = self.endpoint.poll_transmit(way, self.now)?;
            if frame.lane() != Lane::Notice {
                return Some(frame.into_bytes());
            }
        }
    }

    fn hung_up(&mut self, reason: CloseReason) -> Vec<Action> {
        let ended = Ended::Closed(reason.number());
        self.give(Input::LegEnded(self.leg.unwrap(), ended))
    }
}

/// What each says arrives at the other, until both are silent.
fn talk([a, b]: &mut [Side; 2]) {
    loop {
        let mut said = false;
        while let Some(bytes) = a.sends() {
            b.frame(bytes);
            said = true;
        }
        while let Some(bytes) = b.sends() {
            a.frame(bytes);
            said = true;
        }
        if !said {
            return;
        }
    }
}

fn end(actions: &[Action]) -> Option<End> {
    match actions.last() {
        Some(Action::End(end)) => Some(*end),
        _ => None,
    }
}

/// Both attached and with keys.
fn secured(outlives: Option<Duration>) -> [Side; 2] {
    let mut sides = Side::pair();
    for side in &mut sides {
        side.attach(true, outlives);
    }
    talk(&mut sides);
    for side in &mut sides {
        let told = side.take();
        let secured = |it: &Action| matches!(it, Action::Tell(Event::Secured { .. }));
        assert!(told.iter().any(secured), "{told:?}");
    }
    sides
}

#[test]
fn the_last_word_about_a_burnt_code_leaves_before_the_leg_is_hung_up() {
    let codes: [&[u8]; 2] = [b"481920-tulip-ember", b"481920-tulip-amber"];
    let mut sides = Role::BOTH.map(|role| Side::new(role, Proof::Code(codes[role.index()])));
    for side in &mut sides {
        side.attach(true, None);
    }
    talk(&mut sides);
    for side in &mut sides {
        let told = side.take();
        let burnt = End::Peer(peer::End::Burnt(Burnt::Mismatch));
        assert_eq!(end(&told), Some(burnt), "the other one hears why, too");
        let hang_up = Action::HangUp(side.leg.unwrap(), Some(CloseReason::Done));
        assert!(told.contains(&hang_up), "{told:?}");
    }
}

#[test]
fn a_peer_that_leaves_amid_the_own_farewell_has_everything() {
    let mut sides = secured(None);
    let [a, b] = &mut sides;
    assert_eq!(end(&a.give(Input::Close(60 * SECOND))), None);
    let told = a.hung_up(CloseReason::PeerLeft);
    assert_eq!(end(&told), Some(End::Closed { flushed: true }));
    let told = b.hung_up(CloseReason::PeerLeft);
    assert_eq!(end(&told), Some(End::HungUp(CloseReason::PeerLeft)));
}

#[test]
fn a_farewell_without_anybody_there_ends_at_once() {
    let [mut alone, _] = Side::pair();
    alone.attach(false, None);
    let told = alone.give(Input::Close(60 * SECOND));
    assert_eq!(end(&told), Some(End::Closed { flushed: true }));
    assert_eq!(alone.endpoint.poll_timeout(), Moment::NEVER);
    assert_eq!(alone.give(Input::Timeout), [], "something follows the end");
}

#[test]
fn what_was_sent_before_the_other_peer_went_away_is_taken() {
    let mut sides = secured(None);
    talk(&mut sides);
    let [a, b] = &mut sides;
    let priority = channel::Priority::Normal;
    b.endpoint.channels().open("late", priority).unwrap();
    let late = b.sends().expect("the channel is announced");
    a.hear(Kind::PeerAway(v1::PeerAway { grace_millis: 7 }));
    assert_eq!(a.endpoint.path(), None);
    a.frame(late);
    let told = a.take();
    let opened = |it: &Action| match it {
        Action::Tell(Event::Channel(channel::Event::Opened { name, .. })) => name == "late",
        _ => false,
    };
    assert!(told.iter().any(opened), "{told:?}");
}

#[test]
fn both_say_goodbye_and_both_have_everything() {
    let mut sides = secured(None);
    for side in &mut sides {
        side.give(Input::Close(60 * SECOND));
    }
    talk(&mut sides);
    let ends = sides.map(|mut side| end(&side.take()));
    assert_eq!(ends, [Some(End::Closed { flushed: true }); 2]);
}

/// The initiator's direct path is up.
fn direct(outlives: Option<Duration>) -> (Side, u64) {
    let mut sides = Side::pair();
    let mut asked = Vec::new();
    for side in &mut sides {
        asked.push(side.attach(true, outlives));
    }
    talk(&mut sides);
    asked.push(sides[0].take());
    let offer = asked.iter().flatten().find_map(|it| match it {
        Action::Offer(attempt, false) => Some(*attempt),
        _ => None,
    });
    let attempt = offer.expect("the initiator offers");
    let described = |kind: &str| {
        direct::Input::Described(SessionDescription {
            r#type: kind.into(),
            ..SessionDescription::default()
        })
    };
    sides[0].give(Input::Direct(attempt, described("offer")));
    talk(&mut sides);
    sides[1].give(Input::Direct(attempt, direct::Input::Accepted));
    sides[1].give(Input::Direct(attempt, described("answer")));
    talk(&mut sides);
    let [mut a, _] = sides;
    a.give(Input::Direct(attempt, direct::Input::Accepted));
    let open = direct::Input::Changed(Connection::Connected, Channel::Open);
    a.give(Input::Direct(attempt, open));
    (a, attempt)
}

#[test]
fn who_wakes_up_with_stale_servers_asks_for_others_before_ice_is_restarted() {
    let (mut a, attempt) = direct(Some(60 * SECOND));
    let told = a.give(Input::Wake(SECOND));
    assert!(told.contains(&Action::Offer(attempt, true)), "{told:?}");
    let told = a.give(Input::Wake(61 * SECOND));
    assert!(told.contains(&opens(2)), "{told:?}");
    assert!(!told.contains(&Action::Offer(attempt, true)), "{told:?}");
    let told = a.opened(2, Some(60 * SECOND));
    assert!(told.contains(&Action::Offer(attempt, true)), "{told:?}");
}

#[test]
fn old_servers_have_to_do_while_control_asks_to_wait() {
    let (mut a, attempt) = direct(Some(60 * SECOND));
    a.give(Input::Wake(61 * SECOND));
    let told = a.give(Input::SessionFailed {
        call: 2,
        is_final: false,
        retry_after: Some(7 * SECOND),
    });
    assert!(told.contains(&Action::Offer(attempt, true)), "{told:?}");
    a.now = a.now + 6 * SECOND;
    let told = a.give(Input::Wake(SECOND));
    assert!(told.contains(&Action::Offer(attempt, true)), "{told:?}");
    let told = a.give(Input::LegEnded(a.leg.unwrap(), Ended::Broken));
    assert!(
        !told
            .iter()
            .any(|it| matches!(it, Action::OpenSession { .. }))
    );
    a.now = a.now + 999 * Duration::from_millis(1);
    assert_eq!(a.give(Input::Timeout), [], "control is called too early");
    a.now = a.now + Duration::from_millis(1);
    assert_eq!(a.give(Input::Timeout), [opens(3)]);
}

const fn opens(call: u32) -> Action {
    Action::OpenSession {
        call,
        unreached: false,
    }
}

/// Two peers with these codes that have exchanged so many frames: the initiator's side, and the joiner's.
fn half_proven(codes: [&[u8]; 2], frames: usize) -> [Side; 2] {
    let mut sides = [0, 1].map(|who| Side::new(Role::BOTH[who], Proof::Code(codes[who])));
    for side in &mut sides {
        side.attach(true, None);
    }
    // The joiner asks for the first message, which is under way.
    while sides[1].sends().is_some() {}
    for at in 0..frames {
        let frame = sides[at % 2].sends().expect("there is a next message");
        sides[1 - at % 2].frame(frame);
    }
    sides
}

#[test]
fn a_code_is_used_with_the_first_message_and_says_so_once() {
    const CODE: &[u8] = b"481920-tulip-ember";
    for (frames, used) in [
        (0, [false, false]),
        (1, [false, true]),
        (2, [true, true]),
        (5, [true, true]),
    ] {
        let mut sides = half_proven([CODE, CODE], frames);
        for (side, used) in sides.iter_mut().zip(used) {
            let is_told = |it: &&Action| **it == Action::Tell(Event::CodeUsed);
            let told = side.take();
            assert_eq!(side.endpoint.is_code_used(), used, "{frames}");
            assert_eq!(
                told.iter().filter(is_told).count(),
                usize::from(used),
                "{frames}"
            );
        }
    }
    let mut sides = secured(None);
    talk(&mut sides);
    for mut side in sides {
        assert!(
            !side.endpoint.is_code_used() && !side.take().contains(&Action::Tell(Event::CodeUsed))
        );
    }
}

#[test]
fn whoever_ends_a_code_half_way_burns_it() {
    const CODES: [&[u8]; 2] = [b"481920-tulip-ember", b"481920-tulip-velvet"];
    let burnt = End::Peer(Burnt::Restarted.into());
    for reason in [
        CloseReason::PeerLeft,
        CloseReason::Revoked,
        CloseReason::Replaced,
    ] {
        for frames in 0..4 {
            let sides = half_proven(CODES, frames);
            for mut side in sides {
                let expected = match side.endpoint.is_code_used() {
                    true => burnt,
                    false => End::HungUp(reason),
                };
                let told = side.hung_up(reason);
                assert_eq!(end(&told), Some(expected), "{frames} {reason:?}");
            }
        }
    }
}

#[test]
fn a_farewell_and_a_peer_that_is_gone_end_it_once() {
    let mut sides = secured(None);
    talk(&mut sides);
    let [mut a, _] = sides;
    a.endpoint.once = true;
    let name = "chat";
    let chat = a
        .endpoint
        .channels()
        .open(name, channel::Priority::Interactive);
    assert!(chat.is_ok());
    a.give(Input::Close(FAREWELL));
    let lost = Ended::Closed(CloseReason::PeerLost.number());
    assert_eq!(end(&a.give(Input::LegEnded(a.leg.unwrap(), lost))), None);
    // The machine sleeps through both moments.
    a.now = a.now + FAREWELL + RETURN;
    let told = a.give(Input::Timeout);
    let ends = told.iter().filter(|it| matches!(it, Action::End(_)));
    assert_eq!(ends.count(), 1, "{told:?}");
}

#[test]
fn a_peer_that_cannot_come_back_is_waited_for_a_moment_only() {
    for (once, comes_back) in [(true, false), (true, true), (false, false)] {
        let mut sides = secured(None);
        talk(&mut sides);
        let [mut a, _] = sides;
        a.endpoint.once = once;
        a.take();
        let lost = Ended::Closed(CloseReason::PeerLost.number());
        let told = a.give(Input::LegEnded(a.leg.unwrap(), lost));
        assert_eq!(end(&told), None);
        a.now = a.now + SECOND;
        let told = a.give(Input::Timeout);
        let call = told.iter().find_map(|it| match it {
            Action::OpenSession { call, .. } => Some(*call),
            _ => None,
        });
        let call = call.expect("another leg is sought");
        let Some(Action::Connect(leg, _)) = a.opened(call, None).pop() else {
            panic!("nothing is connected");
        };
        a.give(Input::LegConnected(leg));
        a.leg = Some(leg);
        a.sends();
        a.hear(Kind::Welcome(v1::Welcome {
            peer_online: comes_back,
            ..v1::Welcome::default()
        }));
        a.now = a.now + RETURN;
        let ended = end(&a.give(Input::Timeout));
        let expected = (once && !comes_back).then_some(End::HungUp(CloseReason::PeerLost));
        assert_eq!(ended, expected, "{once} {comes_back}");
    }
}
