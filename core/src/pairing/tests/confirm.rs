//! A code that is guarded: whoever redeems it has to be let in.

use super::*;

impl World {
    fn open(&mut self, credential: &Credential) -> Result<View, Reject> {
        let credential = credential.clone();
        self.run(&Open { credential }).map(|(view, _)| view)
    }

    fn let_in(&mut self, credential: &Credential) -> Result<(View, Option<Event>), Reject> {
        let credential = credential.clone();
        self.run(&LetIn { credential })
    }

    fn refuse(&mut self, credential: &Credential) -> Result<(bool, Option<Event>), Reject> {
        let credential = credential.clone();
        self.run(&Refuse { credential })
    }

    /// Somebody who calls itself so redeems a code.
    fn asks(&mut self, created: &Created, label: &str) -> Joined {
        let join = Join {
            nameplate: created.nameplate.clone(),
            ephemeral: true,
            label: label.parse().ok(),
        };
        let (joined, event) = self.run(&join).unwrap();
        let expected = match joined.view.unconfirmed {
            true => Event::Asked,
            false => Event::Joined,
        };
        assert_eq!(event, Some(expected));
        joined
    }
}

#[test]
fn a_joiner_opens_no_session_before_the_yes() {
    let mut world = World::new(31);
    let created = world.create_guarded(true, true);
    assert!(world.open(&created.credential).is_ok(), "it may wait there");
    let joined = world.asks(&created, "laptop");
    assert!(joined.view.unconfirmed);
    assert_eq!(world.open(&joined.credential), Err(Reject::Unconfirmed));
    let view = world.open(&created.credential).unwrap();
    assert!(view.joined && view.unconfirmed);
    assert_eq!(view.label.unwrap().as_str(), "laptop");

    let (view, event) = world.let_in(&created.credential).unwrap();
    assert_eq!(event, Some(Event::Confirmed));
    assert!(view.joined && !view.unconfirmed);
    assert_eq!(view.label.unwrap().as_str(), "laptop");
    let opened = world.open(&joined.credential).unwrap();
    assert_eq!((opened.role, opened.unconfirmed), (Role::Joiner, false));
    // A second yes changes nothing, and a late no neither.
    assert_eq!(world.let_in(&created.credential).unwrap().1, None);
    let late = world.refuse(&created.credential);
    assert_eq!(late, Err(Reject::NobodyAsked));
    assert!(world.open(&joined.credential).is_ok());
}

#[test]
fn who_is_refused_has_spent_the_code() {
    let mut world = World::new(32);
    let created = world.create_guarded(true, true);
    let joined = world.asks(&created, "laptop");
    assert_eq!(
        world.join(&created.nameplate).unwrap_err(),
        Reject::CodeNotFound
    );
    let refused = world.refuse(&created.credential);
    assert_eq!(refused, Ok((true, Some(Event::Revoked))));
    for credential in [&joined.credential, &created.credential] {
        assert_eq!(world.open(credential), Err(Reject::CredentialInvalid));
    }
    assert_eq!(
        world.join(&created.nameplate).unwrap_err(),
        Reject::CodeNotFound
    );
}

#[test]
fn only_the_initiator_answers_and_only_a_question() {
    let mut world = World::new(33);
    let created = world.create_guarded(true, true);
    let mine = &created.credential;
    assert_eq!(world.let_in(mine), Err(Reject::NobodyAsked), "beforehand");
    assert_eq!(world.refuse(mine), Err(Reject::NobodyAsked), "beforehand");
    let joined = world.asks(&created, "laptop");
    let theirs = &joined.credential;
    assert_eq!(world.let_in(theirs), Err(Reject::NotInitiator));
    assert_eq!(world.refuse(theirs), Err(Reject::NotInitiator));
    assert_eq!(world.open(theirs), Err(Reject::Unconfirmed));
}

