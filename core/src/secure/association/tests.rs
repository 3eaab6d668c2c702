use super::super::testing::Seeded;
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const PAIRING: PairingId = PairingId::from_bytes([9; 16]);
const CODE: &[u8] = b"481920-tulip-ember";

#[test]
fn a_code_secures_and_a_secret_restores() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.path_up();
    pair.assert_secured();
    let secret = pair.peers[0].secret().unwrap().clone();
    assert_eq!(pair.peers[1].secret(), Some(&secret));

    // Either process is restarted with what it stored.
    for role in Role::BOTH {
        pair.restart(role, secret.clone());
        assert_eq!(pair.peers[role.index()].state(), State::Handshaking);
        pair.path_up();
        pair.assert_secured();
    }
}

/// Forward secrecy: a recording and the pairing secret, stolen later, open nothing of what was said.
#[test]
fn a_stolen_secret_opens_no_recording() {
    let mut pair = Pair::with_codes(CODE, CODE);
    let mut recorded = Vec::new();
    let mut secret = None;
    // The pairing itself, and a connection of peers that come back with what they stored.
    for _ in 0..2 {
        pair.kick();
        while let Some((from, frame)) = pair.wire.front().cloned() {
            recorded.push((from, frame));
            pair.deliver_one(|_| {});
        }
        for role in Role::BOTH {
            let frame = pair.peers[role.index()].seal_copy(Lane::Reliable, b"the brass key");
            recorded.push((role, frame.unwrap()));
        }
        let stolen = pair.peers[0].secret().unwrap().clone();
        for role in Role::BOTH {
            pair.restart(role, stolen.clone());
        }
        secret = Some(stolen);
    }
    for role in Role::BOTH {
        for begins in [false, true] {
            let secret = secret.clone().unwrap();
            let mut thief = Association::with_secret(role, PAIRING, secret, Bytes::new());
            let mut rng = Seeded::new(2);
            if begins {
                thief.on_path_up(&mut rng);
            }
            for (from, frame) in &recorded {
                if *from != role {
                    let told = thief.handle(frame.clone(), &mut rng);
                    assert!(!matches!(told, Ok(Some(_))), "{role} reads {told:?}");
                }
            }
            assert_ne!(thief.state(), State::Secured, "{role}");
        }
    }
}

#[test]
fn hellos_and_the_phrase_are_told() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.path_up();
    let [a, b] = &mut pair.peers;
    let sas = a.secret().unwrap().sas();
    let event = |hello| Event::Secured {
        sas,
        hello: Bytes::from_static(hello),
    };
    assert_eq!(a.poll_event(), Some(event(b"joiner")));
    assert_eq!(b.poll_event(), Some(event(b"initiator")));
    assert_eq!(a.poll_event(), None);
}

#[test]
fn a_wrong_code_tells_both_and_stays_burnt() {
    let mut pair = Pair::with_codes(CODE, b"481920-tulip-amber");
    for _ in 0..3 {
        pair.path_up();
        for peer in &pair.peers {
            assert_eq!(peer.state(), State::Burnt(Burnt::Mismatch));
            assert_eq!(peer.secret(), None);
        }
    }
}

#[test]
fn a_restart_within_the_pairing_burns_the_code() {
    for (role, frames) in [(Role::Joiner, 3), (Role::Initiator, 2)] {
        let mut pair = Pair::with_codes(CODE, CODE);
        pair.kick();
        for _ in 0..frames {
            pair.deliver_one(|_| {});
        }
        pair.wire.clear();
        let [a, b] = Pair::with_codes_seeded(CODE, CODE, 77).peers;
        pair.peers[role.index()] = if role == Role::Initiator { a } else { b };
        pair.path_up();
        pair.path_up();
        for peer in &pair.peers {
            let state = peer.state();
            assert!(matches!(state, State::Burnt(_)), "{role}: {state:?}");
        }
    }
}

