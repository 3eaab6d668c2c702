//! The promises of pairings: some by example, all of them against a plain model.

mod confirm;
mod model;

use std::collections::HashMap;

use super::*;
use crate::code::Lengths;
use crate::code::tests::Seeded;

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const CODE_TTL: u64 = 130_000;
const CODE_MAX: u64 = 24 * 3_600_000;
const RESTORE_TTL: u64 = 7 * 24 * 3_600_000;
const UNKEPT_TTL: u64 = 600_000;
const CONFIRM_TTL: u64 = 120_000;

/// A store without concurrency: it loads, decides and obeys.
struct World {
    stored: HashMap<PairingId, Pairing>,
    now: Timestamp,
    rng: Seeded,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            stored: HashMap::new(),
            now: START,
            rng: Seeded(seed),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    fn run<C: Command>(&mut self, command: &C) -> Result<(C::Reply, Option<Event>), Reject> {
        let current = match command.find() {
            Find::Nothing => None,
            Find::ById(id) => self.stored.get(&id),
            // Like a real store, which forgets late, it may still find an expired one.
            Find::ByNameplate(nameplate) => self
                .stored
                .values()
                .filter(|pairing| pairing.nameplate() == Some(nameplate))
                .max_by_key(|pairing| pairing.expires_at()),
        };
        let config = Config::default();
        let decision = decide(&config, current, command, self.now, &mut self.rng)?;
        match decision.write {
            Write::Nothing => {}
            Write::Put(pairing) | Write::Prolong(pairing) => {
                self.stored.insert(pairing.id(), pairing);
            }
            Write::Remove(id) => drop(self.stored.remove(&id)),
        }
        Ok((decision.reply, decision.event))
    }

    fn create(&mut self) -> Created {
        self.create_on(false)
    }

    fn create_on(&mut self, ephemeral: bool) -> Created {
        self.create_guarded(ephemeral, false)
    }

    fn create_guarded(&mut self, ephemeral: bool, confirm: bool) -> Created {
        let create = Create {
            digits: Digits::default(),
            secret_bits: 20,
            ephemeral,
            confirm,
            account: None,
        };
        self.run(&create).unwrap().0
    }

    /// Joins, as one who asks for what is to be kept, and as one who does not know how.
    fn join_on(&mut self, created: &Created, ephemeral: bool) -> Joined {
        let nameplate = created.nameplate.clone();
        let join = Join {
            nameplate,
            ephemeral,
            label: None,
        };
        self.run(&join).unwrap().0
    }

    fn present(&mut self, pairing: PairingId, role: Role, online: bool) {
        let present = Present {
            pairing,
            role,
            online,
        };
        self.run(&present).unwrap();
    }

    /// A sign of life that lasts, as control reports it when half of the time is used.
    fn alive(&mut self, pairing: PairingId, role: Role) -> Option<Timestamp> {
        let alive = Alive {
            pairing,
            role,
            seen: self.now,
            online: self
                .stored
                .get(&pairing)
                .is_some_and(|it| it.online[role.index()]),
            worn_out: Lengths::default(),
        };
        self.run(&alive).unwrap().0
    }

    /// Lets time pass while a sign lasts.
    fn live(&mut self, pairing: PairingId, role: Role, millis: u64, step: u64) {
        for _ in 0..millis / step {
            self.pass(step);
            self.alive(pairing, role);
        }
    }

    fn lives(&self, pairing: PairingId) -> bool {
        self.stored[&pairing].expires_at() > self.now
    }

    fn join(&mut self, nameplate: &Nameplate) -> Result<Joined, Reject> {
        let nameplate = nameplate.clone();
        let join = Join {
            nameplate,
            ephemeral: false,
            label: None,
        };
        self.run(&join).map(|(joined, _)| joined)
    }

    fn admit(&mut self, credential: &Credential) -> Result<View, Reject> {
        let credential = credential.clone();
        self.run(&Admit { credential }).map(|(view, _)| view)
    }
}

