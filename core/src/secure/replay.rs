//! Which records of one epoch were opened: a sliding window, as in RFC 4303, section 3.4.3.

use super::failure::Violation;

/// Remembers the last [`Window::SIZE`] numbers below the highest one seen. Older ones count as seen.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// One above the highest number seen.
    end: u64,
    /// The bit of number `n` is bit `n % 64` of word `n / 64 % WORDS`.
    words: [u64; Self::WORDS],
}

impl Window {
    /// How far a record may come late, in records of its lane. Two paths that work at once, and
    /// datagrams under way on both, stay far below.
    pub(super) const SIZE: u64 = 2048;

    /// One word more than the size needs, so that clearing a word ahead never clears a kept bit.
    const WORDS: usize = 33;

    pub(super) const fn new() -> Self {
        Self {
            end: 0,
            words: [0; Self::WORDS],
        }
    }

    /// Says whether `number` is new, without remembering it: the record may yet prove forged.
    pub(super) fn check(&self, number: u64) -> Result<(), Violation> {
        if number >= self.end {
            return Ok(());
        }
        if self.end - number > Self::SIZE {
            return Err(Violation::TooOld);
        }
        let (word, bit) = Self::place(number);
        if self.words[word] & bit == 0 {
            Ok(())
        } else {
            Err(Violation::Replayed)
        }
    }

    /// Remembers a number that was [checked](Self::check) and whose record was authentic.
    pub(super) fn mark(&mut self, number: u64) {
        if number >= self.end {
            let entered = number / 64 - self.end.saturating_sub(1) / 64;
            if self.end == 0 || entered >= Self::WORDS as u64 {
                self.words = [0; Self::WORDS];
            } else {
                for word in number / 64 - entered + 1..=number / 64 {
                    self.words[Self::place(word * 64).0] = 0;
                }
            }
            self.end = number + 1;
        }
        let (word, bit) = Self::place(number);
        self.words[word] |= bit;
    }

    fn place(number: u64) -> (usize, u64) {
        let word = usize::try_from(number / 64 % Self::WORDS as u64).unwrap_or(0);
        (word, 1 << (number % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// Against a set that remembers everything.
        #[test]
        fn every_number_is_taken_once(steps in prop::collection::vec((0u64..5000, any::<bool>()), 1..300)) {
            let mut window = Window::new();
            let mut seen = HashSet::new();
            let mut top: Option<u64> = None;
            for (step, back) in steps {
                let number = match top {
                    None => step,
                    Some(top) if back => top.saturating_sub(step),
                    Some(top) => top + step / 16,
                };
                let expected = if top.is_some_and(|top| top + 1 - number.min(top + 1) > Window::SIZE) {
                    Err(Violation::TooOld)
                } else if seen.contains(&number) {
                    Err(Violation::Replayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(number), expected);
                if expected.is_ok() {
                    window.mark(number);
                    seen.insert(number);
                    top = Some(top.map_or(number, |top| top.max(number)));
                }
            }
        }
    }
}
