//! Servers that keep their pairings in Redis.

use peersox_test_redis::Redis;

use crate::harness::{Peer, Server, http_get, quiet_port, refuses, soon};
use crate::restart::secret_in;
use crate::tls::Certificates;

/// Redis stops for a while: who is connected notices nothing, the process is alive and says that it is not
/// ready, who wants to pair is told, a code that was shown before works afterwards, and all goes on by
/// itself.
#[tokio::test]
async fn while_redis_is_away_sessions_go_on_and_newcomers_are_told() {
    let redis = Redis::start();
    let server = Server::start(&["--redis", &redis.url()]).await;
    let url = server.url();
    let mut answering = Peer::start(&url, &["ping"]);
    let code = answering.code().await;
    let mut measuring = Peer::start(&url, &["ping", &code, "-n", "40", "-i", "100"]);
    answering.event("connected").await;
    measuring.event("connected").await;
    let mut waiting = Peer::start(&url, &["connect"]);
    let shown = waiting.code().await;
    waiting.event("attached").await;

    redis.pause();
    until_ready(&server, "503 Service Unavailable", "the store is away\n").await;
    let alive = http_get(&server.address(), "/healthz").await;
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    let (exit, said) = Peer::start(&url, &["connect"]).end().await;
    assert_eq!(exit, 5);
    assert!(
        said.contains("the pairings cannot be reached at the moment"),
        "{said}"
    );
    let summary = String::from_utf8(measuring.output().await).unwrap();
    assert!(summary.contains(r#""count":40"#), "{summary}");
    redis.resume();
    until_ready(&server, "200 OK", "ready\n").await;
    let mut partner = Peer::start(&url, &["connect", &shown]);
    waiting.event("connected").await;
    partner.event("connected").await;
    for peer in [answering, measuring] {
        assert_eq!(peer.end().await, (0, String::new()));
    }
}

/// Waits until the probe answers so.
async fn until_ready(server: &Server, status: &str, said: &str) {
    let expected =
        |told: &str| told.starts_with(&format!("HTTP/1.1 {status}")) && told.ends_with(said);
    soon(async { while !expected(&http_get(&server.address(), "/readyz").await) {} }).await;
}

/// Two servers share one Redis and one secret: a code of the one is joined at the other, which tells the
/// watch at the first, and a ticket of the one is believed by the other.
#[tokio::test]
async fn a_secret_is_replaced_without_a_gap() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = ("1b".repeat(32), "2c".repeat(32));
    let secret = secret_in(&folder, &old);
    let port = quiet_port();
    let options = ["--redis", &redis.url(), "--secret-file", &secret];
    let server = Server::start_at(port, &options).await;
    let mut one = Peer::start(&server.url(), &["connect", "--transport", "ws"]);
    let code = one.code().await;
    let mut two = Peer::start(&server.url(), &["connect", &code, "--transport", "ws"]);
    one.event("connected").await;
    two.event("connected").await;
    server.kill().await;
    secret_in(&folder, &format!("{new}\n{old}\n"));
    let server = Server::start_at(port, &options).await;
    // With the tickets that they have: nobody is refused and fetches another one.
    for peer in [&mut one, &mut two] {
        peer.event("leg_lost").await;
        peer.event("attached").await;
        assert_eq!(peer.event("connected").await["again"], true);
    }
    // Who checks tickets itself finds both keys.
    let keys = http_get(&server.address(), "/.well-known/jwks.json").await;
    assert_eq!(keys.matches("Ed25519").count(), 2, "{keys}");
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_is_named() {
    let redis = Redis::with(&["--requirepass s3cret"]);
    let folder = tempfile::tempdir().unwrap();
    let (url, closed) = (redis.url(), "redis://127.0.0.1:9");
    let secret = secret_in(&folder, "north\n");
    let with_password = format!("redis://:s3cret@127.0.0.1:{}", redis.port());
    let said = refuses(&[
        (&["--redis", closed], 5, "cannot use redis://127.0.0.1:9"),
        (&["--redis", &url], 5, "NOAUTH"),
        (&["--redis", "http://localhost"], 2, "redis+sentinel://"),
        (&["--redis", "redis://u:s3cret#w@localhost"], 2, "%23"),
        (&["--redis", "redis://:s3cret"], 2, "address 1"),
        (
            &["--redis", "redis+cluster://h", "--redis-wait", "1"],
            2,
            "min-replicas-to-write",
        ),
        (&["--redis-wait", "1"], 2, "--redis <URL>"),
        (&["--redis", &with_password], 2, "--redis-password-file"),
        (
            &["--redis", &url, "--redis-password-file", &secret],
            5,
            "WRONGPASS",
        ),
        (
            &["--redis", &url, "--secret-file", &secret],
            7,
            "line 1 is not 64",
        ),
        (
            &["--redis", &url, "--state", "state"],
            2,
            "cannot be used with",
        ),
    ])
    .await;
    assert!(
        !said.contains("s3cret") && !said.contains("north"),
        "{said}"
    );
    let secret = secret_in(&folder, "s3cret\n");
    let options = ["--redis", &url, "--redis-password-file", &secret];
    assert!(Server::start(&options).await.stop().await.success());
}

/// Redis speaks TLS: the server believes the authorities of the system, and no other.
#[tokio::test]
async fn a_redis_with_tls_has_to_show_a_certificate_of_the_system() {
    let certificates = Certificates::of_loopback();
    let port = quiet_port().to_string();
    let Certificates { cert, key, ca, .. } = &certificates;
    let redis = Redis::with(&[
        &format!("--tls-port {port}"),
        &format!("--tls-cert-file {cert}"),
        &format!("--tls-key-file {key}"),
        &format!("--tls-ca-cert-file {ca}"),
        "--tls-auth-clients no",
    ]);
    let url = format!("rediss://127.0.0.1:{port}");
    refuses(&[(&["--redis", &url], 5, "UnknownIssuer")]).await;
    let trusting = [("SSL_CERT_FILE", ca.as_str())];
    let server = Server::start_with("127.0.0.1:0", &["--redis", &url], &trusting).await;
    let mut waiting = Peer::start(&server.url(), &["connect"]);
    waiting.code().await;
    assert!(
        redis
            .cli(&["keys", "peersox:n:*"])
            .starts_with("peersox:n:")
    );
}
