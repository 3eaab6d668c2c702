//! Who may create pairings: everybody, or who shows a key or a token.
//!
//! ```text
//! CreatePairing, `authorization: Bearer …` ─▶ Access ─┬─ Everybody ─▶ nothing is asked
//!                                                     ├─ Keys ──────▶ its SHA-256 is on the operator's list
//!                                                     └─ Tokens ────▶ a JWT that its issuer has signed
//!                                                           │
//!                                                           └─▶ Grant: an account and its quota
//! ```
//!
//! Nothing but creating a pairing needs it: who joins has the code, and from then on both have credentials.
//! Control reads no file and calls nobody: the binary sends it lists of keys and key sets of issuers, and
//! replaces them.

mod keys;
mod tokens;

use std::sync::Arc;

use peersox_core::pairing::{Account, Quota};
use peersox_core::time::Timestamp;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;

pub use keys::{BadKeys, Key, KeyName, Keys, NotAKeyName};
pub(crate) use tokens::BadToken;
pub use tokens::{BadKeySet, KeySet, Tokens};

/// Who may create pairings.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Whoever reaches control.
    #[default]
    Everybody,
    /// Who shows a key of this list, which may change.
    Keys(watch::Receiver<Arc<Keys>>),
    /// Who shows a token of an issuer.
    Tokens(Tokens),
}

/// Somebody may create pairings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// On whose account.
    pub account: Account,
    /// What the account may hold.
    pub quota: Quota,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nothing was shown.
    #[error("only who has a {0} may create codes on this server, and this call shows none")]
    Missing(&'static str),
    /// What was shown is no key of the list.
    #[error("the key is none that this server knows; ask who runs it for another one")]
    UnknownKey,
    /// The token is not taken.
    #[error("the token is not taken: {0}")]
    Token(BadToken),
    /// The keys of the issuer of tokens are not known yet.
    #[error("the keys of the issuer of tokens cannot be fetched at the moment; call again")]
    KeysAway,
}

impl Access {
    /// What a caller has to show, for programs: `key` or `token`; nothing where everybody may create.
    pub(crate) const fn wants(&self) -> Option<&'static str> {
        match self {
            Self::Everybody => None,
            Self::Keys(_) => Some("key"),
            Self::Tokens(_) => Some("token"),
        }
    }

    /// The accounts that are known beforehand: those of keys.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        match self {
            Self::Keys(keys) => keys.borrow().accounts().cloned().collect(),
            Self::Everybody | Self::Tokens(_) => Vec::new(),
        }
    }

    /// Whether an account is that of a key of the list.
    pub(crate) fn is_key(&self, account: &Account) -> bool {
        match self {
            Self::Keys(keys) => keys.borrow().quota(account).is_some(),
            Self::Everybody | Self::Tokens(_) => false,
        }
    }

    /// What an account may hold to which this was granted last, if anything. An account whose key was
    /// withdrawn keeps the quota that it had when it created something last, as far as that is known.
    pub(crate) fn quota(&self, account: &Account, granted: Option<Quota>) -> Quota {
        match self {
            Self::Everybody => Quota::default(),
            Self::Keys(keys) => keys.borrow().quota(account).or(granted).unwrap_or_default(),
            Self::Tokens(tokens) => granted.unwrap_or(tokens.quota),
        }
    }

    /// Judges a caller by the metadata of its call. Gives nothing where nothing is asked.
    pub(crate) async fn admit(
        &self,
        metadata: &MetadataMap,
        now: Timestamp,
    ) -> Result<Option<Grant>, Refusal> {
        let Some(wants) = self.wants() else {
            return Ok(None);
        };
        let shown = bearer(metadata).ok_or(Refusal::Missing(wants))?;
        match self {
            Self::Everybody => Ok(None),
            Self::Keys(keys) => {
                let found = keys.borrow().find(shown);
                found.map(Some).ok_or(Refusal::UnknownKey)
            }
            Self::Tokens(tokens) => {
                let judged = tokens.find(shown, now).await;
                let judged = judged.map_err(|_| Refusal::KeysAway)?;
                judged.map(Some).map_err(Refusal::Token)
            }
        }
    }
}

/// The token of `authorization: Bearer TOKEN` (RFC 6750).
pub(crate) fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let (scheme, token) = metadata
        .get("authorization")?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_shown_as_bearer_and_in_no_other_way() {
        for (value, expected) in [
            ("Bearer k", Some("k")),
            ("bearer k", Some("k")),
            ("BEARER two words", Some("two words")),
            ("Basic k", None),
            ("Bearer", None),
            ("Bearerk", None),
            ("k", None),
            ("", None),
        ] {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", value.parse().unwrap());
            assert_eq!(bearer(&metadata), expected, "{value}");
        }
        assert_eq!(bearer(&MetadataMap::new()), None);
    }
}
