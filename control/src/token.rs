//! What relays show to control, where they run apart.

use std::fmt;
use std::sync::Arc;

use peersox_core::pairing::constant_time_eq;
use zeroize::Zeroizing;

/// A secret that relays and control share.
#[derive(Clone)]
pub struct Token(Arc<Zeroizing<String>>);

impl Token {
    /// The fewest bytes: what 128 random bits are in hexadecimal.
    pub const SHORTEST: usize = 32;

    /// Takes a text of at least [`Token::SHORTEST`] visible ASCII characters, as it goes into a header.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Option<Self> {
        let usable =
            text.len() >= Self::SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        usable.then(|| Self(Arc::new(text)))
    }

    /// As it goes into `authorization: Bearer TOKEN`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether somebody has the same. Takes the same time whatever is in it.
    pub(crate) fn is(&self, shown: &str) -> bool {
        constant_time_eq(self.0.as_bytes(), shown.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_fits_a_header() {
        let new = |text: &str| Token::new(text.to_owned().into());
        let token = new(&"0f".repeat(16)).unwrap();
        assert!(token.is(&"0f".repeat(16)));
        for other in ["", "0f", &"0f".repeat(17), &"0F".repeat(16)] {
            assert!(!token.is(other), "{other}");
        }
        for bad in [
            "",
            &"a".repeat(31),
            &format!("{} b", "a".repeat(40)),
            &"ä".repeat(32),
        ] {
            assert!(new(bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{token:?}"), "Token(redacted)");
    }
}
