use bytes::Bytes;

use super::*;
use crate::connect::PathId;
use crate::testing::Dice;

const OFFER: &str = Carrier::WebRtc.offer();
const ANSWER: &str = Carrier::WebRtc.answer();
const SECOND: Duration = Duration::from_secs(1);

/// One side, its clock, and what it asked for.
struct Side {
    direct: Direct,
    now: Moment,
    dice: Dice,
    paths: u32,
}

impl Side {
    fn new(role: Role) -> Self {
        Self {
            direct: Direct::new(Mode::Auto, Carrier::WebRtc, role),
            now: Moment::from_origin(1_000 * SECOND),
            dice: Dice::new(u64::from(role == Role::Joiner)),
            paths: 0,
        }
    }

    fn take(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.direct.poll() {
            if let Action::Up(attempt) = action {
                self.direct
                    .set_path(attempt, PathId::from_number(self.paths));
                self.paths += 1;
            }
            actions.push(action);
        }
        actions
    }

    /// What is due at this time later.
    fn after(&mut self, time: Duration) -> Vec<Action> {
        self.now = self.now + time;
        self.direct.handle_timeout(self.now, true, &mut self.dice);
        self.take()
    }

    fn tell(&mut self, attempt: u64, input: Input) -> Vec<Action> {
        self.direct.handle(attempt, input, self.now, true);
        self.take()
    }

    fn hear(&mut self, signal: &[u8]) -> Vec<Action> {
        self.direct.handle_signal(signal, self.now);
        self.take()
    }

    /// Dials, and makes the offer: the attempt, and the signal.
    fn offer(&mut self) -> (u64, Bytes) {
        self.direct.dial(self.now);
        let asked = self.after(JOINER_WAITS);
        let [
            Action::Make(attempt, carrier),
            Action::Offer { restart: false, .. },
        ] = asked[..]
        else {
            panic!("{asked:?}");
        };
        let told = self.tell(attempt, Input::Described(description(carrier.offer())));
        (attempt, signal(&told))
    }

    /// Answers an offer: the signal.
    fn answer(&mut self, attempt: u64, offer: &[u8]) -> Bytes {
        let asked = self.hear(offer);
        assert_eq!(
            asked.last(),
            Some(&Action::Accept(attempt, description(OFFER)))
        );
        assert_eq!(
            self.tell(attempt, Input::Accepted),
            [Action::Answer(attempt)]
        );
        signal(&self.tell(attempt, Input::Described(description(ANSWER))))
    }

    fn open(&mut self, attempt: u64) -> Vec<Action> {
        self.tell(
            attempt,
            Input::Changed(Connection::Connected, Channel::Open),
        )
    }
}

fn description(kind: &str) -> SessionDescription {
    SessionDescription {
        r#type: kind.into(),
        sdp: "v=0".into(),
    }
}

fn candidate(text: &str) -> IceCandidate {
    IceCandidate {
        candidate: text.into(),
        ..IceCandidate::default()
    }
}

fn signal(actions: &[Action]) -> Bytes {
    let mut signals = actions.iter().filter_map(|action| match action {
        Action::Signal(bytes) => Some(bytes.clone()),
        _ => None,
    });
    let first = signals.next();
    first.unwrap_or_else(|| panic!("no signal: {actions:?}"))
}

/// Two sides with a path between them: the initiator offered.
fn pair() -> (Side, Side, u64) {
    let (mut a, mut b) = (Side::new(Role::Initiator), Side::new(Role::Joiner));
    let (attempt, offer) = a.offer();
    let answer = b.answer(attempt, &offer);
    assert_eq!(
        a.hear(&answer),
        [Action::Accept(attempt, description(ANSWER))]
    );
    assert_eq!(a.tell(attempt, Input::Accepted), []);
    assert_eq!(a.open(attempt), [Action::Up(attempt)]);
    assert_eq!(b.open(attempt), [Action::Up(attempt)]);
    (a, b, attempt)
}

#[test]
fn an_offer_and_an_answer_make_a_path() {
    let (a, b, _) = pair();
    assert!(a.direct.path().is_some() && b.direct.path().is_some());
}