#[test]
fn a_code_is_redeemed_once() {
    let mut world = World::new(1);
    let created = world.create();
    assert!(!world.admit(&created.credential).unwrap().joined);
    let joined = world.join(&created.nameplate).unwrap();
    assert_eq!(joined.view.id, created.view.id);
    assert_eq!(
        world.join(&created.nameplate).unwrap_err(),
        Reject::CodeNotFound
    );
    let view = world.admit(&created.credential).unwrap();
    assert!(view.joined);
    assert_eq!(view.role, Role::Initiator);
    assert_eq!(world.admit(&joined.credential).unwrap().role, Role::Joiner);
}

#[test]
fn a_code_does_not_join_what_an_outdated_index_finds() {
    let mut world = World::new(1);
    let (config, now) = (Config::default(), world.now);
    let created = world.create();
    let other = world.create();
    world.join(&created.nameplate).unwrap();
    for found in [created.view.id, other.view.id] {
        let current = Some(&world.stored[&found]);
        let join = Join {
            nameplate: created.nameplate.clone(),
            ephemeral: false,
            label: None,
        };
        let decision = decide(&config, current, &join, now, &mut world.rng);
        assert_eq!(decision.unwrap_err(), Reject::CodeNotFound);
    }
}

#[test]
fn a_code_works_to_its_last_millisecond() {
    for (wait, works) in [(0, true), (CODE_TTL - 1, true), (CODE_TTL, false)] {
        let mut world = World::new(2);
        let created = world.create();
        world.pass(wait);
        assert_eq!(world.join(&created.nameplate).is_ok(), works, "{wait}");
        assert_eq!(world.admit(&created.credential).is_ok(), works, "{wait}");
    }
}

#[test]
fn a_pairing_lives_from_its_last_use() {
    let mut world = World::new(3);
    let created = world.create();
    let joined = world.join(&created.nameplate).unwrap();
    world.present(created.view.id, Role::Initiator, true);
    world.present(created.view.id, Role::Initiator, false);
    world.pass(RESTORE_TTL - 1);
    let view = world.admit(&joined.credential).unwrap();
    assert_eq!(
        view.restorable_until
            .saturating_since(world.now)
            .as_millis(),
        u128::from(RESTORE_TTL)
    );
    world.pass(RESTORE_TTL - 1);
    world.present(created.view.id, Role::Joiner, true);
    world.pass(RESTORE_TTL - 1);
    assert!(world.admit(&created.credential).is_ok());
    world.pass(RESTORE_TTL);
    assert_eq!(
        world.admit(&created.credential),
        Err(Reject::CredentialInvalid)
    );
}

#[test]
fn asking_twice_within_a_minute_writes_once() {
    let mut world = World::new(4);
    let created = world.create();
    let joined = world.join(&created.nameplate).unwrap();
    world.present(created.view.id, Role::Joiner, true);
    for (pause, writes) in [(0, false), (59_999, false), (1, true), (59_999, false)] {
        world.pass(pause);
        let before = world.stored[&created.view.id].clone();
        let view = world.admit(&joined.credential).unwrap();
        let after = &world.stored[&created.view.id];
        assert_eq!(*after != before, writes, "{pause}");
        assert_eq!(view.restorable_until, after.expires_at());
    }
}

#[test]
fn asking_twice_to_keep_a_pairing_writes_once() {
    let mut world = World::new(17);
    let created = world.create_on(true);
    for writes in [true, false] {
        let before = world.stored[&created.view.id].clone();
        let credential = created.credential.clone();
        world.pass(1);
        let view = world.run(&Keep { credential }).unwrap().0;
        let after = &world.stored[&created.view.id];
        assert_eq!(*after != before, writes);
        assert_eq!(view.restorable_until, after.expires_at());
    }
}

#[test]
fn presence_is_written_once_and_never_rejected() {
    let mut world = World::new(5);
    let id = world.create().view.id;
    let role = Role::Initiator;
    for (online, writes) in [(false, false), (true, true), (true, false), (false, true)] {
        let before = world.stored[&id].clone();
        world.present(id, role, online);
        assert_eq!(world.stored[&id] != before, writes);
    }
    world.present(PairingId::from_bytes([9; 16]), role, true);
}

