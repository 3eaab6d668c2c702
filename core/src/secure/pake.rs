//! The PAKE: from a short code to a [`PairingSecret`], once per pairing.
//!
//! SPAKE2 over Ed25519 gives whoever takes part exactly one guess at the code. Around it:
//!
//! - **The initiator commits** to its element before it sees the joiner's. A man in the middle who
//!   knows the code (a server, with a code without words) therefore has to fix both of his halves
//!   before he learns what phrase they make, and the [verification phrase](super::Sas) cannot be
//!   searched for a match.
//! - **The joiner confirms first.** It is the one who typed, hence the likely guesser. Had the
//!   initiator confirmed first, a guesser could compare, fall silent when wrong, and look like a
//!   broken line. This way the initiator always sees the wrong guess, and nothing it ever sends
//!   depends on the key before the joiner has proven to know it.
//! - **One code, one machine, one peer.** A machine takes one commitment or element and no second
//!   one. From then on it ends in a secret or the code is spent. Whoever poses as initiator towards
//!   the joiner does see a confirmation first, and has used up the only guess there is.
//!
//! ```text
//! initiator   Committed --Y--> Revealed --joiner confirms--> done
//! joiner      Waiting --commitment--> Bound --X--> Answered --initiator confirms--> done
//! any         --wrong, different from before, or "burnt"--> the machine is gone
//! ```
//!
//! Messages get lost with a leg: every state can [say its last word again](Pake::last_word), and the
//! same message twice changes nothing.

mod group;

use bytes::Bytes;
use rand_core::CryptoRngCore;
use spake2::{Identity, Password, Spake2};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::failure::{Burnt, Failure, Violation};
use super::keys::{self, Key, PairingSecret, TAG};
use super::wire::{ELEMENT, PakeMessage};
use crate::id::PairingId;
use crate::role::Role;

/// One peer's half of the PAKE.
pub struct Pake {
    pairing: PairingId,
    step: Step,
    /// Every different message that was taken, three at most.
    heard: Vec<Bytes>,
}

/// What came of a message.
#[derive(Debug)]
pub enum Progress {
    /// The exchange goes on; the message to answer with, if any.
    Going(Option<Bytes>),
    /// The code is proven on both sides. The initiator still has the message to send, and sends it
    /// again whenever the joiner [repeats](Pake::last_word) its own.
    Done(PairingSecret, Option<Bytes>),
}

enum Step {
    Committed {
        spake: Spake,
        x: [u8; ELEMENT],
    },
    Revealed {
        x: [u8; ELEMENT],
        y: [u8; ELEMENT],
        keys: Keys,
    },
    Waiting {
        spake: Spake,
        y: [u8; ELEMENT],
    },
    Bound {
        spake: Spake,
        y: [u8; ELEMENT],
        commitment: [u8; TAG],
    },
    Answered {
        commitment: [u8; TAG],
        x: [u8; ELEMENT],
        keys: Keys,
    },
    Done {
        role: Role,
        mine: [u8; TAG],
        theirs: [u8; TAG],
    },
    Burnt(Burnt),
}

type Spake = Spake2<group::Ed25519>;

impl Pake {
    /// Starts with the canonical bytes of the full code. The initiator has a message to send; the
    /// joiner speaks when spoken to.
    pub fn start(
        role: Role,
        code: &[u8],
        pairing: PairingId,
        rng: &mut impl CryptoRngCore,
    ) -> (Self, Option<Bytes>) {
        let password = Password::new(code);
        let a = Identity::new(&keys::identity(Role::Initiator, &pairing));
        let b = Identity::new(&keys::identity(Role::Joiner, &pairing));
        let step = match role {
            Role::Initiator => {
                let (spake, x) = Spake::start_a_with_rng(&password, &a, &b, rng);
                Step::Committed {
                    spake,
                    x: element(&x),
                }
            }
            Role::Joiner => {
                let (spake, y) = Spake::start_b_with_rng(&password, &a, &b, rng);
                Step::Waiting {
                    spake,
                    y: element(&y),
                }
            }
        };
        let pake = Self {
            pairing,
            step,
            heard: Vec::new(),
        };
        let first = pake.last_word();
        (pake, first)
    }

