//! What can be asked of a pairing, and the rule for each.

use std::time::Duration;

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq as _;

use super::{
    Account, Asked, Config, Credential, Decision, Event, Label, Pairing, Reject, SecretHash, State,
    View, Waiting, Write,
};
use crate::code::{Digits, Nameplate};
use crate::id::PairingId;
use crate::role::Role;
use crate::time::Timestamp;

/// Something that can be asked of a pairing. Run it with [`super::decide`].
pub trait Command {
    /// What is answered when it is allowed.
    type Reply;

    /// Which pairing it is about.
    fn find(&self) -> Find<'_>;

    /// The rule. `current` has not expired.
    ///
    /// # Errors
    /// [`Reject`] if it is not allowed.
    fn decide(
        &self,
        config: &Config,
        current: Option<&Pairing>,
        now: Timestamp,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Decision<Self::Reply>, Reject>;
}

/// How to find the pairing a command is about.
#[derive(Clone, Copy, Debug)]
pub enum Find<'a> {
    /// There is none yet.
    Nothing,
    /// The one that waits under this nameplate.
    ByNameplate(&'a Nameplate),
    /// The one with this name.
    ById(PairingId),
}

/// Creates a pairing.
///
/// Name and nameplate are drawn; the store refuses a nameplate that is in use, and then the caller
/// decides again.
#[derive(Clone, Debug)]
pub struct Create {
    /// How long the nameplate is, from [`crate::code::Odds::digits`].
    pub digits: Digits,
    /// How hard the initiator's words are to guess, in bits, as far as it says.
    pub secret_bits: u32,
    /// The initiator asks for it if the pairing is to be kept.
    pub ephemeral: bool,
    /// Whoever redeems the code has to be let in.
    pub confirm: bool,
    /// On whose account, where not everybody may create pairings.
    pub account: Option<Account>,
}

/// A new pairing, seen by its initiator.
#[derive(Clone, Debug)]
pub struct Created {
    /// How it looks.
    pub view: View,
    /// The digits to carry across.
    pub nameplate: Nameplate,
    /// The initiator's right to it.
    pub credential: Credential,
    /// When the nameplate stops working.
    pub code_expires_at: Timestamp,
}

impl Command for Create {
    type Reply = Created;

    fn find(&self) -> Find<'_> {
        Find::Nothing
    }

    fn decide(
        &self,
        config: &Config,
        _: Option<&Pairing>,
        now: Timestamp,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Decision<Created>, Reject> {
        let id = PairingId::random(rng);
        let credential = Credential::random(id, rng);
        let nameplate = Nameplate::random(self.digits, rng);
        let code_expires_at = now + config.code_ttl;
        let waiting = Waiting {
            nameplate: nameplate.clone(),
            code_expires_at,
            code_ends_at: Some(now + config.code_life()),
            secret_bits: Some(u8::try_from(self.secret_bits).unwrap_or(u8::MAX)),
            ephemeral: self.ephemeral,
        };
        let pairing = Pairing {
            id,
            initiator: credential.hash(),
            state: match self.confirm {
                true => State::Guarded(waiting),
                false => State::Waiting(waiting),
            },
            online: [false; 2],
            attached: false,
            placement: None,
            account: self.account.clone(),
        };
        Ok(Decision {
            reply: Created {
                view: pairing.view(Role::Initiator),
                nameplate,
                credential,
                code_expires_at,
            },
            write: Write::Put(pairing),
            event: None,
        })
    }
}

/// Redeems a nameplate.
#[derive(Clone, Debug)]
pub struct Join {
    /// What the person typed.
    pub nameplate: Nameplate,
    /// The joiner asks for it if the pairing is to be kept.
    pub ephemeral: bool,
    /// What the joiner calls itself, for the person at the other end.
    pub label: Option<Label>,
}

/// A pairing, seen by who just joined it.
#[derive(Clone, Debug)]
pub struct Joined {
    /// How it looks.
    pub view: View,
    /// The joiner's right to it.
    pub credential: Credential,
}

impl Command for Join {
    type Reply = Joined;

    fn find(&self) -> Find<'_> {
        Find::ByNameplate(&self.nameplate)
    }

    fn decide(
        &self,
        config: &Config,
        current: Option<&Pairing>,
        now: Timestamp,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Decision<Joined>, Reject> {
        let waits = |pairing: &&Pairing| pairing.nameplate() == Some(&self.nameplate);
        let mut pairing = current.filter(waits).ok_or(Reject::CodeNotFound)?.clone();
        let credential = Credential::random(pairing.id, rng);
        let (waiting, is_guarded) = match &pairing.state {
            State::Waiting(waiting) => (waiting, false),
            State::Guarded(waiting) => (waiting, true),
            State::Asked(_) | State::Joined { .. } => return Err(Reject::CodeNotFound),
        };
        let asked = Asked {
            joiner: credential.hash(),
            expires_at: now + config.confirm_life(),
            kept: !(waiting.ephemeral && self.ephemeral),
            label: self.label.clone(),
        };
        let (state, event) = match is_guarded {
            true => (State::Asked(asked), Event::Asked),
            false => (asked.let_in(now), Event::Joined),
        };
        pairing.state = state;
        pairing.used(config, now);
        Ok(Decision {
            reply: Joined {
                view: pairing.view(Role::Joiner),
                credential,
            },
            write: Write::Put(pairing),
            event: Some(event),
        })
    }
}

/// Recognises a peer by its credential, and counts as a use of the pairing.
#[derive(Clone, Debug)]
pub struct Admit {
    /// What the peer showed.
    pub credential: Credential,
}

impl Command for Admit {
    type Reply = View;

