//! `peersox status URL…`: how the nodes of a service stand, by the metrics that they serve.

mod samples;

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures_util::future::join_all;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::plain;
use crate::terminal::{Look, out, out_json};
use samples::Samples;

/// Where a node serves metrics: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetricsUrl {
    authority: String,
}

/// The text is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write http://HOST:PORT, as `--metrics-listen` of the server has it")]
pub(crate) struct NotMetrics;

impl FromStr for MetricsUrl {
    type Err = NotMetrics;

    fn from_str(text: &str) -> Result<Self, NotMetrics> {
        let uri: Uri = text.parse().map_err(|_| NotMetrics)?;
        let is_http = uri.scheme_str().is_none_or(|it| it == "http");
        let is_bare = ["", "/", "/metrics"].contains(&uri.path()) && uri.query().is_none();
        let authority = uri.authority().filter(|it| it.port_u16().is_some());
        match authority {
            Some(authority) if is_http && is_bare && !authority.as_str().contains('@') => {
                Ok(Self {
                    authority: authority.to_string(),
                })
            }
            _ => Err(NotMetrics),
        }
    }
}

/// `peersox status URL…`. On a terminal it goes on until it is interrupted; otherwise it looks twice, and a
/// second lies between.
pub(crate) async fn status(urls: &[MetricsUrl], is_json: bool) -> anyhow::Result<()> {
    let look = Look::of_stdout();
    if look.cursor && !is_json {
        return watch(urls, look).await;
    }
    let before = read_all(urls).await;
    tokio::time::sleep(PAUSE).await;
    let stands = stand_all(urls, &before, &read_all(urls).await);
    if is_json {
        stands.iter().try_for_each(|node| out_json(&node.json()))?;
    } else {
        let lines = table(&stands, look);
        lines.iter().try_for_each(|line| out(line))?;
    }
    let away = stands.iter().find_map(|node| node.now.as_ref().err());
    match away {
        None => Ok(()),
        Some(why) => Err(Failure::Unreachable(why.clone()).into()),
    }
}

/// Draws the table anew each second, until the process is told to stop.
async fn watch(urls: &[MetricsUrl], look: Look) -> anyhow::Result<()> {
    let screen = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout());
    let mut rows: Vec<ProgressBar> = Vec::new();
    let mut before = read_all(urls).await;
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = read_all(urls).await;
        let lines = table(&stand_all(urls, &before, &now), look);
        while rows.len() < lines.len() {
            let style = ProgressStyle::with_template("{msg}").expect("it is a template");
            rows.push(screen.add(ProgressBar::new_spinner().with_style(style)));
        }
        for (row, line) in rows.iter().zip(lines) {
            row.set_message(plain::text(&line).to_string());
            row.tick();
        }
        before = now;
    }
}

/// What one node said, and when; or why it said nothing.
type Reading = (Instant, Result<Samples, String>);