#[test]
fn candidates_wait_for_the_description_they_belong_to() {
    let (mut a, mut b) = (Side::new(Role::Initiator), Side::new(Role::Joiner));
    a.direct.dial(a.now);
    let attempt = match a.after(SECOND)[..] {
        [Action::Make(attempt, _), _] => attempt,
        ref other => panic!("{other:?}"),
    };
    // This side's wait until it has told its description.
    assert_eq!(a.tell(attempt, Input::Candidate(candidate("a"))), []);
    let told = a.tell(attempt, Input::Described(description(OFFER)));
    let [Action::Signal(offer), Action::Signal(early)] = &told[..] else {
        panic!("{told:?}");
    };
    // The other side's wait until its description was taken.
    b.hear(offer);
    assert_eq!(b.hear(early), []);
    assert_eq!(
        b.tell(attempt, Input::Accepted),
        [
            Action::Add(attempt, candidate("a")),
            Action::Answer(attempt)
        ]
    );
    assert_eq!(b.hear(early), [Action::Add(attempt, candidate("a"))]);
}

#[test]
fn when_both_offer_the_initiator_wins() {
    let (mut a, mut b) = (Side::new(Role::Initiator), Side::new(Role::Joiner));
    let (ours, offer) = a.offer();
    let (theirs, other) = b.offer();
    assert_eq!(a.hear(&other), []);
    let answer = b.answer(ours, &offer);
    assert!(b.tell(theirs, Input::Accepted).is_empty(), "it is over");
    assert_eq!(a.hear(&answer), [Action::Accept(ours, description(ANSWER))]);
}

#[test]
fn a_joiner_leaves_the_first_moment_to_the_initiator() {
    let mut b = Side::new(Role::Joiner);
    b.direct.dial(b.now);
    assert_eq!(b.after(JOINER_WAITS - Duration::from_millis(1)), []);
    assert!(!b.after(Duration::from_millis(1)).is_empty());
}

#[test]
fn a_silent_path_is_mended_by_its_offerer_and_given_up_in_time() {
    let (mut a, mut b, attempt) = pair();
    let path = a.direct.path().unwrap();
    a.direct.silent(path, a.now, true);
    let restart = Action::Offer {
        attempt,
        restart: true,
    };
    assert_eq!(a.take(), [restart]);
    let path = b.direct.path().unwrap();
    b.direct.silent(path, b.now, true);
    assert_eq!(b.take(), [], "the other side offered");
    // What comes over it proves that it is mended.
    b.direct.heard(attempt);
    assert_eq!(b.take(), [Action::Up(attempt)]);
    assert_eq!(
        a.after(MENDING),
        [Action::Close(attempt), Action::Failed(Why::Unreachable)]
    );
    assert_eq!(a.direct.why(), Why::Unreachable);
}

#[test]
fn each_offer_is_answered_before_the_next_one_is_made() {
    let (mut a, _, attempt) = pair();
    let restart = Action::Offer {
        attempt,
        restart: true,
    };
    let answer = signal::encode(attempt, &Kind::Description(description(ANSWER)));
    let accept = Action::Accept(attempt, description(ANSWER));
    a.direct.wake(SECOND, a.now, true);
    assert_eq!(a.take(), std::slice::from_ref(&restart));
    a.tell(attempt, Input::Described(description(OFFER)));
    // Two reasons more, and one offer more.
    a.direct.wake(SECOND, a.now, true);
    let path = a.direct.path().unwrap();
    a.direct.silent(path, a.now, true);
    assert_eq!(a.take(), []);
    assert_eq!(a.hear(&answer), std::slice::from_ref(&accept));
    assert_eq!(
        a.tell(attempt, Input::Accepted),
        std::slice::from_ref(&restart)
    );
    a.tell(attempt, Input::Described(description(OFFER)));
    assert_eq!(a.hear(&answer), [accept]);
    assert_eq!(a.tell(attempt, Input::Accepted), []);
}

#[test]
fn a_restart_that_a_lost_leg_may_have_swallowed_is_made_again() {
    let (mut a, _, attempt) = pair();
    a.direct.wake(SECOND, a.now, true);
    a.take();
    a.tell(attempt, Input::Described(description(OFFER)));
    a.direct.relay_up(a.now);
    assert!(matches!(
        a.take()[..],
        [Action::Offer { restart: true, .. }]
    ));
    a.direct.relay_up(a.now);
    assert_eq!(a.take(), [], "it is being made");
}

#[test]
fn candidates_of_one_description_are_bounded() {
    let (mut a, _, attempt) = pair();
    let one = signal::encode(attempt, &Kind::Candidate(candidate("a")));
    let added = |side: &mut Side| (0..200).map(|_| side.hear(&one).len()).sum::<usize>();
    assert_eq!(added(&mut a), 64);
    a.direct.wake(SECOND, a.now, true);
    a.tell(attempt, Input::Described(description(OFFER)));
    a.hear(&signal::encode(
        attempt,
        &Kind::Description(description(ANSWER)),
    ));
    assert_eq!(added(&mut a), 64, "another description");
    let mut b = Side::new(Role::Joiner);
    b.hear(&signal::encode(9, &Kind::Description(description(OFFER))));
    let early = signal::encode(9, &Kind::Candidate(candidate("a")));
    for _ in 0..200 {
        assert_eq!(b.hear(&early), []);
    }
    let taken = b.tell(9, Input::Accepted);
    assert_eq!(taken.len(), 64 + 1, "and an answer");
}