    fn find(&self) -> Find<'_> {
        Find::ById(self.credential.pairing())
    }

    fn decide(
        &self,
        config: &Config,
        current: Option<&Pairing>,
        now: Timestamp,
        _: &mut impl CryptoRngCore,
    ) -> Result<Decision<View>, Reject> {
        let (pairing, role) = authenticate(current, &self.credential)?;
        Ok(pairing.admit(config, role, now))
    }
}

impl Pairing {
    /// Counts as a use by this peer.
    pub(super) fn admit(&self, config: &Config, role: Role, now: Timestamp) -> Decision<View> {
        let mut used = self.clone();
        used.alive(config, role, now);
        let gained = used.expires_at().saturating_since(self.expires_at());
        let (write, reply) = if gained < worth_storing(config, self) {
            (Write::Nothing, self.view(role))
        } else {
            let view = used.view(role);
            (Write::Prolong(used), view)
        };
        Decision {
            write,
            event: None,
            reply,
        }
    }
}

/// A peer that asks again within a minute costs no write, and the answer still tells the truth: it
/// names the time that is stored. Of short lives a minute would be much: then a sixteenth.
fn worth_storing(config: &Config, pairing: &Pairing) -> Duration {
    MINUTE.min(pairing.ttl(config) / 16)
}

const MINUTE: Duration = Duration::from_secs(60);

/// Revokes a pairing at the word of one of its peers. The reply is `true`, as that of [`RevokeById`] is for a
/// pairing that is there.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// What the peer showed.
    pub credential: Credential,
}

impl Command for Revoke {
    type Reply = bool;

    fn find(&self) -> Find<'_> {
        Find::ById(self.credential.pairing())
    }

    fn decide(
        &self,
        config: &Config,
        current: Option<&Pairing>,
        now: Timestamp,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Decision<bool>, Reject> {
        let (pairing, _) = authenticate(current, &self.credential)?;
        let pairing = pairing.id;
        RevokeById { pairing }.decide(config, current, now, rng)
    }
}

/// Revokes a pairing at the word of the operator, who needs no credential. Never rejected: the pairing may be
/// gone, and the reply says whether it was there.
#[derive(Clone, Copy, Debug)]
pub struct RevokeById {
    /// The pairing.
    pub pairing: PairingId,
}

impl Command for RevokeById {
    type Reply = bool;

    fn find(&self) -> Find<'_> {
        Find::ById(self.pairing)
    }

    fn decide(
        &self,
        _: &Config,
        current: Option<&Pairing>,
        _: Timestamp,
        _: &mut impl CryptoRngCore,
    ) -> Result<Decision<bool>, Reject> {
        let is_there = current.is_some();
        Ok(Decision {
            write: current.map_or(Write::Nothing, |pairing| Write::Remove(pairing.id)),
            event: is_there.then_some(Event::Revoked),
            reply: is_there,
        })
    }
}

/// Notes what the relay says: a peer attached or left. Trusted, and never rejected: the relay may
/// speak of a pairing that is gone. The reply says whether it is there.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// The pairing.
    pub pairing: PairingId,
    /// The peer.
    pub role: Role,
    /// Whether it is attached.
    pub online: bool,
}

impl Command for Present {
    type Reply = bool;

    fn find(&self) -> Find<'_> {
        Find::ById(self.pairing)
    }

    fn decide(
        &self,
        config: &Config,
        current: Option<&Pairing>,
        now: Timestamp,
        _: &mut impl CryptoRngCore,
    ) -> Result<Decision<bool>, Reject> {
        let changed = |pairing: &&Pairing| pairing.online[self.role.index()] != self.online;
        let Some(mut pairing) = current.filter(changed).cloned() else {
            return Ok(Decision {
                write: Write::Nothing,
                event: None,
                reply: current.is_some(),
            });
        };
        pairing.online[self.role.index()] = self.online;
        pairing.attached |= self.online;
        pairing.alive(config, self.role, now);
        Ok(Decision {
            write: Write::Prolong(pairing),
            event: None,
            reply: true,
        })
    }
}

/// Whose credential it is. Looks at every hash whatever it finds, so that the time taken tells
/// nothing.
pub(super) fn authenticate<'a>(
    current: Option<&'a Pairing>,
    credential: &Credential,
) -> Result<(&'a Pairing, Role), Reject> {
    let hash = credential.hash();
    let pairing = current
        .filter(|pairing| pairing.id == credential.pairing())
        .ok_or(Reject::CredentialInvalid)?;
    let is = |stored: &SecretHash| bool::from(stored.ct_eq(&hash));
    let initiator = is(&pairing.initiator);
    let joiner = match &pairing.state {
        State::Waiting(_) | State::Guarded(_) => false,
        State::Asked(Asked { joiner, .. }) | State::Joined { joiner, .. } => is(joiner),
    };
    match (initiator, joiner) {
        (true, _) => Ok((pairing, Role::Initiator)),
        (false, true) => Ok((pairing, Role::Joiner)),
        (false, false) => Err(Reject::CredentialInvalid),
    }
}
