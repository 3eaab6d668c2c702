//! Descriptions of direct paths, as the other peer writes them.
//!
//! Laws, of QUIC and of WebRTC: what is read is written so that the same is read again, and holds nothing but
//! what ICE allows.

use peersox_core::direct::{DataSession, Description};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(read) = text.parse::<DataSession>() {
        assert!(!read.mid.is_empty() && read.mid.len() <= 64);
        assert!(read.to_string().parse() == Ok(read));
    }
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