async fn read_all(urls: &[MetricsUrl]) -> Vec<Reading> {
    let readings = urls.iter().map(async |url| {
        let asked = tokio::time::timeout(PATIENCE, read(url)).await;
        let said = asked.unwrap_or_else(|_| Err("no answer in time".into()));
        let said = said.map_err(|why| format!("http://{}: {why}", url.authority));
        (Instant::now(), said)
    });
    join_all(readings).await
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

async fn read(url: &MetricsUrl) -> Result<Samples, Fault> {
    let stream = TcpStream::connect(&url.authority).await?;
    let (mut http, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/metrics")
        .header(header::HOST, &url.authority)
        .header(header::ACCEPT, "application/openmetrics-text")
        .body(Empty::<Bytes>::new())?;
    let asking = async {
        let response = http.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST).collect().await?;
        Ok::<_, Fault>((status, body.to_bytes()))
    };
    tokio::pin!(asking);
    let (status, body) = tokio::select! {
        biased;
        answered = &mut asking => answered?,
        ended = connection => {
            ended?;
            // What came before the end is there to be read.
            asking.await?
        }
    };
    let samples = Samples::parse(&String::from_utf8_lossy(&body));
    if !status.is_success() || samples.is_empty() {
        return Err(format!("no metrics are served there ({status})").into());
    }
    Ok(samples)
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq)]
struct Node {
    name: String,
    now: Result<Stand, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Stand {
    version: String,
    role: String,
    /// `serving`, `stopping`, or what is missing.
    state: &'static str,
    /// Nothing where there is no relay.
    relay: Option<Carried>,
    /// Relays that control knows; nothing where they do not run apart.
    relays: Option<f64>,
    /// Calls of control a second.
    calls: Option<f64>,
    resident: Option<f64>,
}

/// What a relay carries.
#[derive(Clone, Debug, Default, PartialEq)]
struct Carried {
    live: f64,
    sessions: f64,
    /// By transport.
    legs: Vec<(String, f64)>,
    bytes_per_second: f64,
    frames_per_second: f64,
    /// Of the memory for waiting frames, from 0 to 1.
    filled: f64,
}

fn stand_all(urls: &[MetricsUrl], before: &[Reading], now: &[Reading]) -> Vec<Node> {
    let readings = before.iter().zip(now);
    let nodes = urls.iter().zip(readings).map(|(url, (before, now))| Node {
        name: url.authority.clone(),
        now: now.1.as_ref().map_err(Clone::clone).map(|samples| {
            let earlier = before.1.as_ref().unwrap_or(samples);
            Stand::of(earlier, samples, now.0.saturating_duration_since(before.0))
        }),
    });
    nodes.collect()
}

impl Stand {
    /// From two readings with so much time between them.
    fn of(before: &Samples, now: &Samples, between: Duration) -> Self {
        let seconds = between.as_secs_f64().max(0.001);
        // A process that was started again counts from 0.
        let rate = |name: &str| {
            let (was, is) = (before.sum(name).unwrap_or_default(), now.sum(name)?);
            Some((is - was).max(0.0) / seconds)
        };
        let is = |name: &str| now.sum(name);
        let build = |label| now.by("peersox_build_info", label).next();
        let word = |label| build(label).map_or_else(String::new, |(it, _)| it.to_owned());
        let relay = is("peersox_legs").map(|_| Carried {
            live: now
                .by("peersox_sessions", "state")
                .filter(|(state, _)| *state == "live")
                .map(|(_, count)| count)
                .sum(),
            sessions: is("peersox_sessions").unwrap_or_default(),
            legs: now
                .by("peersox_legs_attached", "transport")
                .map(|(transport, count)| (transport.to_owned(), count))
                .collect(),
            bytes_per_second: rate("peersox_bytes_total").unwrap_or_default(),
            frames_per_second: rate("peersox_frames_total").unwrap_or_default(),
            filled: is("peersox_relay_memory_bytes").unwrap_or_default()
                / is("peersox_relay_memory_limit_bytes")
                    .unwrap_or(1.0)
                    .max(1.0),
        });
        let is_on = |name| is(name).is_some_and(|it| it > 0.0);
        let is_off = |name| is(name) == Some(0.0);
        let state = if is_on("peersox_relay_draining") || is_on("peersox_control_draining") {
            "stopping"
        } else if is_off("peersox_store_ready") {
            "store away"
        } else if is_off("peersox_relays") {
            "no relay"
        } else if is_off("peersox_bridge_streams") {
            "no control"
        } else {
            "serving"
        };
        Self {
            version: word("version"),
            role: word("role"),
            state,
            relay,
            relays: is("peersox_relays"),
            calls: rate("peersox_rpc_duration_seconds_count"),
            resident: is("process_resident_memory_bytes"),
        }
    }
}

impl Node {
    fn json(&self) -> Value {
        match &self.now {
            Err(why) => json!({"node": self.name, "state": "unreachable", "why": why}),
            Ok(now) => {
                let relay = now.relay.as_ref().map(|it| {
                    let legs: serde_json::Map<_, _> = it
                        .legs
                        .iter()
                        .map(|(name, count)| (name.clone(), json!(count)))
                        .collect();
                    json!({
                        "sessions": it.sessions, "live": it.live, "legs": legs,
                        "bytes_per_second": it.bytes_per_second.round(),
                        "frames_per_second": it.frames_per_second.round(),
                        "queues_filled": it.filled,
                    })
                });
                json!({
                    "node": self.name, "version": now.version, "role": now.role, "state": now.state,
                    "relay": relay, "relays": now.relays, "calls_per_second": now.calls,
                    "resident_bytes": now.resident,
                })
            }
        }
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let now = match &self.now {
            Ok(now) => now,
            Err(_) => {
                let mut cells = COLUMNS.map(|_| String::new());
                cells[0].clone_from(&self.name);
                cells[2].push_str("unreachable");
                return cells;
            }
        };
        let count = |it: f64| format!("{it:.0}");
        let of = |it: fn(&Carried) -> String| now.relay.as_ref().map(it).unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is shown rounded"
        )]
        let bytes = |it: f64| HumanBytes(it as u64).to_string();
        let relays = now.relays.map(|it| format!("{} relays", count(it)));
        [
            self.name.clone(),
            now.role.clone(),
            now.state.to_owned(),
            relays.unwrap_or_else(|| of(|it| format!("{:.0}/{:.0}", it.live, it.sessions))),
            of(|it| {
                let mut legs = String::new();
                for (at, (_, count)) in it.legs.iter().enumerate() {
                    let _ = write!(legs, "{}{count:.0}", if at == 0 { "" } else { "/" });
                }
                legs
            }),
            now.relay
                .as_ref()
                .map(|it| format!("{}/s", bytes(it.bytes_per_second)))
                .unwrap_or_default(),
            of(|it| format!("{:.0}", it.frames_per_second)),
            of(|it| format!("{:.0} %", it.filled * 100.0)),
            now.calls.map(|it| format!("{it:.1}")).unwrap_or_default(),
            now.resident.map(bytes).unwrap_or_default(),
        ]
    }
}

