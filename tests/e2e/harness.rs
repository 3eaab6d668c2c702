//! The real binary, started and listened to.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// No wait in these tests is longer: one that is has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The path of `peersox`, built from the present sources together with `peersox-bench` and the examples.
///
/// Cargo compiles no dependency again that it compiled for `cargo test --workspace`, because the same targets
/// need it. Without the examples the features of some dependencies differ; without the libraries, how those
/// of build scripts are compiled. The variables by which cargo describes this package to its tests are taken
/// away: the build script of `ring` looks at them, so that it, and all that stands on it, would be compiled
/// again here, and once more by the next build outside of a test.
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&*name);
            }
        }
        let built = cargo
            .args(["build", "--quiet", "--locked", "--workspace"])
            .args(["--lib", "--bin", "peersox", "--bin", "peersox-bench"])
            .arg("--examples")
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the binary does not build");
        let test = std::env::current_exe().expect("this test has a path");
        let target = test
            .ancestors()
            .nth(2)
            .expect("tests are built into target/PROFILE/deps");
        target.join("peersox")
    })
}

/// The path of an example of a crate.
pub fn example(name: &str) -> PathBuf {
    binary().with_file_name("examples").join(name)
}

/// A running `peersox serve`.
pub struct Server {
    scheme: &'static str,
    pub port: u16,
    pub child: Child,
    /// What it said before it was ready, and what it says from then on. Nothing once somebody records it.
    said: Option<(String, Lines<BufReader<ChildStderr>>)>,
}

/// All that a server says, but for the line that it is ready.
pub struct Record(tokio::task::JoinHandle<String>);

impl Record {
    /// Stops the server; gives all that it said.
    pub async fn end(self, server: Server) -> String {
        server.stop().await;
        soon(self.0).await.expect("the reader ends with the server")
    }
}

impl Server {
    /// On a port that the system chooses.
    pub async fn start(options: &[&str]) -> Self {
        Self::start_at(0, options).await
    }

    pub async fn start_at(port: u16, options: &[&str]) -> Self {
        Self::start_on(&format!("127.0.0.1:{port}"), options).await
    }

    /// On an address of this machine.
    pub async fn start_on(address: &str, options: &[&str]) -> Self {
        Self::start_with(address, options, &[]).await
    }

    /// The same with variables of its environment set.
    pub async fn start_with(address: &str, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command.arg("serve").args(options);
        if !options.contains(&"--listen") {
            command.args(["--listen", address]);
        }
        quiet(&mut command).envs(environment.iter().copied());
        let has_tls = ["--tls-cert", "--acme"]
            .iter()
            .any(|it| options.contains(it));
        let scheme = if has_tls { "https" } else { "http" };
        Self::run(command, scheme).await
    }

