//! Tickets: the short-lived, signed right to attach to a relay.
//!
//! A ticket is a JWT (RFC 7519) signed with Ed25519 (`alg` is `EdDSA`, RFC 8037). Control holds the
//! [`Signer`]; relays hold a [`Verifier`], which has public keys only, so that a relay that is
//! broken into cannot admit anybody.
//!
//! ```text
//! header  {"alg":"EdDSA"}
//! claims  {"aud":"peersox-relay","sid":"<32 hex digits>","role":"initiator","iat":…,"exp":…}
//!         {"aud":"peersox-relay/NAME",…,"epoch":2} where there are several relays
//! ```
//!
//! `iat` and `exp` are whole seconds since the Unix epoch. A ticket is a bearer secret until `exp`:
//! it never stands in a URL or a log.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt as _, Header, TimeOptions, UntrustedToken, ValidationError};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

use crate::id::PairingId;
use crate::placement::RelayName;
use crate::role::Role;
use crate::time::Timestamp;

/// What a ticket grants: a role in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The session, named after its pairing.
    pub session: PairingId,
    /// The role its holder may attach in.
    pub role: Role,
    /// The epoch of the pairing's placement ([`crate::placement`]); 0 where there is one relay.
    pub epoch: u32,
}

/// Signs tickets. Lives in control.
pub struct Signer(SigningKey);

impl Signer {
    /// Draws a fresh key.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        Self(SigningKey::generate(rng))
    }

    /// Uses the key with this 32-byte seed (RFC 8032).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key, for [`Verifier::new`].
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs a ticket that is valid from `now` for `lifetime`, rounded down to whole seconds; at this relay
    /// only where there are several.
    #[must_use]
    pub fn sign(
        &self,
        claims: Claims,
        relay: Option<&RelayName>,
        now: Timestamp,
        lifetime: Duration,
    ) -> String {
        let body = Body {
            audience: audience(relay),
            session: claims.session,
            role: claims.role,
            epoch: claims.epoch,
        };
        let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
        let token = jwt_compact::Claims::new(body).set_duration_and_issuance(
            &TimeOptions::new(TimeDelta::zero(), || calendar(now)),
            lifetime,
        );
        Ed25519
            .token(&Header::empty(), &token, &self.0)
            .expect("serialising three strings and two integers to JSON does not fail")
    }
}

/// The keys of tickets: one signs. While it is replaced, tickets of others are believed, too. Lives in
/// control.
#[derive(Clone, Debug)]
pub struct Keyring {
    signer: Arc<Signer>,
    others: Vec<Believed>,
}

/// A key that does not sign.
#[derive(Clone, Copy, Debug)]
struct Believed {
    key: [u8; 32],
    /// None for one that is believed until it is taken away.
    until: Option<Timestamp>,
}

impl Keyring {
    /// Signs with `signer`, and believes these public keys until they are taken away.
    #[must_use]
    pub fn new(signer: Signer, others: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let believed = |key| Believed { key, until: None };
        Self {
            signer: Arc::new(signer),
            others: others.into_iter().map(believed).collect(),
        }
    }

    /// The same with a new key that signs. The present key is believed until `until`, because its tickets
    /// live on. The oldest keys are dropped, so that at most [`Keyring::MOST`] remain.
    #[must_use]
    pub fn renewed(&self, signer: Signer, until: Timestamp) -> Self {
        let present = Believed {
            key: self.signer.public_key(),
            until: Some(until),
        };
        let others = std::iter::once(present).chain(self.others.iter().copied());
        Self {
            signer: Arc::new(signer),
            others: others.take(Self::MOST - 1).collect(),
        }
    }

    /// The same without keys whose time is over, if there is one.
    #[must_use]
    pub fn tidied(&self, now: Timestamp) -> Option<Self> {
        let lives = |it: &Believed| it.until.is_none_or(|until| now < until);
        let others: Vec<_> = self.others.iter().copied().filter(lives).collect();
        (others.len() < self.others.len()).then(|| Self {
            signer: Arc::clone(&self.signer),
            others,
        })
    }

    /// The key that signs.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// All public keys whose tickets are good. The first one signs.
    #[must_use]
    pub fn public_keys(&self) -> Vec<[u8; 32]> {
        let others = self.others.iter().map(|it| it.key);
        std::iter::once(self.signer.public_key())
            .chain(others)
            .collect()
    }

    /// How many keys [`Keyring::renewed`] keeps.
    pub const MOST: usize = 8;
}

impl From<Signer> for Keyring {
    fn from(signer: Signer) -> Self {
        Self::new(signer, [])
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(redacted)")
    }
}

