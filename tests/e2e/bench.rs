//! What `peersox-bench` says of a server is true, and nothing of it is left.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{Server, binary, quiet, soon};
use crate::nodes::{Service, ask, until_legs};

/// Exit code and report of a short measurement.
async fn bench(urls: &str, line: &str) -> (i32, Value) {
    let mut command = Command::new(binary().with_file_name("peersox-bench"));
    command
        .args(line.split(' '))
        .args(["--json", "--server", urls]);
    let output = soon(quiet(&mut command).output()).await.expect("it runs");
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("no report: {output:?}"));
    (output.status.code().expect("it ends by itself"), report)
}

#[tokio::test]
async fn what_was_asked_for_is_made_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin");
    let socket = socket.to_str().unwrap();
    let options = ["--admin-socket", socket, "--unmetered", "127.0.0.0/8"];
    let server = Server::start(&options).await;
    let pid = server.child.id().unwrap();
    for task in ["pairings", "setups", "setups --transport quic"] {
        let line = format!("{task} --for 60s --at-most 20 --concurrency 4 --pid {pid}");
        let (exit, report) = bench(&server.url(), &line).await;
        assert_eq!(exit, 0, "{report}");
        assert_eq!(report["made"], 20, "{report}");
        assert_eq!(report["errors"], json!({}), "{report}");
        // Each of the four couples has warmed up with three.
        assert_eq!(report["taken_back"], 20 + 4 * 3, "{report}");
        assert!(report["cpu"]["server"]["seconds"].is_number(), "{report}");
        assert_eq!(ask(socket, &["pairings"]).await, "");
        until_legs(&server, 0).await;
    }
}

/// The server gives one address sixty pairings, and then one more each second: as many are counted.
#[tokio::test]
async fn as_many_are_counted_as_the_server_gave() {
    let server = Server::start(&[]).await;
    let (exit, report) = bench(&server.url(), "pairings --for 3s --concurrency 1").await;
    assert_eq!(exit, 1, "{report}");
    let warmed_up_and_made = report["made"].as_u64().unwrap() + 3;
    let more = warmed_up_and_made.checked_sub(60).expect("sixty at least");
    let seconds = report["seconds"].as_f64().unwrap();
    assert!(more as f64 <= seconds + 1.0, "{report}");
    let refused = &report["errors"]["CreatePairing: RATE_LIMITED"];
    assert!(refused.as_u64().is_some_and(|it| it > 0), "{report}");
    assert_eq!(report["taken_back"], warmed_up_and_made, "{report}");
}

/// Each of two devices asks another node, and both meet at the relay.
#[tokio::test]
async fn the_devices_of_a_pairing_ask_different_nodes() {
    let service = Service::new();
    let controls = [service.control().await, service.control().await];
    let relay = service.relay("one", &controls).await;
    let urls = controls.each_ref().map(Server::url).join(",");
    let line = "setups --for 60s --at-most 10 --concurrency 2";
    let (exit, report) = bench(&urls, line).await;
    assert_eq!((exit, &report["made"]), (0, &json!(10)), "{report}");
    until_legs(&relay, 0).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let mut command = Command::new(binary().with_file_name("peersox-bench"));
    command.args(["pairings", "--server", "http://127.0.0.1:1"]);
    let output = soon(quiet(&mut command).output()).await.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("error: connect: Connection refused"),
        "{said}"
    );
}

/// Each kind of load goes through each reference, and through our relay by each transport.
#[tokio::test]
async fn every_relay_can_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = ["certificate", "key"].map(|it| folder.path().join(it));
    std::fs::write(&files[0], made.cert.pem()).unwrap();
    std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    let [certificate, key] = files.each_ref().map(|it| it.to_str().unwrap());
    let open = ["--unmetered", "127.0.0.0/8"];
    let plain = Server::start(&open).await;
    let tls = ["--tls-cert", certificate, "--tls-key", key];
    let tls = Server::start(&[&open[..], &tls].concat()).await;

    let mut targets = vec![
        format!("ours-ws-quic=peersox/ws/quic@{}", plain.url()),
        format!("ours-wss-wss=peersox/ws/ws@{}", tls.url()),
    ];
    let mut references = Vec::new();
    for kind in ["tcp", "ws", "wss", "quic"] {
        let (reference, address) = reference(kind).await;
        references.push(reference);
        targets.push(format!("{kind}={kind}@{address}"));
    }
    for load in [
        "throughput --pairs 2 --size 65536",
        "throughput --pairs 2 --batch 1 --window 1",
        "ping-pong",
        "paced --pairs 4 --rate 100",
        "idle --pairs 2",
        "stalled --pairs 2",
    ] {
        let mut command = Command::new(binary().with_file_name("peersox-bench"));
        command.arg("relay").args(load.split(' '));
        command.args("--rounds 1 --turn 100ms --warm-up 20ms".split(' '));
        for target in &targets {
            command.args(["--target", target]);
        }
        let output = soon(quiet(&mut command).output()).await.expect("it runs");
        assert!(output.status.success(), "{load}: {output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let turns = lines.lines().map(serde_json::from_str::<Value>);
        let turns: Vec<_> = turns.map(|turn| turn.expect("a line of JSON")).collect();
        let name = |turn: &Value| turn["target"].as_str().map(str::to_owned);
        let measured: BTreeSet<_> = turns.iter().filter_map(name).collect();
        assert_eq!(measured.len(), targets.len(), "{load}: {lines}");
        if !load.starts_with(['i', 's']) {
            let carried = turns.iter().all(|it| it["frames"].as_u64() > Some(0));
            assert!(carried, "{load}: {lines}");
        }
    }
}

/// A reference relay, and where it listens.
async fn reference(kind: &str) -> (Child, String) {
    let mut command = Command::new(binary().with_file_name("peersox-bench"));
    command.args(["reference", kind, "--listen", "127.0.0.1:0"]);
    let mut child = quiet(&mut command).spawn().expect("it starts");
    let stdout = child.stdout.take().expect("piped");
    let line = soon(BufReader::new(stdout).lines().next_line()).await;
    let line = line.expect("readable").expect("it is ready");
    let address = line.strip_prefix("ready at ").expect("an address");
    (child, address.to_owned())
}
