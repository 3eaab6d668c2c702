//! The promises of pairings: some by example, all of them against a plain model.

use std::collections::HashMap;

use super::*;
use crate::code::tests::Seeded;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const CODE_TTL: u64 = 130_000;
const RESTORE_TTL: u64 = 7 * 24 * 3_600_000;

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
            Write::Put(pairing) => drop(self.stored.insert(pairing.id(), pairing)),
            Write::Remove(id) => drop(self.stored.remove(&id)),
        }
        Ok((decision.reply, decision.event))
    }

    fn create(&mut self) -> Created {
        self.run(&Create).unwrap().0
    }

    fn join(&mut self, nameplate: &Nameplate) -> Result<Joined, Reject> {
        let nameplate = nameplate.clone();
        self.run(&Join { nameplate }).map(|(joined, _)| joined)
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
        let nameplate = created.nameplate.clone();
        let decision = decide(&config, current, &Join { nameplate }, now, &mut world.rng);
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
    world.pass(RESTORE_TTL - 1);
    let view = world.admit(&joined.credential).unwrap();
    assert_eq!(
        view.restorable_until
            .saturating_since(world.now)
            .as_millis(),
        u128::from(RESTORE_TTL)
    );
    world.pass(RESTORE_TTL - 1);
    let present = Present {
        pairing: created.view.id,
        role: Role::Joiner,
        online: true,
    };
    world.run(&present).unwrap();
    world.pass(RESTORE_TTL - 1);
    assert!(world.admit(&created.credential).unwrap().peer_online);
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
fn presence_is_told_once_and_never_rejected() {
    let mut world = World::new(5);
    let id = world.create().view.id;
    let role = Role::Initiator;
    for (online, expected) in [
        (false, None),
        (true, Some(Event::Online(role))),
        (true, None),
        (false, Some(Event::Offline(role))),
    ] {
        let present = Present {
            pairing: id,
            role,
            online,
        };
        assert_eq!(world.run(&present).unwrap().1, expected);
    }
    let gone = Present {
        pairing: PairingId::from_bytes([9; 16]),
        role,
        online: true,
    };
    assert_eq!(world.run(&gone).unwrap().1, None);
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

/// What the model knows of one pairing: plain facts, no shared code with the rules.
struct Fact {
    created: Created,
    joiner: Option<Credential>,
    /// Milliseconds since the start at which it is gone.
    gone_at: u64,
    revoked: bool,
    online: [bool; 2],
}

#[derive(Clone, Debug)]
enum Step {
    Create,
    Join(usize),
    Guess(u32),
    Admit(usize, Role),
    Revoke(usize, Role),
    Present(usize, Role, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop::sample::select(Role::BOTH.to_vec());
    prop_oneof![
        2 => Just(Step::Create),
        4 => (0usize..6).prop_map(Step::Join),
        1 => any::<u32>().prop_map(Step::Guess),
        4 => (0usize..6, role.clone()).prop_map(|(at, role)| Step::Admit(at, role)),
        1 => (0usize..6, role.clone()).prop_map(|(at, role)| Step::Revoke(at, role)),
        3 => (0usize..6, role, any::<bool>()).prop_map(|(at, role, on)| Step::Present(at, role, on)),
        3 => prop_oneof![0..CODE_TTL, Just(CODE_TTL - 1), Just(CODE_TTL), 0..RESTORE_TTL, Just(RESTORE_TTL)]
            .prop_map(Step::Pass),
    ]
}

proptest! {
    /// Any interleaving of any number of peers does what the model says.
    #[test]
    fn the_rules_agree_with_the_model(steps in prop::collection::vec(step(), 1..60), seed: u64) {
        let mut world = World::new(seed);
        let mut facts: Vec<Fact> = Vec::new();
        let mut clock = 0;
        for step in steps {
            match step {
                Step::Create => {
                    let created = world.create();
                    // A store refuses a nameplate that is in use.
                    let taken = facts.iter().any(|fact| fact.created.nameplate == created.nameplate);
                    prop_assume!(!taken);
                    facts.push(Fact {
                        created, joiner: None, gone_at: clock + CODE_TTL, revoked: false, online: [false; 2],
                    });
                }
                Step::Guess(number) => {
                    let guess = format!("{:06}", number % 1_000_000).parse::<Nameplate>().unwrap();
                    prop_assume!(facts.iter().all(|fact| fact.created.nameplate != guess));
                    prop_assert_eq!(world.join(&guess).unwrap_err(), Reject::CodeNotFound);
                }
                Step::Join(at) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let joined = world.join(&fact.created.nameplate);
                    let may = fact.joiner.is_none() && !fact.revoked && clock < fact.gone_at;
                    prop_assert_eq!(joined.is_ok(), may);
                    match joined {
                        Ok(joined) => {
                            fact.joiner = Some(joined.credential);
                            fact.gone_at = clock + RESTORE_TTL;
                        }
                        Err(reject) => prop_assert_eq!(reject, Reject::CodeNotFound),
                    }
                }
                Step::Admit(at, role) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let Some(credential) = held(fact, role) else { continue };
                    let alive = !fact.revoked && clock < fact.gone_at;
                    match world.admit(&credential) {
                        Ok(view) => {
                            prop_assert!(alive);
                            prop_assert_eq!(view.role, role);
                            prop_assert_eq!(view.joined, fact.joiner.is_some());
                            prop_assert_eq!(view.peer_online, fact.online[1 - role.index()]);
                            if fact.joiner.is_some() && clock + RESTORE_TTL >= fact.gone_at + 60_000 {
                                fact.gone_at = clock + RESTORE_TTL;
                            }
                            prop_assert_eq!(view.restorable_until.as_millis(), START.as_millis() + fact.gone_at);
                        }
                        Err(reject) => {
                            prop_assert!(!alive);
                            prop_assert_eq!(reject, Reject::CredentialInvalid);
                        }
                    }
                }
                Step::Revoke(at, role) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let Some(credential) = held(fact, role) else { continue };
                    let alive = !fact.revoked && clock < fact.gone_at;
                    let revoked = world.run(&Revoke { credential });
                    prop_assert_eq!(revoked.is_ok(), alive);
                    fact.revoked |= alive;
                }
                Step::Present(at, role, online) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let alive = !fact.revoked && clock < fact.gone_at;
                    let pairing = fact.created.view.id;
                    let (_, event) = world.run(&Present { pairing, role, online }).unwrap();
                    let changes = alive && fact.online[role.index()] != online;
                    prop_assert_eq!(event.is_some(), changes);
                    if changes {
                        fact.online[role.index()] = online;
                        if fact.joiner.is_some() {
                            fact.gone_at = clock + RESTORE_TTL;
                        }
                    }
                }
                Step::Pass(millis) => {
                    clock += millis;
                    world.pass(millis);
                }
            }
        }
    }
}

fn held(fact: &Fact, role: Role) -> Option<Credential> {
    match role {
        Role::Initiator => Some(fact.created.credential.clone()),
        Role::Joiner => fact.joiner.clone(),
    }
}
