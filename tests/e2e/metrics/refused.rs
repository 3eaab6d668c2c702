//! What is turned away is counted by its reason.

use peersox_client::{Server as Control, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::Metrics;
use crate::harness::{Peer, Server, http_get, soon};
use crate::tls::Certificates;

#[tokio::test]
async fn what_is_turned_away_is_counted_by_its_reason() {
    let (counts, at) = Metrics::somewhere();
    let server = Server::start(&["--metrics-listen", &at]).await;

    // Codes that do not exist, until the budget of joins is spent.
    let control = Control::connect(&server.url(), Trust::default())
        .await
        .unwrap();
    let spent = r#"peersox_budget_refusals_total{budget="joins"}"#;
    let mut tried = 0;
    while counts.value(spent).await < 1.0 {
        tried += 1;
        assert!(tried < 30, "no budget is spent");
        let nameplate = format!("{tried:06}").parse().unwrap();
        let joined = soon(control.join_pairing(&nameplate)).await;
        assert!(joined.is_err(), "{joined:?}");
    }
    let joins = |code| {
        format!(r#"peersox_rpc_duration_seconds_count{{method="JoinPairing",code="{code}"}}"#)
    };
    assert!(counts.value(&joins("not_found")).await >= 10.0);
    assert!(counts.value(&joins("resource_exhausted")).await >= 1.0);

    // A request that is none for a leg.
    let plain = http_get(&server.address(), "/v1/relay").await;
    assert!(plain.starts_with("HTTP/1.1 400"), "{plain}");
    let refused = |transport, reason| {
        format!(r#"peersox_legs_refused_total{{transport="{transport}",reason="{reason}"}}"#)
    };
    counts
        .reaches(&refused("websocket", "malformed"), 1.0)
        .await;

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address()).await.unwrap();
    // What begins like STUN and is none.
    socket
        .send(b"\0\x01\0\x04\x21\x12\xa4\x42peersox-test")
        .await
        .unwrap();
    counts
        .reaches(r#"peersox_stun_requests_total{outcome="malformed"}"#, 1.0)
        .await;

    // One that waits for the other.
    let mut waiting = Peer::start(&server.url(), &["connect", "--transport", "ws"]);
    let _code = waiting.code().await;
    counts.reaches("peersox_watches", 1.0).await;
    counts
        .reaches(r#"peersox_sessions{state="waiting"}"#, 1.0)
        .await;
    for name in [
        "peersox_relay_memory_limit_bytes",
        "peersox_certificate_not_after_timestamp_seconds",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(counts.value(name).await > 0.0, "{name}");
    }
}

#[tokio::test]
async fn a_failed_handshake_of_tls_is_counted() {
    let Certificates { cert, key, .. } = &Certificates::of_loopback();
    let (counts, at) = Metrics::somewhere();
    let server = Server::start(&[
        "--tls-cert",
        cert,
        "--tls-key",
        key,
        "--metrics-listen",
        &at,
    ])
    .await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // A record of a handshake without one in it.
    stream.write_all(b"\x16\x03\x01\0\x04none").await.unwrap();
    let mut told = Vec::new();
    let _ = soon(stream.read_to_end(&mut told)).await;
    counts
        .reaches(r#"peersox_connections_failed_total{reason="tls"}"#, 1.0)
        .await;

    let year = counts
        .value("peersox_certificate_not_after_timestamp_seconds")
        .await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    assert!(year > now.unwrap().as_secs_f64(), "{year}");
}
