//! Codes as people type them.
//!
//! Laws: what is read is what is read again from its canonical form. A refusal repeats no control character.

use peersox_core::code::{Code, Digits, Nameplate, Words};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match text.parse::<Code>() {
        Ok(code) => {
            let canonical = code.canonical();
            assert_eq!(canonical.parse::<Code>().as_ref(), Ok(&code));
            assert!(canonical.len() <= text.len() + Words::MAX * 7);
            assert!((Digits::MIN..=Digits::MAX).contains(&code.nameplate.digits()));
            assert_eq!(
                code.nameplate.as_str().parse().as_ref(),
                Ok(&code.nameplate)
            );
            assert_eq!(code.words.phrase().parse().as_ref(), Ok(&code.words));
        }
        Err(why) => assert!(!why.to_string().contains(char::is_control)),
    }
    if let Ok(nameplate) = text.parse::<Nameplate>() {
        assert!(nameplate.as_str().bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(nameplate.as_str().parse().as_ref(), Ok(&nameplate));
    }
    if let Ok(words) = text.parse::<Words>() {
        assert_eq!(words.phrase().parse().as_ref(), Ok(&words));
    }
}
