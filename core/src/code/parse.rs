//! Reading codes as people type them.

use std::str::FromStr;

use super::{Code, Digits, Nameplate, Words};

/// Why a text is not a code. No variant repeats what was typed, for it may be most of a secret, but for a
/// character that no code has.
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
    #[error("the code contains {}; it is made of digits, the letters a to z, spaces and dashes", shown(*.0))]
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

/// A character for people; one that cannot be seen, or turns the text around, by its number.
fn shown(c: char) -> String {
    match c {
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fff0}'..='\u{ffff}'
        | '\u{e0000}'..='\u{e0fff}' => c.escape_unicode().collect(),
        _ => ["`", c.encode_utf8(&mut [0; 4]), "`"].concat(),
    }
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
        let parts = Parts::of(text)?;
        let words = &parts.words;
        if parts.digits.is_empty() {
            return Err(Malformed::NameplateMissing);
        }
        Ok(Self {
            nameplate: nameplate_of(parts.digits)?,
            words: Words::parse(words)?,
        })
    }
}

impl FromStr for Nameplate {
    type Err = Malformed;

    /// Takes digits and separators.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parts = Parts::of(text)?;
        if !parts.words.is_empty() {
            return Err(Malformed::WordsForbidden);
        }
        nameplate_of(parts.digits)
    }
}

impl FromStr for Words {
    type Err = Malformed;

    /// Takes words and separators, and nothing but separators as no words.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        match Parts::of(text) {
            Ok(parts) if parts.digits.is_empty() => Self::parse(&parts.words),
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

/// A text without its separators, every character checked; one of the two has something.
struct Parts<'a> {
    digits: String,
    words: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX_BYTES {
            return Err(Malformed::TooLong);
        }
        let (mut digits, mut words) = (String::new(), Vec::new());
        let (mut word, mut digit_after_word) = (0..0, false);
        for (at, c) in text.char_indices() {
            if c.is_ascii_alphabetic() {
                if word.end < at || word.is_empty() {
                    word = at..at;
                    words.push("");
                }
                word.end = at + 1;
                if let Some(last) = words.last_mut() {
                    *last = &text[word.clone()];
                }
            } else if c.is_ascii_digit() {
                digit_after_word |= !words.is_empty();
                digits.push(c);
            } else if !is_separator(c) {
                return Err(Malformed::UnexpectedCharacter(c));
            }
        }
        if digit_after_word {
            return Err(Malformed::DigitsAfterWords);
        }
        if digits.is_empty() && words.is_empty() {
            return Err(Malformed::Empty);
        }
        Ok(Self { digits, words })
    }
}

fn nameplate_of(digits: String) -> Result<Nameplate, Malformed> {
    let found = digits.len();
    match u8::try_from(found).ok().and_then(Digits::new) {
        Some(_) => Ok(Nameplate(digits.into_boxed_str())),
        None => Err(Malformed::NameplateLength { found }),
    }
}

/// What may stand between the parts: white space of any script, the dashes that keyboards and word
/// processors put in place of one another, the invisible characters that come with copied text.
///
/// White space is listed, for the standard library's table would come with it.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        '\t'..='\r'
            | ' '
            | '-'
            | '_'
            | '.'
            | ','
            | '\u{0085}'
            | '\u{00a0}'
            | '\u{00ad}'
            | '\u{1680}'
            | '\u{2000}'..='\u{2015}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{2060}'
            | '\u{2212}'
            | '\u{3000}'
            | '\u{fe58}'
            | '\u{fe63}'
            | '\u{feff}'
            | '\u{ff0d}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_no_code_has_is_shown_if_it_can_be_seen() {
        let said = |text: &str| text.parse::<Code>().unwrap_err().to_string();
        assert!(said("1234-tül").starts_with("the code contains `ü`; it is made of"));
        assert!(said("1234-\u{202e}a").starts_with("the code contains \\u{202e}; "));
        assert!(said("1234-\u{1b}").starts_with("the code contains \\u{1b}; "));
    }

    #[test]
    fn white_space_of_any_script_separates() {
        let white = ('\0'..=char::MAX).filter(|c| c.is_whitespace());
        for c in white {
            assert!(is_separator(c), "{c:?}");
        }
    }
}
