//! The promises of codes.

mod vectors;

use super::*;
use proptest::prelude::*;
use rand_core::{CryptoRng, RngCore};

/// A generator whose draws repeat (SplitMix64), so that a test fails twice in the same way.
pub(crate) struct Seeded(pub(crate) u64);

impl RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Seeded {}

#[test]
fn people_may_type_as_they_like() {
    for typed in [
        "481920-tulip-ember",
        "481920 tulip ember",
        "481 920 Tulip  ember",
        "4-8-1-9-2-0 TULIP_EMBER",
        " 481920.tulip.ember. ",
        "481920tulip ember",
        "481\u{2009}920\u{a0}tulip\u{3000}ember\r\n",
        "481920\u{2013}tulip\u{2014}ember",
        "\u{feff}481920, tulip, ember",
    ] {
        let code = typed.parse::<Code>().unwrap();
        assert_eq!(code.to_string(), "481920-tulip-ember", "{typed:?}");
        assert_eq!(code.entropy_bits(), 20);
    }
    assert_eq!("0042".parse::<Code>().unwrap().to_string(), "0042");
}

#[test]
fn a_malformed_code_is_named() {
    let unknown = |position, suggestion| Malformed::UnknownWord {
        position,
        suggestion,
    };
    for (typed, expected) in [
        ("", Malformed::Empty),
        (" -- ", Malformed::Empty),
        ("tulip-ember", Malformed::NameplateMissing),
        ("481-tulip", Malformed::NameplateLength { found: 3 }),
        ("1234567890123", Malformed::NameplateLength { found: 13 }),
        ("481920-tulip-7-ember", Malformed::DigitsAfterWords),
        ("481920-tül", Malformed::UnexpectedCharacter('ü')),
        ("٤٨١٩٢٠", Malformed::UnexpectedCharacter('٤')),
        ("481920/tulip", Malformed::UnexpectedCharacter('/')),
        ("481920-tulip-embre", unknown(2, Some("ember"))),
        ("481920-qqqqqqq", unknown(1, None)),
    ] {
        assert_eq!(typed.parse::<Code>(), Err(expected), "{typed:?}");
    }
    let many = format!("481920{}", "-tulip".repeat(Words::MAX + 1));
    assert_eq!(many.parse::<Code>(), Err(Malformed::TooManyWords));
    assert_eq!("7".repeat(321).parse::<Code>(), Err(Malformed::TooLong));
    assert_eq!(
        unknown(2, Some("ember")).to_string(),
        "word 2 of the code is unknown; did you mean `ember`?"
    );
}

#[test]
fn a_nameplate_takes_digits_only_and_words_take_words_only() {
    assert_eq!("48 19-20".parse::<Nameplate>().unwrap().as_str(), "481920");
    assert_eq!(
        "481920-tulip".parse::<Nameplate>(),
        Err(Malformed::WordsForbidden)
    );
    assert_eq!(
        *"Tulip ember".parse::<Words>().unwrap().phrase(),
        "tulip-ember"
    );
    assert!("".parse::<Words>().unwrap().is_empty());
    assert_eq!(
        "12 tulip".parse::<Words>(),
        Err(Malformed::DigitsAfterWords)
    );
}

#[test]
fn nothing_secret_is_debugged() {
    let shown = format!("{:?}", "481920-tulip-ember".parse::<Code>().unwrap());
    for secret in ["481920", "tulip", "ember"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn every_position_takes_every_digit_equally_often() {
    const DRAWS: u32 = 120_000;
    let mut counts = [[0u32; 10]; 6];
    let mut rng = Seeded(1);
    for _ in 0..DRAWS {
        let nameplate = Nameplate::random(Digits::default(), &mut rng);
        for (position, digit) in nameplate.as_str().bytes().enumerate() {
            counts[position][usize::from(digit - b'0')] += 1;
        }
    }
    let expected = f64::from(DRAWS) / 10.0;
    for (position, counts) in counts.iter().enumerate() {
        let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
        let chi_square = counts.iter().map(square).sum::<f64>();
        // 9 degrees of freedom: a fair die exceeds 33.7 once in ten thousand times. Remainders of
        // a byte would give about 53.
        assert!(chi_square < 33.7, "position {position}: {chi_square}");
    }
}

#[test]
fn every_word_is_drawn() {
    let mut seen = std::collections::BTreeSet::new();
    let mut rng = Seeded(2);
    for _ in 0..1_000 {
        let code = Code::generate(Digits::default(), 16, &mut rng);
        seen.extend(code.words.phrase().split('-').map(str::to_owned));
    }
    assert_eq!(seen.len(), Words::LIST_LEN);
}

proptest! {
    #[test]
    fn the_canonical_form_parses_to_the_same_code(
        digits in 4u8..=12,
        words in 0usize..=Words::MAX,
        seed: u64,
    ) {
        let code = Code::generate(Digits::new(digits).unwrap(), words, &mut Seeded(seed));
        prop_assert_eq!(code.nameplate.as_str().len(), usize::from(digits));
        prop_assert_eq!(code.words.len(), words);
        prop_assert_eq!(&code.to_string().parse::<Code>().unwrap(), &code);
        let shouted = code.to_string().to_uppercase().replace('-', " \u{2013} ");
        if shouted.len() <= 320 {
            prop_assert_eq!(&shouted.parse::<Code>().unwrap(), &code);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}|[0-9a-zA-Z\\-_. \u{2013}]{0,60}") {
        if let Ok(code) = text.parse::<Code>() {
            let canonical = code.to_string();
            prop_assert_eq!(canonical.parse::<Code>(), Ok(code));
        }
        let _ = text.parse::<Nameplate>();
        let _ = text.parse::<Words>();
    }

    #[test]
    fn a_nameplate_survives_serde(digits in "[0-9]{4,12}") {
        let nameplate: Nameplate = digits.parse().unwrap();
        let json = serde_json::to_string(&nameplate).unwrap();
        prop_assert_eq!(serde_json::from_str::<Nameplate>(&json).unwrap(), nameplate);
    }
}