#[test]
fn an_offer_of_the_attempt_given_up_last_is_dropped() {
    let (mut a, mut b, attempt) = pair();
    b.direct.lost(Why::Closed);
    b.take();
    let path = a.direct.path().unwrap();
    a.direct.silent(path, a.now, true);
    a.take();
    let again = signal(&a.tell(attempt, Input::Described(description(OFFER))));
    assert_eq!(b.hear(&again), []);
}

#[test]
fn stale_credentials_are_renewed_before_candidates_are_gathered() {
    for answered in [true, false] {
        let mut a = Side::new(Role::Initiator);
        a.direct.set_servers(a.now);
        a.direct.dial(a.now);
        let asked = a.after(SECOND);
        let [Action::Make(attempt, _), Action::Renew] = asked[..] else {
            panic!("{asked:?}");
        };
        let offer = Action::Offer {
            attempt,
            restart: false,
        };
        if answered {
            a.direct.renewed();
            assert_eq!(a.take(), [offer]);
        } else {
            assert_eq!(a.after(RENEWING), [offer], "the old ones have to do");
        }
    }
}

#[test]
fn credentials_age_while_the_device_sleeps() {
    let (mut a, _, attempt) = pair();
    a.direct.set_servers(a.now + 3_600 * SECOND);
    a.direct.wake(SECOND, a.now, true);
    assert_eq!(
        a.take(),
        [Action::Offer {
            attempt,
            restart: true
        }]
    );
    a.direct.wake(3_600 * SECOND, a.now, true);
    assert_eq!(a.take(), [Action::Renew]);
}

#[test]
fn a_new_relay_path_begins_an_unfinished_offer_anew() {
    let mut a = Side::new(Role::Initiator);
    let (attempt, _) = a.offer();
    a.direct.relay_up(a.now);
    assert_eq!(a.take(), [Action::Close(attempt)]);
    let asked = a.after(Duration::ZERO);
    assert!(
        matches!(asked[..], [Action::Make(other, _), _] if other != attempt),
        "{asked:?}"
    );
}

#[test]
fn a_failed_connection_is_told_and_its_path_mended() {
    let mut a = Side::new(Role::Initiator);
    let (attempt, _) = a.offer();
    assert_eq!(
        a.tell(
            attempt,
            Input::Changed(Connection::Failed, Channel::Pending)
        ),
        [Action::Close(attempt), Action::Failed(Why::NoPair)]
    );
    let (mut a, _, attempt) = pair();
    let path = a.direct.path().unwrap();
    let asked = a.tell(attempt, Input::Changed(Connection::Failed, Channel::Open));
    assert_eq!(asked[0], Action::Down(path));
    assert!(matches!(asked[1], Action::Offer { restart: true, .. }));
}

#[test]
fn a_side_that_is_off_neither_offers_nor_answers() {
    let mut a = Side::new(Role::Initiator);
    let (_, offer) = a.offer();
    let mut off = Side::new(Role::Joiner);
    off.direct = Direct::new(Mode::Off, Carrier::WebRtc, Role::Joiner);
    off.direct.dial(off.now);
    assert_eq!(off.after(10 * SECOND), []);
    assert_eq!(off.hear(&offer), []);
    assert!(!off.direct.upgrade(off.now));
    // By hand it answers, and offers when asked.
    let mut manual = Side::new(Role::Joiner);
    manual.direct = Direct::new(Mode::Manual, Carrier::WebRtc, Role::Joiner);
    manual.direct.dial(manual.now);
    assert_eq!(manual.after(10 * SECOND), []);
    assert!(!manual.hear(&offer).is_empty());
}

/// A native program.
fn native(role: Role) -> Side {
    let mut side = Side::new(role);
    side.direct = Direct::new(Mode::Auto, Carrier::Quic, role);
    side
}

fn offer_of(carrier: Carrier, attempt: u64) -> Vec<u8> {
    signal::encode(attempt, &Kind::Description(description(carrier.offer())))
}

