//! Who may talk to whom: the life of a pairing.
//!
//! ```text
//!   Create          Join, once            Revoke, or not used for restore_ttl
//! ---------> Waiting ---------> Joined ------------------------------------> gone
//!               |  ^               |  ^
//!               |  `- Present      |  `- Admit, Present: restore_ttl starts anew
//!               `- Revoke, or code_ttl is over ---------------------------> gone
//! ```
//!
//! A pairing that nobody joined lives as long as its code. A joined one lives `restore_ttl` from its
//! last use: an authenticated call or a peer attaching to or leaving the relay.
//!
//! [`decide`] takes what is stored, a command, the time and a random source, and answers what to
//! store, what to tell those who watch, and what to reply. It changes nothing itself: the caller
//! commits the write only if what it loaded is still what is stored, and decides again if not. That
//! makes a code work once, however many redeem it at the same time.
//!
//! Two rules keep guessers blind: an unknown, a used and an expired code are the same
//! [`Reject::CodeNotFound`], a wrong secret and an unknown pairing the same
//! [`Reject::CredentialInvalid`].

mod command;
mod credential;

use std::time::Duration;

use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

use crate::code::{Digits, Nameplate};
use crate::id::PairingId;
use crate::role::Role;
use crate::time::Timestamp;

pub use command::{Admit, Command, Create, Created, Find, Join, Joined, Present, Revoke};
pub use credential::{Credential, NotACredential, SecretHash};

/// Decides what a command does to a pairing.
///
/// `current` is what is stored under [`Command::find`], or nothing. A pairing whose time is over
/// counts as nothing, whether or not the store has forgotten it yet.
///
/// # Errors
/// [`Reject`] if the command is not allowed; then nothing is to be stored.
pub fn decide<C: Command>(
    config: &Config,
    current: Option<&Pairing>,
    command: &C,
    now: Timestamp,
    rng: &mut impl CryptoRngCore,
) -> Result<Decision<C::Reply>, Reject> {
    let living = current.filter(|pairing| now < pairing.expires_at());
    command.decide(config, living, now, rng)
}

/// How long things live, and how long codes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Digits of a nameplate.
    pub digits: Digits,
    /// How long a code can be joined after its creation.
    pub code_ttl: Duration,
    /// How long a joined pairing can be restored after its last use.
    pub restore_ttl: Duration,
}

impl Default for Config {
    /// 6 digits, 130 s, 7 days.
    fn default() -> Self {
        Self {
            digits: Digits::default(),
            code_ttl: Duration::from_secs(130),
            restore_ttl: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// What a command does.
#[derive(Debug)]
pub struct Decision<R> {
    /// What to store.
    pub write: Write,
    /// What to tell those who watch the pairing, once it is stored.
    pub event: Option<Event>,
    /// What to answer.
    pub reply: R,
}

/// What to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing changed.
    Nothing,
    /// This, in place of what was loaded; until its [`Pairing::expires_at`].
    Put(Pairing),
    /// Nothing, in place of what was loaded.
    Remove(PairingId),
}

/// What happened to a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Its code was redeemed.
    Joined,
    /// The peer with this role attached to the relay.
    Online(Role),
    /// The peer with this role left the relay.
    Offline(Role),
    /// It was deleted.
    Revoked,
}

/// Why a command is not allowed. Always the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// There is no such code: never was, not any more, or somebody has used it.
    #[error("the code is unknown, used or expired; ask for a new one")]
    CodeNotFound,
    /// The credential opens no pairing: it never did, or the pairing expired or was revoked.
    #[error("the credential is not valid; the pairing has expired, was revoked or never was")]
    CredentialInvalid,
}

/// Two peers who may talk to each other, or one who waits for the other. Holds no secret: of each
/// credential only the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    id: PairingId,
    initiator: SecretHash,
    state: State,
    /// Attached to the relay, by [`Role::index`].
    online: [bool; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Waiting {
        nameplate: Nameplate,
        code_expires_at: Timestamp,
    },
    Joined {
        joiner: SecretHash,
        restorable_until: Timestamp,
    },
}

impl Pairing {
    /// Its name.
    #[must_use]
    pub const fn id(&self) -> PairingId {
        self.id
    }

    /// The nameplate it can be joined by, while it can: what a store keeps an index of.
    #[must_use]
    pub const fn nameplate(&self) -> Option<&Nameplate> {
        match &self.state {
            State::Waiting { nameplate, .. } => Some(nameplate),
            State::Joined { .. } => None,
        }
    }

    /// From when on it does not exist, unless it is used before.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        match self.state {
            State::Waiting {
                code_expires_at: end,
                ..
            }
            | State::Joined {
                restorable_until: end,
                ..
            } => end,
        }
    }

    /// Whether its code was redeemed.
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined { .. })
    }

    /// How it looks from one end.
    #[must_use]
    pub const fn view(&self, role: Role) -> View {
        View {
            id: self.id,
            role,
            joined: self.is_joined(),
            peer_online: self.online[role.other().index()],
            restorable_until: self.expires_at(),
        }
    }

    /// The same with nobody attached: what is true of it once the relay's process has ended.
    #[must_use]
    pub const fn without_presence(mut self) -> Self {
        self.online = [false; 2];
        self
    }

    /// Starts `restore_ttl` anew. A use that reaches the store late, or from a machine whose clock is
    /// behind, shortens nothing.
    fn used(&mut self, config: &Config, now: Timestamp) {
        if let State::Joined {
            restorable_until, ..
        } = &mut self.state
        {
            *restorable_until = (*restorable_until).max(now + config.restore_ttl);
        }
    }
}

/// A pairing, seen by one of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub id: PairingId,
    /// Whose view it is.
    pub role: Role,
    /// Whether the code was redeemed.
    pub joined: bool,
    /// Whether the other peer is attached to the relay.
    pub peer_online: bool,
    /// Until when the pairing exists if it is not used again. Before anyone joined: as long as the
    /// code works.
    pub restorable_until: Timestamp,
}

#[cfg(test)]
mod tests;