/// The legs are in the order of `/metrics`: WebSocket, QUIC, WebTransport, gRPC.
const COLUMNS: [&str; 10] = [
    "node",
    "role",
    "state",
    "live/sessions",
    "legs ws/quic/wt/grpc",
    "bytes",
    "frames/s",
    "queues",
    "calls/s",
    "memory",
];

/// A head, and a line for each node; columns that say nothing are left out, and lines end where the terminal
/// does.
fn table(nodes: &[Node], look: Look) -> Vec<String> {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(nodes.iter().map(Node::cells));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let is_said = |column: usize| rows.iter().skip(1).any(|row| !row[column].is_empty());
    let shown: Vec<_> = (0..COLUMNS.len()).filter(|&it| is_said(it)).collect();
    let line = |row: &[String; COLUMNS.len()]| {
        let mut line = String::new();
        for &column in &shown {
            let _ = write!(line, "{:<1$}  ", row[column], width(column));
        }
        let line = line.trim_end().chars();
        line.take(look.columns.max(20)).collect()
    };
    rows.iter().map(line).collect()
}

/// Between two readings, in which what happened makes rates.
const PAUSE: Duration = Duration::from_secs(1);
/// For how long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes: a thousand relays have far less.
const MOST: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Look {
        Look {
            utf8: true,
            colours: false,
            cursor: false,
            columns: 200,
            rows: 50,
        }
    }

    #[test]
    fn an_address_of_metrics_has_a_host_and_a_port() {
        for good in [
            "http://127.0.0.1:9464",
            "http://127.0.0.1:9464/metrics",
            "http://[::1]:9464/",
            "relay-a:9464",
        ] {
            assert!(good.parse::<MetricsUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1",
            "https://a:1",
            "http://a:1/b",
            "http://u:p@a:1",
            "http://a:1?b",
        ] {
            assert!(bad.parse::<MetricsUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn two_readings_tell_how_a_node_stands() {
        let text = |bytes: u64, draining: u8| {
            format!(
                "peersox_build_info{{version=\"1.2.3\",role=\"all\"}} 1\n\
                 peersox_legs 3\n\
                 peersox_sessions{{state=\"waiting\"}} 1\npeersox_sessions{{state=\"live\"}} 1\n\
                 peersox_legs_attached{{transport=\"websocket\"}} 1\n\
                 peersox_legs_attached{{transport=\"quic\"}} 2\n\
                 peersox_bytes_total{{lane=\"reliable\"}} {bytes}\n\
                 peersox_relay_memory_bytes 25\npeersox_relay_memory_limit_bytes 100\n\
                 peersox_relay_draining {draining}\npeersox_store_ready 1\n"
            )
        };
        let (before, now) = (
            Samples::parse(&text(1_000, 0)),
            Samples::parse(&text(7_000, 0)),
        );
        let stand = Stand::of(&before, &now, Duration::from_secs(2));
        assert_eq!((stand.state, stand.role.as_str()), ("serving", "all"));
        let relay = stand.relay.clone().unwrap();
        assert_eq!((relay.live, relay.sessions, relay.filled), (1.0, 2.0, 0.25));
        assert_eq!(relay.bytes_per_second, 3_000.0);
        let again = Stand::of(&now, &before, Duration::from_secs(2));
        assert_eq!(
            again.relay.unwrap().bytes_per_second,
            0.0,
            "it was started again"
        );
        let stopping = Stand::of(
            &now,
            &Samples::parse(&text(7_000, 1)),
            Duration::from_secs(1),
        );
        assert_eq!(stopping.state, "stopping");

        let nodes = [
            Node {
                name: "a:1".to_owned(),
                now: Ok(stand),
            },
            Node {
                name: "b:1".to_owned(),
                now: Err("it is away".to_owned()),
            },
        ];
        let lines = table(&nodes, look());
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("node  role  state"), "{lines:?}");
        assert!(
            lines[1].contains("serving") && lines[1].contains("1/2"),
            "{lines:?}"
        );
        assert!(
            !lines[0].contains("calls/s"),
            "nobody says anything of calls: {lines:?}"
        );
        assert!(lines[2].contains("unreachable"), "{lines:?}");
        let narrow = table(
            &nodes,
            Look {
                columns: 30,
                ..look()
            },
        );
        assert!(narrow.iter().all(|line| line.chars().count() <= 30));
    }

    #[test]
    fn what_is_missing_is_the_state() {
        for (text, state) in [
            ("peersox_store_ready 0\n", "store away"),
            ("peersox_store_ready 1\npeersox_relays 0\n", "no relay"),
            ("peersox_bridge_streams 0\n", "no control"),
            (
                "peersox_control_draining 1\npeersox_store_ready 0\n",
                "stopping",
            ),
            ("peersox_store_ready 1\n", "serving"),
        ] {
            let samples = Samples::parse(text);
            let stand = Stand::of(&samples, &samples, Duration::from_secs(1));
            assert_eq!(stand.state, state, "{text}");
        }
    }
}
