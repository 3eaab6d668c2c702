//! The operator's manual, the alerts and the dashboard name what servers serve, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::Metrics;
use crate::auth::{Folder, new_key};
use crate::harness::{Server, http_get, quiet_port, soon};
use crate::nodes::{Pair, Service};

const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../../deploy/prometheus/dashboard.json");

/// A row of the manual's tables: the names of labels, and what stands in backticks behind them.
#[derive(Debug, Default)]
struct Row {
    labels: BTreeSet<String>,
    words: BTreeSet<String>,
}

/// The rows by the names of metrics.
fn manual() -> BTreeMap<String, Row> {
    let manual = include_str!("../../../docs/operations.md");
    let (_, section) = manual.split_once("\n## Metrics\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| {
        let (head, rest) = row.split_once("` |").unwrap();
        let (name, labels) = head.split_once('{').unwrap_or((head, ""));
        let labels = labels.trim_end_matches('}').split(',');
        let row = Row {
            labels: labels
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect(),
            words: rest
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect(),
        };
        (name.to_owned(), row)
    });
    rows.collect()
}

/// A name with its labels, as a text of metrics or a query has it.
#[derive(Debug)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
}

/// All of them, wherever they stand in a text: a name, and `{label="value",…}` behind it. In queries `=~`
/// lists several values.
fn series(text: &str) -> Vec<Series> {
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(|it: char| is_word(it)) {
        rest = &rest[at..];
        let end = rest.find(|it: char| !is_word(it)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        rest = behind;
        if !name.starts_with("peersox_") && !name.starts_with("process_") {
            continue;
        }
        let mut labels = Vec::new();
        if let Some((inside, behind)) = rest.strip_prefix('{').and_then(|it| it.split_once('}')) {
            for pair in inside.split(',') {
                let (label, value) = pair.split_once('=').expect(pair);
                let value = value.trim_start_matches('~').trim_matches('"');
                let values = value
                    .split('|')
                    .map(|it| (label.trim_end_matches('!').to_owned(), it.to_owned()));
                labels.extend(values);
            }
            rest = behind;
        }
        found.push(Series {
            name: name.to_owned(),
            labels,
        });
    }
    found
}

/// The row of a series: without what its type adds to the name.
fn row<'a>(manual: &'a BTreeMap<String, Row>, name: &str) -> (&'a String, &'a Row) {
    let ends = ["", "_total", "_info", "_bucket", "_count", "_sum"];
    let mut rows = ends
        .iter()
        .filter_map(|end| manual.get_key_value(name.strip_suffix(end)?));
    rows.next()
        .unwrap_or_else(|| panic!("the manual does not list {name}"))
}

/// That the manual names a label and its value.
fn is_listed(row: &Row, series: &Series, (label, value): &(String, String)) {
    assert!(row.labels.contains(label), "{label} of {series:?}");
    // What an operator chooses, versions, and numbers that another table lists.
    let free =
        ["relay", "key", "version"].contains(&label.as_str()) || value.parse::<u16>().is_ok();
    assert!(free || row.words.contains(value), "{value} of {series:?}");
}

#[tokio::test]
async fn the_manual_lists_every_metric_with_all_values_of_its_labels() {
    let manual = manual();
    let service = Service::new();
    let (of_control, at) = Metrics::somewhere();
    let controls = [service.control_with(0, &["--metrics-listen", &at]).await];
    let (of_relay, at) = Metrics::somewhere();
    let counted = ["--metrics-listen", at.as_str()];
    let _relay = service
        .relay_with(quiet_port(), "one", &controls, &counted)
        .await;
    let pair = Pair::connect(&controls[0], &controls[0], "ws").await;
    // What is counted by key is there where there are keys.
    let (of_keys, at) = Metrics::somewhere();
    let folder = Folder::new();
    let keys = folder.put("keys", &new_key("ci").await.0);
    let options = ["--auth", "keys", "--auth-keys-file", &keys];
    let _keyed = Server::start(&[&options[..], &["--metrics-listen", &at]].concat()).await;
    soon(async { while !of_keys.text().await.contains("peersox_key_bytes") {} }).await;
    let texts = of_control.text().await + &of_relay.text().await + &of_keys.text().await;
    let mut served = BTreeSet::new();
    for line in texts.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, _) = rest.split_once(' ').unwrap();
            served.insert(name);
        }
        for series in series(line).iter().filter(|_| !line.starts_with('#')) {
            let (_, row) = row(&manual, &series.name);
            let labels = series.labels.iter().filter(|(label, _)| label != "le");
            labels.for_each(|label| is_listed(row, series, label));
        }
    }
    let listed: BTreeSet<_> = manual.keys().map(String::as_str).collect();
    assert_eq!(listed, served);
    pair.end().await;

    // Nobody finds them at the server itself, and nothing else where they are.
    let public = http_get(&controls[0].address(), "/metrics").await;
    assert!(!public.contains("peersox_store"), "{public}");
    let other = http_get(&of_control.address(), "/other").await;
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    let server = Server::start(&[]).await;
    let none = http_get(&server.address(), "/metrics").await;
    assert!(!none.contains("peersox_legs"), "{none}");
}

#[test]
fn alerts_and_dashboard_ask_for_what_is_served() {
    let manual = manual();
    let mut asked = BTreeSet::new();
    // JSON escapes quotes.
    for text in [ALERTS, &DASHBOARD.replace("\\\"", "\"")] {
        for series in series(text) {
            let (name, row) = row(&manual, &series.name);
            asked.insert(name);
            let ours = series.labels.iter().filter(|(label, _)| {
                // Prometheus adds these itself.
                !["instance", "job"].contains(&label.as_str())
            });
            ours.for_each(|label| is_listed(row, &series, label));
        }
    }
    let all: BTreeSet<_> = manual.keys().collect();
    let left: Vec<_> = all.difference(&asked).collect();
    // What is left is for those who look closer.
    assert_eq!(
        left,
        [
            "peersox_bridge_opened",
            "peersox_legs_admitted",
            "peersox_watches",
            "process_start_time_seconds",
            "process_virtual_memory_bytes"
        ]
        .iter()
        .collect::<Vec<_>>()
    );
}

/// Debian's `promtool`, unless it is not here, which is said past what a test swallows.
fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match pipes.stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            let line = format!("skipped: no promtool, of Debian's prometheus, is here: {error}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    Some(child.wait_with_output().unwrap())
}

#[tokio::test]
async fn prometheus_reads_metrics_alerts_and_what_to_scrape() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    let (counts, at) = Metrics::somewhere();
    let _server = Server::start(&["--metrics-listen", &at]).await;
    let text = counts.older_text().await;
    for (arguments, input) in [
        (["check", "metrics", ""], text.as_str()),
        (["check", "config", "prometheus.yml"], ""),
        (["check", "rules", "alerts.yml"], ""),
        (["test", "rules", "alerts.test.yml"], ""),
    ] {
        let arguments = arguments.map(str::trim);
        let given: Vec<_> = arguments.into_iter().filter(|it| !it.is_empty()).collect();
        let Some(output) = promtool(&folder, &given, input) else {
            return;
        };
        assert!(output.status.success(), "{given:?}: {output:?}");
        if input.is_empty() {
            continue;
        }
        // It finds something to say about what is not explained.
        let unexplained = text.replace("# HELP peersox_connections ", "# Help ");
        assert_ne!(unexplained, text);
        let broken = promtool(&folder, &given, &unexplained).unwrap();
        assert!(!broken.status.success(), "{broken:?}");
    }
}