/// Checks tickets. Lives in a relay.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    audience: String,
}

impl Verifier {
    /// Trusts these public keys: one, or two while the key is being changed. It is that of the one relay
    /// there is.
    ///
    /// # Errors
    /// [`BadKey`] if one of them is no Ed25519 public key.
    pub fn new(public_keys: &[[u8; 32]]) -> Result<Self, BadKey> {
        let keys = public_keys
            .iter()
            .map(VerifyingKey::from_bytes)
            .collect::<Result<_, _>>();
        Ok(Self {
            keys: keys.map_err(|_| BadKey)?,
            audience: audience(None),
        })
    }

    /// The same for one of several relays.
    #[must_use]
    pub fn at(mut self, relay: &RelayName) -> Self {
        self.audience = audience(Some(relay));
        self
    }

    /// Checks signature, audience and time of a ticket. A clock that runs up to
    /// [`LEEWAY`](Self::LEEWAY) behind or ahead of control's is tolerated.
    ///
    /// # Errors
    /// [`Reject::Expired`] for a ticket of ours whose time is over, [`Reject::Misdirected`] for one that is
    /// for another relay, [`Reject::Invalid`] for everything else that is not one.
    pub fn verify(&self, ticket: &str, now: Timestamp) -> Result<Claims, Reject> {
        if ticket.len() > Self::MAX_LEN {
            return Err(Reject::Invalid);
        }
        let untrusted = UntrustedToken::new(ticket).map_err(|_| Reject::Invalid)?;
        let token = self
            .keys
            .iter()
            .find_map(|key| Ed25519.validator::<Body>(key).validate(&untrusted).ok())
            .ok_or(Reject::Invalid)?;

        let claims = token.claims();
        let leeway = TimeDelta::from_std(Self::LEEWAY).unwrap_or_default();
        let issued = claims.issued_at.ok_or(Reject::Invalid)?;
        let audience = &claims.custom.audience;
        if !audience.starts_with(AUDIENCE) || issued > calendar(now) + leeway {
            return Err(Reject::Invalid);
        }
        if *audience != self.audience {
            return Err(Reject::Misdirected);
        }
        match claims.validate_expiration(&TimeOptions::new(leeway, || calendar(now))) {
            Ok(_) => Ok(Claims {
                session: claims.custom.session,
                role: claims.custom.role,
                epoch: claims.custom.epoch,
            }),
            Err(ValidationError::Expired) => Err(Reject::Expired),
            Err(_) => Err(Reject::Invalid),
        }
    }

    /// How far the clocks of control and relay may differ.
    pub const LEEWAY: Duration = Duration::from_secs(10);

    /// No ticket is longer, in bytes.
    pub const MAX_LEN: usize = 1024;
}

/// Why a ticket does not admit its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// It was valid once.
    #[error("the ticket has expired; open a session again for a fresh one")]
    Expired,
    /// It is for another relay.
    #[error("the ticket is for another relay; open a session again")]
    Misdirected,
    /// It is malformed, not signed by a trusted key, or meant for something else.
    #[error("the ticket is not valid here")]
    Invalid,
}

impl From<Reject> for crate::close::CloseReason {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::Expired => Self::TicketExpired,
            Reject::Misdirected => Self::Misdirected,
            Reject::Invalid => Self::TicketInvalid,
        }
    }
}

/// 32 bytes are no Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key")]
pub struct BadKey;

/// The claims of ours, beside the registered `iat` and `exp`.
#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(rename = "aud")]
    audience: String,
    #[serde(rename = "sid")]
    session: PairingId,
    role: Role,
    #[serde(default, skip_serializing_if = "is_none")]
    epoch: u32,
}

const AUDIENCE: &str = "peersox-relay";

fn audience(relay: Option<&RelayName>) -> String {
    match relay {
        None => AUDIENCE.to_owned(),
        Some(relay) => format!("{AUDIENCE}/{relay}"),
    }
}

// serde hands out references.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_none(epoch: &u32) -> bool {
    *epoch == 0
}

