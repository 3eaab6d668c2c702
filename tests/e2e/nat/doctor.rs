//! What `peersox doctor` says of each kind of network.

use serde_json::{Value, json};

use super::wires::{SERVER_V4, SERVER_V6};
use super::{Device, Lab, Network};
use crate::harness::{Peer, Server, quiet, soon};

/// Kind; the mapping over IPv4 and over IPv6 if two destinations are asked; with whom direct paths are
/// likely.
const KINDS: [(Network, &str, &str, &str); 10] = [
    (Network::Open, "own", "own", "most"),
    (Network::FullCone, "independent", "unseen", "most"),
    (Network::PortRestricted, "independent", "unseen", "most"),
    (Network::Symmetric, "symmetric", "unseen", "open"),
    (Network::Double, "independent", "unseen", "most"),
    (Network::UdpBlocked, "unseen", "unseen", "blocked"),
    (Network::V6Only, "unseen", "own", "ipv6"),
    (Network::DeadV6, "independent", "unseen", "most"),
    (Network::Lan, "independent", "unseen", "most"),
    (Network::Hairpin, "independent", "unseen", "most"),
];

#[tokio::test]
async fn every_network_is_recognised() {
    let Some(mut lab) = Lab::new() else { return };
    let server = lab.serve(&[]).await;
    assert!(
        Network::ALL
            .iter()
            .all(|it| KINDS.iter().any(|(kind, ..)| kind == it))
    );
    let second = [
        format!("{}:{}", SERVER_V4[1], server.port),
        format!("[{}]:{}", SERVER_V6[1], server.port),
    ];
    let options = ["--stun", &second[0], "--stun", &second[1]];
    for (network, v4, v6, direct) in KINDS {
        let device = lab.device(network);
        let found = examine(&lab, &device, &options).await;
        let by_family = [
            (v4, "ipv4", device.v4.is_some()),
            (v6, "ipv6", device.v6.is_some()),
        ];
        for (mapping, family, has_address) in by_family {
            let udp = finding(&found, "udp", "family", family);
            assert_eq!(udp["mapping"], mapping, "{network:?}: {udp}");
            let nat = match mapping {
                "unseen" => Value::Null,
                "own" => json!(false),
                _ => json!(true),
            };
            assert_eq!(udp["nat"], nat, "{network:?}: {udp}");
            let count = |list: &str| udp[list].as_array().expect("a list").len();
            assert_eq!(
                count("asked"),
                if has_address { 2 } else { 0 },
                "{network:?}: {udp}"
            );
            assert_eq!(count("seen"), if mapping == "unseen" { 0 } else { 2 });
            assert_eq!(count("own"), usize::from(has_address), "{network:?}: {udp}");
        }

        let passes = network != Network::UdpBlocked;
        let quic = finding(&found, "relay", "transport", "quic");
        let ws = finding(&found, "relay", "transport", "websocket");
        assert_eq!(
            quic["state"],
            if passes { "works" } else { "fails" },
            "{network:?}: {quic}"
        );
        assert_eq!(quic["rtt_us"].is_u64(), passes, "{network:?}: {quic}");
        assert_eq!(
            quic["udp_payload"].as_u64().is_some_and(|it| it >= 1_200),
            passes
        );
        assert_eq!(ws["state"], "works", "{network:?}: {ws}");

        let verdict = found.last().expect("it says something");
        assert_eq!(verdict["event"], "verdict");
        assert_eq!(verdict["direct"], direct, "{network:?}: {verdict}");
        let relay = if passes { "quic" } else { "websocket" };
        assert_eq!(verdict["relay"], relay, "{network:?}: {verdict}");
    }
    server.stop().await;
}

/// One address of a server does not tell one kind of NAT from the other.
#[tokio::test]
async fn one_destination_leaves_the_kind_of_nat_open() {
    let Some(mut lab) = Lab::new() else { return };
    let server = lab.serve(&[]).await;
    for network in [Network::PortRestricted, Network::Symmetric] {
        let device = lab.device(network);
        let found = examine(&lab, &device, &[]).await;
        let udp = finding(&found, "udp", "family", "ipv4");
        assert_eq!(
            (&udp["mapping"], &udp["nat"]),
            (&json!("unknown"), &json!(true))
        );
        let verdict = found.last().expect("it says something");
        assert_eq!(verdict["direct"], "unknown");
        assert!(
            verdict["text"]
                .as_str()
                .is_some_and(|it| it.contains("--stun"))
        );
    }
    server.stop().await;
}

/// A server on the same machine sees an address of the machine alone; what it cannot offer is said.
#[tokio::test]
async fn a_server_nearby_or_without_udp_says_nothing_of_the_internet() {
    let server = Server::start(&[]).await;
    let found = told(Peer::start(&server.url(), &["doctor"])).await;
    assert_eq!(found[0]["event"], "server");
    assert_eq!(found[0]["version"], env!("CARGO_PKG_VERSION"));
    assert!(found[0]["call_us"].is_u64());
    let udp = finding(&found, "udp", "family", "ipv4");
    assert_eq!(
        (&udp["mapping"], &udp["nat"]),
        (&json!("inside"), &json!(false))
    );
    assert_eq!(found.last().expect("it says something")["direct"], "inside");
    server.stop().await;

    let server = Server::start(&["--no-quic"]).await;
    let lost = ["doctor", "--stun", "name.invalid"];
    let found = told(Peer::start(&server.url(), &lost)).await;
    assert_eq!(
        finding(&found, "relay", "transport", "quic")["state"],
        "not_offered"
    );
    assert_eq!(
        finding(&found, "nameless", "host", "name.invalid")["event"],
        "nameless"
    );
    assert_eq!(found.last().expect("it says something")["direct"], "unseen");

    // To people.
    let mut command = tokio::process::Command::new(crate::harness::binary());
    command.args(["doctor", "--server", &server.url()]);
    let output = soon(quiet(&mut command).output()).await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("server: http://127.0.0.1:"), "{said}");
    assert!(
        said.lines()
            .last()
            .expect("a line")
            .starts_with("direct paths: unknown"),
        "{said}"
    );
    let url = server.url();
    server.stop().await;

    let (exit, said) = Peer::start(&url, &["doctor"]).end().await;
    assert_eq!(exit, 5, "{said}");
    let (exit, said) = Peer::start(&url, &["doctor", "--stun", "turn:x"])
        .end()
        .await;
    assert_eq!(exit, 2, "{said}");
}

async fn examine(lab: &Lab, device: &Device, options: &[&str]) -> Vec<Value> {
    told(device.peer(&lab.url(), &[&["doctor"], options].concat())).await
}

/// All that it finds, once it has ended well.
async fn told(mut doctor: Peer) -> Vec<Value> {
    let output = doctor.output().await;
    let found = output.split(|it| *it == b'\n').filter(|it| !it.is_empty());
    let found = found
        .map(|it| serde_json::from_slice(it).expect("an object"))
        .collect();
    let (exit, said) = doctor.end().await;
    assert_eq!(exit, 0, "{said}");
    found
}

/// The finding whose field has this value.
fn finding<'a>(found: &'a [Value], event: &str, field: &str, value: &str) -> &'a Value {
    let is_it = |it: &&Value| it["event"] == event && it[field] == value;
    found
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no {value} in {found:?}"))
}
