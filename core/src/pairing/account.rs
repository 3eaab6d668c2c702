//! On whose account a pairing is created, and what an account may hold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whose pairing it is, where a server lets not everybody create pairings: the name of a key, or the subject
/// of a token. 1 to 128 bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Account(String);

/// The text breaks the rules of the name of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of an account has 1 to {} bytes of UTF-8, and no control characters",
    Account::MAX
)]
pub struct NotAnAccount;

impl Account {
    /// The most bytes of a name.
    pub const MAX: usize = 128;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Account {
    type Error = NotAnAccount;

    fn try_from(text: String) -> Result<Self, NotAnAccount> {
        let fits = (1..=Self::MAX).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(NotAnAccount)
        }
    }
}

impl FromStr for Account {
    type Err = NotAnAccount;

    fn from_str(text: &str) -> Result<Self, NotAnAccount> {
        text.to_owned().try_into()
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an account may hold; nothing where it is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Pairings that live at the same time, codes that wait included.
    pub pairings: Option<u64>,
    /// Sessions at the same time: pairings of which a peer is attached to a relay.
    pub sessions: Option<u64>,
    /// Bytes that relays forward in one day of UTC.
    pub bytes: Option<u64>,
}

impl Quota {
    /// Reads words such as `pairings=10 sessions=2 bytes=5G`, in any order, each at most once. `K`, `M`, `G`
    /// and `T` are powers of 1,000.
    ///
    /// # Errors
    /// [`BadQuota`] names the word that cannot be read.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, BadQuota> {
        let mut quota = Self::default();
        for word in words {
            let bad = || BadQuota(word.to_owned());
            let (name, number) = word.split_once('=').ok_or_else(bad)?;
            let field = match name {
                "pairings" => &mut quota.pairings,
                "sessions" => &mut quota.sessions,
                "bytes" => &mut quota.bytes,
                _ => return Err(bad()),
            };
            let number = read(number).ok_or_else(bad)?;
            if field.replace(number).is_some() {
                return Err(bad());
            }
        }
        Ok(quota)
    }
}

impl FromStr for Quota {
    type Err = BadQuota;

    fn from_str(text: &str) -> Result<Self, BadQuota> {
        Self::of(text.split([' ', ',']).filter(|word| !word.is_empty()))
    }
}

fn read(number: &str) -> Option<u64> {
    let (digits, times) = match number.as_bytes().last()? {
        b'K' => (&number[..number.len() - 1], 1_000),
        b'M' => (&number[..number.len() - 1], 1_000_000),
        b'G' => (&number[..number.len() - 1], 1_000_000_000),
        b'T' => (&number[..number.len() - 1], 1_000_000_000_000),
        _ => (number, 1),
    };
    // `parse` takes a sign, too.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(times)
}

/// A word is no part of a quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no quota; write each of them once, as in pairings=10 sessions=2 bytes=5G")]
pub struct BadQuota(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_from_words() {
        let quota: Quota = "bytes=5G pairings=10,sessions=0".parse().unwrap();
        assert_eq!(
            quota,
            Quota {
                pairings: Some(10),
                sessions: Some(0),
                bytes: Some(5_000_000_000),
            }
        );
        assert_eq!("".parse(), Ok(Quota::default()));
        for bad in [
            "pairings",
            "pairings=",
            "pairings=-1",
            "pairings=+1",
            "pairings=1 pairings=2",
            "legs=1",
            "bytes=K",
            "bytes=99999999999T",
            "bytes=1k",
            "bytes=1é",
        ] {
            assert!(bad.parse::<Quota>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_name_of_an_account_is_short_and_visible() {
        assert_eq!(
            "auth0|5f7c".parse::<Account>().unwrap().as_str(),
            "auth0|5f7c"
        );
        for bad in ["", "a\nb", &"a".repeat(129)] {
            assert_eq!(bad.parse::<Account>(), Err(NotAnAccount), "{bad}");
        }
    }
}
