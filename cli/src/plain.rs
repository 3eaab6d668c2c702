//! Text from outside, made harmless: a server, a peer, a file name or a log field may hold whatever a
//! terminal obeys.
//!
//! ```text
//! server, peer, files ──► text(), for people   ESC becomes \x1b, U+202E becomes \u{202e}, a newline \n
//!                     ──► json(), for scripts  the escapes of JSON, which a parser takes back
//! ```
//!
//! Every way to standard error and standard output of a terminal passes here: sentences, errors, tables,
//! progress and the log.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// Escapes what is no visible character, and ends a text that is too long with `…`. A newline is escaped,
/// too: no text from outside begins a line of its own.
pub(crate) fn text(raw: &str) -> Cow<'_, str> {
    let long = raw.len() > MAX_CHARS && raw.chars().nth(MAX_CHARS).is_some();
    if !long && !raw.chars().any(is_unseen) {
        return Cow::Borrowed(raw);
    }
    let mut plain = String::with_capacity(raw.len().min(MAX_CHARS) + 16);
    for character in raw.chars().take(MAX_CHARS) {
        match character {
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            '\t' => plain.push_str("\\t"),
            unseen if unseen.is_ascii_control() => {
                let _ = write!(plain, "\\x{:02x}", u32::from(unseen));
            }
            unseen if is_unseen(unseen) => {
                let _ = write!(plain, "\\u{{{:x}}}", u32::from(unseen));
            }
            seen => plain.push(seen),
        }
    }
    if long {
        plain.push('…');
    }
    Cow::Owned(plain)
}

/// One line of JSON in which everything that [`text`] escapes is escaped as `\uXXXX`.
pub(crate) fn json(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Escaping(CompactFormatter));
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        // Writing a value to memory cannot fail.
        Err(_) => "null".to_owned(),
    }
}

/// A text of JSON with the same escapes; whoever wrote it left visible and other characters as they are.
pub(crate) fn json_text(raw: &str) -> Cow<'_, str> {
    // Outside of strings JSON has visible characters of ASCII only, and line breaks where somebody put them.
    if !raw.chars().any(is_unseen) {
        return Cow::Borrowed(raw);
    }
    let mut plain = String::with_capacity(raw.len() + 16);
    for character in raw.chars() {
        if !is_unseen(character) {
            plain.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    Cow::Owned(plain)
}

struct Escaping(CompactFormatter);

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for part in fragment.split_inclusive(is_unseen) {
            let Some(unseen) = part.chars().next_back().filter(|&last| is_unseen(last)) else {
                self.0.write_string_fragment(writer, part)?;
                continue;
            };
            let seen = &part[..part.len() - unseen.len_utf8()];
            self.0.write_string_fragment(writer, seen)?;
            for unit in unseen.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal shows nothing for this character, or obeys it: controls (C0, DEL, C1), line and
/// paragraph separators, what changes the direction of writing, what has no width, and tags.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The longest line that is shown, in characters.
const MAX_CHARS: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_and_the_rest_is_left_alone() {
        for (raw, shown) in [
            ("résumé — 履歴書 👍", "résumé — 履歴書 👍"),
            ("\x1b[2J\x1b[1A\rgone", "\\x1b[2J\\x1b[1A\\rgone"),
            ("\u{9b}2J\x7f\x07\0", "\\u{9b}2J\\x7f\\x07\\x00"),
            ("a\nb\tc\u{2028}d", "a\\nb\\tc\\u{2028}d"),
            ("\u{202e}gpj.exe\u{2066}", "\\u{202e}gpj.exe\\u{2066}"),
            ("ze\u{200b}ro\u{feff}", "ze\\u{200b}ro\\u{feff}"),
            ("\u{e0041}tag", "\\u{e0041}tag"),
        ] {
            assert_eq!(text(raw), shown);
        }
        assert!(matches!(text("as it is"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let cut = text(&"é".repeat(MAX_CHARS + 1)).into_owned();
        assert_eq!(cut, "é".repeat(MAX_CHARS) + "…");
        let whole = "é".repeat(MAX_CHARS);
        assert_eq!(text(&whole), whole);
    }

    #[test]
    fn json_holds_nothing_unseen_and_says_the_same() {
        let value = serde_json::json!({
            "\x1b[2J": "\u{202e}\u{9b}a\"\\\n\x7f\u{e0041}ü",
            "list": ["", "\u{200b}", "end\u{2066}"],
        });
        let line = json(&value);
        assert!(!line.chars().any(is_unseen), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        assert!(
            line.contains("\\u202e\\u009ba") && line.contains("\\udb40\\udc41ü"),
            "{line}"
        );
    }
}