#[test]
fn a_native_program_takes_what_is_offered_and_a_page_what_it_has() {
    for carrier in [Carrier::WebRtc, Carrier::Quic] {
        let mut native = native(Role::Joiner);
        let heard = native.hear(&offer_of(carrier, 7));
        assert!(matches!(
            heard[..],
            [Action::Make(7, made), Action::Accept(7, _)] if made == carrier
        ));
        let asked = native.tell(7, Input::Accepted);
        assert_eq!(asked, [Action::Answer(7)]);
        // Another carrier is no offer of the same connection.
        let other = match carrier {
            Carrier::WebRtc => Carrier::Quic,
            Carrier::Quic => Carrier::WebRtc,
        };
        assert_eq!(native.hear(&offer_of(other, 7)), []);
    }
    let mut page = Side::new(Role::Joiner);
    assert_eq!(page.hear(&offer_of(Carrier::Quic, 7)), []);
    assert!(!page.hear(&offer_of(Carrier::WebRtc, 8)).is_empty());
}

#[test]
fn a_page_that_waits_for_an_offer_makes_its_own_when_one_comes_that_it_cannot_take() {
    let mut page = Side::new(Role::Joiner);
    page.direct.dial(page.now);
    assert_eq!(page.after(Duration::ZERO), []);
    assert_eq!(page.hear(&offer_of(Carrier::Quic, 7)), []);
    let asked = page.after(Duration::ZERO);
    assert!(matches!(
        asked[..],
        [Action::Make(_, Carrier::WebRtc), Action::Offer { .. }]
    ));
    // It does not look because the other side does.
    let mut page = Side::new(Role::Joiner);
    assert_eq!(page.hear(&offer_of(Carrier::Quic, 7)), []);
    assert_eq!(page.after(10 * SECOND), []);
}

#[test]
fn a_native_initiator_leaves_its_own_offer_for_that_of_a_page() {
    let mut native = native(Role::Initiator);
    let (attempt, _) = native.offer();
    let heard = native.hear(&offer_of(Carrier::WebRtc, 7));
    assert!(matches!(
        heard[..],
        [Action::Close(closed), Action::Make(7, Carrier::WebRtc), Action::Accept(7, _)]
            if closed == attempt
    ));
    // An offer of QUIC is of a native joiner, which drops its own.
    let mut native = self::native(Role::Initiator);
    native.offer();
    assert_eq!(native.hear(&offer_of(Carrier::Quic, 7)), []);
}

#[test]
fn an_offer_that_nobody_answers_is_followed_by_one_of_the_other_carrier() {
    let mut native = native(Role::Initiator);
    for carrier in [Carrier::Quic, Carrier::WebRtc, Carrier::Quic] {
        native.direct.dial(native.now);
        let asked = native.after(Duration::ZERO);
        let [Action::Make(attempt, made), Action::Offer { .. }] = asked[..] else {
            panic!("{asked:?}");
        };
        assert_eq!(made, carrier);
        native.tell(attempt, Input::Described(description(carrier.offer())));
        assert!(
            native
                .after(MAKING)
                .contains(&Action::Failed(Why::Unreachable))
        );
    }
    // Whoever is known to have the first carrier is offered that again, as is whoever was restarted.
    let unanswered = |native: &mut Side| {
        native.offer();
        native.after(MAKING);
        native.direct.offers
    };
    assert_eq!(native.direct.offers, Carrier::WebRtc);
    native.hear(&offer_of(Carrier::Quic, 7));
    assert_eq!(native.direct.offers, Carrier::Quic);
    native.direct.lost(Why::NoPair);
    native.take();
    assert_eq!(unanswered(&mut native), Carrier::WebRtc);
    native.offer();
    native.direct.lost(Why::PeerRestarted);
    assert_eq!(native.direct.offers, Carrier::Quic);
    // What failed on this side says nothing of the other one.
    native.take();
    native.offer();
    native.direct.lost(Why::Refused);
    assert_eq!(native.direct.offers, Carrier::Quic);
    // A page has one.
    let mut page = Side::new(Role::Initiator);
    for _ in 0..2 {
        page.direct.dial(page.now);
        let asked = page.after(Duration::ZERO);
        assert!(matches!(asked[..], [Action::Make(_, Carrier::WebRtc), _]));
        page.after(MAKING);
    }
}

#[test]
fn an_answer_of_another_carrier_is_none() {
    let mut native = native(Role::Initiator);
    let (attempt, _) = native.offer();
    let answer = |carrier: Carrier| {
        signal::encode(attempt, &Kind::Description(description(carrier.answer())))
    };
    assert_eq!(native.hear(&answer(Carrier::WebRtc)), []);
    assert!(!native.hear(&answer(Carrier::Quic)).is_empty());
}
