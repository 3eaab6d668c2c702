//! Whether a joiner may come in, where the initiator wants to be asked.
//!
//! ```text
//! joiner                       control                             initiator
//!    |  Join{label}               |                                    |
//!    |--------------------------->| Guarded becomes Asked              |
//!    |                            |-- Joined, unconfirmed, label ----->|  a person is asked
//!    |  Open                      |                                    |
//!    |--------------------------->| Unconfirmed: no ticket             |
//!    |                            |<----------------- LetIn or Refuse -|
//!    |  Open                      | Asked becomes Joined, or is gone   |
//!    |--------------------------->| a ticket                           |
//! ```
//!
//! The gate is the ticket. Relays hold no state of pairings: a relay admits whoever shows a ticket, and a
//! joiner that was not let in has none. So nothing of it reaches a relay, and nothing of the initiator
//! reaches it.
//!
//! A code is redeemed once, whatever the answer is: who was refused has spent it.

use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

use super::command::authenticate;
use super::{
    Asked, Command, Config, Credential, Decision, Event, Find, Pairing, Reject, RevokeById, State,
    View, Write,
};
use crate::role::Role;
use crate::time::Timestamp;

/// Recognises a peer that wants to attach to a relay, and counts as a use, as [`Admit`](super::Admit) does.
/// A joiner has to be let in first.
#[derive(Clone, Debug)]
pub struct Open {
    /// What the peer showed.
    pub credential: Credential,
}

impl Command for Open {
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
        pairing.open(config, role, now)
    }
}

impl Pairing {
    /// As [`Pairing::admit`], if this peer may attach.
    pub(super) fn open(
        &self,
        config: &Config,
        role: Role,
        now: Timestamp,
    ) -> Result<Decision<View>, Reject> {
        if role == Role::Joiner && self.is_unconfirmed() {
            return Err(Reject::Unconfirmed);
        }
        Ok(self.admit(config, role, now))
    }
}

impl Asked {
    /// The joiner may come in.
    pub(super) fn let_in(self, now: Timestamp) -> State {
        State::Joined {
            joiner: self.joiner,
            restorable_until: now,
            kept: self.kept,
            label: self.label,
        }
    }
}

/// The initiator lets the joiner in. Again, it changes nothing.
#[derive(Clone, Debug)]
pub struct LetIn {
    /// What the initiator showed.
    pub credential: Credential,
}

impl Command for LetIn {
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
        let pairing = of_initiator(current, &self.credential)?;
        match &pairing.state {
            State::Waiting(_) | State::Guarded(_) => Err(Reject::NobodyAsked),
            State::Joined { .. } => Ok(pairing.admit(config, Role::Initiator, now)),
            State::Asked(asked) => {
                let mut confirmed = pairing.clone();
                confirmed.state = asked.clone().let_in(now);
                confirmed.used(config, now);
                Ok(Decision {
                    reply: confirmed.view(Role::Initiator),
                    write: Write::Put(confirmed),
                    event: Some(Event::Confirmed),
                })
            }
        }
    }
}

/// The initiator does not let the joiner in: the pairing is gone, as after [`Revoke`](super::Revoke). The
/// reply is `true`.
#[derive(Clone, Debug)]
pub struct Refuse {
    /// What the initiator showed.
    pub credential: Credential,
}

impl Command for Refuse {
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
        let pairing = of_initiator(current, &self.credential)?;
        match pairing.state {
            State::Asked(_) => {
                let pairing = pairing.id;
                RevokeById { pairing }.decide(config, current, now, rng)
            }
            // What was let in is not shut out by a late no; revoking says that.
            State::Waiting(_) | State::Guarded(_) | State::Joined { .. } => {
                Err(Reject::NobodyAsked)
            }
        }
    }
}

fn of_initiator<'a>(
    current: Option<&'a Pairing>,
    credential: &Credential,
) -> Result<&'a Pairing, Reject> {
    match authenticate(current, credential)? {
        (pairing, Role::Initiator) => Ok(pairing),
        (_, Role::Joiner) => Err(Reject::NotInitiator),
    }
}

/// What a joiner calls itself, for people: 1 to 64 bytes of UTF-8 without control characters. It is nothing
/// but what somebody says, whoever that is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// The text breaks the rules of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a label has 1 to {} bytes of UTF-8, and no control characters",
    Label::MAX
)]
pub struct NotALabel;

impl Label {
    /// The most bytes of one.
    pub const MAX: usize = 64;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = NotALabel;

    fn try_from(text: String) -> Result<Self, NotALabel> {
        let fits = (1..=Self::MAX).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(NotALabel)
        }
    }
}

impl std::str::FromStr for Label {
    type Err = NotALabel;

    fn from_str(text: &str) -> Result<Self, NotALabel> {
        text.to_owned().try_into()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
