//! Which trace a call or a leg belongs to, as clients say it: Trace Context,
//! <https://www.w3.org/TR/trace-context/>.
//!
//! ```text
//! traceparent  00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01     version, trace, parent, flags
//! tracestate   vendor=value,tenant@other=value                             at most 512 bytes here
//! ```
//!
//! It is for correlation only: whoever sends it may say anything, and nothing is decided by it. What breaks
//! the rules is ignored, as if nothing had been said.

use std::str::FromStr;

use peersox_proto::v1;

/// A place in somebody's trace. It exists only if valid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Of version 00: 55 characters of ASCII.
    parent: String,
    /// Empty, or a list of at most [`MAX_STATE`] bytes.
    state: String,
}

/// What is not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no traceparent, as in 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
pub struct NotATrace;

impl TraceContext {
    /// Reads `traceparent` and `tracestate`. A list that breaks the rules, or is longer than [`MAX_STATE`],
    /// is left out; the rest counts.
    ///
    /// # Errors
    /// [`NotATrace`] if the first of the two is none.
    pub fn parse(parent: &str, state: &str) -> Result<Self, NotATrace> {
        let mut context: Self = parent.parse()?;
        if is_state(state) {
            state.clone_into(&mut context.state);
        }
        Ok(context)
    }

    /// What to send as `traceparent`: version 00, with the flags that it defines.
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// What to send as `tracestate`; nothing, if empty.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Says both in a Hello.
    #[must_use]
    pub fn tell(self, hello: v1::Hello) -> v1::Hello {
        v1::Hello {
            traceparent: self.parent,
            tracestate: self.state,
            ..hello
        }
    }
}

impl FromStr for TraceContext {
    type Err = NotATrace;

    /// Reads a `traceparent`. A later version may have more behind the flags, which is left out.
    fn from_str(text: &str) -> Result<Self, NotATrace> {
        let (head, more) = text.split_at_checked(LENGTH).ok_or(NotATrace)?;
        let mut parts = head.split('-');
        let mut part = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length);
            part.filter(|part| part.bytes().all(is_hex))
        };
        let parts = (part(2), part(32), part(16), part(2));
        let (Some(version), Some(trace), Some(span), Some(flags)) = parts else {
            return Err(NotATrace);
        };
        let is_known = match version {
            "00" => more.is_empty(),
            "ff" => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
        if !is_known || is_zero(trace) || is_zero(span) {
            return Err(NotATrace);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotATrace)? & FLAGS;
        Ok(Self {
            parent: format!("00-{trace}-{span}-0{flags}"),
            state: String::new(),
        })
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Whether a text is a `tracestate`: members that are different, at most 32, and may be empty.
fn is_state(text: &str) -> bool {
    if text.len() > MAX_STATE {
        return false;
    }
    let members = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    let mut keys: Vec<&str> = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        let Some((key, value)) = member.split_once('=') else {
            return false;
        };
        if keys.len() == MAX_MEMBERS || keys.contains(&key) || !is_key(key) || !is_value(value) {
            return false;
        }
        keys.push(key);
    }
    true
}

fn is_key(key: &str) -> bool {
    let is_part = |part: &str, longest: usize| {
        (1..=longest).contains(&part.len())
            && part.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && part
                .bytes()
                .all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    match key.split_once('@') {
        Some((tenant, system)) => is_part(tenant, 241) && is_part(system, 14),
        None => is_part(key, 256),
    }
}

/// Blanks at its end belong to the list.
fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value
            .bytes()
            .all(|it| matches!(it, b' '..=b'~') && it != b'=')
}

/// The longest `tracestate` that is kept, in bytes: what everybody is asked to pass on.
pub const MAX_STATE: usize = 512;
/// The target of spans that are made for exporters of traces. They are of the level `TRACE`, so that the log
/// shows them only where it shows everything; docs/operations.md lists them.
pub const TARGET: &str = "peersox::trace";
const MAX_MEMBERS: usize = 32;
const LENGTH: usize = 55;
/// Sampled, and drawn at random.
const FLAGS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_taken_or_ignored_as_the_specification_says() {
        let zero = "0".repeat(32);
        let rows = [
            (format!("00-{TRACE}-{SPAN}-01"), Some("01")),
            (format!("00-{TRACE}-{SPAN}-00"), Some("00")),
            // Flags that version 00 does not define are cleared.
            (format!("00-{TRACE}-{SPAN}-ff"), Some("03")),
            // A later version is read as far as it is known.
            (format!("cc-{TRACE}-{SPAN}-01"), Some("01")),
            (format!("cc-{TRACE}-{SPAN}-01-what-follows"), Some("01")),
            (format!("cc-{TRACE}-{SPAN}-01.what-follows"), None),
            (format!("00-{TRACE}-{SPAN}-01-what-follows"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{zero}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{}-01", &zero[..16]), None),
            (format!("00-{TRACE}-{SPAN}-1"), None),
            (format!("0-{TRACE}0-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-é"), None),
            (format!(" 00-{TRACE}-{SPAN}-01"), None),
            (String::new(), None),
        ];
        for (text, flags) in rows {
            let expected = flags.map(|flags| format!("00-{TRACE}-{SPAN}-{flags}"));
            let parsed = text.parse::<TraceContext>().ok();
            assert_eq!(parsed.map(|it| it.parent), expected, "{text}");
        }
    }

    #[test]
    fn a_tracestate_that_breaks_the_rules_is_left_out_alone() {
        let many: Vec<_> = (0..33).map(|number| format!("k{number}=v")).collect();
        let rows = [
            ("", true),
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true),
            ("a=1, ,\tb=2 ,", true),
            ("tenant@system=a b", true),
            (&many[..32].join(","), true),
            (&many.join(","), false),
            (&format!("k={}", "v".repeat(256)), true),
            (&format!("k={}", "v".repeat(257)), false),
            (&format!("k={0},l={0}", "v".repeat(253)), true),
            (&format!("k={0},l={0}", "v".repeat(254)), false),
            ("a=1,a=2", false),
            ("a", false),
            ("=1", false),
            ("a=", false),
            ("a=1=2", false),
            ("A=1", false),
            ("@system=1", false),
            ("tenant@=1", false),
            ("tenant@fifteen-letters=1", false),
            ("a=\u{1b}[2J", false),
            ("a=é", false),
            ("a=1\nb=2", false),
        ];
        let parent = format!("00-{TRACE}-{SPAN}-01");
        for (state, counts) in rows {
            let context = TraceContext::parse(&parent, state).unwrap();
            assert_eq!(
                context.state(),
                if counts { state } else { "" },
                "{state:?}"
            );
            assert_eq!(context.parent(), parent);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_trace_or_an_error(parent: String, state: String) {
            if let Ok(context) = TraceContext::parse(&parent, &state) {
                prop_assert_eq!(context.parent().len(), LENGTH);
            }
        }

        #[test]
        fn what_is_sent_is_taken_as_it_is(
            parent in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
            state in "([a-z][a-z0-9]{0,8}(@[a-z]{1,3})?=[ -+.-<>-~]{1,20},?){0,40}",
        ) {
            let Ok(sent) = TraceContext::parse(&parent, &state) else {
                prop_assert!(parent.starts_with("ff"));
                return Ok(());
            };
            prop_assert!(sent.state().len() <= MAX_STATE);
            prop_assert_eq!(TraceContext::parse(sent.parent(), sent.state()), Ok(sent));
        }
    }
}
