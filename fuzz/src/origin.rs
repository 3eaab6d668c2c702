//! Origins and authorities, as browsers send them.
//!
//! Laws: an origin is written in one form, which is read as the same origin. A page is admitted to its own
//! server, and to another one only if that lists it.

use peersox_core::origin::{Allowed, Authority, Origin};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(origin) = first.parse::<Origin>() else {
        return;
    };
    let written = origin.to_string();
    assert!(written.is_ascii() && !written.contains(char::is_whitespace));
    assert_eq!(written.parse().as_ref(), Ok(&origin));
    assert!(Allowed::from_iter([origin.clone()]).permits(&origin, None));
    assert!(!Allowed::default().permits(&origin, None));

    let (_, own) = written.split_once("://").expect("it has a scheme");
    let own = own.parse::<Authority>();
    let own = own.expect("what follows the scheme is an authority");
    assert!(Allowed::default().permits(&origin, Some(&own)));
    if let Ok(other) = second.parse::<Authority>()
        && Allowed::default().permits(&origin, Some(&other))
    {
        let as_text = format!(
            "{}://{second}",
            written.split("://").next().unwrap_or_default()
        );
        assert_eq!(as_text.parse().as_ref(), Ok(&origin));
    }
}
