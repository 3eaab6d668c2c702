//! The secret words of a code and the list they are drawn from.

use std::fmt;
use std::sync::LazyLock;

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Malformed;

/// Secret words. Wiped from memory when dropped, compared in constant time, never shown by `Debug`.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct Words(Vec<u16>);

impl Words {
    /// The most words a code has.
    pub const MAX: usize = 16;

    /// The number of words in the list. A power of two: ten random bits pick a word, without bias.
    pub const LIST_LEN: usize = 1 << Self::BITS;

    /// What one word adds to the entropy, in bits.
    const BITS: u32 = 10;

    /// Draws this many words uniformly, no more than [`Words::MAX`].
    #[must_use]
    pub fn random(count: usize, rng: &mut impl CryptoRngCore) -> Self {
        let mut words = Vec::with_capacity(count.min(Self::MAX));
        for _ in 0..count.min(Self::MAX) {
            let mut bytes = Zeroizing::new([0; 2]);
            rng.fill_bytes(&mut *bytes);
            words.push(u16::from_le_bytes(*bytes) & (Self::LIST_MASK));
        }
        Self(words)
    }

    const LIST_MASK: u16 = (1 << Self::BITS) - 1;

    /// Looks every word up, in any case.
    pub(super) fn parse(words: &[&str]) -> Result<Self, Malformed> {
        // Room for all from the start: a growing vector would leave copies behind.
        let mut found = Self(Vec::with_capacity(Self::MAX));
        for (index, word) in words.iter().enumerate() {
            if index == Self::MAX {
                return Err(Malformed::TooManyWords);
            }
            let word = Zeroizing::new(word.to_ascii_lowercase());
            let at = LIST.binary_search(&word.as_str()).ok();
            let at = at.and_then(|at| u16::try_from(at).ok());
            found.0.push(at.ok_or_else(|| Malformed::UnknownWord {
                position: index + 1,
                suggestion: nearest(&word),
            })?);
        }
        Ok(found)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How hard they are to guess, in bits.
    #[must_use]
    pub fn entropy_bits(&self) -> u32 {
        Self::BITS * self.0.iter().map(|_| 1).sum::<u32>()
    }

    /// The canonical form, `tulip-ember`, wiped from memory when dropped: what both devices feed to
    /// the key exchange.
    #[must_use]
    pub fn phrase(&self) -> Zeroizing<String> {
        let mut phrase = Zeroizing::new(String::with_capacity(8 * self.0.len()));
        for (index, word) in self.0.iter().enumerate() {
            if index > 0 {
                phrase.push('-');
            }
            phrase.push_str(LIST[usize::from(*word)]);
        }
        phrase
    }

    /// Every word a code may have, in alphabetical order; for completion while a person types.
    #[must_use]
    pub fn list() -> &'static [&'static str] {
        &LIST
    }
}

impl PartialEq for Words {
    /// Takes the same time wherever two phrases of equal length differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Words {}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({}, redacted)", self.0.len())
    }
}

static LIST: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let (mut list, mut word) = (Vec::with_capacity(Words::LIST_LEN), String::new());
    for byte in packed::LIST {
        let mut before = packed::BEFORE_A;
        if byte >= 32 {
            let shared = usize::from(byte / 32) - 1;
            before = *word.as_bytes().get(shared).unwrap_or(&before);
            list.push(&*word.clone().leak());
            word.truncate(shared);
        }
        word.push(char::from(before + byte % 32));
    }
    list.push(word.leak());
    list.remove(0);
    list
});

/// words.txt in two thirds of the space once compressed: each word without the letters that it shares with
/// the one before.
///
/// ```text
/// first letter of its own = 32 × (1 + letters shared)
///                           + distance from the letter that stands there in the word before
/// other letters           = distance from the one before a, as if there were no letter in the word before
/// ```
mod packed {
    const TEXT: &[u8] = include_bytes!("words.txt");

    pub(super) const LIST: [u8; pack::<{ TEXT.len() }>().1] = pack().0;

    pub(super) const BEFORE_A: u8 = b'a' - 1;

    const fn pack<const LEN: usize>() -> ([u8; LEN], usize) {
        let (mut out, mut len) = ([0; LEN], 0);
        let (mut before, mut at) = (0, 0);
        while at < TEXT.len() {
            let (mut own, mut first) = (at, 32);
            while at > before && TEXT[before + own - at] == TEXT[own] {
                (own, first) = (own + 1, first + 32);
            }
            // Where there is no word before, and where it ends, is no letter.
            let replaced = TEXT[before + own - at];
            if at > before && replaced != b'\n' {
                first -= replaced - BEFORE_A;
            }
            (before, at) = (at, own);
            while TEXT[at] != b'\n' {
                out[len] = first + TEXT[at] - BEFORE_A;
                first = 0;
                (len, at) = (len + 1, at + 1);
            }
            at += 1;
        }
        (out, len)
    }
}

/// The word of the list that the typed one was most likely meant to be.
fn nearest(typed: &str) -> Option<&'static str> {
    // Two slips still point to one word; of three, little is left of a five-letter word.
    const FARTHEST: usize = 2;
    if typed.len() > LONGEST {
        return None;
    }
    let (mut found, mut limit) = (None, typed.len().min(FARTHEST + 1));
    for word in LIST.iter() {
        // Four letters single a word out, whatever follows them.
        if typed
            .get(..4)
            .is_some_and(|prefix| word.starts_with(prefix))
        {
            return Some(word);
        }
        let distance = distance(typed, word);
        if distance < limit {
            (found, limit) = (Some(*word), distance);
        }
    }
    found
}

/// Nobody misspells a seven-letter word with more; it also bounds the work.
const LONGEST: usize = 12;

/// How many letters must be changed, added or dropped, or neighbours swapped (optimal string
/// alignment). Neither has more than [`LONGEST`].
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = [[0; LONGEST + 1]; LONGEST + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = std::array::from_fn(|j| j);
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let dropped = rows[i - 1][j].min(rows[i][j - 1]) + 1;
            rows[i][j] = changed.min(dropped);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_is_sound() {
        assert_eq!(LIST.len(), Words::LIST_LEN);
        assert!(LIST.is_sorted(), "lookups search the sorted list");
        let distinct = LIST.iter().collect::<BTreeSet<_>>();
        assert_eq!(distinct.len(), LIST.len());
        let prefixes = LIST.iter().map(|word| &word[..word.len().min(4)]);
        assert_eq!(prefixes.collect::<BTreeSet<_>>().len(), LIST.len());
        for word in LIST.iter() {
            assert!((3..=7).contains(&word.len()), "{word}");
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
        }
    }

    #[test]
    fn the_list_is_what_the_file_says() {
        assert!(LIST.iter().copied().eq(include_str!("words.txt").lines()));
    }

    #[test]
    fn no_slip_of_the_finger_turns_a_word_into_another() {
        for (at, word) in LIST.iter().enumerate() {
            for other in &LIST[at + 1..] {
                assert!(distance(word, other) > 1, "{word} {other}");
            }
        }
    }

    #[test]
    fn the_nearest_word_is_suggested() {
        for (typed, expected) in [
            ("tulpi", Some("tulip")),
            ("embre", Some("ember")),
            ("tulipan", Some("tulip")),
            ("yelow", Some("yellow")),
            ("zzzzzz", None),
            ("x", None),
            ("pneumonoultramicroscopic", None),
        ] {
            assert_eq!(nearest(typed), expected, "{typed}");
        }
    }
}
