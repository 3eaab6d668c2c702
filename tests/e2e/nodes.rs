//! Control and relays apart, as processes of their own, around a real Redis.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use peersox_test_redis::Redis;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::harness::{Peer, Server, binary, http_get, noise, quiet_port, refuses, signal, soon};
use crate::tls::Certificates;

/// What all nodes share.
pub struct Nodes {
    redis: String,
    folder: TempDir,
}

impl Nodes {
    /// Nodes around this Redis.
    pub fn new(redis: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["token", "secret"] {
            secret(&folder, name, &"3d".repeat(32));
        }
        let redis = redis.to_owned();
        Self { redis, folder }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A node of control.
    pub async fn control(&self) -> Server {
        self.control_at(0).await
    }

    pub async fn control_at(&self, port: u16) -> Server {
        self.control_with(port, &[]).await
    }

    pub async fn control_with(&self, port: u16, more: &[&str]) -> Server {
        let (secret, token) = (self.path("secret"), self.path("token"));
        let options = [
            ["--role", "control"],
            ["--redis", &self.redis],
            ["--secret-file", &secret],
            ["--control-token-file", &token],
            ["--unmetered", "127.0.0.0/8"],
        ];
        let options = [&options.concat(), more].concat();
        Server::start_at(port, &options).await
    }

    /// A relay that is known to all these nodes of control.
    pub async fn relay(&self, name: &str, controls: &[Server]) -> Server {
        let relay = self.relay_at(quiet_port(), name, controls).await;
        for control in controls {
            knows(control, &relay, true).await;
        }
        relay
    }

    pub async fn relay_at(&self, port: u16, name: &str, controls: &[Server]) -> Server {
        self.relay_with(port, name, controls, &[]).await
    }

    pub async fn relay_with(
        &self,
        port: u16,
        name: &str,
        controls: &[Server],
        more: &[&str],
    ) -> Server {
        let public = format!("http://127.0.0.1:{port}");
        self.announced(&public, port, name, controls, more).await
    }

    /// A relay that says that peers reach it there.
    pub async fn relay_reached_at(
        &self,
        public: &str,
        port: u16,
        name: &str,
        controls: &[Server],
    ) -> Server {
        self.announced(public, port, name, controls, &[]).await
    }

    async fn announced(
        &self,
        public: &str,
        port: u16,
        name: &str,
        controls: &[Server],
        more: &[&str],
    ) -> Server {
        let urls: Vec<_> = controls.iter().map(Server::url).collect();
        let (urls, token) = (urls.join(","), self.path("token"));
        let mut options = relay_options(&urls, &token, public);
        options.extend(["--relay-name", name, "--unmetered", "127.0.0.0/8"]);
        options.extend(more);
        Server::start_at(port, &options).await
    }
}

/// Nodes, and a Redis of their own.
pub struct Service {
    pub redis: Redis,
    nodes: Nodes,
}

impl Service {
    pub fn new() -> Self {
        let redis = Redis::start();
        let nodes = Nodes::new(&redis.url());
        Self { redis, nodes }
    }
}

impl std::ops::Deref for Service {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

fn secret(folder: &TempDir, name: &str, line: &str) {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600);
    let mut file = file.open(folder.path().join(name)).unwrap();
    writeln!(file, "{line}").unwrap();
}

/// What a relay has to be told.
fn relay_options<'a>(control: &'a str, token: &'a str, public: &'a str) -> Vec<&'a str> {
    let options = [
        ["--role", "relay"],
        ["--control", control],
        ["--control-token-file", token],
        ["--public-url", public],
    ];
    options.concat()
}

/// Waits until control knows a relay, or does not any more: its page may connect to all that it knows.
pub async fn knows(control: &Server, relay: &Server, expected: bool) {
    let named = async || {
        let page = http_get(&control.address(), "/").await;
        page.contains(&format!("ws://{}", relay.address()))
    };
    soon(async { while named().await != expected {} }).await;
}

/// How many legs a relay has.
pub async fn legs(relay: &Server) -> u64 {
    let told = http_get(&relay.address(), "/status.json").await;
    let (_, body) = told.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<serde_json::Value>(body).unwrap()["legs"]
        .as_u64()
        .unwrap()
}

pub async fn until_legs(relay: &Server, expected: u64) {
    soon(async { while legs(relay).await != expected {} }).await;
}

/// Two peers that are connected, whose first direction carries bytes without end.
pub struct Pair {
    pub one: Peer,
    two: Peer,
}

