//! Replays `tests/vectors/code.json`: enough for another language to read what people type.
//!
//! After a change of the rules, `PEERSOX_WRITE_VECTORS=1 cargo test -p peersox-core vectors`
//! writes the file anew; then look at what changed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::{Code, Malformed, Nameplate, Words};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/code.json");

#[test]
fn the_known_answers_hold() {
    let computed = json!({
        "about": "How codes are read; see docs/protocol.md, section 1. \
                  Checked again by tests/vectors/codes.py.",
        "separators": separators(),
        "codes": READ.iter().map(|typed| read(typed)).chain(long()).collect::<Vec<_>>(),
        "refused": REFUSED.iter().map(|typed| refused(typed)).chain(overlong()).collect::<Vec<_>>(),
        "nameplates": NAMEPLATES.iter().map(|typed| nameplate(typed)).collect::<Vec<_>>(),
    });
    if std::env::var_os("PEERSOX_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&computed).unwrap();
        std::fs::write(PATH, ascii(&text) + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    assert_eq!(kept, computed);
}

/// Canonical, and as people type it instead.
const READ: [&str; 22] = [
    "481920-tulip-ember",
    "481920",
    "0042",
    "000000-apricot",
    "000123456789-bed",
    "481920-tulip-tulip",
    "481920 tulip ember",
    "481 920 Tulip  ember",
    "48-19-20-tulip-ember",
    "4-8-1-9-2-0 TULIP_EMBER",
    "481920-tUlIp-EmBeR",
    " 481920.tulip.ember. ",
    "-_., 481920 ,._- tulip ,._- ember -_.,",
    "481920tulip ember",
    "481920tulip",
    "\t481920\r\ntulip\u{b}ember\u{c}",
    "481\u{2009}920\u{a0}tulip\u{3000}ember\u{85}",
    "481920\u{2013}tulip\u{2014}ember",
    "481920\u{2212}tulip\u{ff0d}ember",
    "\u{feff}481920, tulip, ember\u{200f}",
    "4\u{ad}8\u{200b}1\u{2060}920 tulip\u{200d}ember",
    "481920 - tulip - ember\u{2028}",
];

const REFUSED: [&str; 45] = [
    "",
    " ",
    " -_.,\u{200b}\u{2014} ",
    // No digits, too few, too many; what follows is not looked at then.
    "tulip",
    "tulip-ember",
    "qqqqqqq",
    "7",
    "481",
    "481-tulip",
    "4-8-1-qqqqqqq",
    "1234567890123",
    "1234567890123-tulip",
    // Digits in or behind a word.
    "481920-tulip-7-ember",
    "481920-tulip7",
    "481920tulip481920",
    "tulip-481920",
    "481-tulip-7",
    "481920-qqqqqqq-7",
    // Strangers: the first of them is named, before anything else is found wrong.
    "481920/tulip",
    "481920-tulip!",
    "481920'tulip",
    "48+1920",
    "481920-tulip\0",
    "481920-tulip\u{1f}ember",
    "481920-t\u{fc}l",
    "481920-tu\u{308}lip",
    "\u{664}\u{668}\u{661}\u{669}\u{662}\u{660}",
    "\u{ff14}\u{ff18}\u{ff11}\u{ff19}\u{ff12}\u{ff10}",
    "481920-\u{212a}ale",
    "481920-bu\u{17f}",
    "481920-\u{1f337}-ember",
    "tulip-7/\u{fc}",
    "481920\u{180e}tulip",
    // Unknown words: cut short, drawn out, misspelt, run together, and beyond help.
    "481920-tuli",
    "481920-tulipan",
    "481920-TULPI",
    "481920-tulip-embre",
    "481920-tulip-yelow",
    "481920-tulipember",
    "481920-tulip-a",
    "481920-em",
    "481920-embxr-qqqqqqq",
    "481920-qqqqqqq-embxr",
    "481920-tulipsandmore",
    "481920-pneumonoultramicroscopic",
];

const NAMEPLATES: [&str; 12] = [
    "481920",
    "0042",
    " 48 19-20 ",
    "000000000000",
    "",
    "481",
    "1234567890123",
    "481920-tulip",
    "481920-qqqqqqq",
    "tulip",
    "481920-tulip-7",
    "481920/",
];

/// As many words as a code may have, and as many bytes.
fn long() -> [Value; 3] {
    [
        read(&format!("481920{}", "-tulip".repeat(Words::MAX))),
        read(&format!("481920{}tulip", " ".repeat(320 - 11))),
        read(&format!("481920{}tulip", "\u{2003}".repeat((320 - 11) / 3))),
    ]
}

/// One more of either. A word too many is not looked at, but those before it are.
fn overlong() -> [Value; 6] {
    let words = "-tulip".repeat(Words::MAX);
    [
        refused(&format!("481920{words}-ember")),
        refused(&format!("481920{words}-qqqqqqq")),
        refused(&format!("481920-tulpi{words}")),
        refused(&format!("481920{}tulip", " ".repeat(321 - 11))),
        refused(&"\u{2003}".repeat(107)),
        refused(&"/".repeat(321)),
    ]
}

/// Every character that may stand between digits; none is outside the Basic Multilingual Plane.
fn separators() -> Vec<String> {
    let all = '\0'..='\u{ffff}';
    let fits = |c: &char| {
        let typed = format!("4819{c}20").parse::<Nameplate>();
        !c.is_ascii_digit() && typed.is_ok_and(|nameplate| nameplate.as_str() == "481920")
    };
    all.filter(fits)
        .map(|c| format!("U+{:04X}", u32::from(c)))
        .collect()
}

fn read(typed: &str) -> Value {
    let code: Code = typed.parse().unwrap();
    let phrase = code.words.phrase();
    let words: Vec<_> = phrase.split('-').filter(|word| !word.is_empty()).collect();
    json!({
        "typed": typed,
        "nameplate": code.nameplate.as_str(),
        "words": words,
        "canonical": code.to_string(),
        "secret_bits": code.entropy_bits(),
    })
}

fn refused(typed: &str) -> Value {
    json!({ "typed": typed, "error": error(typed.parse::<Code>().unwrap_err()) })
}

fn nameplate(typed: &str) -> Value {
    match typed.parse::<Nameplate>() {
        Ok(nameplate) => json!({ "typed": typed, "nameplate": nameplate.as_str() }),
        Err(malformed) => json!({ "typed": typed, "error": error(malformed) }),
    }
}

fn error(malformed: Malformed) -> Value {
    match malformed {
        Malformed::Empty => json!({ "kind": "empty" }),
        Malformed::TooLong => json!({ "kind": "too-long" }),
        Malformed::NameplateMissing => json!({ "kind": "nameplate-missing" }),
        Malformed::NameplateLength { found } => {
            json!({ "kind": "nameplate-length", "found": found })
        }
        Malformed::DigitsAfterWords => json!({ "kind": "digits-after-words" }),
        Malformed::WordsForbidden => json!({ "kind": "words-forbidden" }),
        Malformed::UnexpectedCharacter(c) => {
            json!({ "kind": "unexpected-character", "character": c })
        }
        Malformed::UnknownWord {
            position,
            suggestion,
        } => json!({ "kind": "unknown-word", "position": position, "suggestion": suggestion }),
        Malformed::TooManyWords => json!({ "kind": "too-many-words" }),
    }
}

/// JSON with every character beyond ASCII escaped: half of them cannot be seen.
fn ascii(json: &str) -> String {
    let mut text = String::new();
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(text, "\\u{unit:04x}").unwrap();
        }
    }
    text
}
