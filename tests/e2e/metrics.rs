//! What servers count: each counter moves when what it counts happens, and the operator's manual lists all.

mod manual;
mod refused;

use crate::harness::{Peer, http_ask, http_get, noise, quiet_port, soon};
use crate::nodes::{Pair, Service, knows};

/// The metrics that are served on a port.
struct Metrics(u16);

impl Metrics {
    fn somewhere() -> (Self, String) {
        let port = quiet_port();
        (Self(port), format!("127.0.0.1:{port}"))
    }

    async fn text(&self) -> String {
        let accept = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let answer = http_ask(&self.address(), "/metrics", accept).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("application/openmetrics-text; version=1.0.0"),
            "{head}"
        );
        assert!(body.ends_with("# EOF\n"), "{body}");
        body.to_owned()
    }

    /// As it is told to those who do not ask for OpenMetrics.
    async fn older_text(&self) -> String {
        let answer = http_get(&self.address(), "/metrics").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        body.to_owned()
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.0)
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
        (
            r#"peersox_rpc_duration_seconds_count{method="CreatePairing",code="ok"}"#,
            1.0,
        ),
        (
            r#"peersox_rpc_duration_seconds_count{method="JoinPairing",code="ok"}"#,
            1.0,
        ),
        (
            r#"peersox_rpc_duration_seconds_count{method="OpenSession",code="ok"}"#,
            2.0,
        ),
        (r#"peersox_build_info{version="0.1.0",role="control"}"#, 1.0),
        ("peersox_relays", 1.0),
        ("peersox_store_ready", 1.0),
    ] {
        control_counts.reaches(name, least).await;
    }
    for (name, least) in [
        (r#"peersox_build_info{version="0.1.0",role="relay"}"#, 1.0),
        (r#"peersox_sessions{state="live"}"#, 1.0),
        ("peersox_legs", 2.0),
        ("peersox_connections", 2.0),
        (r#"peersox_legs_attached{transport="websocket"}"#, 2.0),
        (r#"peersox_legs_admitted_total{transport="websocket"}"#, 2.0),
        (r#"peersox_frames_total{lane="reliable"}"#, 5.0),
        (r#"peersox_bytes_total{lane="reliable"}"#, 300_000.0),
    ] {
        relay_counts.reaches(name, least).await;
    }

    // What is carried is counted, and little else with it.
    const BYTES: &str = r#"peersox_bytes_total{lane="reliable"}"#;
    let before = relay_counts.value(BYTES).await;
    pair.carry(&noise(4_000_000, 4)).await;
    let carried = relay_counts.value(BYTES).await - before;
    assert!((3.8e6..4.2e6).contains(&carried), "{carried}");

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
    let unavailable =
        r#"peersox_rpc_duration_seconds_count{method="CreatePairing",code="unavailable"}"#;
    assert!(control_counts.value(unavailable).await >= 1.0);

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
