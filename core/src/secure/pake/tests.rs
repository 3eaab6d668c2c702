use super::super::testing::Seeded;
use super::*;
use proptest::prelude::*;

const PAIRING: PairingId = PairingId::from_bytes([9; 16]);

#[test]
fn the_same_code_gives_the_same_secret() {
    let (a, b) = run(b"481920-tulip-ember", b"481920-tulip-ember", |_, _| {});
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a, b);
    assert_eq!(a.sas(), b.sas());

    let (other, _) = run(b"481920-tulip-amber", b"481920-tulip-amber", |_, _| {});
    assert_ne!(a, other.unwrap());
}

#[test]
fn a_wrong_guess_is_seen_by_both_and_confirmed_by_the_guesser_first() {
    let mut steps = Vec::new();
    let (a, b) = run(b"1-tulip", b"1-ember", |_, message| steps.push(message[1]));
    assert_eq!(a, Err(Burnt::Mismatch.into()));
    assert_eq!(b, Err(Burnt::Mismatch.into()));
    // The initiator's confirmation, step 5, is never sent.
    assert_eq!(steps, [1, 2, 3, 4, 6]);
}

#[test]
fn a_burnt_machine_stays_burnt() {
    let (mut a, commitment) = start(Role::Initiator, b"1", 1);
    let (mut b, _) = start(Role::Joiner, b"2", 2);
    let y = answer(&mut b, &commitment.unwrap());
    let x = answer(&mut a, &y);
    let confirmation = answer(&mut b, &x);
    for _ in 0..3 {
        let failure = a.handle(&confirmation).unwrap_err();
        assert_eq!(failure, Burnt::Mismatch.into());
        assert_eq!(&a.last_word().unwrap()[..], [1, 6, 1]);
    }
}

#[test]
fn repetitions_change_nothing_and_are_answered() {
    let (mut a, commitment) = start(Role::Initiator, b"1", 1);
    let (mut b, silent) = start(Role::Joiner, b"1", 2);
    assert_eq!(silent, None);
    let commitment = commitment.unwrap();

    let y = answer(&mut b, &commitment);
    assert_eq!(answer(&mut b, &commitment), y);
    let x = answer(&mut a, &y);
    assert_eq!(answer(&mut a, &y), x);
    let confirmation = answer(&mut b, &x);
    assert_eq!(answer(&mut b, &x), confirmation);
    assert!(matches!(b.handle(&commitment), Ok(Progress::Going(None))));

    let Ok(Progress::Done(secret, Some(last))) = a.handle(&confirmation) else {
        panic!("the initiator is done");
    };
    assert_eq!(answer(&mut a, &confirmation), last);
    let Ok(Progress::Done(same, None)) = b.handle(&last) else {
        panic!("the joiner is done");
    };
    assert_eq!(secret, same);
    assert!(matches!(b.handle(&last), Ok(Progress::Going(None))));
    assert!(a.is_done() && b.is_done());
    // A server that says "burnt" afterwards undoes nothing.
    let burnt = PakeMessage::Burnt(Burnt::Mismatch).encode();
    assert_eq!(a.handle(&burnt).unwrap_err(), Violation::Unexpected.into());
    assert!(a.is_done());
}

#[test]
fn a_second_peer_burns_the_code() {
    let (mut a, commitment) = start(Role::Initiator, b"1", 1);
    let (mut b, _) = start(Role::Joiner, b"1", 2);
    let (mut third, _) = start(Role::Joiner, b"1", 3);
    let commitment = commitment.unwrap();
    let y = answer(&mut b, &commitment);
    let other = answer(&mut third, &commitment);
    answer(&mut a, &y);
    assert_eq!(a.handle(&other).unwrap_err(), Burnt::Restarted.into());

    let (_, begun_again) = start(Role::Initiator, b"1", 4);
    assert_eq!(
        b.handle(&begun_again.unwrap()).unwrap_err(),
        Burnt::Restarted.into()
    );
}

#[test]
fn an_element_other_than_the_committed_one_burns_the_code() {
    let (_, commitment) = start(Role::Initiator, b"1", 1);
    let (mut searched, other) = start(Role::Initiator, b"1", 3);
    let (mut b, _) = start(Role::Joiner, b"1", 2);
    let y = answer(&mut b, &commitment.unwrap());
    assert_ne!(other, None);
    let x = answer(&mut searched, &y);
    assert_eq!(b.handle(&x).unwrap_err(), Burnt::Mismatch.into());
}

#[test]
fn another_pairing_has_another_secret() {
    let (mut a, commitment) = start(Role::Initiator, b"1", 1);
    let elsewhere = PairingId::from_bytes([8; 16]);
    let (mut b, _) = Pake::start(Role::Joiner, b"1", elsewhere, &mut Seeded::new(2));
    let y = answer(&mut b, &commitment.unwrap());
    let x = answer(&mut a, &y);
    // The commitment names the pairing, so that it fails here already.
    assert_eq!(b.handle(&x).unwrap_err(), Burnt::Mismatch.into());
}