#[test]
fn an_operator_revokes_what_is_there_and_is_never_rejected() {
    let mut world = World::new(18);
    let created = world.create();
    let revoke = RevokeById {
        pairing: created.view.id,
    };
    for (there, event) in [(true, Some(Event::Revoked)), (false, None)] {
        assert_eq!(world.run(&revoke).unwrap(), (there, event));
        let admitted = world.admit(&created.credential);
        assert_eq!(admitted, Err(Reject::CredentialInvalid));
    }
}

#[test]
fn a_wrong_secret_and_an_unknown_pairing_look_alike() {
    let mut world = World::new(6);
    let created = world.create();
    let mut bytes = *created.credential.to_bytes();
    bytes[47] ^= 1;
    let wrong = Credential::try_from(&bytes[..]).unwrap();
    bytes[0] ^= 1;
    let unknown = Credential::try_from(&bytes[..]).unwrap();
    assert_eq!(world.admit(&wrong), world.admit(&unknown));
    assert_eq!(world.admit(&wrong), Err(Reject::CredentialInvalid));
    assert!(Credential::try_from(&bytes[1..]).is_err());
    assert!(Credential::try_from(&[0; 49][..]).is_err());
}

#[test]
fn what_is_stored_survives_serde_and_holds_no_secret() {
    let mut world = World::new(7);
    let created = world.create();
    let hex = |credential: &Credential| {
        data_encoding::HEXLOWER.encode(&credential.to_bytes()[PairingId::LEN..])
    };
    let mut secrets = vec![hex(&created.credential)];
    for _ in 0..2 {
        let stored = &world.stored[&created.view.id];
        let json = serde_json::to_string(stored).unwrap();
        assert_eq!(serde_json::from_str::<Pairing>(&json).unwrap(), *stored);
        for secret in &secrets {
            assert!(!json.contains(secret));
        }
        if let Ok(joined) = world.join(&created.nameplate) {
            secrets.push(hex(&joined.credential));
        }
    }
    let shown = format!("{:?} {created:?}", world.stored);
    assert!(!shown.contains(created.nameplate.as_str()), "{shown}");
}

/// Somebody who waits an hour for a mail to be read is found.
#[test]
fn a_code_lives_while_its_creator_does() {
    let mut world = World::new(8);
    let created = world.create();
    let id = created.view.id;
    world.live(id, Role::Initiator, 3_600_000, 65_000);
    assert!(world.lives(id));
    world.pass(CODE_TTL - 1);
    assert!(world.lives(id), "its time runs from the last sign");
    world.pass(1);
    assert!(!world.lives(id), "and no longer");
    assert_eq!(
        world.join(&created.nameplate).unwrap_err(),
        Reject::CodeNotFound
    );
}

#[test]
fn a_code_dies_however_much_its_creator_lives() {
    let mut world = World::new(9);
    let created = world.create();
    let id = created.view.id;
    world.live(id, Role::Initiator, CODE_MAX - 10_000, 10_000);
    assert!(world.lives(id));
    assert!(world.admit(&created.credential).is_ok());
    world.live(id, Role::Initiator, 10_000, 10_000);
    assert!(!world.lives(id));
}

#[test]
fn only_its_creator_prolongs_a_code() {
    let mut world = World::new(10);
    let created = world.create();
    let id = created.view.id;
    world.live(id, Role::Joiner, CODE_TTL, 10_000);
    assert!(!world.lives(id));
}

#[test]
fn the_lease_of_a_length_that_is_guessed_at_is_not_renewed() {
    let mut world = World::new(11);
    let id = world.create().view.id;
    world.pass(CODE_TTL / 2);
    let mut odds = crate::code::Odds::new(Digits::default(), Duration::from_millis(CODE_MAX));
    while odds.attempt(Digits::default(), false, world.now).is_ok() {}
    let alive = Alive {
        pairing: id,
        role: Role::Initiator,
        seen: world.now,
        online: false,
        worn_out: odds.worn_out(world.now),
    };
    let before = world.stored[&id].expires_at();
    assert_eq!(world.run(&alive).unwrap().0, Some(before));
    world.alive(id, Role::Initiator);
    assert!(world.stored[&id].expires_at() > before);
}

