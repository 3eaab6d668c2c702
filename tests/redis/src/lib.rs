//! Real Redis servers for tests, each on a free port, in a folder that is gone afterwards.
//!
//! The binary of Debian's `redis-tools` is enough: it is the server if it is called by that name, and no
//! package starts a service.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// One process of Redis. Dropping it kills it.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    options: Vec<String>,
    folder: TempDir,
    child: Child,
}

impl Redis {
    /// Starts one that writes each change to its disk at once, and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&["--appendonly yes", "--appendfsync always"])
    }

    /// Starts one with options of its own, each as `--name value`.
    #[must_use]
    pub fn with(options: &[&str]) -> Self {
        Self::on(free_port(), options)
    }

    fn on(port: u16, options: &[&str]) -> Self {
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        let folder = tempfile::tempdir().expect("there is room for a folder");
        Self::run(port, folder, options)
    }

    fn run(port: u16, folder: TempDir, options: Vec<String>) -> Self {
        let child = spawn(port, &folder, &options);
        let redis = Self {
            port,
            options,
            folder,
            child,
        };
        redis.wait();
        redis
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How `peersox serve --redis` calls it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, as power does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew with what its disk holds, and waits until it answers.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &self.folder, &self.options);
        self.wait();
    }

    /// Stops it in the midst of what it does, until [`Redis::resume`].
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// What `redis-cli` answers.
    pub fn cli(&self, arguments: &[&str]) -> String {
        cli(self.port, arguments)
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "cannot send {signal}"
        );
    }

    /// A server that wants a password refuses, which is an answer.
    fn wait(&self) {
        until("Redis answers", || {
            let said = self.cli(&["ping"]);
            said.contains("PONG") || said.contains("NOAUTH")
        });
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A master, a replica, and three sentinels that agree on who is the master.
#[derive(Debug)]
pub struct Watched {
    /// The one that is the master at first, and the one that follows it.
    pub servers: [Redis; 2],
    sentinels: Vec<Redis>,
}

impl Watched {
    /// Starts all of them. A master that says nothing for a second is replaced.
    #[must_use]
    pub fn start() -> Self {
        let options = ["--repl-diskless-sync-delay 0"];
        let master = Redis::with(&options);
        let port = master.port();
        let replica = Redis::with(&[options[0], &format!("--replicaof 127.0.0.1 {port}")]);
        let sentinels: Vec<_> = (0..3).map(|_| sentinel(port)).collect();
        until("the replica follows", || {
            replica
                .cli(&["info", "replication"])
                .contains("master_link_status:up")
        });
        for sentinel in &sentinels {
            until("the sentinels know all", || {
                let known = sentinel.cli(&["sentinel", "master", "main"]);
                let value = |name: &str| {
                    let mut lines = known.lines().skip_while(|line| *line != name);
                    lines.nth(1).map(ToOwned::to_owned)
                };
                value("num-slaves").as_deref() == Some("1")
                    && value("num-other-sentinels").as_deref() == Some("2")
            });
        }
        let servers = [master, replica];
        Self { servers, sentinels }
    }

    /// How `peersox serve --redis` calls them.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes = self
            .sentinels
            .iter()
            .map(|it| format!("127.0.0.1:{}", it.port));
        format!(
            "redis+sentinel://{}/main",
            nodes.collect::<Vec<_>>().join(",")
        )
    }

    /// Which of the servers the sentinels call the master.
    #[must_use]
    pub fn master(&self) -> usize {
        let said = self.sentinels[0].cli(&["sentinel", "get-master-addr-by-name", "main"]);
        let port = said.lines().nth(1).unwrap_or_default().to_owned();
        usize::from(port != self.servers[0].port.to_string())
    }
}

fn sentinel(master: u16) -> Redis {
    let port = free_port();
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("sentinel.conf");
    let lines = format!(
        "sentinel monitor main 127.0.0.1 {master} 2\nsentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 3000\nsentinel parallel-syncs main 1\n"
    );
    std::fs::write(&file, lines).expect("the folder can be written to");
    let options = vec![file.display().to_string(), "--sentinel".to_owned()];
    Redis::run(port, folder, options)
}

/// A Cluster of three masters, each with a replica.
#[derive(Debug)]
pub struct Cluster {
    /// All of its servers.
    pub servers: Vec<Redis>,
}

impl Cluster {
    /// Starts it. A server that says nothing for a second is replaced.
    #[must_use]
    pub fn start() -> Self {
        let options = [
            "--cluster-enabled yes",
            "--cluster-node-timeout 1000",
            "--cluster-replica-validity-factor 0",
            "--repl-diskless-sync-delay 0",
        ];
        let server = |_| {
            let bus = format!("--cluster-port {}", free_port());
            let options: Vec<_> = options.into_iter().chain([bus.as_str()]).collect();
            Redis::with(&options)
        };
        let servers: Vec<_> = (0..6).map(server).collect();
        let nodes: Vec<_> = servers
            .iter()
            .map(|it| format!("127.0.0.1:{}", it.port))
            .collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(nodes.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        let said = cli(servers[0].port, &create);
        assert!(said.contains("All 16384 slots covered"), "{said}");
        for server in &servers {
            until("the Cluster is whole", || {
                let info = server.cli(&["cluster", "info"]);
                let replicas = server.cli(&["cluster", "nodes"]).matches("slave").count();
                info.contains("cluster_state:ok") && replicas == 3
            });
        }
        for server in &servers {
            until("the replicas follow", || {
                let info = server.cli(&["info", "replication"]);
                info.contains("role:master") || info.contains("master_link_status:up")
            });
        }
        Self { servers }
    }

    /// How `peersox serve --redis` calls it.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes = self
            .servers
            .iter()
            .map(|it| format!("127.0.0.1:{}", it.port));
        format!("redis+cluster://{}", nodes.collect::<Vec<_>>().join(","))
    }

    /// The servers that are masters now.
    pub fn masters(&self) -> impl Iterator<Item = usize> {
        let is_master = |it: &Redis| it.cli(&["role"]).starts_with("master");
        (0..self.servers.len()).filter(move |at| is_master(&self.servers[*at]))
    }
}

fn spawn(port: u16, folder: &TempDir, options: &[String]) -> Child {
    let (first, rest) = match options.first() {
        Some(file) if !file.starts_with("--") => (Some(file), &options[1..]),
        _ => (None, options),
    };
    let mut server = Command::new("redis-check-rdb");
    server.arg0("redis-server").current_dir(folder.path());
    server.args(first).args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]);
    // A name and its values are arguments of their own.
    server.args(rest.iter().flat_map(|option| option.split(' ')));
    server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    server
        .spawn()
        .expect("redis-check-rdb runs; Debian's package redis-tools has it")
}

fn cli(port: u16, arguments: &[&str]) -> String {
    // Without a connection redis-cli waits for one.
    if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        return String::new();
    }
    let port = port.to_string();
    let said = Command::new("redis-cli")
        .args(["-p", &port])
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let said = said.expect("redis-cli runs; Debian's package redis-tools has it");
    String::from_utf8_lossy(&said.stdout).trim_end().to_owned()
}

/// A port that stays free while nothing listens on it: below those that the system chooses from, or a
/// client's attempt to connect could take it.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests that run at the same time in different processes begin at different ports.
    let first = (std::process::id() % 1_000) as u16 * 10;
    (0..1_000)
        .map(|_| 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of a thousand ports is free")
}

/// Asks again and again, for half a minute at most.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "not within 30 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
