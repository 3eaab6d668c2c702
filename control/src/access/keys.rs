//! The list of keys that may create pairings.
//!
//! ```text
//! # comment
//! NAME  SHA-256 of the key, 64 digits of lower-case hex  [pairings=N] [sessions=N] [bytes=N]
//! ```
//!
//! A key is 256 random bits, so nobody finds one by trying, and a plain hash of it is as good as one that is
//! made slow for passwords. Several lines with one name are several keys of one account, as while a key is
//! replaced.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use peersox_core::pairing::{Account, Quota};
use rand_core::{OsRng, RngCore as _};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Grant;

/// Keys that may create pairings: names, hashes and quotas. Holds no key.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    name: KeyName,
    hash: [u8; 32],
    quota: Quota,
}

impl Keys {
    /// The most lines with a key: each of them is looked at in each call.
    pub const MOST: usize = 4_096;

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, so that nobody may create pairings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The accounts of all keys; one that has several keys comes several times.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.0.iter().map(|entry| &entry.name.0)
    }

    /// What an account may hold: all lines with its name say the same.
    pub(super) fn quota(&self, account: &Account) -> Option<Quota> {
        let mut entries = self.0.iter();
        Some(entries.find(|entry| entry.name.0 == *account)?.quota)
    }

    /// What the holder of this key may do. Takes the same time whichever of them it is, if any.
    pub(super) fn find(&self, shown: &str) -> Option<Grant> {
        let hash = hash(shown);
        let mut found = None;
        for entry in &self.0 {
            if entry.hash.ct_eq(&hash).into() {
                found = Some(entry);
            }
        }
        let entry = found?;
        Some(Grant {
            account: entry.name.0.clone(),
            quota: entry.quota,
        })
    }
}

impl FromStr for Keys {
    type Err = BadKeys;

    fn from_str(text: &str) -> Result<Self, BadKeys> {
        let mut entries: Vec<Entry> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let bad = |why: String| BadKeys { line, why };
            let mut words = text.split_whitespace();
            let Some(name) = words.next().filter(|word| !word.starts_with('#')) else {
                continue;
            };
            let entry = Entry::of(name, words).map_err(bad)?;
            if entries.iter().any(|other| other.hash == entry.hash) {
                return Err(bad("the same key stands in a line above".to_owned()));
            }
            let differs = |it: &Entry| it.name == entry.name && it.quota != entry.quota;
            if entries.iter().any(differs) {
                let why = "a line above gives this name another quota; write the same in both";
                return Err(bad(why.to_owned()));
            }
            if entries.len() == Self::MOST {
                return Err(bad(format!("there are more than {} keys", Self::MOST)));
            }
            entries.push(entry);
        }
        Ok(Self(entries))
    }
}

impl Entry {
    fn of<'a>(name: &str, mut words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let name = name
            .parse()
            .map_err(|error: NotAKeyName| error.to_string())?;
        let hash = words.next().and_then(|word| {
            let hash = HEXLOWER.decode(word.as_bytes()).ok()?;
            hash.try_into().ok()
        });
        // What stands there may be the key itself, and is not repeated.
        let hash = hash.ok_or_else(|| {
            "behind the name stands no hash of a key: 64 digits of lower-case hex, as \
             `peersox key NAME` writes them"
                .to_owned()
        })?;
        let words = words.take_while(|word| !word.starts_with('#'));
        let quota = Quota::of(words).map_err(|error| error.to_string())?;
        Ok(Self { name, hash, quota })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, quota) = (&self.name, &self.quota);
        f.debug_struct("Entry")
            .field("name", name)
            .field("quota", quota)
            .finish_non_exhaustive()
    }
}

fn hash(key: &str) -> [u8; 32] {
    let hash = digest(&SHA256, key.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A new key: a secret of whoever may create pairings.
pub struct Key(Zeroizing<String>);

impl Key {
    /// Draws one.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut bytes[..]);
        let text = Zeroizing::new(BASE64URL_NOPAD.encode(&bytes[..]));
        Self(Zeroizing::new([PREFIX, text.as_str()].concat()))
    }

    /// The key itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The line by which a list knows it.
    #[must_use]
    pub fn line(&self, name: &KeyName) -> String {
        format!("{name} {}", HEXLOWER.encode(&hash(&self.0)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

/// By this, programs that look for secrets in the wrong places recognise a key.
const PREFIX: &str = "peersox_";

/// The name of a key, and of the account of its holder: 1 to 64 of letters and digits of ASCII, `.`, `_`
/// and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(Account);

impl FromStr for KeyName {
    type Err = NotAKeyName;

    fn from_str(text: &str) -> Result<Self, NotAKeyName> {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = text.len() <= 64 && text.bytes().all(usual);
        let account = fits.then(|| text.parse().ok()).flatten();
        account.map(Self).ok_or(NotAKeyName)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A text cannot be the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a key is 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`")]
pub struct NotAKeyName;

/// A list of keys cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadKeys {
    line: usize,
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> KeyName {
        text.parse().unwrap()
    }

    #[test]
    fn who_has_a_key_has_its_account_and_nobody_else_has() {
        let (one, other) = (Key::random(), Key::random());
        let list = format!(
            "# who may\n\n{}\n{} pairings=3 bytes=1G # a comment\n{}\n",
            one.line(&name("ci")),
            other.line(&name("app")),
            Key::random().line(&name("app")) + " bytes=1000M pairings=3",
        );
        let keys: Keys = list.parse().unwrap();
        assert_eq!(keys.len(), 3);
        let found = keys.find(one.reveal()).unwrap();
        assert_eq!(found.account.as_str(), "ci");
        assert_eq!(found.quota, Quota::default());
        let found = keys.find(other.reveal()).unwrap();
        assert_eq!(found.account.as_str(), "app");
        assert_eq!(found.quota.pairings, Some(3));
        for bad in [
            "",
            &Key::random().0,
            &one.reveal()[1..],
            &one.line(&name("ci"))[3..],
        ] {
            assert_eq!(keys.find(bad), None, "{bad}");
        }
        let shown = format!("{keys:?} {one:?}");
        assert!(
            !shown.contains(&HEXLOWER.encode(&hash(one.reveal()))),
            "{shown}"
        );
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named_without_what_stands_there() {
        let key = Key::random();
        let line = key.line(&name("ci"));
        for (text, expected) in [
            (format!("{line}\n{line}\n"), "line 2: the same key"),
            (
                format!("\nci {}\n", key.reveal()),
                "line 2: behind the name",
            ),
            ("ci".to_owned(), "line 1: behind the name"),
            (line.to_uppercase(), "line 1: behind the name"),
            (
                format!("{line} pairings=2\n{}", Key::random().line(&name("ci"))),
                "line 2: a line above gives this name another quota",
            ),
            (format!("{line} legs=2"), "line 1: `legs=2` is no quota"),
            (line.replace("ci", "c/i"), "line 1: the name of a key"),
        ] {
            let error = text.parse::<Keys>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains(key.reveal()), "{error}");
        }
        assert!("# nobody\n".parse::<Keys>().unwrap().is_empty());
    }
}
