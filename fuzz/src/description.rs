//! Descriptions of direct paths, as the other peer writes them.
//!
//! Laws: what is read is written so that the same is read again, and holds nothing but what ICE allows.

use peersox_core::direct::Description;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(read) = text.parse::<Description>() else {
        return;
    };
    assert!((4..=256).contains(&read.fragment.len()) && (22..=256).contains(&read.password.len()));
    let is_ice = |it: char| it.is_ascii_alphanumeric() || "+/".contains(it);
    assert!(
        read.fragment
            .chars()
            .chain(read.password.chars())
            .all(is_ice)
    );
    assert!(read.to_string().parse() == Ok(read));
}