    /// Runs a [`quiet`] command that becomes a server.
    pub async fn run(mut command: Command, scheme: &'static str) -> Self {
        let mut child = command.spawn().expect("the server starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped")).lines();
        let greeting = "PeerSox is ready at ";
        let mut said = String::new();
        let port = loop {
            let line = soon(stderr.next_line()).await.expect("readable");
            let Some(line) = line else {
                panic!("the server ended before it said where it is: {said}");
            };
            let Some(rest) = line.strip_prefix(greeting) else {
                said = said + &line + "\n";
                continue;
            };
            let address = rest.split_whitespace().next().expect("an address");
            break address
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok())
                .expect("a port");
        };
        Self {
            scheme,
            port,
            child,
            said: Some((said, stderr)),
        }
    }

    /// All that it says but for the line that it is ready, read as fast as it says it.
    pub fn record(&mut self) -> Record {
        let (mut all, mut stderr) = self.said.take().expect("recorded once");
        Record(tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                all = all + &line + "\n";
            }
            all
        }))
    }

    /// What it said before it said where it is.
    pub fn said_before(&self) -> &str {
        let (before, _) = self.said.as_ref().expect("nobody records it");
        before
    }

    /// Waits for a line of its log with these words; what comes before is read and gone.
    pub async fn says(&mut self, words: &str) -> String {
        let (_, stderr) = self.said.as_mut().expect("nobody records it");
        let mut others = String::new();
        let reading = async {
            loop {
                match stderr.next_line().await.expect("readable") {
                    Some(line) if line.contains(words) => return line,
                    Some(line) => others = others.clone() + &line + "\n",
                    None => panic!("it ended without {words:?}: {others}"),
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, reading).await;
        found.unwrap_or_else(|_| panic!("it does not say {words:?}, but {others}"))
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address())
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that was ever resident, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("Linux tells it");
        let kib = line
            .split_whitespace()
            .nth(1)
            .and_then(|it| it.parse::<u64>().ok());
        kib.expect("a number of KiB") * 1024
    }

    /// Kills it, which it cannot know of beforehand, and waits until its port is free.
    pub async fn kill(mut self) {
        signal(&self.child, "KILL");
        let status = soon(self.child.wait()).await.expect("it can be waited for");
        assert_eq!(status.code(), None, "it ended before it was killed");
    }

    /// Asks it to stop and gives what it said from its greeting on.
    pub async fn log_until_stopped(&mut self) -> Vec<String> {
        signal(&self.child, "TERM");
        let (_, stderr) = self.said.as_mut().expect("nobody records it");
        let mut log = Vec::new();
        while let Some(line) = soon(stderr.next_line()).await.expect("readable") {
            log.push(line);
        }
        log
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(mut self) -> std::process::ExitStatus {
        signal(&self.child, "TERM");
        let status = soon(self.child.wait()).await.expect("it can be waited for");
        if let Some((_, stderr)) = &mut self.said {
            while let Ok(Some(_)) = stderr.next_line().await {}
        }
        status
    }
}

/// A running peer whose events are read.
pub struct Peer {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    events: Lines<BufReader<ChildStderr>>,
    seen: Vec<Value>,
}

impl Peer {
    /// Starts `peersox ARGS… --server URL --json`.
    pub fn start(url: &str, args: &[&str]) -> Self {
        Self::start_with(url, args, &[])
    }

    /// The same with variables of its environment set.
    pub fn start_with(url: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command.args(args).args(["--server", url, "--json"]);
        quiet(&mut command).envs(environment.iter().copied());
        Self::run(command)
    }

    /// Runs a [`quiet`] command that becomes a peer and tells its events.
    pub fn run(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let events = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Self {
            child,
            stdin,
            stdout,
            events,
            seen: Vec::new(),
        }
    }

    /// Waits for the next event with this name.
    pub async fn event(&mut self, name: &str) -> Value {
        match self.event_or_end(name).await {
            Some(event) => event,
            None => panic!("no {name:?} among {:?}", self.seen),
        }
    }

    /// The same; nothing if it ends without.
    pub async fn event_or_end(&mut self, name: &str) -> Option<Value> {
        loop {
            let event = self.next().await?;
            if event["event"] == name {
                return Some(event);
            }
        }
    }

    /// What it says next, an event or a text; nothing once it has ended.
    async fn next(&mut self) -> Option<Value> {
        let line = soon(self.events.next_line()).await.expect("readable")?;
        let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
        self.seen.push(event.clone());
        Some(event)
    }

    /// The code it shows.
    pub async fn code(&mut self) -> String {
        code(&self.event("code").await)
    }

    /// The next code it shows; nothing if it ends without another.
    pub async fn code_or_end(&mut self) -> Option<String> {
        self.event_or_end("code").await.as_ref().map(code)
    }

    /// Waits for its end; gives all the events it ever told.
    pub async fn rest(&mut self) -> &[Value] {
        drop(self.stdin.take());
        while self.next().await.is_some() {}
        &self.seen
    }

    /// Whether it has told such an event, among those that were waited for.
    pub fn has_told(&self, name: &str) -> bool {
        self.seen.iter().any(|event| event["event"] == name)
    }

    /// Waits for its end; gives exit code and all it ever said that was no event, or was one about its
    /// failure.
    pub async fn end(mut self) -> (i32, String) {
        self.rest().await;
        let said = self.seen.iter().filter_map(|said| match said {
            Value::String(text) => Some(text.as_str()),
            event if event["event"] == "error" => event["message"].as_str(),
            _ => None,
        });
        let said = said.collect();
        let status = soon(self.child.wait()).await.expect("it can be waited for");
        (status.code().unwrap_or(-1), said)
    }

    /// All of its standard output, until it ends; its standard input, unless taken, ends at once.
    pub async fn output(&mut self) -> Vec<u8> {
        drop(self.stdin.take());
        let mut all = Vec::new();
        let mut stdout = self.stdout.take().expect("not taken before");
        soon(stdout.read_to_end(&mut all)).await.expect("readable");
        all
    }
}

fn code(event: &Value) -> String {
    event["code"].as_str().expect("a text").to_owned()
}

/// A port for TCP and UDP that stays free while nothing listens on it: below those that the system
/// chooses from, or a peer's attempt to connect could take it.
pub fn quiet_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests that run at the same time in different processes begin at different ports.
    let first = (std::process::id() % 1_000) as u16 * 10;
    let free = |port: &u16| {
        let address = ("127.0.0.1", *port);
        std::net::TcpListener::bind(address).is_ok() && std::net::UdpSocket::bind(address).is_ok()
    };
    (0..1_000)
        .map(|_| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(free)
        .expect("one of a thousand ports is free")
}

/// Sends a signal by name.
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &pid])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// The value of a future, or a failed test.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it takes too long")
}

/// Runs `serve` with each of these options, which it has to refuse: with this exit code, and with these
/// words. Gives all that it said.
pub async fn refuses(rows: &[(&[&str], i32, &str)]) -> String {
    let mut all = String::new();
    for (options, exit, expected) in rows {
        let mut command = Command::new(binary());
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(*options);
        let output = soon(quiet(&mut command).output()).await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*exit), "{options:?}: {said}");
        assert!(said.contains(expected), "{options:?}: {said}");
        all += &said;
    }
    all
}

/// The whole answer to a request for a path, as text.
pub async fn http_get(server: &str, path: &str) -> String {
    http_ask(server, path, "accept: */*").await
}

/// The same with this line in the head.
pub async fn http_ask(server: &str, path: &str, line: &str) -> String {
    let mut stream = TcpStream::connect(server).await.expect("it listens");
    let head = format!("host: {server}\r\n{line}\r\nconnection: close");
    let request = format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n");
    let asked = stream.write_all(request.as_bytes()).await;
    asked.expect("it reads requests");
    let mut told = String::new();
    soon(stream.read_to_string(&mut told))
        .await
        .expect("it answers in text");
    told
}

/// Bytes that do not repeat.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Gives a program pipes instead of a terminal, and nothing of this process's settings.
pub fn quiet(command: &mut Command) -> &mut Command {
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PEERSOX_") {
            command.env_remove(name);
        }
    }
    // What tests do to relays would not be noticed on a direct path. Those of direct paths say so.
    command
        .env("PEERSOX_PATH", "relay")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
}