fn calendar(time: Timestamp) -> DateTime<Utc> {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn claims() -> Claims {
        Claims {
            session: PairingId::from_bytes([7; 16]),
            role: Role::Joiner,
            epoch: 0,
        }
    }

    fn pair(seed: u8) -> (Signer, Verifier) {
        let signer = Signer::from_seed(&[seed; 32]);
        let verifier = Verifier::new(&[signer.public_key()]).unwrap();
        (signer, verifier)
    }

    #[test]
    fn a_ticket_is_good_until_it_expires() {
        let (signer, verifier) = pair(1);
        let ticket = signer.sign(claims(), None, NOW, MINUTE);
        assert_eq!(verifier.verify(&ticket, NOW), Ok(claims()));
        assert_eq!(verifier.verify(&ticket, NOW + MINUTE), Ok(claims()));
        let late = NOW + MINUTE + Verifier::LEEWAY + Duration::from_secs(1);
        assert_eq!(verifier.verify(&ticket, late), Err(Reject::Expired));
    }

    #[test]
    fn a_ticket_from_the_future_is_refused() {
        let (signer, verifier) = pair(1);
        let ticket = signer.sign(claims(), None, NOW + MINUTE, MINUTE);
        assert_eq!(verifier.verify(&ticket, NOW), Err(Reject::Invalid));
    }

    #[test]
    fn a_foreign_key_is_refused_and_two_keys_may_be_trusted() {
        let (ours, verifier) = pair(1);
        let (foreign, _) = pair(2);
        let ticket = foreign.sign(claims(), None, NOW, MINUTE);
        assert_eq!(verifier.verify(&ticket, NOW), Err(Reject::Invalid));
        let both = Verifier::new(&[ours.public_key(), foreign.public_key()]).unwrap();
        assert_eq!(both.verify(&ticket, NOW), Ok(claims()));
    }

    #[test]
    fn another_algorithm_or_audience_is_refused() {
        let (signer, verifier) = pair(1);
        let ticket = signer.sign(claims(), None, NOW, MINUTE);
        let (_, rest) = ticket.split_once('.').unwrap();
        let none = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
        assert_eq!(
            verifier.verify(&format!("{none}.{rest}"), NOW),
            Err(Reject::Invalid)
        );

        let body = Body {
            audience: "elsewhere".into(),
            session: claims().session,
            role: Role::Joiner,
            epoch: 0,
        };
        let options = TimeOptions::new(TimeDelta::zero(), || calendar(NOW));
        let token = jwt_compact::Claims::new(body)
            .set_duration_and_issuance(&options, TimeDelta::seconds(60));
        let ticket = Ed25519.token(&Header::empty(), &token, &signer.0).unwrap();
        assert_eq!(verifier.verify(&ticket, NOW), Err(Reject::Invalid));
    }

    #[test]
    fn a_ticket_for_one_relay_is_refused_by_the_others() {
        let (signer, verifier) = pair(1);
        let [one, other] = ["one", "other"].map(|name| name.parse::<RelayName>().unwrap());
        let claims = Claims {
            epoch: 3,
            ..claims()
        };
        let ticket = |relay| signer.sign(claims, relay, NOW, MINUTE);
        let at = |relay| verifier.clone().at(relay);
        assert_eq!(at(&one).verify(&ticket(Some(&one)), NOW), Ok(claims));
        for (verifier, relay) in [
            (at(&other), Some(&one)),
            (at(&one), None),
            (verifier.clone(), Some(&one)),
        ] {
            assert_eq!(
                verifier.verify(&ticket(relay), NOW),
                Err(Reject::Misdirected)
            );
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_never_accepted(at in 0usize..200, to in proptest::char::range('!', '~')) {
            let (signer, verifier) = pair(1);
            let ticket = signer.sign(claims(), None, NOW, MINUTE);
            let at = at % ticket.len();
            let mut changed = ticket.clone();
            changed.replace_range(at..=at, &to.to_string());
            prop_assume!(changed != ticket);
            // The last character of each part carries unused bits; decoders refuse them if set.
            prop_assert_eq!(verifier.verify(&changed, NOW), Err(Reject::Invalid));
        }

        #[test]
        fn no_text_panics(text in ".{0,300}") {
            let (_, verifier) = pair(1);
            prop_assert!(verifier.verify(&text, NOW).is_err());
        }
    }

    #[test]
    fn a_key_that_was_replaced_is_believed_as_long_as_its_tickets_live() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
        let key = |seed| Signer::from_seed(&[seed; 32]).public_key();
        let keys = Keyring::new(Signer::from_seed(&[1; 32]), [key(2)]);
        let keys = keys.renewed(Signer::from_seed(&[3; 32]), at(300));
        assert_eq!(keys.public_keys(), [key(3), key(1), key(2)]);
        assert!(keys.tidied(at(299)).is_none());
        let mut keys = keys.tidied(at(300)).unwrap();
        assert_eq!(
            keys.public_keys(),
            [key(3), key(2)],
            "no end was named for it"
        );
        for seed in 10..30 {
            keys = keys.renewed(Signer::from_seed(&[seed; 32]), at(600));
            assert_eq!(keys.public_keys()[0], key(seed));
            assert!(keys.public_keys().len() <= Keyring::MOST);
        }
    }
}