impl Pair {
    /// One shows the code at one node of control, the other types it at another.
    pub async fn connect(here: &Server, there: &Server, transport: &str) -> Self {
        let mut one = Peer::start(&here.url(), &["connect", "--transport", transport]);
        let code = one.code().await;
        let line = ["connect", &code, "--transport", transport];
        let mut two = Peer::start(&there.url(), &line);
        one.event("connected").await;
        two.event("connected").await;
        Self { one, two }
    }

    pub async fn is_connected_again(&mut self) {
        for peer in [&mut self.one, &mut self.two] {
            assert_eq!(peer.event("connected").await["again"], true);
        }
    }

    /// Sends so many bytes, and takes them.
    pub async fn carry(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt as _;
        let writing = self.one.stdin.as_mut().unwrap().write_all(bytes);
        let mut taken = vec![0; bytes.len()];
        let reading = self.two.stdout.as_mut().unwrap().read_exact(&mut taken);
        let (written, read) = soon(async { tokio::join!(writing, reading) }).await;
        written.unwrap();
        read.unwrap();
        assert!(taken == bytes, "{} bytes", bytes.len());
    }

    pub async fn end(mut self) {
        drop(self.one.stdin.take());
        drop(self.two.stdin.take());
        assert_eq!(self.one.end().await, (0, String::new()));
        assert_eq!(self.two.end().await, (0, String::new()));
    }

    /// Ends it, and tells whether both peers always had a path.
    pub async fn was_unbroken(mut self) -> bool {
        drop(self.one.stdin.take());
        drop(self.two.stdin.take());
        let (one, two) = (self.one.rest().await, self.two.rest().await);
        let mut events = one.iter().chain(two);
        let is_gap = |it: &serde_json::Value| {
            it["event"] == "leg_lost" || (it["event"] == "path" && it["kind"].is_null())
        };
        !events.any(is_gap)
    }
}

