//! Who may talk to whom: the life of a pairing.
//!
//! ```text
//!   Create          Join, once              Revoke, or not used for its time
//! ---------> Waiting ---------> Joined ------------------------------------> gone
//!      |        |  ^            ^  |  ^
//!      |        |  |            |  |  `- Admit, Keep, Present, Alive: its time starts anew
//!      |        |  `- Admit, Keep, Present, Alive of the initiator: code_ttl starts anew
//!      |        `- Revoke, code_ttl without a sign, or code_max is over ---> gone
//!      |                        | LetIn
//!      `-> Guarded ---------> Asked -- Refuse, Revoke, or confirm_ttl is over ---> gone
//!           as Waiting  Join
//! ```
//!
//! A pairing that nobody joined lives as long as its code, which is a lease: each sign of life of
//! its creator renews it for `code_ttl`, until `code_max` after its creation. A joined one lives
//! from its last use: `restore_ttl` if it is kept, `unkept_ttl` if not. A use is an authenticated
//! call, and each moment at which a peer is attached to the relay. A pairing is kept if somebody
//! asked for it, or if one of its peers does not know that one has to ask; and nothing is kept to
//! which nobody ever attached, as its peers can have agreed on no secret.
//!
//! What lasts is not written every second: [`Alive`] is run when half of the time is used, and at
//! the last sign.
//!
//! A code may be guarded: its creator wants to be asked about whoever redeems it. The initiator is
//! then asked about the joiner. Until the answer the joiner has a credential but may open no
//! session, and nothing prolongs the time for the answer. The rules are those of [`Open`],
//! [`LetIn`] and [`Refuse`].
//!
//! [`decide`] takes what is stored, a command, the time and a random source, and answers what to
//! store, what to tell those who watch, and what to reply. It changes nothing itself: the caller
//! commits the write only if what it loaded is still what is stored, and decides again if not. That
//! makes a code work once, however many redeem it at the same time.
//!
//! Two rules keep guessers blind: an unknown, a used and an expired code are the same
//! [`Reject::CodeNotFound`], a wrong secret and an unknown pairing the same
//! [`Reject::CredentialInvalid`].

mod account;
mod command;
mod confirm;
mod credential;
mod keep;
mod place;

use std::time::Duration;

use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

use crate::code::{Digits, Nameplate};
use crate::id::PairingId;
use crate::placement::Placement;
use crate::role::Role;
use crate::time::Timestamp;

pub use account::{Account, BadQuota, NotAnAccount, Quota};
pub use command::{
    Admit, Command, Create, Created, Find, Join, Joined, Present, Revoke, RevokeById,
};
pub use confirm::{Label, LetIn, NotALabel, Open, Refuse};
pub use credential::{Credential, NotACredential, SecretHash, constant_time_eq};
pub use keep::{Alive, Keep, Worth};
pub use place::{Change, Place, Placed};

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
    /// The fewest digits of a nameplate; [`crate::code::Odds`] says how many one gets.
    pub digits: Digits,
    /// How long a code can be joined after the last sign of life of its creator.
    pub code_ttl: Duration,
    /// How long a code can be joined after its creation at most; no less than `code_ttl`. The odds
    /// of burning a code are those of this time.
    pub code_max: Duration,
    /// How long a joined pairing that is kept can be restored after its last use.
    pub restore_ttl: Duration,
    /// How long one that is not kept can be.
    pub unkept_ttl: Duration,
    /// How long the joiner of a guarded code waits to be let in, and no longer than a joined pairing lives.
    pub confirm_ttl: Duration,
}

impl Config {
    /// The shortest time for which anything lives without a sign.
    #[must_use]
    pub fn shortest_life(&self) -> Duration {
        self.code_ttl.min(self.unkept_ttl).min(self.restore_ttl)
    }

    /// The most that a code lives: `code_max`, as far as it makes sense.
    #[must_use]
    pub fn code_life(&self) -> Duration {
        self.code_max.max(self.code_ttl)
    }

    /// How long a joiner waits to be let in: no longer than a joined pairing lives that is not kept.
    #[must_use]
    pub fn confirm_life(&self) -> Duration {
        self.confirm_ttl.min(self.unkept_ttl)
    }
}

