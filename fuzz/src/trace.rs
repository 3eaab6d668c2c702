//! `traceparent` and `tracestate`, as clients send them: the first line, and what follows it.
//!
//! Laws: what is sent on is taken as it is, has a bounded length, and is visible text.

use peersox_core::trace::{MAX_STATE, TraceContext};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (parent, state) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(trace) = TraceContext::parse(parent, state) else {
        return;
    };
    assert_eq!(trace.parent().len(), 55);
    assert!(trace.state().len() <= MAX_STATE);
    let is_plain = |text: &str| text.bytes().all(|it| matches!(it, b'\t' | b' '..=b'~'));
    assert!(is_plain(trace.parent()) && is_plain(trace.state()));
    let again = TraceContext::parse(trace.parent(), trace.state());
    assert_eq!(again, Ok(trace));
}
