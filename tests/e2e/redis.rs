//! Servers that keep their pairings in Redis.

use peersox_test_redis::Redis;
use tokio::process::Command;

use crate::harness::{Peer, Server, binary, http_get, soon};
use crate::restart::secret_in;

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
    let port = crate::harness::quiet_port();
    let options = ["--redis", &redis.url(), "--secret-file", &secret];
    let server = Server::start_at(port, &options).await;
    let mut one = Peer::start(&server.url(), &["connect", "--transport", "ws"]);
    let code = one.code().await;
    let mut two = Peer::start(&server.url(), &["connect", &code, "--transport", "ws"]);
    one.event("connected").await;
    two.event("connected").await;
    server.kill().await;
    secret_in(&folder, &format!("{new}\n{old}\n"));
    let _server = Server::start_at(port, &options).await;
    // With the tickets that they have: nobody is refused and fetches another one.
    for peer in [&mut one, &mut two] {
        peer.event("leg_lost").await;
        peer.event("attached").await;
        assert_eq!(peer.event("connected").await["again"], true);
    }
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_is_named() {
    let redis = Redis::with(&["--requirepass s3cret"]);
    let folder = tempfile::tempdir().unwrap();
    let (url, closed) = (redis.url(), "redis://127.0.0.1:9");
    let secret = secret_in(&folder, "north\n");
    let with_password = format!("redis://:s3cret@127.0.0.1:{}", redis.port());
    for (options, exit, expected) in [
        (vec!["--redis", closed], 5, "cannot use redis://127.0.0.1:9"),
        (vec!["--redis", &url], 5, "NOAUTH"),
        (vec!["--redis", "http://localhost"], 2, "redis+sentinel://"),
        (vec!["--redis", "redis://u:s3cret#w@localhost"], 2, "%23"),
        (vec!["--redis", "redis://:s3cret"], 2, "address 1"),
        (vec!["--redis", &with_password], 2, "--redis-password-file"),
        (
            vec!["--redis", &url, "--redis-password-file", &secret],
            5,
            "WRONGPASS",
        ),
        (
            vec!["--redis", &url, "--secret-file", &secret],
            7,
            "line 1 is not 64",
        ),
        (
            vec!["--redis", &url, "--state", "state"],
            2,
            "cannot be used with",
        ),
    ] {
        let mut command = Command::new(binary());
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(&options);
        let output = soon(command.output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{options:?}: {said}");
        assert!(said.contains(expected), "{options:?}: {said}");
        assert!(
            !said.contains("s3cret") && !said.contains("north"),
            "{said}"
        );
    }
    let secret = secret_in(&folder, "s3cret\n");
    let options = ["--redis", &url, "--redis-password-file", &secret];
    assert!(Server::start(&options).await.stop().await.success());
}