/// Neither calls of the two peers, nor signs of life, nor a wish to keep the pairing.
#[test]
fn nothing_prolongs_the_time_for_an_answer() {
    let mut world = World::new(34);
    let created = world.create_guarded(false, true);
    let id = created.view.id;
    world.present(id, Role::Initiator, true);
    let joined = world.asks(&created, "laptop");
    for _ in 0..CONFIRM_TTL / 1_000 - 1 {
        world.pass(1_000);
        assert!(world.open(&created.credential).is_ok());
        for credential in [&created.credential, &joined.credential] {
            let credential = credential.clone();
            assert!(world.admit(&credential).is_ok());
            world.run(&Keep { credential }).unwrap();
        }
        for role in Role::BOTH {
            world.alive(id, role);
        }
    }
    world.pass(999);
    assert!(world.lives(id));
    world.pass(1);
    assert!(!world.lives(id));
    for credential in [&created.credential, &joined.credential] {
        assert_eq!(world.let_in(credential), Err(Reject::CredentialInvalid));
        assert_eq!(world.open(credential), Err(Reject::CredentialInvalid));
    }
}

#[test]
fn a_pairing_that_was_let_in_lives_as_any_other() {
    for (asks, keeps, ttl) in [
        (true, false, UNKEPT_TTL),
        (true, true, RESTORE_TTL),
        (false, false, RESTORE_TTL),
    ] {
        let mut world = World::new(35);
        let created = world.create_guarded(asks, true);
        let id = created.view.id;
        world.present(id, Role::Initiator, true);
        let joined = world.asks(&created, "laptop");
        if keeps {
            let credential = joined.credential.clone();
            world.run(&Keep { credential }).unwrap();
        }
        world.pass(CONFIRM_TTL - 1);
        let view = world.let_in(&created.credential).unwrap().0;
        let left = view.restorable_until.saturating_since(world.now);
        assert_eq!(left, Duration::from_millis(ttl), "{asks} {keeps}");
    }
}

/// Old records are read, and an old server does not read as open what is guarded.
#[test]
fn what_is_guarded_is_stored_under_a_name_that_older_servers_do_not_know() {
    let mut world = World::new(36);
    let open = world.create_on(true);
    let guarded = world.create_guarded(true, true);
    let stored = |world: &World, id| serde_json::to_string(&world.stored[&id]).unwrap();
    let plain = stored(&world, open.view.id);
    assert!(
        plain.contains(r#""state":{"waiting":{"nameplate":"#),
        "{plain}"
    );
    let waiting = stored(&world, guarded.view.id);
    assert!(waiting.contains(r#""state":{"guarded":{"nameplate":"#));
    world.asks(&guarded, "laptop");
    let asked = stored(&world, guarded.view.id);
    assert!(asked.contains(r#""state":{"asked":{"joiner":"#), "{asked}");
    assert!(asked.contains(r#""label":"laptop""#), "{asked}");
    world.let_in(&guarded.credential).unwrap();
    let joined = stored(&world, guarded.view.id);
    assert!(
        joined.contains(r#""state":{"joined":{"joiner":"#),
        "{joined}"
    );
    for text in [plain, waiting, asked, joined] {
        let again: Pairing = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}

#[test]
fn a_label_is_short_and_draws_nothing() {
    let long = "x".repeat(Label::MAX);
    for good in ["laptop", "Annas Gerät", "…", " ", long.as_str()] {
        assert_eq!(good.parse::<Label>().unwrap().as_str(), good);
    }
    let longer = "x".repeat(Label::MAX + 1);
    let wide = "ä".repeat(Label::MAX / 2 + 1);
    for bad in [
        "",
        "a\nb",
        "\u{1b}[2J",
        "\u{9b}2J",
        "\u{7f}",
        "\0",
        longer.as_str(),
        wide.as_str(),
    ] {
        assert_eq!(bad.parse::<Label>(), Err(NotALabel), "{bad:?}");
        let json = serde_json::to_string(bad).unwrap();
        assert!(serde_json::from_str::<Label>(&json).is_err(), "{bad:?}");
    }
}

/// A code nobody guards may have a label, too: the initiator is told it.
#[test]
fn who_joins_an_open_code_may_say_who_it_is() {
    let mut world = World::new(37);
    let created = world.create_on(true);
    let joined = world.asks(&created, "laptop");
    assert!(!joined.view.unconfirmed);
    let view = world.open(&joined.credential).unwrap();
    assert_eq!(view.label.unwrap().as_str(), "laptop");
    assert_eq!(world.let_in(&created.credential).unwrap().1, None);
}