#[test]
fn reflected_messages_and_swapped_roles_are_refused() {
    for role in Role::BOTH {
        let (mut one, _) = start(role, b"1", 1);
        let (mut two, first) = start(role, b"1", 2);
        if let Some(first) = first {
            assert_eq!(
                one.handle(&first).unwrap_err(),
                Violation::Unexpected.into()
            );
            assert_eq!(
                two.handle(&first).unwrap_err(),
                Violation::Unexpected.into()
            );
        }
    }
    // The initiator's own element, dressed up as the joiner's: its side byte gives it away, and a
    // changed side byte makes it another element.
    for side in [b'A', b'B'] {
        let (mut a, commitment) = start(Role::Initiator, b"1", 1);
        let (mut b, _) = start(Role::Joiner, b"1", 2);
        let mut mirror = answer(&mut b, &commitment.unwrap()).to_vec();
        let mut probe = start(Role::Initiator, b"1", 1).0;
        let x = answer(&mut probe, &mirror);
        mirror[2..].copy_from_slice(&x[2..]);
        mirror[2] = side;
        match a.handle(&mirror) {
            Err(failure) => assert_eq!(failure, Burnt::Mismatch.into()),
            Ok(_) => {
                // Its own confirmation does not pass for the joiner's either.
                let confirmation = PakeMessage::JoinerConfirms([0; TAG]).encode();
                assert_eq!(a.handle(&confirmation).unwrap_err(), Burnt::Mismatch.into());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever single byte of whatever message is changed, nobody ends with a secret that the
    /// other does not have, and nobody panics.
    #[test]
    fn a_flipped_byte_never_pairs(at_step in 1u8..6, position in 0usize..35, mask in 1u8..) {
        let mut touched = false;
        let (a, b) = run(b"1-tulip", b"1-tulip", |_, message| {
            if message[1] == at_step && position < message.len() && !touched {
                touched = true;
                message[position] ^= mask;
            }
        });
        match (a, b) {
            (Ok(a), Ok(b)) => { prop_assert!(!touched); prop_assert_eq!(a, b); }
            // The last message is lost: the initiator cannot know, and waits for the handshake.
            (Ok(_), Err(_)) => prop_assert_eq!(at_step, 5),
            (Err(_), Ok(_)) => prop_assert!(false, "the joiner pairs last"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn any_bytes_are_survived(role in prop_oneof![Just(Role::Initiator), Just(Role::Joiner)],
                              messages: Vec<(u8, Vec<u8>)>) {
        let (mut pake, _) = start(role, b"1", 1);
        for (step, body) in messages {
            let _ = pake.handle(&[&[1, step % 8], &body[..]].concat());
            prop_assert!(!pake.is_done());
        }
    }
}

/// Runs both machines against each other, with `meddle` in between, until nobody has anything to say.
fn run(
    code_a: &[u8],
    code_b: &[u8],
    mut meddle: impl FnMut(Role, &mut Vec<u8>),
) -> (
    Result<PairingSecret, Failure>,
    Result<PairingSecret, Failure>,
) {
    let (a, mut message) = start(Role::Initiator, code_a, 1);
    let (b, _) = start(Role::Joiner, code_b, 2);
    let mut machines = [a, b];
    let mut ends = [
        Err(Violation::Unexpected.into()),
        Err(Violation::Unexpected.into()),
    ];
    let mut from = Role::Initiator;
    while let Some(sent) = message.take() {
        let mut sent = sent.to_vec();
        meddle(from, &mut sent);
        let to = from.other();
        let machine = &mut machines[to.index()];
        match machine.handle(&sent) {
            Ok(Progress::Going(answer)) => message = answer,
            Ok(Progress::Done(secret, answer)) => {
                ends[to.index()] = Ok(secret);
                message = answer;
            }
            Err(failure) => {
                let told = sent[1] == 6;
                ends[to.index()] = Err(failure);
                if matches!(failure, Failure::Burnt(_)) && !told {
                    message = machine.last_word();
                }
            }
        }
        from = to;
    }
    let [a, b] = ends;
    (a, b)
}

fn start(role: Role, code: &[u8], seed: u64) -> (Pake, Option<Bytes>) {
    Pake::start(role, code, PAIRING, &mut Seeded::new(seed))
}

fn answer(pake: &mut Pake, message: &[u8]) -> Bytes {
    match pake.handle(message) {
        Ok(Progress::Going(Some(answer))) => answer,
        other => panic!("no answer: {other:?}"),
    }
}