#[test]
fn a_code_is_of_no_use_to_a_peer_that_has_its_secret() {
    for role in Role::BOTH {
        let mut pair = Pair::with_codes(CODE, CODE);
        pair.restart(role, PairingSecret::from_bytes([1; 32]));
        pair.path_up();
        let other = &pair.peers[role.other().index()];
        match role {
            // The initiator has spoken, and is answered.
            Role::Joiner => assert_eq!(other.state(), State::Burnt(Burnt::Spent)),
            // The joiner has nothing to say before it is spoken to.
            Role::Initiator => assert_eq!(other.state(), State::Pairing),
        }
        assert_eq!(pair.peers[role.index()].state(), State::Handshaking);
    }
}

#[test]
fn a_reflected_message_of_the_pairing_burns_nothing() {
    let mut pair = Pair::with_codes(CODE, CODE);
    let mut recorded = Vec::new();
    pair.kick();
    // Up to the joiner's confirmation, and not the one that answers it.
    while pair.peers[0].secret().is_none() {
        pair.deliver_one(|frame| recorded.push(frame.clone()));
    }
    assert!(pair.peers[1].secret().is_none());
    recorded.retain(|frame| frame[1] == wire::PAKE);
    for frame in recorded {
        let sender = if [1, 3, 5].contains(&frame[2]) { 0 } else { 1 };
        let frame = Frame::parse(frame.into()).unwrap();
        let reflected = pair.peers[sender].handle(frame, &mut pair.rng);
        assert!(!matches!(reflected, Err(Failure::Burnt(_))));
        pair.collect(Role::BOTH[sender]);
    }
    pair.path_up();
    pair.assert_secured();
}

#[test]
fn different_secrets_never_meet() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.restart(Role::Initiator, PairingSecret::from_bytes([1; 32]));
    pair.restart(Role::Joiner, PairingSecret::from_bytes([2; 32]));
    pair.path_up();
    for peer in &pair.peers {
        assert_eq!(peer.state(), State::Handshaking);
    }
    assert!(pair.failures.contains(&Violation::Forged.into()));
}

#[test]
fn a_handshake_interrupts_nothing() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.path_up();
    let [a, b] = &mut pair.peers;
    let early = [
        a.seal_copy(Lane::Reliable, b"early").unwrap(),
        b.seal_copy(Lane::Reliable, b"early").unwrap(),
    ];
    pair.kick();
    let mut handed = 0;
    while pair.deliver_one(|_| {}) {
        // Whatever one seals in the middle of it, the other opens.
        for role in Role::BOTH {
            let peer = &mut pair.peers[role.index()];
            let frame = peer.seal_copy(Lane::Datagram, b"now").unwrap();
            pair.send(role, frame);
            let (_, text) = pair.opened(role.other()).unwrap();
            assert_eq!(&text[..], b"now");
            handed += 1;
        }
    }
    assert!(handed >= 8);
    for (role, frame) in Role::BOTH.into_iter().zip(early) {
        pair.send(role, frame);
        assert_eq!(&pair.opened(role.other()).unwrap().1[..], b"early");
    }
    pair.assert_secured();
}

#[test]
fn a_replaced_session_goes_after_two_rekeyings() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.path_up();
    let frames: Vec<_> = (0..2)
        .map(|_| pair.peers[0].seal_copy(Lane::Reliable, b"late").unwrap())
        .collect();
    pair.path_up();
    let mut rng = Seeded::new(5);
    let joiner = &mut pair.peers[1];
    joiner.rekey();
    assert!(joiner.handle(frames[0].clone(), &mut rng).is_ok());
    joiner.rekey();
    let late = joiner.handle(frames[1].clone(), &mut rng);
    assert_eq!(late, Err(Violation::UnknownSession.into()));
    pair.assert_secured();
}

#[test]
fn a_replayed_first_message_takes_nothing_away() {
    let mut pair = Pair::with_codes(CODE, CODE);
    let mut first = None;
    pair.kick();
    while pair.deliver_one(|frame| {
        if frame[1..3] == [wire::HANDSHAKE, 1] {
            first = Some(Frame::parse(Bytes::copy_from_slice(frame)).unwrap());
        }
    }) {}
    pair.path_up();
    pair.path_up();
    // The attempt is long forgotten, so the joiner answers; it goes on as before.
    pair.send(Role::Initiator, first.unwrap());
    pair.deliver();
    pair.assert_secured();
}