    /// The message to send again when a path comes up, or when the peer asks for it.
    #[must_use]
    pub fn last_word(&self) -> Option<Bytes> {
        let message = match &self.step {
            Step::Committed { x, .. } => PakeMessage::Commitment(commit(&self.pairing, x)),
            Step::Revealed { x, .. } => PakeMessage::ElementX(*x),
            Step::Waiting { .. } => return None,
            Step::Bound { y, .. } => PakeMessage::ElementY(*y),
            Step::Answered { keys, .. } => PakeMessage::JoinerConfirms(keys.joiner),
            Step::Done {
                role: Role::Initiator,
                mine,
                ..
            } => PakeMessage::InitiatorConfirms(*mine),
            Step::Done {
                role: Role::Joiner, ..
            } => return None,
            Step::Burnt(burnt) => PakeMessage::Burnt(*burnt),
        };
        Some(message.encode())
    }

    /// Takes a message of the peer.
    ///
    /// # Errors
    /// [`Failure::Burnt`] if the code is spent by it; [`last_word`](Self::last_word) is then what the
    /// peer has to be told, and every further message meets the same error.
    /// [`Failure::Violation`] if the message changed nothing.
    pub fn handle(&mut self, payload: &[u8]) -> Result<Progress, Failure> {
        let message = PakeMessage::parse(payload)?;
        let repeated = self.heard.iter().any(|heard| heard == payload);
        if self.is_done() && repeated && !matches!(message, PakeMessage::JoinerConfirms(_)) {
            return Ok(Progress::Going(None));
        }
        let step = std::mem::replace(&mut self.step, Step::Burnt(Burnt::Mismatch));
        let (step, outcome) = step.advance(message, &self.pairing);
        self.step = step;
        let outcome = outcome?;
        if !repeated {
            self.heard.push(Bytes::copy_from_slice(payload));
        }
        let answer = match outcome {
            Outcome::Silent => return Ok(Progress::Going(None)),
            Outcome::Speak => self.last_word(),
            Outcome::Done(secret) => return Ok(Progress::Done(secret, self.last_word())),
        };
        Ok(Progress::Going(answer))
    }

    /// Whether a message of the other side was taken. It may be somebody's guess, so the code is spent from
    /// then on, however this ends.
    #[must_use]
    pub const fn is_used(&self) -> bool {
        !matches!(self.step, Step::Committed { .. } | Step::Waiting { .. })
    }

    /// Whether a confirmation of the peer was found right.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.step, Step::Done { .. })
    }
}

impl std::fmt::Debug for Pake {
    /// Shows the step only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = match self.step {
            Step::Committed { .. } => "committed",
            Step::Revealed { .. } => "revealed",
            Step::Waiting { .. } => "waiting",
            Step::Bound { .. } => "bound",
            Step::Answered { .. } => "answered",
            Step::Done { .. } => "done",
            Step::Burnt(_) => "burnt",
        };
        write!(f, "Pake({step})")
    }
}

enum Outcome {
    /// Nothing to say.
    Silent,
    /// Say the last word of the step that is reached.
    Speak,
    /// The peer has proven itself.
    Done(PairingSecret),
}

