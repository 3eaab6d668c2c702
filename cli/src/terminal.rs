//! What is said while a command runs: sentences for people, or one JSON object per line.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use peersox_client::{Event, PathKind, Peer, Transport};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use crate::failure::Failure;

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

    /// Says something: the sentence to people, the event to scripts. An empty sentence is not said.
    pub(crate) fn say(self, sentence: &str, event: &Value) {
        let line = if self.json {
            event.to_string()
        } else {
            sentence.to_owned()
        };
        if !line.is_empty() {
            // Nobody may be reading any more; that is no reason to stop.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    /// Reports what happens to a peer, until it ends.
    pub(crate) fn follow(self, peer: &mut Peer) -> tokio::task::JoinHandle<()> {
        let mut events = peer.events();
        let mut connected_before = false;
        tokio::spawn(async move {
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

/// The path in use, as people see it: `relay·quic`.
pub(crate) fn path(leg: Option<Transport>) -> String {
    leg.map_or_else(
        || "no path".to_owned(),
        |transport| format!("relay·{transport}"),
    )
}

/// Runs a command until it is done or the user interrupts it. A command that ends early has dropped
/// its peer; that gets a moment to hang up, so that the other side need not wait for it to return.
pub(crate) async fn until_interrupted(
    command: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let result = tokio::select! {
        result = command => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted.into()),
    };
    if result.is_err() {
        tokio::time::sleep(FAREWELL).await;
    }
    result
}

/// Hanging up takes a round trip to the relay; on a busy machine its two tasks wait for their turn, too.
const FAREWELL: Duration = Duration::from_millis(600);

fn describe(event: &Event, connected_before: bool) -> (String, Value) {
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
