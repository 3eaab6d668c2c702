//! Codes that let nobody in without a yes.

use super::*;

/// Whatever server and relay say: without a yes nobody comes in, though a relay that lies with control has
/// the code proven.
#[test]
fn nobody_comes_in_without_a_yes_whatever_is_said() {
    let (mut proven, mut shut) = (0, 0);
    for seed in 0..2_000 {
        let mut run = Run::new(seed);
        (run.guarded, run.invite) = (true, Invite::guarded());
        let run = run.play(150);
        assert!(run.guesses <= GUESSES, "seed {seed}");
        proven += u64::from(run.guesses > 0);
        shut += u64::from(run.over);
    }
    assert!(proven > 100 && shut > 500, "{proven} {shut}");
}

#[test]
fn whoever_redeems_a_guarded_code_is_asked_about_and_let_in_by_a_yes() {
    let (mut invite, mut now) = shown_by(Invite::guarded());
    for _ in 0..2 {
        invite.handle(Input::Told(PairingEvent::Joined), now);
        invite.handle(Input::Asked, now);
    }
    assert_eq!(all(&mut invite), [Action::Ask], "once");
    assert!(!invite.is_let_in());
    invite.handle(Input::Answered(true), now);
    assert_eq!(all(&mut invite), [Action::LetIn]);
    assert!(invite.is_let_in());
    // A no that comes later is none.
    invite.handle(Input::Answered(false), now);
    // Control cannot be reached at once.
    for retry_after in [None, Some(7 * SECOND)] {
        let is_final = false;
        let failed = LetIn::Failed {
            is_final,
            retry_after,
        };
        invite.handle(Input::LetIn(failed), now);
        assert_eq!(all(&mut invite), []);
        assert_eq!(invite.poll_timeout(), now + retry_after.unwrap_or(SECOND));
        now = invite.poll_timeout();
        invite.handle(Input::Timeout, now);
        assert_eq!(all(&mut invite), [Action::LetIn]);
    }
    invite.handle(Input::PeerOnline, now);
    assert_eq!(all(&mut invite), [Action::Unwatch]);
    // The device is there, whatever becomes of a call that was still running.
    let (is_final, retry_after) = (false, None);
    let failed = LetIn::Failed {
        is_final,
        retry_after,
    };
    invite.handle(Input::LetIn(failed), now);
    assert_eq!(invite.poll_timeout(), Moment::NEVER);
    // The person there mistyped the words: as with any other code.
    invite.handle(Input::Used, now);
    invite.handle(Input::Ended(Ended::Else), now);
    assert_eq!(all(&mut invite).pop(), Some(Action::Replace(Why::Used)));
    invite.handle(Input::Created, now);
    assert!(!invite.is_let_in(), "the next one is asked about, too");
}

#[test]
fn a_question_without_a_yes_ends_the_invite() {
    let gone = LetIn::Failed {
        is_final: true,
        retry_after: None,
    };
    for (said, last) in [
        (vec![Input::Answered(false)], Action::Refuse),
        (vec![Input::Told(PairingEvent::Expired)], Action::Withdraw),
        (vec![Input::Told(PairingEvent::Revoked)], Action::Withdraw),
        (vec![Input::PeerOnline], Action::Withdraw),
        (vec![Input::Used], Action::Withdraw),
    ] {
        let (mut invite, now) = shown_by(Invite::guarded());
        invite.handle(Input::Asked, now);
        all(&mut invite);
        for input in said {
            invite.handle(input, now);
        }
        assert_eq!(all(&mut invite).pop(), Some(last));
        invite.handle(Input::Answered(true), now);
        assert_eq!(all(&mut invite), [], "too late");
        invite.handle(Input::Ended(Ended::Gone), now);
        assert_eq!(all(&mut invite).pop(), Some(Action::End));
        assert!(!invite.is_let_in());
    }
    // Said yes, and the pairing was gone by then: another code may follow, since the question has its answer.
    let (mut invite, now) = shown_by(Invite::guarded());
    invite.handle(Input::Asked, now);
    invite.handle(Input::Answered(true), now);
    invite.handle(Input::LetIn(gone), now);
    assert_eq!(all(&mut invite).pop(), Some(Action::Withdraw));
    invite.handle(Input::Ended(Ended::Gone), now);
    assert_eq!(all(&mut invite).pop(), Some(Action::Replace(Why::Gone)));
}

#[test]
fn a_guarded_code_that_nobody_redeemed_is_replaced_as_any_other() {
    let (mut invite, now) = shown_by(Invite::guarded());
    invite.handle(Input::Told(PairingEvent::Expired), now);
    invite.handle(Input::Ended(Ended::Gone), now);
    assert_eq!(all(&mut invite).pop(), Some(Action::Replace(Why::Gone)));
    // A device that was let in unasked.
    let (mut invite, now) = shown_by(Invite::guarded());
    invite.handle(Input::PeerOnline, now);
    assert_eq!(all(&mut invite).pop(), Some(Action::Withdraw));
    invite.handle(Input::Ended(Ended::Else), now);
    assert_eq!(all(&mut invite).pop(), Some(Action::End));
}
