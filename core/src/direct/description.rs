//! What the two sides of a direct path tell each other of themselves: of QUIC all, of WebRTC a part.
//!
//! ```text
//! a=ice-ufrag:F7gI                                             RFC 8839, section 5.4
//! a=ice-pwd:x9cml/YzichV2+XlhiMu8g                             RFC 8839, section 5.4
//! a=fingerprint:sha-256 4A:AD:B9:B1: … :3E:5D:49:6B            RFC 8122, section 5
//! ```
//!
//! The lines are attributes of SDP, each once, in any order; unknown ones are skipped.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXUPPER_PERMISSIVE;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    /// The user name fragment of ICE.
    pub fragment: String,
    /// The password of ICE: whoever knows it may take part in the connectivity checks.
    pub password: String,
    /// SHA-256 of the certificate that this side shows, in DER.
    pub fingerprint: [u8; 32],
}

/// A text that is no description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Of this line.
    #[error("not a description of a direct path: {0} is missing, doubled or malformed")]
    Line(&'static str),
    /// Of the whole.
    #[error("not a description of a direct path: it is longer than {0} bytes")]
    TooLong(usize),
}

impl FromStr for Description {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::read(text, LONGEST)
    }
}

impl Description {
    /// Reads a text of at most so many bytes.
    pub(super) fn read(text: &str, longest: usize) -> Result<Self, Malformed> {
        if text.len() > longest {
            return Err(Malformed::TooLong(longest));
        }
        let (mut fragment, mut password, mut fingerprint) = (None, None, None);
        for line in text.lines() {
            let Some((name, value)) = line.strip_prefix("a=").and_then(|it| it.split_once(':'))
            else {
                continue;
            };
            match name {
                FRAGMENT => set(&mut fragment, FRAGMENT, ice_text(value, 4..=256))?,
                PASSWORD => set(&mut password, PASSWORD, ice_text(value, 22..=256))?,
                FINGERPRINT => set(&mut fingerprint, FINGERPRINT, digest(value))?,
                _ => {}
            }
        }
        Ok(Self {
            fragment: fragment.ok_or(Malformed::Line(FRAGMENT))?,
            password: password.ok_or(Malformed::Line(PASSWORD))?,
            fingerprint: fingerprint.ok_or(Malformed::Line(FINGERPRINT))?,
        })
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a={FRAGMENT}:{}\r\n", self.fragment)?;
        write!(f, "a={PASSWORD}:{}\r\n", self.password)?;
        write!(f, "a={FINGERPRINT}:{SHA_256} ")?;
        for (at, byte) in self.fingerprint.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        f.write_str("\r\n")
    }
}

/// The password is a secret of the two sides.
impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Description")
            .field("fragment", &self.fragment)
            .finish_non_exhaustive()
    }
}

/// Keeps the value of an attribute that was not there before.
pub(super) fn set<T>(
    place: &mut Option<T>,
    name: &'static str,
    value: Option<T>,
) -> Result<(), Malformed> {
    let value = value.ok_or(Malformed::Line(name))?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed::Line(name)),
    }
}

/// A text of `ice-char`s of a permitted length.
fn ice_text(value: &str, len: std::ops::RangeInclusive<usize>) -> Option<String> {
    let is_ice = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    (len.contains(&value.len()) && value.bytes().all(is_ice)).then(|| value.to_owned())
}

fn digest(value: &str) -> Option<[u8; 32]> {
    let (hash, digits) = value.split_once(' ')?;
    if !hash.eq_ignore_ascii_case(SHA_256) {
        return None;
    }
    let mut digest = [0; 32];
    let mut pairs = digits.split(':');
    for byte in &mut digest {
        let pair = pairs.next().filter(|it| it.len() == 2)?;
        let decoded = HEXUPPER_PERMISSIVE.decode(pair.as_bytes()).ok()?;
        *byte = *decoded.first()?;
    }
    pairs.next().is_none().then_some(digest)
}

const FRAGMENT: &str = "ice-ufrag";
const PASSWORD: &str = "ice-pwd";
const FINGERPRINT: &str = "fingerprint";
const SHA_256: &str = "sha-256";

/// Far more than three lines take.
const LONGEST: usize = 2_048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn description() -> Description {
        Description {
            fragment: "F7gI".into(),
            password: "x9cml/YzichV2+XlhiMu8g".into(),
            fingerprint: std::array::from_fn(|at| u8::try_from(at * 8).unwrap()),
        }
    }

    fn malformed(text: &str, name: &'static str) {
        assert_eq!(
            text.parse::<Description>(),
            Err(Malformed::Line(name)),
            "{text}"
        );
    }

    #[test]
    fn a_description_is_read_in_any_order_beside_other_lines() {
        let text = description().to_string();
        let mut lines: Vec<_> = text.lines().collect();
        lines.reverse();
        lines.insert(1, "a=ice-options:trickle");
        lines.insert(0, "v=0");
        assert_eq!(lines.join("\n").parse(), Ok(description()));
        assert_eq!(text.to_ascii_lowercase().matches("a=").count(), 3);
    }

    #[test]
    fn what_is_missing_doubled_or_malformed_is_named() {
        let text = description().to_string();
        for (at, name) in [FRAGMENT, PASSWORD, FINGERPRINT].into_iter().enumerate() {
            let mut lines: Vec<_> = text.lines().collect();
            let line = lines.remove(at);
            malformed(&lines.join("\n"), name);
            malformed(&format!("{text}{line}"), name);
        }
        malformed(&text.replace("F7gI", "F7g"), FRAGMENT);
        malformed(&text.replace("F7gI", "F7-I"), FRAGMENT);
        malformed(&text.replace("x9cml", ""), PASSWORD);
        malformed(&text.replace("x9cml", &"x".repeat(256)), PASSWORD);
        for (from, to) in [
            (SHA_256, "sha-1"),
            (":F8", ""),
            (":F8", ":F8:00"),
            (":F8", ":F"),
            (":F8", ":FG"),
        ] {
            malformed(&text.replace(from, to), FINGERPRINT);
        }
        let long = format!("{text}{}", "a=x:\r\n".repeat(400));
        assert_eq!(
            long.parse::<Description>(),
            Err(Malformed::TooLong(LONGEST))
        );
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", description()).contains("x9cml"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            fragment in "[A-Za-z0-9+/]{4,256}",
            password in "[A-Za-z0-9+/]{22,256}",
            fingerprint: [u8; 32],
        ) {
            let description = Description { fragment, password, fingerprint };
            prop_assert_eq!(description.to_string().parse(), Ok(description));
        }

        #[test]
        fn anything_is_read_or_refused(
            text in "(a=(ice-ufrag|ice-pwd|fingerprint|x):?[ -~]{0,40}\r?\n){0,6}",
        ) {
            let _ = text.parse::<Description>();
        }
    }
}
