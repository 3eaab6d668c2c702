//! JSON Web Tokens (RFC 7519) by which an issuer says who may create pairings.
//!
//! ```text
//! token ─▶ its `kid` ─▶ key of the issuer ─▶ the algorithm of that key ─▶ signature ─▶ claims ─▶ account
//!            └ unknown: the binary is asked for the issuer's newest keys, once
//! ```
//!
//! The key decides by which algorithm a token is verified, never the token: Ed25519 is `EdDSA`, P-256 is
//! `ES256`, RSA of 2,048 bits and more is `RS256`. There is no `none`, and no key that both sides share.
//!
//! `iss` and `aud` have to be those of the operator, `exp` is required, `nbf` is kept if it is there, and
//! `sub` names the account. `peersox_quota` may hold a quota, as in `pairings=10 bytes=5G`.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmExt as _, AlgorithmSignature, TimeOptions};
use jwt_compact::{UntrustedToken, ValidationError};
use peersox_core::pairing::{Account, Quota};
use peersox_core::time::Timestamp;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::Grant;

/// Whose tokens are good, and for what.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// What `iss` has to be.
    pub issuer: String,
    /// What `aud` has to be, or to hold.
    pub audience: String,
    /// The quota of an account whose token holds none.
    pub quota: Quota,
    /// The issuer's keys; nothing until they are known.
    pub keys: watch::Receiver<Option<Arc<KeySet>>>,
    /// Asks for the newest keys. Whoever takes the question drops it when it has looked, or will not.
    pub newest: mpsc::Sender<oneshot::Sender<Infallible>>,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    #[error("it is no JSON Web Token, or has claims of other types than it should")]
    Malformed,
    #[error("no key of its issuer verifies it")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it has no `exp`, and would never expire")]
    NoExpiry,
    #[error("`iss` names another issuer")]
    Issuer,
    #[error("`aud` does not name this server")]
    Audience,
    #[error("`sub` does not name an account: 1 to 128 bytes")]
    Subject,
    #[error("`peersox_quota` cannot be read")]
    Quota,
}

/// The keys of the issuer are not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeysAway;

impl Tokens {
    /// Judges a token. Asks for newer keys, and waits for them, if it names a key that is not known.
    pub(super) async fn find(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<Grant, BadToken>, KeysAway> {
        if token.len() > LONGEST {
            return Ok(Err(BadToken::Malformed));
        }
        let Ok(token) = Untrusted::try_from(token) else {
            return Ok(Err(BadToken::Malformed));
        };
        let is_known = |keys: &KeySet| keys.candidates(&token).next().is_some();
        if !self.present().is_some_and(|keys| is_known(&keys)) {
            self.ask().await;
        }
        let keys = self.present().ok_or(KeysAway)?;
        Ok(self.judge(&keys, &token, now))
    }

    fn present(&self) -> Option<Arc<KeySet>> {
        self.keys.borrow().clone()
    }

    /// Has the newest keys fetched, if that may be done now.
    async fn ask(&self) {
        let (question, looked) = oneshot::channel();
        if self.newest.try_send(question).is_ok() {
            // It is dropped in any case.
            let _ = tokio::time::timeout(PATIENCE, looked).await;
        }
    }

    fn judge(
        &self,
        keys: &KeySet,
        token: &Untrusted<'_>,
        now: Timestamp,
    ) -> Result<Grant, BadToken> {
        // A field that has to be understood, and is not (RFC 7515, section 4.1.11).
        if token.header().other_fields.crit.is_some() {
            return Err(BadToken::Malformed);
        }
        let verify = |key: &PublicKey| key.algorithm.validator::<Body>(key).validate(token);
        let mut last = BadToken::Signature;
        for key in keys.candidates(token) {
            match verify(&key.public) {
                Ok(verified) => return self.grant(verified.claims(), now),
                // The signature is verified before the claims are read.
                Err(ValidationError::MalformedClaims(_)) => last = BadToken::Malformed,
                Err(_) => {}
            }
        }
        Err(last)
    }

    fn grant(&self, claims: &jwt_compact::Claims<Body>, now: Timestamp) -> Result<Grant, BadToken> {
        let now = i64::try_from(now.as_millis()).ok();
        let now = now.and_then(DateTime::<Utc>::from_timestamp_millis);
        let now = now.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let time = TimeOptions::new(LEEWAY, move || now);
        if claims.expiration.is_none() {
            return Err(BadToken::NoExpiry);
        }
        let expired = claims.validate_expiration(&time);
        expired.map_err(|_| BadToken::Expired)?;
        // The library subtracts the leeway from it, which panics at the beginning of time.
        let latest = now.checked_add_signed(LEEWAY).unwrap_or(now);
        if claims.not_before.is_some_and(|from| from > latest) {
            return Err(BadToken::NotYet);
        }
        let body = &claims.custom;
        if body.iss.as_deref() != Some(&self.issuer) {
            return Err(BadToken::Issuer);
        }
        let names = |audience: &Audience| match audience {
            Audience::One(name) => *name == self.audience,
            Audience::Several(names) => names.contains(&self.audience),
        };
        if !body.aud.as_ref().is_some_and(names) {
            return Err(BadToken::Audience);
        }
        let account = body.sub.clone().ok_or(BadToken::Subject)?;
        let account = Account::try_from(account).map_err(|_| BadToken::Subject)?;
        let quota = match &body.peersox_quota {
            None => self.quota,
            Some(text) => text.parse().map_err(|_| BadToken::Quota)?,
        };
        Ok(Grant { account, quota })
    }
}

type Untrusted<'a> = UntrustedToken<'a, Extra>;

/// What else stands in the header of a token.
#[derive(Clone, Debug, Deserialize)]
struct Extra {
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Body {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    peersox_quota: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The keys of an issuer: those of a JSON Web Key Set (RFC 7517) that can verify tokens.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<Listed>);

#[derive(Clone, Debug)]
struct Listed {
    id: Option<String>,
    public: PublicKey,
}

/// What somebody gave is no JSON Web Key Set, or one without a key that verifies tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// It has another form.
    #[error("it is no JSON Web Key Set: an object with a list of `keys`")]
    Malformed,
    /// Nothing in it can be used.
    #[error("it has no key of Ed25519, of P-256 or of RSA that verifies signatures")]
    NoKey,
}

impl KeySet {
    /// The most keys that are read; an issuer has a few.
    pub const MOST: usize = 64;