impl Step {
    fn advance(
        self,
        message: PakeMessage,
        pairing: &PairingId,
    ) -> (Self, Result<Outcome, Failure>) {
        use PakeMessage as M;
        match (self, message) {
            (Self::Burnt(burnt), _) => (Self::Burnt(burnt), Err(burnt.into())),
            // Paired is paired: what a server says about it later is no news.
            (step @ Self::Done { .. }, M::Burnt(_)) => (step, Err(Violation::Unexpected.into())),
            (_, M::Burnt(burnt)) => (Self::Burnt(burnt), Err(burnt.into())),

            // The peer is amid an exchange with somebody else, or with what this process was before.
            (Self::Committed { .. }, M::JoinerConfirms(_))
            | (Self::Waiting { .. }, M::ElementX(_) | M::InitiatorConfirms(_)) => {
                burn(Burnt::Restarted)
            }

            (Self::Committed { spake, x }, M::ElementY(y)) => match spake.finish(&y) {
                Ok(shared) => {
                    let keys = Keys::derive(pairing, &x, &y, shared);
                    (Self::Revealed { x, y, keys }, Ok(Outcome::Speak))
                }
                Err(_) => burn(Burnt::Mismatch),
            },
            (step @ Self::Revealed { y, .. }, M::ElementY(again)) => once(step, y == again),
            (Self::Revealed { keys, .. }, M::JoinerConfirms(theirs)) => {
                finish(Role::Initiator, &keys, theirs)
            }

            (Self::Waiting { spake, y }, M::Commitment(commitment)) => (
                Self::Bound {
                    spake,
                    y,
                    commitment,
                },
                Ok(Outcome::Speak),
            ),
            (step @ Self::Bound { commitment, .. }, M::Commitment(again)) => {
                once(step, commitment == again)
            }
            (
                Self::Bound {
                    spake,
                    y,
                    commitment,
                },
                M::ElementX(x),
            ) => {
                if commit(pairing, &x) != commitment {
                    return burn(Burnt::Mismatch);
                }
                match spake.finish(&x) {
                    Ok(shared) => {
                        let keys = Keys::derive(pairing, &x, &y, shared);
                        (
                            Self::Answered {
                                commitment,
                                x,
                                keys,
                            },
                            Ok(Outcome::Speak),
                        )
                    }
                    Err(_) => burn(Burnt::Mismatch),
                }
            }
            (step @ Self::Answered { x, .. }, M::ElementX(again)) => once(step, x == again),
            (step @ Self::Answered { commitment, .. }, M::Commitment(again)) => {
                // A late copy of the first message; the answer to it has long arrived.
                let same = commitment == again;
                match once(step, same) {
                    (step, Ok(_)) => (step, Ok(Outcome::Silent)),
                    burnt => burnt,
                }
            }
            (Self::Answered { keys, .. }, M::InitiatorConfirms(theirs)) => {
                finish(Role::Joiner, &keys, theirs)
            }

            (
                step @ Self::Done {
                    role: Role::Initiator,
                    theirs,
                    ..
                },
                M::JoinerConfirms(again),
            ) if bool::from(theirs.ct_eq(&again)) => (step, Ok(Outcome::Speak)),
            (step, _) => (step, Err(Violation::Unexpected.into())),
        }
    }
}

fn burn(burnt: Burnt) -> (Step, Result<Outcome, Failure>) {
    (Step::Burnt(burnt), Err(burnt.into()))
}

/// The same message again is a repetition; a different one is a peer that began anew, or a third.
fn once(step: Step, same: bool) -> (Step, Result<Outcome, Failure>) {
    if same {
        (step, Ok(Outcome::Speak))
    } else {
        burn(Burnt::Restarted)
    }
}

fn finish(role: Role, keys: &Keys, theirs: [u8; TAG]) -> (Step, Result<Outcome, Failure>) {
    let (mine, expected) = match role {
        Role::Initiator => (keys.initiator, keys.joiner),
        Role::Joiner => (keys.joiner, keys.initiator),
    };
    if !bool::from(expected.ct_eq(&theirs)) {
        return burn(Burnt::Mismatch);
    }
    let secret = PairingSecret::from_bytes(*keys.secret);
    (Step::Done { role, mine, theirs }, Ok(Outcome::Done(secret)))
}

/// What follows from the shared key and everything that was said.
///
/// ```text
/// prk = HKDF-Extract(salt = digest("pake", pairing, X, Y), ikm = SPAKE2 key)
///   initiator = HKDF-Expand(prk, label ‖ " confirm initiator")
///   joiner    = HKDF-Expand(prk, label ‖ " confirm joiner")
///   secret    = HKDF-Expand(prk, label ‖ " pairing secret")
/// ```
pub(super) struct Keys {
    pub(super) initiator: [u8; TAG],
    pub(super) joiner: [u8; TAG],
    pub(super) secret: Key,
}

impl Keys {
    fn derive(pairing: &PairingId, x: &[u8; ELEMENT], y: &[u8; ELEMENT], shared: Vec<u8>) -> Self {
        let shared = Zeroizing::new(shared);
        let prk = keys::extract(&keys::digest(b"pake", &[pairing.as_bytes(), x, y]), &shared);
        Self {
            initiator: *keys::expand_key(&prk, &[b"confirm initiator"]),
            joiner: *keys::expand_key(&prk, &[b"confirm joiner"]),
            secret: keys::expand_key(&prk, &[b"pairing secret"]),
        }
    }
}

fn commit(pairing: &PairingId, x: &[u8; ELEMENT]) -> [u8; TAG] {
    keys::digest(b"commitment", &[pairing.as_bytes(), x])
}

fn element(message: &[u8]) -> [u8; ELEMENT] {
    message
        .try_into()
        .expect("a SPAKE2 message over Ed25519 has a side byte and 32 more")
}

#[cfg(test)]
mod tests;