#[tokio::test]
async fn peers_of_two_nodes_of_control_meet_at_one_of_two_relays() {
    let service = Service::new();
    let controls = [service.control().await, service.control().await];
    let one = service.relay("one", &controls).await;
    let two = service.relay("two", &controls).await;
    let [here, there] = controls;
    for transport in ["ws", "quic"] {
        let mut pair = Pair::connect(&here, &there, transport).await;
        pair.carry(&noise(2_000_000, 9)).await;
        let carried = (legs(&one).await, legs(&two).await);
        assert!(matches!(carried, (2, 0) | (0, 2)), "{carried:?}");
        pair.end().await;
        until_legs(&one, 0).await;
        until_legs(&two, 0).await;
    }
    // The nodes tell each other by the store, and relays tell all of them who is attached.
    let mut shows = Peer::start(&here.url(), &["ping"]);
    let code = shows.code().await;
    let mut types = Peer::start(&there.url(), &["ping", &code, "-n", "3"]);
    let said = String::from_utf8(types.output().await).unwrap();
    assert!(said.contains(r#""count":3"#), "{said}");
}

/// Control and Redis stop for a while: a relay refuses nobody whose ticket is good, and a session notices
/// nothing. When control is back it knows who is attached.
#[tokio::test]
async fn a_relay_carries_on_without_control() {
    let service = Service::new();
    let port = quiet_port();
    let controls = [service.control_at(port).await];
    let relay = service.relay("one", &controls).await;
    let [control] = controls;
    let mut pair = Pair::connect(&control, &control, "ws").await;
    signal(&control.child, "STOP");
    service.redis.pause();
    for seed in 0..20 {
        pair.carry(&noise(100_000, seed)).await;
    }
    service.redis.resume();
    signal(&control.child, "CONT");
    pair.carry(&noise(100_000, 20)).await;

    // Another process of control, which knows nothing: the relay tells it who is attached. That the pairing
    // has expired meanwhile, or Redis was emptied, hangs up nobody.
    control.kill().await;
    service.redis.cli(&["flushall"]);
    let control = service.control_at(port).await;
    knows(&control, &relay, true).await;
    pair.carry(&noise(100_000, 21)).await;
    let mut late = Pair::connect(&control, &control, "quic").await;
    late.carry(&noise(100_000, 22)).await;
    pair.end().await;
    late.end().await;
}

/// What a command of the operator says.
pub async fn ask(socket: &str, line: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.args(line).args(["--admin-socket", socket]);
    let output = soon(command.output()).await.unwrap();
    assert!(output.status.success(), "{line:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// One node of control has two addresses: the relay keeps one stream to it, and the other one waits.
#[tokio::test]
async fn a_node_with_two_addresses_is_announced_to_once() {
    let service = Service::new();
    let control = service.control_with(0, &["--listen", "0.0.0.0:0"]).await;
    let port = quiet_port();
    let public = format!("http://127.0.0.1:{port}");
    let urls = format!("http://127.0.0.1:{0},http://127.0.0.2:{0}", control.port);
    let token = service.path("token");
    let options = relay_options(&urls, &token, &public);
    let mut relay = Server::start_at(port, &options).await;
    let record = relay.record();
    knows(&control, &relay, true).await;
    let mut pair = Pair::connect(&control, &control, "ws").await;
    for seed in 0..30 {
        pair.carry(&noise(100_000, seed)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    pair.end().await;
    let said = record.end(relay).await;
    let opened = said.matches("control knows this relay").count();
    assert!(
        (1..=4).contains(&opened),
        "{opened} streams in three seconds: {said}"
    );
}

/// A pairing that is revoked at one node of control is hung up at its relay.
#[tokio::test]
async fn a_revoked_pairing_is_hung_up_at_its_relay() {
    let service = Service::new();
    let socket = service.path("admin");
    let here = service.control_with(0, &["--admin-socket", &socket]).await;
    let controls = [here, service.control().await];
    let _relay = service.relay("one", &controls).await;
    let pair = Pair::connect(&controls[1], &controls[1], "ws").await;
    let listed = ask(&socket, &["pairings", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!(listed["initiator_online"], true, "{listed}");
    assert_eq!(listed["joiner_online"], true, "{listed}");
    ask(&socket, &["revoke", listed["pairing"].as_str().unwrap()]).await;
    for peer in [pair.one, pair.two] {
        let (exit, said) = peer.end().await;
        assert_ne!(exit, 0);
        assert!(said.contains("revoked"), "{said}");
    }
}

#[tokio::test]
async fn a_relay_that_control_does_not_know_is_told_why() {
    let service = Service::new();
    let control = service.control().await;
    secret(&service.folder, "other", &"4e".repeat(32));
    let (control_url, other) = (control.url(), service.path("other"));
    let port = quiet_port();
    let public = format!("http://127.0.0.1:{port}");
    let options = relay_options(&control_url, &other, &public);
    let mut relay = Server::start_at(port, &options).await;
    let record = relay.record();
    let ready = http_get(&relay.address(), "/readyz").await;
    assert!(ready.ends_with("no control has answered yet\n"), "{ready}");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let (exit, said) = Peer::start(&control_url, &["connect", "--wait", "2"])
        .end()
        .await;
    assert_ne!(exit, 0, "{said}");
    let said = record.end(relay).await;
    assert!(
        said.contains("the token of this relay is not that of control"),
        "{said}"
    );

    let token = service.path("token");
    let relay = ["--role", "relay", "--control", &control_url];
    refuses(&[
        (&relay, 2, "--control-token-file"),
        (
            &["--role", "relay", "--control-token-file", &token],
            2,
            "--control <URL>",
        ),
        (
            &[&relay[..], &["--control-token-file", &token]].concat(),
            2,
            "--public-url",
        ),
        (&["--role", "control"], 2, "--control-token-file"),
        (&["--control-token-file", &token], 2, "--role"),
        (
            &["--role", "relay", "--control", "control"],
            2,
            "without a path",
        ),
    ])
    .await;
}

/// Control has TLS, by an authority of its own.
#[tokio::test]
async fn a_relay_verifies_control() {
    let service = Service::new();
    let Certificates { cert, key, ca, .. } = &Certificates::of_loopback();
    let tls = ["--tls-cert", cert, "--tls-key", key];
    let control = service.control_with(0, &tls).await;
    let port = quiet_port();
    let (url, token) = (control.url(), service.path("token"));
    let public = format!("http://127.0.0.1:{port}");
    let mut options = relay_options(&url, &token, &public);
    let mut stranger = Server::start_at(port, &options).await;
    let record = stranger.record();
    let ready = http_get(&stranger.address(), "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let said = record.end(stranger).await;
    assert!(said.contains("UnknownIssuer"), "{said}");

    options.extend(["--control-ca", ca]);
    let relay = Server::start_at(port, &options).await;
    let ready = async || http_get(&relay.address(), "/readyz").await;
    soon(async { while !ready().await.starts_with("HTTP/1.1 200") {} }).await;
}