    /// Reads a set. Keys of other kinds, and those that are for something else, are passed over.
    ///
    /// # Errors
    /// [`BadKeySet`] if no key is left.
    pub fn from_json(json: &[u8]) -> Result<Self, BadKeySet> {
        let set: Value = serde_json::from_slice(json).map_err(|_| BadKeySet::Malformed)?;
        let keys = set["keys"].as_array().ok_or(BadKeySet::Malformed)?;
        let keys: Vec<_> = keys
            .iter()
            .filter_map(Listed::of)
            .take(Self::MOST)
            .collect();
        match keys.is_empty() {
            true => Err(BadKeySet::NoKey),
            false => Ok(Self(keys)),
        }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys by which a token may be signed: that with its `kid`, or all if it has none.
    fn candidates<'a>(&'a self, token: &'a Untrusted<'_>) -> impl Iterator<Item = &'a Listed> {
        let named = token.header().key_id.as_ref();
        let fits = move |key: &&Listed| match named {
            Some(_) => key.id.as_ref() == named,
            None => true,
        };
        self.0.iter().filter(fits)
    }
}

impl Listed {
    fn of(value: &Value) -> Option<Self> {
        let field = |name| value.get(name).map(|it| it.as_str().unwrap_or_default());
        if field("use").is_some_and(|it| it != "sig") {
            return None;
        }
        let public = PublicKey::of(&JsonWebKey::deserialize(value).ok()?)?;
        if field("alg").is_some_and(|it| it != public.algorithm.name()) {
            return None;
        }
        let id = field("kid").map(str::to_owned);
        Some(Self { id, public })
    }
}

#[derive(Clone, Debug)]
struct PublicKey {
    algorithm: Signing,
    /// The key, or the modulus of RSA.
    bytes: Vec<u8>,
    /// Of RSA only.
    exponent: Vec<u8>,
}

impl PublicKey {
    fn of(key: &JsonWebKey<'_>) -> Option<Self> {
        let (algorithm, bytes, exponent) = match key {
            JsonWebKey::KeyPair { curve, x, .. } if curve == "Ed25519" && x.len() == 32 => {
                (Signing::EdDsa, x.to_vec(), Vec::new())
            }
            JsonWebKey::EllipticCurve { curve, x, y, .. }
                if curve == "P-256" && x.len() == 32 && y.len() == 32 =>
            {
                (
                    Signing::Es256,
                    [&[UNCOMPRESSED], &x[..], y].concat(),
                    Vec::new(),
                )
            }
            JsonWebKey::Rsa {
                modulus,
                public_exponent,
                ..
            } if modulus.len() >= SHORTEST_RSA => {
                (Signing::Rs256, modulus.to_vec(), public_exponent.to_vec())
            }
            _ => return None,
        };
        Some(Self {
            algorithm,
            bytes,
            exponent,
        })
    }
}

/// How a point of a curve begins that is written with both coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// Bytes of 2,048 bits.
const SHORTEST_RSA: usize = 256;

/// The algorithm of a key, done by `ring`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signing {
    EdDsa,
    Es256,
    Rs256,
}

impl Algorithm for Signing {
    /// Nothing is signed here.
    type SigningKey = Infallible;
    type VerifyingKey = PublicKey;
    type Signature = Signature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        })
    }

    fn sign(&self, key: &Infallible, _: &[u8]) -> Signature {
        match *key {}
    }

    fn verify_signature(&self, signature: &Signature, key: &PublicKey, message: &[u8]) -> bool {
        let (bytes, signature) = (&key.bytes, &signature.0[..]);
        let verified = match self {
            Self::EdDsa => UnparsedPublicKey::new(&ED25519, bytes).verify(message, signature),
            Self::Es256 => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes);
                key.verify(message, signature)
            }
            Self::Rs256 => {
                let (n, e) = (bytes, &key.exponent);
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        verified.is_ok()
    }
}

/// The bytes of a signature; `ring` checks their number.
struct Signature(Vec<u8>);

impl AlgorithmSignature for Signature {
    fn try_from_slice(slice: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(slice.to_vec()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

/// Bytes of a token; those of issuers that write much have three thousand.
const LONGEST: usize = 8_192;
/// By how much the clocks of issuer and server may differ.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);
/// How long a call waits for newer keys, of the ten seconds that it has.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
