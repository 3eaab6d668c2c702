//! All the rules at once against a plain model.

use proptest::prelude::*;

use super::*;

/// What the model knows of one pairing: plain facts, no shared code with the rules.
struct Fact {
    created: Created,
    joiner: Option<Credential>,
    /// Milliseconds since the start at which it is gone.
    gone_at: u64,
    revoked: bool,
    online: [bool; 2],
    attached: bool,
    /// Neither peer needs to ask for it to be kept.
    kept: bool,
    created_at: u64,
    /// Whoever joins has to be let in.
    guarded: bool,
    /// Somebody joined and waits to be let in.
    asked: bool,
}

impl Fact {
    fn ttl(&self) -> u64 {
        match self.joiner {
            None => CODE_TTL,
            Some(_) if self.kept && self.attached => RESTORE_TTL,
            Some(_) => UNKEPT_TTL,
        }
    }

    fn used(&mut self, clock: u64) {
        if self.asked {
            return;
        }
        self.gone_at = self.gone_at.max(clock + self.ttl());
    }

    fn renewed(&mut self, clock: u64) {
        let end = (clock + CODE_TTL).min(self.created_at + CODE_MAX);
        self.gone_at = self.gone_at.max(end);
    }

    /// What a call does: what is gained is stored only if it is worth it.
    fn called(&mut self, role: Role, clock: u64) {
        let (before, worth) = (self.gone_at, self.ttl().div_euclid(16).min(60_000));
        self.alive(role, clock);
        if self.gone_at - before < worth {
            self.gone_at = before;
        }
    }

