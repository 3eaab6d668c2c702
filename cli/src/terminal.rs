//! What is said while a command runs: sentences for people, or one JSON object per line.

use std::borrow::Cow;
use std::io::{IsTerminal, Write as _};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use peersox_client::{Event, PathKind, Peer, Status, Why};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use crate::failure;
use crate::plain;
use crate::signals::spawn_goodbye;

/// Speaks on standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    json: bool,
}

impl Voice {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person is looking.
    pub(crate) fn has_terminal(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// Says something in one line: the sentence to people, the event to scripts. An empty sentence is not
    /// said. Whatever is no visible character is escaped, a newline, too, because names and texts of others
    /// stand in sentences.
    pub(crate) fn say(self, sentence: &str, event: &Value) {
        let lines: &[&str] = if sentence.is_empty() {
            &[]
        } else {
            &[sentence]
        };
        self.say_lines(lines, event);
    }

    /// The same in several lines.
    pub(crate) fn say_lines(self, lines: &[&str], event: &Value) {
        let mut said = String::new();
        if self.json {
            said = plain::json(event) + "\n";
        } else {
            let look = Look::of_stderr();
            for line in lines {
                said.push_str(&shown(&plain::text(line), look));
                said.push('\n');
            }
        }
        err(&said);
    }

    /// Shows a picture to people: lines made by this program, which may hold escape sequences.
    pub(crate) fn draw(self, picture: &str) {
        if !self.json {
            err(&format!("{picture}\n"));
        }
    }

    /// Reports what happens to a peer, until it ends.
    pub(crate) fn follow(self, peer: &mut Peer) -> tokio::task::JoinHandle<()> {
        let mut events = peer.events();
        let mut connected_before = false;
        spawn_goodbye(async move {
            loop {
                match events.recv().await {
                    Ok(event) => {
                        let (sentence, value) = describe(&event, connected_before);
                        connected_before |= event == Event::Connected;
                        self.say(&sentence, &value);
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        })
    }
}

/// Writes to standard error, above the bar if there is one. Nobody may be reading any more, and that is no
/// reason to stop.
fn err(text: &str) {
    let write = || {
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes());
        let _ = stderr.flush();
    };
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) if !bar.is_finished() => bar.suspend(write),
        Some(_) | None => write(),
    }
}

/// What is said from now on stands above this bar, which is drawn again behind it.
pub(crate) fn stay_above(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// The bar that is drawn on standard error: a command has one at most.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A text with our own punctuation in ASCII, where standard error shows nothing else.
pub(crate) fn shown(text: &str, look: Look) -> Cow<'_, str> {
    match look.utf8 {
        true => text.into(),
        false => text
            .replace('·', "/")
            .replace('…', "...")
            .replace(['“', '”'], "\"")
            .into(),
    }
}

/// Writes a line to standard output; what is no visible character is escaped.
///
/// # Errors
/// Once nobody reads any more, or the disk is full: [`failure::stdout`].
pub(crate) fn out(line: &str) -> anyhow::Result<()> {
    out_raw(&format!("{}\n", plain::text(line)))
}

/// The same for a value.
pub(crate) fn out_json(value: &Value) -> anyhow::Result<()> {
    out_raw(&format!("{}\n", plain::json(value)))
}

/// The same for a text made by this program, with newlines in it.
pub(crate) fn out_raw(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    let written = written.and_then(|()| stdout.flush());
    Ok(written.map_err(failure::stdout)?)
}

/// The path in use, as people see it: `direct·quic`, `direct·webrtc`, `relay·ws`.
pub(crate) fn path(status: &Status) -> String {
    match (status.path, status.leg) {
        (Some(PathKind::Direct), _) => match status.carrier {
            Some(carrier) => format!("direct·{}", carrier.as_str()),
            None => "direct".to_owned(),
        },
        (_, Some(transport)) => format!("relay·{transport}"),
        (_, None) => "no path".to_owned(),
    }
}

/// Why messages take the relay although a direct path was looked for.
pub(crate) fn why_relayed(status: &Status) -> Option<&'static str> {
    match status.why_relayed? {
        Why::Off | Why::NotAsked | Why::NoPeer | Why::Looking => None,
        why => Some(why.text()),
    }
}