impl Default for Config {
    /// 6 digits; codes of 130 s and at most a day; 7 days if kept, 10 minutes if not; 2 minutes to be let in.
    fn default() -> Self {
        Self {
            digits: Digits::default(),
            code_ttl: Duration::from_secs(130),
            code_max: Duration::from_secs(24 * 60 * 60),
            restore_ttl: Duration::from_secs(7 * 24 * 60 * 60),
            unkept_ttl: Duration::from_secs(10 * 60),
            confirm_ttl: Duration::from_secs(2 * 60),
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
    /// The same, but only its time has changed, or who is attached. It need not survive the loss of
    /// power: that costs some of its time and nothing else.
    Prolong(Pairing),
    /// Nothing, in place of what was loaded.
    Remove(PairingId),
}

/// What happened to a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Its code was redeemed.
    Joined,
    /// Its code was redeemed, and the joiner waits to be let in.
    Asked,
    /// The initiator let the joiner in.
    Confirmed,
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
    /// The joiner has to be let in first.
    #[error("the other device has not let this one in yet")]
    Unconfirmed,
    /// Only the initiator may do this.
    #[error("only the device that made the code may do this")]
    NotInitiator,
    /// Nobody waits to be let in.
    #[error("nobody waits to be let in")]
    NobodyAsked,
}

/// Two peers who may talk to each other, or one who waits for the other. Holds no secret: of each
/// credential only the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    id: PairingId,
    initiator: SecretHash,
    state: State,
    /// Who was attached to a relay when a relay last said so, by [`Role::index`]. It tells what the pairing
    /// is worth and nothing else: who is attached now, only relays know.
    online: [bool; 2],
    /// Whether somebody ever was. What is written does not say it of those for whom it is true, as
    /// for all that older servers wrote.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    attached: bool,
    /// Where its peers meet, once one of them asked and there are several relays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    placement: Option<Placement>,
    /// On whose account it was created, where not everybody may create pairings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Waiting(Waiting),
    /// The same, and whoever redeems it has to be let in. It has a name of its own, so that a server that is
    /// too old to know it reads an error, and not a code that is open to all.
    Guarded(Waiting),
    /// A guarded code was redeemed, and the initiator has not answered yet.
    Asked(Asked),
    Joined {
        joiner: SecretHash,
        restorable_until: Timestamp,
        /// Older servers kept all.
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        kept: bool,
        /// What the joiner calls itself. Older servers did not ask.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<Label>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    nameplate: Nameplate,
    /// The end of the lease.
    code_expires_at: Timestamp,
    /// The lease is not renewed beyond this. Older servers wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code_ends_at: Option<Timestamp>,
    /// What the initiator declared of its words. Older servers asked for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_bits: Option<u8>,
    /// The initiator asks if the pairing is to be kept.
    #[serde(default, skip_serializing_if = "is_false")]
    ephemeral: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    joiner: SecretHash,
    /// Nothing prolongs it.
    expires_at: Timestamp,
    kept: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<Label>,
}

const fn yes() -> bool {
    true
}

// serde hands out references.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_true(flag: &bool) -> bool {
    *flag
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_false(flag: &bool) -> bool {
    !*flag
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
            State::Waiting(waiting) | State::Guarded(waiting) => Some(&waiting.nameplate),
            State::Asked(_) | State::Joined { .. } => None,
        }
    }

    /// From when on it does not exist, unless it is used before.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        match &self.state {
            State::Waiting(waiting) | State::Guarded(waiting) => waiting.code_expires_at,
            State::Asked(asked) => asked.expires_at,
            State::Joined {
                restorable_until, ..
            } => *restorable_until,
        }
    }

    /// Whether its code was redeemed.
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        matches!(self.state, State::Asked(_) | State::Joined { .. })
    }

    /// Whether its joiner waits to be let in.
    #[must_use]
    pub const fn is_unconfirmed(&self) -> bool {
        matches!(self.state, State::Asked(_))
    }

    /// What its joiner calls itself, if it said so.
    #[must_use]
    pub const fn label(&self) -> Option<&Label> {
        match &self.state {
            State::Waiting(_) | State::Guarded(_) => None,
            State::Asked(Asked { label, .. }) | State::Joined { label, .. } => label.as_ref(),
        }
    }

    /// Where its peers meet, if that was decided.
    #[must_use]
    pub const fn placement(&self) -> Option<&Placement> {
        self.placement.as_ref()
    }

    /// On whose account it was created, if the server asked.
    #[must_use]
    pub const fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// How it looks from one end.
    #[must_use]
    pub fn view(&self, role: Role) -> View {
        View {
            id: self.id,
            role,
            joined: self.is_joined(),
            unconfirmed: self.is_unconfirmed(),
            label: self.label().cloned(),
            account: self.account.clone(),
            restorable_until: self.expires_at(),
        }
    }

    /// How hard the initiator declared its words to be to guess, in bits, while the code waits.
    #[must_use]
    pub fn secret_bits(&self) -> Option<u32> {
        match &self.state {
            State::Waiting(waiting) | State::Guarded(waiting) => {
                Some(waiting.secret_bits.map_or(USUAL_BITS, u32::from))
            }
            State::Asked(_) | State::Joined { .. } => None,
        }
    }

    /// The same with nobody attached: what is true of it once the relay's process has ended. Who
    /// was attached until then has its time to come back.
    #[must_use]
    pub fn without_presence(mut self, config: &Config, now: Timestamp) -> Self {
        for role in Role::BOTH {
            if self.online[role.index()] {
                self.alive(config, role, now);
            }
        }
        self.online = [false; 2];
        self
    }
}

/// What codes have whose initiator was not asked, in the file of an older server: two words.
const USUAL_BITS: u32 = 20;

/// A pairing, seen by one of its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub id: PairingId,
    /// Whose view it is.
    pub role: Role,
    /// Whether the code was redeemed.
    pub joined: bool,
    /// Whether the joiner waits to be let in.
    pub unconfirmed: bool,
    /// What the joiner calls itself.
    pub label: Option<Label>,
    /// On whose account the pairing was created, if the server asked.
    pub account: Option<Account>,
    /// Until when the pairing exists if it is not used again. Before anyone joined: as long as the
    /// code works.
    pub restorable_until: Timestamp,
}

#[cfg(test)]
mod tests;