    /// What a sign of life does.
    fn alive(&mut self, role: Role, clock: u64) {
        match (&self.joiner, role) {
            (Some(_), _) => self.used(clock),
            (None, Role::Initiator) => self.renewed(clock),
            (None, Role::Joiner) => {}
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Create(bool, bool),
    Join(usize, bool),
    Keep(usize, Role),
    Alive(usize, Role),
    Guess(u32),
    Admit(usize, Role),
    Open(usize, Role),
    Answer(usize, Role, bool),
    Revoke(usize, Role),
    Present(usize, Role, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop::sample::select(Role::BOTH.to_vec());
    prop_oneof![
        4 => any::<(bool, bool)>().prop_map(|(asks, guarded)| Step::Create(asks, guarded)),
        6 => (0usize..4, any::<bool>()).prop_map(|(at, asks)| Step::Join(at, asks)),
        1 => (0usize..6, role.clone()).prop_map(|(at, role)| Step::Keep(at, role)),
        4 => (0usize..6, role.clone()).prop_map(|(at, role)| Step::Alive(at, role)),
        1 => any::<u32>().prop_map(Step::Guess),
        4 => (0usize..6, role.clone()).prop_map(|(at, role)| Step::Admit(at, role)),
        6 => (0usize..4, role.clone()).prop_map(|(at, role)| Step::Open(at, role)),
        4 => (0usize..6, role.clone(), any::<bool>())
            .prop_map(|(at, role, yes)| Step::Answer(at, role, yes)),
        1 => (0usize..6, role.clone()).prop_map(|(at, role)| Step::Revoke(at, role)),
        3 => (0usize..6, role, any::<bool>()).prop_map(|(at, role, on)| Step::Present(at, role, on)),
        3 => prop_oneof![0..1_000u64, 0..1_000u64, 0..1_000u64, 0..1_000u64, 0..CONFIRM_TTL,
            Just(CONFIRM_TTL),
            0..CODE_TTL, Just(CODE_TTL - 1), Just(CODE_TTL), 0..UNKEPT_TTL, 0..CODE_MAX,
            0..RESTORE_TTL, Just(RESTORE_TTL)]
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
                Step::Create(asks, guarded) => {
                    let created = world.create_guarded(asks, guarded);
                    // A store refuses a nameplate that is in use.
                    let taken = facts.iter().any(|fact| fact.created.nameplate == created.nameplate);
                    prop_assume!(!taken);
                    facts.push(Fact {
                        created, joiner: None, gone_at: clock + CODE_TTL, revoked: false, online: [false; 2],
                        attached: false, kept: !asks, created_at: clock,
                        guarded, asked: false,
                    });
                }
                Step::Guess(number) => {
                    let guess = format!("{:06}", number % 1_000_000).parse::<Nameplate>().unwrap();
                    prop_assume!(facts.iter().all(|fact| fact.created.nameplate != guess));
                    prop_assert_eq!(world.join(&guess).unwrap_err(), Reject::CodeNotFound);
                }
                Step::Join(at, asks) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let nameplate = fact.created.nameplate.clone();
                    let join = Join { nameplate, ephemeral: asks, label: None };
                    let joined = world.run(&join).map(|(joined, _)| joined);
                    let may = fact.joiner.is_none() && !fact.revoked && clock < fact.gone_at;
                    prop_assert_eq!(joined.is_ok(), may);
                    match joined {
                        Ok(joined) => {
                            fact.joiner = Some(joined.credential);
                            fact.kept |= !asks;
                            fact.asked = fact.guarded;
                            prop_assert_eq!(joined.view.unconfirmed, fact.asked);
                            if fact.asked {
                                fact.gone_at = clock + CONFIRM_TTL;
                            } else {
                                fact.gone_at = clock;
                                fact.used(clock);
                            }
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
                            prop_assert_eq!(view.unconfirmed, fact.asked);
                            fact.called(role, clock);
                            let until = START.as_millis() + fact.gone_at;
                            prop_assert_eq!(view.restorable_until.as_millis(), until);
                        }
                        Err(reject) => {
                            prop_assert!(!alive);
                            prop_assert_eq!(reject, Reject::CredentialInvalid);
                        }
                    }
                }
                Step::Open(at, role) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let Some(credential) = held(fact, role) else { continue };
                    let alive = !fact.revoked && clock < fact.gone_at;
                    let opened = world.run(&Open { credential }).map(|(view, _)| view.role);
                    let expected = match (alive, role) {
                        (false, _) => Err(Reject::CredentialInvalid),
                        (true, Role::Joiner) if fact.asked => Err(Reject::Unconfirmed),
                        (true, _) => Ok(role),
                    };
                    prop_assert_eq!(opened, expected);
                    if opened.is_ok() {
                        fact.called(role, clock);
                    }
                }
                Step::Answer(at, role, yes) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let Some(credential) = held(fact, role) else { continue };
                    let alive = !fact.revoked && clock < fact.gone_at;
                    let told = match yes {
                        true => world.run(&LetIn { credential }).map(|(_, event)| event),
                        false => world.run(&Refuse { credential }).map(|(_, event)| event),
                    };
                    let expected = match (alive, role, fact.joiner.is_some(), fact.asked, yes) {
                        (false, ..) => Err(Reject::CredentialInvalid),
                        (_, Role::Joiner, ..) => Err(Reject::NotInitiator),
                        (_, _, true, true, true) => Ok(Some(Event::Confirmed)),
                        (_, _, true, true, false) => Ok(Some(Event::Revoked)),
                        (_, _, true, false, true) => Ok(None),
                        _ => Err(Reject::NobodyAsked),
                    };
                    prop_assert_eq!(told, expected);
                    match told {
                        Ok(Some(Event::Confirmed)) => {
                            (fact.asked, fact.gone_at) = (false, clock);
                            fact.used(clock);
                        }
                        Ok(Some(_)) => fact.revoked = true,
                        Ok(None) => fact.called(role, clock),
                        Err(_) => {}
                    }
                }
                Step::Keep(at, role) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let Some(credential) = held(fact, role) else { continue };
                    let alive = !fact.revoked && clock < fact.gone_at;
                    let kept = world.run(&Keep { credential });
                    prop_assert_eq!(kept.is_ok(), alive);
                    if alive && fact.kept {
                        fact.called(role, clock);
                    } else if alive {
                        fact.kept = true;
                        fact.alive(role, clock);
                    }
                }
                Step::Alive(at, role) => {
                    let Some(fact) = facts.get_mut(at) else { continue };
                    let alive = !fact.revoked && clock < fact.gone_at;
                    let until = world.alive(fact.created.view.id, role);
                    if alive {
                        fact.alive(role, clock);
                    }
                    let expected = alive.then_some(START.as_millis() + fact.gone_at);
                    prop_assert_eq!(until.map(Timestamp::as_millis), expected);
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
                    let before = world.stored.get(&pairing).cloned();
                    world.run(&Present { pairing, role, online }).unwrap();
                    let changes = alive && fact.online[role.index()] != online;
                    prop_assert_eq!(world.stored.get(&pairing) != before.as_ref(), changes);
                    if changes {
                        fact.online[role.index()] = online;
                        fact.attached |= online;
                        fact.alive(role, clock);
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