#[test]
fn an_asking_peer_fills_no_memory() {
    let mut pair = Pair::with_codes(CODE, CODE);
    let mut rng = Seeded::new(5);
    pair.path_up();
    for seed in 0..100 {
        let again = wire::frame(&HandshakeMessage::SendAgain.encode());
        pair.peers[0].handle(again, &mut rng).unwrap();
        let secret = pair.peers[0].secret().unwrap().clone();
        let other = Handshake::initiate(&PAIRING, &secret, b"", &mut Seeded::new(seed));
        let first = wire::frame(&other.first());
        pair.peers[1].handle(first, &mut rng).unwrap();
    }
    assert!(pair.peers.iter().all(|peer| peer.out.len() <= MAX_QUEUED));
}

#[test]
fn sealing_and_opening_copy_nothing() {
    let mut pair = Pair::with_codes(CODE, CODE);
    pair.path_up();
    let buffer = with_headroom(&[7; 1000]);
    let place = buffer.as_ptr();
    let frame = pair.peers[0].seal(Lane::Reliable, buffer).unwrap();
    let (_, text) = pair.peers[1].handle(frame, &mut pair.rng).unwrap().unwrap();
    assert_eq!(text.as_ptr(), place.wrapping_add(HEADROOM));
    assert_eq!(text.len(), 1000);
}

