//! Reading codes as people type them.

use std::str::FromStr;

use super::{Code, Digits, Nameplate, Words};

/// Why a text is not a code. No variant repeats what was typed, for it may be most of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing, or nothing but separators.
    #[error("the code is empty; it looks like 481920-tulip-ember")]
    Empty,
    /// More text than any code has.
    #[error("the code is too long; it looks like 481920-tulip-ember")]
    TooLong,
    /// Words, but no digits before them.
    #[error("the code must begin with its digits, as in 481920-tulip-ember")]
    NameplateMissing,
    /// Too few or too many digits.
    #[error("the code has {found} digits; it needs 4 to 12")]
    NameplateLength {
        /// How many there are.
        found: usize,
    },
    /// Digits behind a word.
    #[error("the digits must all stand before the words, as in 481920-tulip-ember")]
    DigitsAfterWords,
    /// Words where only digits belong.
    #[error("only the digits belong here; the words are a secret and stay with the two devices")]
    WordsForbidden,
    /// A character that is neither a digit, a letter nor a separator.
    #[error("the code contains {0:?}; it is made of digits, the letters a to z, spaces and dashes")]
    UnexpectedCharacter(char),
    /// A word that is not in the list.
    #[error("word {position} of the code is unknown{}", hint(*.suggestion))]
    UnknownWord {
        /// Which word, counted from 1.
        position: usize,
        /// The word of the list that is nearest to it, if one is near.
        suggestion: Option<&'static str>,
    },
    /// More words than [`Words::MAX`].
    #[error("the code has too many words; {} are the most", Words::MAX)]
    TooManyWords,
}

fn hint(suggestion: Option<&'static str>) -> String {
    match suggestion {
        Some(word) => format!("; did you mean `{word}`?"),
        None => String::new(),
    }
}

impl FromStr for Code {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (nameplate, words) = split(text)?;
        Ok(Self {
            nameplate: nameplate_of(nameplate, words)?,
            words: Words::parse(words.split(is_separator).filter(|word| !word.is_empty()))?,
        })
    }
}

impl FromStr for Nameplate {
    type Err = Malformed;

    /// Takes digits and separators.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (nameplate, words) = split(text)?;
        if !words.is_empty() {
            return Err(Malformed::WordsForbidden);
        }
        nameplate_of(nameplate, words)
    }
}

impl FromStr for Words {
    type Err = Malformed;

    /// Takes words and separators, and nothing but separators as no words.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        match split(text) {
            Ok(("", words)) => {
                Self::parse(words.split(is_separator).filter(|word| !word.is_empty()))
            }
            Ok(_) => Err(Malformed::DigitsAfterWords),
            Err(Malformed::Empty) => Ok(Self::default()),
            Err(malformed) => Err(malformed),
        }
    }
}

impl TryFrom<String> for Nameplate {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

/// Longer texts are not looked at: 12 digits and [`Words::MAX`] words of 7 letters, with as much
/// again for separators.
const MAX_BYTES: usize = 320;

/// Cuts a text in two where its words begin, having checked every character.
fn split(text: &str) -> Result<(&str, &str), Malformed> {
    if text.len() > MAX_BYTES {
        return Err(Malformed::TooLong);
    }
    let text = text.trim_matches(is_separator);
    if text.is_empty() {
        return Err(Malformed::Empty);
    }
    let stranger = |c: char| !(c.is_ascii_alphanumeric() || is_separator(c));
    if let Some(stranger) = text.chars().find(|c| stranger(*c)) {
        return Err(Malformed::UnexpectedCharacter(stranger));
    }
    let words_at = text.find(|c: char| c.is_ascii_alphabetic());
    let (nameplate, words) = text.split_at(words_at.unwrap_or(text.len()));
    if words.contains(|c: char| c.is_ascii_digit()) {
        return Err(Malformed::DigitsAfterWords);
    }
    Ok((nameplate, words))
}

fn nameplate_of(text: &str, words: &str) -> Result<Nameplate, Malformed> {
    let digits = text
        .chars()
        .filter(char::is_ascii_digit)
        .collect::<String>();
    if digits.is_empty() && !words.is_empty() {
        return Err(Malformed::NameplateMissing);
    }
    let found = digits.len();
    match u8::try_from(found).ok().and_then(Digits::new) {
        Some(_) => Ok(Nameplate(digits.into_boxed_str())),
        None => Err(Malformed::NameplateLength { found }),
    }
}

/// What may stand between the parts: white space of any script, the dashes that keyboards and word
/// processors put in place of one another, the invisible characters that come with copied text.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '-' | '_'
                | '.'
                | ','
                | '\u{00ad}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2010}'..='\u{2015}'
                | '\u{2060}'
                | '\u{2212}'
                | '\u{fe58}'
                | '\u{fe63}'
                | '\u{ff0d}'
                | '\u{feff}'
        )
}
