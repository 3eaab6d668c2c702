//! Pairing codes: what a person carries from one screen to the other.
//!
//! ```text
//! 481920-tulip-ember
//! ------ -----------
//!   |        `------ secret words, known to the two devices only; 10 bits each
//!   `--------------- nameplate, the digits by which the server finds the pairing
//! ```
//!
//! ```text
//! canonical = nameplate *( "-" word )
//! nameplate = 4*12DIGIT
//! word      = one of the 1,024 words of words.txt, lower case
//! ```
//!
//! People do not type canonically: parsing takes any case and any spaces, dashes, underscores, dots
//! or commas between the parts and between the digits. No two words of the list share their first
//! four letters, and none becomes another by changing, adding, dropping or swapping one letter, so
//! that a slip of the finger is noticed instead of accepted.

mod odds;
mod parse;
mod words;

use std::fmt;

use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use odds::{Attempt, Census, Lengths, Odds, Price};
pub use parse::Malformed;
pub use words::Words;

/// A pairing code: nameplate and secret words.
///
/// `Display` is the canonical form and shows the secret; `Debug` does not. It cannot be cloned: a code makes
/// one peer, and gives whoever sits at the other end one guess.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The part the server knows.
    pub nameplate: Nameplate,
    /// The part it does not; may be empty.
    pub words: Words,
}

impl Code {
    /// Draws a code with this many digits and secret words; no more than [`Words::MAX`] words.
    #[must_use]
    pub fn generate(digits: Digits, words: usize, rng: &mut impl CryptoRngCore) -> Self {
        Self {
            nameplate: Nameplate::random(digits, rng),
            words: Words::random(words, rng),
        }
    }

    /// How hard the secret words are to guess, in bits. The nameplate does not count: the server
    /// knows it, and anybody may try one.
    #[must_use]
    pub fn entropy_bits(&self) -> u32 {
        self.words.entropy_bits()
    }

    /// The canonical form, wiped from memory when dropped.
    #[must_use]
    pub fn canonical(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(self.nameplate.as_str().to_owned());
        if !self.words.is_empty() {
            // Reserving first keeps a growing string from leaving copies behind.
            let phrase = self.words.phrase();
            text.reserve_exact(1 + phrase.len());
            text.push('-');
            text.push_str(&phrase);
        }
        text
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.canonical())
    }
}

/// How many digits a nameplate has: 4 to 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digits(u8);

impl Digits {
    /// The fewest digits: one code in ten thousand.
    pub const MIN: Self = Self(4);
    /// The most digits that anybody would type.
    pub const MAX: Self = Self(12);

    /// This many digits, unless there are fewer than 4 or more than 12.
    #[must_use]
    pub const fn new(digits: u8) -> Option<Self> {
        if digits < Self::MIN.0 || digits > Self::MAX.0 {
            return None;
        }
        Some(Self(digits))
    }

    /// The number.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.0
    }

    /// All of them, the fewest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::MIN.0..=Self::MAX.0).map(Self)
    }
}

impl Default for Digits {
    /// Six.
    fn default() -> Self {
        Self(6)
    }
}

/// The digits of a code, by which the server finds the pairing. Leading zeros count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nameplate(Box<str>);

impl Nameplate {
    /// Draws every digit uniformly.
    #[must_use]
    pub fn random(digits: Digits, rng: &mut impl CryptoRngCore) -> Self {
        let digits = (0..digits.0).map(|_| digit(rng)).collect::<String>();
        Self(digits.into_boxed_str())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many they are.
    #[must_use]
    pub fn digits(&self) -> Digits {
        let count = u8::try_from(self.0.len()).ok();
        count.and_then(Digits::new).unwrap_or(Digits::MAX)
    }
}

/// Draws one digit. 250 is the largest multiple of ten in a byte: taking the remainder of more would
/// favour the digits 0 to 5.
fn digit(rng: &mut impl CryptoRngCore) -> char {
    loop {
        let mut byte = [0];
        rng.fill_bytes(&mut byte);
        if byte[0] < 250 {
            return char::from(b'0' + byte[0] % 10);
        }
    }
}

impl fmt::Display for Nameplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Nameplate {
    /// Shows the number of digits only: whoever knows them may join first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nameplate({} digits)", self.0.len())
    }
}

impl From<Nameplate> for String {
    fn from(nameplate: Nameplate) -> Self {
        nameplate.0.into()
    }
}

#[cfg(test)]
pub(crate) mod tests;