/// What a terminal can show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Characters beyond ASCII.
    pub(crate) utf8: bool,
    /// Colours, and its reader wants them: <https://no-color.org>.
    pub(crate) colours: bool,
    /// Escape sequences that move the cursor.
    pub(crate) cursor: bool,
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl Look {
    /// Of the terminal behind standard error.
    pub(crate) fn of_stderr() -> Self {
        Self::of(std::io::stderr())
    }

    /// Of the terminal behind standard output.
    pub(crate) fn of_stdout() -> Self {
        Self::of(std::io::stdout())
    }

    fn of(stream: impl AsFd + IsTerminal) -> Self {
        let terminal = stream.is_terminal();
        let size = terminal_size::terminal_size_of(stream);
        let (columns, rows) = size.map_or((80, 24), |(columns, rows)| (columns.0, rows.0));
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let kind = set("TERM").unwrap_or_else(|| "dumb".into());
        Self {
            utf8: is_utf8(set),
            colours: terminal && set("NO_COLOR").is_none() && has_colours(&kind),
            cursor: terminal && kind != "dumb",
            columns: columns.into(),
            rows: rows.into(),
        }
    }
}

/// Whether the locale says UTF-8: the first of the three variables that is set decides (POSIX).
fn is_utf8(set: impl Fn(&'static str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn has_colours(kind: &str) -> bool {
    ![
        "dumb", "unknown", "vt52", "vt100", "vt102", "vt220", "vt320",
    ]
    .contains(&kind)
}

/// An event for people and for scripts.
pub(crate) fn describe(event: &Event, connected_before: bool) -> (String, Value) {
    match event {
        Event::Attached { transport, resumed } => {
            let again = if *resumed {
                "attached to the relay again"
            } else {
                ""
            };
            let sentence = if *resumed {
                format!("{again} ({transport})")
            } else {
                String::new()
            };
            let transport = transport.as_str();
            (
                sentence,
                json!({"event": "attached", "transport": transport, "resumed": resumed}),
            )
        }
        Event::LegLost { why, retry_in, .. } => (
            format!("the connection was lost, trying again: {why}"),
            json!({
                "event": "leg_lost",
                "why": why,
                "retry_in_ms": retry_in.map(|pause| pause.as_millis()),
            }),
        ),
        Event::AttemptFailed { why, retry_in, .. } => (
            String::new(),
            json!({"event": "attempt_failed", "why": why, "retry_in_ms": retry_in.as_millis()}),
        ),
        Event::Path(kind) => (
            String::new(),
            json!({"event": "path", "kind": kind.map(kind_name)}),
        ),
        Event::DirectFailed(why) => (
            String::new(),
            json!({"event": "direct_failed", "why": why.text()}),
        ),
        Event::PeerOnline => (String::new(), json!({"event": "peer_online"})),
        Event::CodeUsed => (String::new(), json!({"event": "code_used"})),
        Event::PeerAway { grace } => (
            format!(
                "the other side is away; waiting up to {} s for it",
                grace.as_secs()
            ),
            json!({"event": "peer_away", "grace_ms": grace.as_millis()}),
        ),
        Event::Secured { phrase } => (
            format!(
                "verification phrase: {phrase} (the same on both sides, or somebody is in between)"
            ),
            json!({"event": "secured", "phrase": phrase.to_string()}),
        ),
        Event::Connected => (
            if connected_before {
                "connected again".into()
            } else {
                "connected".into()
            },
            json!({"event": "connected", "again": connected_before}),
        ),
        Event::PeerRestarted => (
            "the other side was restarted".into(),
            json!({"event": "peer_restarted"}),
        ),
        Event::Draining => (
            "the relay is stopping; looking for another".into(),
            json!({"event": "draining"}),
        ),
        Event::DatagramsDropped(count) => (
            String::new(),
            json!({"event": "datagrams_dropped", "count": count}),
        ),
    }
}

fn kind_name(kind: PathKind) -> &'static str {
    match kind {
        PathKind::Relay => "relay",
        PathKind::Direct => "direct",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_names_the_locale() {
        for (set, utf8) in [
            (&[("LANG", "de_DE.UTF-8")][..], true),
            (&[("LANG", "C.utf8")], true),
            (&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], false),
            (&[("LC_CTYPE", "en_GB.UTF-8"), ("LANG", "C")], true),
            (&[("LANG", "de_DE.ISO-8859-1")], false),
            (&[], false),
        ] {
            let find = |name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(is_utf8(find), utf8, "{set:?}");
        }
        assert!(has_colours("xterm-256color") && !has_colours("vt100"));
    }
}
