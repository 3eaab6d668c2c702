//! What servers count: each counter moves when what it counts happens, and the operator's manual lists all.

use std::collections::BTreeSet;

use crate::auth::{Folder, new_key};
use crate::harness::{Peer, Server, http_get, noise, quiet_port, soon};
use crate::nodes::{Pair, Service, knows};

/// The metrics that are served on a port.
struct Metrics(u16);

impl Metrics {
    fn somewhere() -> (Self, String) {
        let port = quiet_port();
        (Self(port), format!("127.0.0.1:{port}"))
    }

    async fn text(&self) -> String {
        let answer = http_get(&format!("127.0.0.1:{}", self.0), "/metrics").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("application/openmetrics-text; version=1.0.0"),
            "{head}"
        );
        assert!(body.ends_with("# EOF\n"), "{body}");
        body.to_owned()
    }

    /// A value; 0 if it is not there yet.
    async fn value(&self, name: &str) -> f64 {
        let text = self.text().await;
        let values = text.lines().filter_map(|line| line.split_once(' '));
        let mut found = values.filter(|(it, _)| *it == name);
        found
            .next()
            .map_or(0.0, |(_, value)| value.parse().unwrap())
    }

    /// Waits until a value is that, at least.
    async fn reaches(&self, name: &str, least: f64) {
        soon(async { while self.value(name).await < least {} }).await;
    }
}

#[tokio::test]
async fn what_nodes_do_is_counted() {
    let service = Service::new();
    let (control_counts, at) = Metrics::somewhere();
    let port = quiet_port();
    let options = ["--metrics-listen", &at];
    let control = service.control_with(port, &options).await;
    let mut controls = [control];
    let (relay_counts, relay_at) = Metrics::somewhere();
    let counted = ["--metrics-listen", relay_at.as_str()];
    let one = service
        .relay_with(quiet_port(), "one", &controls, &counted)
        .await;
    knows(&controls[0], &one, true).await;
    relay_counts.reaches("peersox_bridge_streams", 1.0).await;
    relay_counts
        .reaches("peersox_bridge_opened_total", 1.0)
        .await;

    let mut pair = Pair::connect(&controls[0], &controls[0], "ws").await;
    pair.carry(&noise(300_000, 1)).await;
    for (name, least) in [
        (r#"peersox_placements_total{relay="one"}"#, 1.0),
        (
            r#"peersox_store_call_duration_seconds_count{call="commit",outcome="ok"}"#,
            2.0,
        ),
        (
            r#"peersox_store_call_duration_seconds_count{call="find",outcome="ok"}"#,
            1.0,
        ),
    ] {
        control_counts.reaches(name, least).await;
    }
    for (name, least) in [
        ("peersox_sessions", 1.0),
        ("peersox_legs", 2.0),
        ("peersox_legs_admitted_total", 2.0),
        (r#"peersox_frames_total{lane="reliable"}"#, 5.0),
        (r#"peersox_bytes_total{lane="reliable"}"#, 300_000.0),
    ] {
        relay_counts.reaches(name, least).await;
    }

    // Its relay stops: it moves to another one, which is killed, and so on.
    let two = service.relay("two", &controls).await;
    assert!(one.stop().await.success());
    control_counts
        .reaches(r#"peersox_moves_total{cause="draining"}"#, 1.0)
        .await;
    pair.carry(&noise(300_000, 2)).await;
    let again = service
        .relay_with(quiet_port(), "one", &controls, &counted)
        .await;
    knows(&controls[0], &again, true).await;
    two.kill().await;
    control_counts
        .reaches(r#"peersox_moves_total{cause="gone"}"#, 1.0)
        .await;
    pair.carry(&noise(300_000, 3)).await;
    assert_eq!(
        control_counts
            .value(r#"peersox_placements_total{relay="two"}"#)
            .await,
        1.0
    );

    // Redis does not answer, and is back.
    service.redis.pause();
    let line = ["connect", "--wait", "5"];
    assert_eq!(Peer::start(&controls[0].url(), &line).end().await.0, 5);
    service.redis.resume();
    let failed = |call| {
        format!(r#"peersox_store_call_duration_seconds_count{{call="{call}",outcome="failed"}}"#)
    };
    let count = control_counts.value(&failed("commit")).await
        + control_counts.value(&failed("charge")).await;
    assert!(count >= 1.0, "{}", control_counts.text().await);

    // Control is another process from now on.
    let [control] = controls;
    control.kill().await;
    let lost = r#"peersox_bridge_ended_total{cause="lost"}"#;
    relay_counts.reaches(lost, 1.0).await;
    assert_eq!(relay_counts.value("peersox_bridge_streams").await, 0.0);
    controls = [service.control_at(port).await];
    relay_counts
        .reaches("peersox_bridge_opened_total", 2.0)
        .await;
    relay_counts.reaches("peersox_bridge_streams", 1.0).await;
    knows(&controls[0], &again, true).await;
    pair.end().await;
}

#[tokio::test]
async fn a_move_at_the_word_of_a_peer_is_counted() {
    let service = Service::new();
    let (counts, at) = Metrics::somewhere();
    let controls = [service.control_with(0, &["--metrics-listen", &at]).await];
    // Control sees this relay, and peers do not.
    let dead = format!("http://127.0.0.1:{}", quiet_port());
    let _unreached = service.relay_reached_at(&dead, 0, "dead", &controls).await;
    let meeting = Pair::connect(&controls[0], &controls[0], "ws");
    let good = async {
        counts
            .reaches(r#"peersox_placements_total{relay="dead"}"#, 1.0)
            .await;
        service.relay("good", &controls).await
    };
    let (pair, _good) = tokio::join!(meeting, good);
    assert!(
        counts
            .value(r#"peersox_moves_total{cause="unreached"}"#)
            .await
            >= 1.0
    );
    pair.end().await;
}

/// The names in the first column of the manual's table are those that servers serve, and no others.
#[tokio::test]
async fn the_manual_lists_every_metric() {
    let manual = include_str!("../../docs/operations.md");
    let rows = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `peersox_"));
    let listed: BTreeSet<_> = rows
        .map(|row| row.split(['`', '{']).next().unwrap())
        .collect();

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
    let served: BTreeSet<_> = texts
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE peersox_"))
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    assert_eq!(listed, served);
    pair.end().await;

    // Nobody finds them at the server itself, and nothing else where they are.
    let public = http_get(&controls[0].address(), "/metrics").await;
    assert!(!public.contains("peersox_store"), "{public}");
    let page = http_get(&format!("127.0.0.1:{}", of_control.0), "/").await;
    assert!(page.starts_with("HTTP/1.1 404"), "{page}");
    let server = Server::start(&[]).await;
    let none = http_get(&server.address(), "/metrics").await;
    assert!(!none.contains("peersox_legs"), "{none}");
}
