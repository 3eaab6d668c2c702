//! What keeps a pairing: signs of life, and being asked to.

use std::time::Duration;

use rand_core::CryptoRngCore;

use super::command::authenticate;
use super::{
    Asked, Command, Config, Credential, Decision, Find, Pairing, Reject, State, View, Waiting,
    Write,
};
use crate::code::{Lengths, Nameplate};
use crate::id::PairingId;
use crate::role::Role;
use crate::time::Timestamp;

/// Keeps a pairing, for both peers and for good: from now on it lives `restore_ttl` from each use.
/// It counts as a use, too.
#[derive(Clone, Debug)]
pub struct Keep {
    /// What the peer showed.
    pub credential: Credential,
}

impl Command for Keep {
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
        let mut kept = pairing.clone();
        match &mut kept.state {
            State::Waiting(Waiting { ephemeral, .. })
            | State::Guarded(Waiting { ephemeral, .. }) => *ephemeral = false,
            State::Asked(Asked { kept, .. }) | State::Joined { kept, .. } => *kept = true,
        }
        if kept == *pairing {
            // It is kept already, so that this is a use and no more.
            return Ok(pairing.admit(config, role, now));
        }
        kept.alive(config, role, now);
        let reply = kept.view(role);
        Ok(Decision {
            write: Write::Put(kept),
            event: None,
            reply,
        })
    }
}

/// Notes that a pairing shows signs of life: its code's creator watches it, or one of its peers is
/// attached to the relay. Trusted, and never rejected. Answers when the pairing expires now, or
/// nothing if there is none.
///
/// Whoever sees the signs runs it when half of the time is used, and once after the last sign.
#[derive(Clone, Copy, Debug)]
pub struct Alive {
    /// The pairing.
    pub pairing: PairingId,
    /// Who shows the signs.
    pub role: Role,
    /// When the last one was seen.
    pub seen: Timestamp,
    /// Whether it has a leg now, as relays say. A report that was lost on its way to the store is made up for
    /// by this.
    pub online: bool,
    /// The leases of codes of these lengths are not renewed: they are guessed at, so that their
    /// creators had better show longer ones.
    pub worn_out: Lengths,
}

impl Command for Alive {
    type Reply = Option<Timestamp>;

    fn find(&self) -> Find<'_> {
        Find::ById(self.pairing)
    }

    fn decide(
        &self,
        config: &Config,
        current: Option<&Pairing>,
        _: Timestamp,
        _: &mut impl CryptoRngCore,
    ) -> Result<Decision<Option<Timestamp>>, Reject> {
        let unchanged = |reply| Decision {
            write: Write::Nothing,
            event: None,
            reply,
        };
        let Some(pairing) = current else {
            return Ok(unchanged(None));
        };
        let worn_out = |nameplate: &Nameplate| self.worn_out.contains(nameplate.digits());
        if pairing.nameplate().is_some_and(worn_out) {
            return Ok(unchanged(Some(pairing.expires_at())));
        }
        let mut alive = pairing.clone();
        alive.online[self.role.index()] = self.online;
        alive.attached |= self.online;
        alive.alive(config, self.role, self.seen);
        if alive == *pairing {
            return Ok(unchanged(Some(pairing.expires_at())));
        }
        let reply = Some(alive.expires_at());
        Ok(Decision {
            write: Write::Prolong(alive),
            event: None,
            reply,
        })
    }
}

/// What a pairing is worth to its peers, when there is room for no other: those of less worth are
/// forgotten first, and of equals the one that expires first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Worth {
    /// It was joined, and nobody ever attached.
    NeverUsed = 0,
    /// It waits, or its joiner does, and its creator never attached.
    Unattended = 1,
    /// It was used, is not kept, and nobody is attached.
    Over = 2,
    /// Never forgotten before its time: somebody is attached, or asked to keep it, or attached and
    /// waits.
    Wanted = 3,
}

impl Pairing {
    /// What it is worth, when there is room for no other.
    #[must_use]
    pub const fn worth(&self) -> Worth {
        match self.state {
            State::Joined { .. } if !self.attached => Worth::NeverUsed,
            State::Waiting(_) | State::Guarded(_) | State::Asked(_) if !self.attached => {
                Worth::Unattended
            }
            State::Joined { kept: false, .. } if !(self.online[0] || self.online[1]) => Worth::Over,
            State::Joined { .. } | State::Waiting(_) | State::Guarded(_) | State::Asked(_) => {
                Worth::Wanted
            }
        }
    }

    /// Notes a sign of life of a peer. Only the initiator renews the lease of a code.
    pub(super) fn alive(&mut self, config: &Config, role: Role, seen: Timestamp) {
        let (State::Waiting(waiting) | State::Guarded(waiting)) = &mut self.state else {
            self.used(config, seen);
            return;
        };
        if role == Role::Initiator {
            let more = config.code_life().saturating_sub(config.code_ttl);
            let Waiting {
                code_expires_at,
                code_ends_at,
                ..
            } = waiting;
            let end = *code_ends_at.get_or_insert(*code_expires_at + more);
            *code_expires_at = (*code_expires_at).max((seen + config.code_ttl).min(end));
        }
    }

    /// Starts the time of a joined pairing anew, but not while its joiner waits to be let in. A use
    /// that reaches the store late, or from a machine whose clock is behind, shortens nothing.
    pub(super) fn used(&mut self, config: &Config, now: Timestamp) {
        let ttl = self.ttl(config);
        if let State::Joined {
            restorable_until, ..
        } = &mut self.state
        {
            *restorable_until = (*restorable_until).max(now + ttl);
        }
    }

    /// How long it lives after the last sign of life.
    pub(super) fn ttl(&self, config: &Config) -> Duration {
        match self.state {
            State::Waiting(_) | State::Guarded(_) => config.code_ttl,
            State::Asked(_) => config.confirm_life(),
            State::Joined { kept: true, .. } if self.attached => config.restore_ttl,
            State::Joined { .. } => config.unkept_ttl,
        }
    }
}