#[test]
fn messages_stay_on_their_lanes() {
    let mut rng = Seeded::new(5);
    let mut pair = Pair::with_codes(CODE, CODE);
    for kind in [wire::PAKE, wire::HANDSHAKE] {
        for lane in [Lane::Notice, Lane::Datagram, Lane::Signal] {
            let frame = Frame::new(lane, &[kind, 0]);
            let refused = pair.peers[0].handle(frame, &mut rng);
            assert_eq!(refused, Err(Violation::WrongLane.into()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Legs are lost again and again, with whatever was under way on them, and frames come twice.
    /// Once a path holds, both peers are secured, and no code was burnt on the way.
    #[test]
    fn lost_legs_cost_only_time(
        deliveries in prop::collection::vec(0usize..7, 0..12),
        one_sided: bool,
        doubled: bool,
    ) {
        let mut pair = Pair::with_codes(CODE, CODE);
        pair.doubled = doubled;
        for count in deliveries {
            pair.kick();
            for _ in 0..count {
                pair.deliver_one(|_| {});
            }
            // A server gives what it has taken to the one whose leg still holds.
            if one_sided {
                pair.wire.retain(|(from, _)| *from == Role::Joiner);
            } else {
                pair.wire.clear();
            }
        }
        pair.path_up();
        pair.assert_secured();
        for failure in &pair.failures {
            let Failure::Violation(violation) = failure else {
                panic!("the code is burnt: {failure}");
            };
            prop_assert!(violation.is_stale() || *violation == Violation::Unexpected);
        }
    }

    /// A man in the middle changes a byte of one frame of the pairing or handshake. Either the code
    /// is burnt or, with the next path, all is well; never do the peers hold different secrets.
    #[test]
    fn an_altered_frame_ends_in_a_clean_error(
        which in 0usize..9,
        place: prop::sample::Index,
        mask in 1u8..,
    ) {
        let mut pair = Pair::with_codes(CODE, CODE);
        let mut count = 0;
        pair.kick();
        while pair.deliver_one(|frame| {
            if count == which {
                let at = place.index(frame.len());
                frame[at] ^= mask;
            }
            count += 1;
        }) {}
        pair.path_up();
        let burnt = |peer: &Association| matches!(peer.state(), State::Burnt(_));
        if !pair.peers.iter().any(burnt) {
            pair.assert_secured();
        }
        let [a, b] = &pair.peers;
        if let (Some(a), Some(b)) = (a.secret(), b.secret()) {
            prop_assert_eq!(a, b);
        }
    }

    /// Frames that a man in the middle recorded come back: to their sender, twice, on other lanes.
    #[test]
    fn recorded_frames_bring_nothing(
        moves in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0u8..4), 1..60),
    ) {
        let mut pair = Pair::with_codes(CODE, CODE);
        let mut recorded = Vec::new();
        pair.kick();
        while pair.deliver_one(|frame| recorded.push(frame.clone())) {}
        for role in Role::BOTH {
            let peer = &mut pair.peers[role.index()];
            let frame = peer.seal_copy(Lane::Signal, b"v=0 fingerprint").unwrap();
            recorded.push(frame.clone().into_bytes().to_vec());
            pair.send(role, frame);
            prop_assert!(pair.opened(role.other()).is_ok());
        }
        for (index, to_initiator, lane) in moves {
            let mut frame = index.get(&recorded).clone();
            frame[0] = lane;
            let role = if to_initiator { Role::Joiner } else { Role::Initiator };
            pair.send(role, Frame::parse(frame.into()).unwrap());
            if let Ok((_, text)) = pair.opened(role.other()) {
                panic!("delivered {text:?}");
            }
        }
        pair.wire.clear();
        pair.path_up();
        pair.assert_secured();
    }
}

/// Two peers and what is under way between them.
struct Pair {
    peers: [Association; 2],
    wire: VecDeque<(Role, Frame)>,
    failures: Vec<Failure>,
    doubled: bool,
    rng: Seeded,
}

impl Pair {
    fn with_codes(a: &[u8], b: &[u8]) -> Self {
        Self::with_codes_seeded(a, b, 1)
    }

    fn with_codes_seeded(a: &[u8], b: &[u8], seed: u64) -> Self {
        let mut rng = Seeded::new(seed);
        let mut peer = |role: Role, code| {
            Association::with_code(role, PAIRING, code, role.as_str().into(), &mut rng)
        };
        Self {
            peers: [peer(Role::Initiator, a), peer(Role::Joiner, b)],
            wire: VecDeque::new(),
            failures: Vec::new(),
            doubled: false,
            rng,
        }
    }

    fn restart(&mut self, role: Role, secret: PairingSecret) {
        let hello = role.as_str().into();
        self.peers[role.index()] = Association::with_secret(role, PAIRING, secret, hello);
    }

    /// A path comes up and holds until nobody has anything to say.
    fn path_up(&mut self) {
        self.kick();
        self.deliver();
    }

    fn kick(&mut self) {
        for role in Role::BOTH {
            self.peers[role.index()].on_path_up(&mut self.rng);
            self.collect(role);
        }
    }

    fn deliver(&mut self) {
        let mut frames = 0;
        while self.deliver_one(|_| {}) {
            frames += 1;
            assert!(frames < 1000, "the peers never fall silent");
        }
    }

    fn deliver_one(&mut self, meddle: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some((from, frame)) = self.wire.pop_front() else {
            return false;
        };
        let mut bytes = frame.into_bytes().to_vec();
        meddle(&mut bytes);
        let to = from.other();
        let Ok(frame) = Frame::parse(bytes.into()) else {
            return true;
        };
        for _ in 0..if self.doubled { 2 } else { 1 } {
            match self.peers[to.index()].handle(frame.clone(), &mut self.rng) {
                Ok(text) => assert_eq!(text, None, "nobody sent any"),
                Err(failure) => self.failures.push(failure),
            }
            self.collect(to);
        }
        true
    }

    /// Sends past everything under way.
    fn send(&mut self, from: Role, frame: Frame) {
        self.wire.push_front((from, frame));
    }

    /// Delivers what was just sent.
    fn opened(&mut self, to: Role) -> Result<(Lane, Bytes), Option<Failure>> {
        let (_, frame) = self.wire.pop_front().ok_or(None)?;
        let opened = self.peers[to.index()].handle(frame, &mut self.rng);
        self.collect(to);
        opened.map_err(Some)?.ok_or(None)
    }

    fn collect(&mut self, role: Role) {
        while let Some(frame) = self.peers[role.index()].poll_transmit() {
            self.wire.push_back((role, frame));
        }
    }

    fn assert_secured(&mut self) {
        for role in Role::BOTH {
            assert_eq!(self.peers[role.index()].state(), State::Secured, "{role}");
            for lane in [Lane::Reliable, Lane::Datagram, Lane::Signal] {
                let peer = &mut self.peers[role.index()];
                let frame = peer.seal_copy(lane, b"text").unwrap();
                self.send(role, frame);
                let text = Bytes::from_static(b"text");
                assert_eq!(self.opened(role.other()), Ok((lane, text)));
            }
        }
        let [a, b] = &self.peers;
        assert_eq!(a.secret().unwrap().sas(), b.secret().unwrap().sas());
    }
}