#[test]
fn a_pairing_is_kept_if_somebody_asked_or_does_not_know_how() {
    for (initiator_asks, joiner_asks, kept_by, days) in [
        (true, true, None, false),
        (true, true, Some(Role::Initiator), true),
        (true, true, Some(Role::Joiner), true),
        (false, true, None, true),
        (true, false, None, true),
        (false, false, None, true),
    ] {
        let mut world = World::new(12);
        let created = world.create_on(initiator_asks);
        let id = created.view.id;
        let joined = world.join_on(&created, joiner_asks);
        world.present(id, Role::Initiator, true);
        if let Some(role) = kept_by {
            let credential = match role {
                Role::Initiator => created.credential.clone(),
                Role::Joiner => joined.credential.clone(),
            };
            let view = world.run(&Keep { credential }).unwrap().0;
            assert_eq!(view.restorable_until, world.stored[&id].expires_at());
        }
        world.live(id, Role::Initiator, 3 * 3_600_000, UNKEPT_TTL / 2);
        assert!(world.lives(id), "while somebody is attached");
        world.present(id, Role::Initiator, false);
        world.pass(UNKEPT_TTL - 1);
        assert!(world.lives(id), "and its time after that");
        world.pass(1);
        assert_eq!(
            world.lives(id),
            days,
            "{initiator_asks} {joiner_asks} {kept_by:?}"
        );
        world.pass(RESTORE_TTL);
        assert!(!world.lives(id));
    }
}

#[test]
fn a_code_that_is_to_be_kept_makes_a_pairing_that_is() {
    let mut world = World::new(13);
    let created = world.create_on(true);
    let id = created.view.id;
    let credential = created.credential.clone();
    world.run(&Keep { credential }).unwrap();
    world.join_on(&created, true);
    world.present(id, Role::Joiner, true);
    world.present(id, Role::Joiner, false);
    world.pass(RESTORE_TTL - 1);
    assert!(world.lives(id));
}

#[test]
fn a_pairing_that_nobody_used_is_gone_in_minutes() {
    let mut world = World::new(14);
    let created = world.create();
    let joined = world.join(&created.nameplate).unwrap();
    let credential = joined.credential;
    world.run(&Keep { credential }).unwrap();
    assert_eq!(world.stored[&created.view.id].worth(), Worth::NeverUsed);
    world.pass(UNKEPT_TTL);
    assert!(!world.lives(created.view.id));
}

#[test]
fn worth_follows_use() {
    let mut world = World::new(15);
    let created = world.create_on(true);
    let id = created.view.id;
    let worth = |world: &World| world.stored[&id].worth();
    assert_eq!(worth(&world), Worth::Unattended);
    world.present(id, Role::Initiator, true);
    assert_eq!(worth(&world), Worth::Wanted);
    world.join_on(&created, true);
    assert_eq!(worth(&world), Worth::Wanted);
    world.present(id, Role::Initiator, false);
    assert_eq!(worth(&world), Worth::Over);
    let credential = created.credential.clone();
    world.run(&Keep { credential }).unwrap();
    assert_eq!(worth(&world), Worth::Wanted);
}

#[test]
fn who_was_attached_has_time_to_come_back_after_a_restart() {
    let mut world = World::new(16);
    let created = world.create_on(true);
    let id = created.view.id;
    world.join_on(&created, true);
    world.present(id, Role::Joiner, true);
    world.pass(RESTORE_TTL);
    let stored = world.stored[&id].clone();
    let after = stored.without_presence(&Config::default(), world.now);
    let left = after.expires_at().saturating_since(world.now);
    assert_eq!(left, Duration::from_millis(UNKEPT_TTL));
    let again = after
        .clone()
        .without_presence(&Config::default(), world.now + left);
    assert_eq!(again, after, "who was not attached gets nothing");
}
