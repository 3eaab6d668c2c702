//! The examples of the client, as real programs against the real server, and the lines that README.md shows.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::harness::{Server, example, noise, quiet, signal, soon};

/// A running example.
struct Example {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Example {
    fn start(server: &Server, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(example(name));
        command.args(arguments).stdin(Stdio::piped());
        let mut child = quiet(&mut command)
            .env("PEERSOX_SERVER", server.url())
            .spawn()
            .expect("the example starts");
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().expect("piped")).lines(),
            stderr: BufReader::new(child.stderr.take().expect("piped")).lines(),
            child,
        }
    }

    /// The rest of the next line of standard error that begins so.
    async fn said(&mut self, beginning: &str) -> String {
        let mut lines = Vec::new();
        while let Some(line) = soon(self.stderr.next_line()).await.expect("readable") {
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
            lines.push(line);
        }
        panic!("{beginning:?} is not among {lines:?}");
    }

    async fn code(&mut self) -> String {
        self.said("code: ").await
    }

    async fn printed(&mut self) -> Option<String> {
        soon(self.stdout.next_line()).await.expect("readable")
    }

    async fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(text.as_bytes()).await.expect("writable");
    }

    /// Waits for its end; gives its exit code and its last line of standard error.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut last = String::new();
        while let Some(line) = soon(self.stderr.next_line()).await.expect("readable") {
            last = line;
        }
        let status = soon(self.child.wait()).await.expect("it can be waited for");
        (status.code(), last)
    }
}

#[tokio::test]
async fn chat_carries_lines_both_ways_until_one_side_has_no_more() {
    let server = Server::start(&[]).await;
    let mut here = Example::start(&server, "chat", &[]);
    let code = here.code().await;
    let mut there = Example::start(&server, "chat", &[&code]);
    let phrase = here.said("connected; both sides see: ").await;
    assert_eq!(there.said("connected; both sides see: ").await, phrase);

    here.type_in("grüß dich\n\nPING\n").await;
    for line in ["grüß dich", "", "PING"] {
        assert_eq!(there.printed().await.as_deref(), Some(line));
    }
    there.type_in("good day\n").await;
    assert_eq!(here.printed().await.as_deref(), Some("good day"));

    there.type_in("one last word").await;
    there.stdin.take();
    assert_eq!(here.printed().await.as_deref(), Some("one last word"));
    assert_eq!(here.end().await, (Some(0), "the other side left".into()));
    assert_eq!(there.end().await.0, Some(0));
}

#[tokio::test]
async fn file_is_copied_and_never_overwrites() {
    let server = Server::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, content) in [("empty", vec![]), ("large", noise(5_000_000, 1))] {
        let (original, copy) = (path(name), path(&format!("{name}.copy")));
        std::fs::write(&original, &content).unwrap();
        let mut sends = Example::start(&server, "file", &["send", &original]);
        let code = sends.code().await;

        let taken = Example::start(&server, "file", &["receive", &code, &original]);
        let (exit, why) = taken.end().await;
        assert_eq!(exit, Some(1), "{why}");
        assert!(why.contains("File exists"), "{why}");

        // The refusal spent no code.
        let receives = Example::start(&server, "file", &["receive", &code, &copy]);
        assert_eq!(receives.end().await.0, Some(0), "{name}");
        assert_eq!(sends.end().await.0, Some(0), "{name}");
        assert!(std::fs::read(&original).unwrap() == content, "{name}");
        assert!(std::fs::read(&copy).unwrap() == content, "{name}");
    }
    // A code that nobody shows leaves no file behind.
    let copy = path("nothing");
    let arguments = ["receive", "481920-tulip-ember", &copy];
    let receives = Example::start(&server, "file", &arguments);
    assert_eq!(receives.end().await.0, Some(1));
    assert!(!Path::new(&copy).exists());
}

#[tokio::test]
async fn forward_carries_connections_and_survives_a_refused_one() {
    let server = Server::start(&[]).await;
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = service.local_addr().unwrap().to_string();
    let mut listens = Example::start(&server, "forward", &["listen", "0"]);
    let code = listens.code().await;
    let mut connects = Example::start(&server, "forward", &["connect", &code, &target]);
    let address = listens.said("listening on ").await;

    let request = noise(3_000_000, 2);
    for _ in 0..2 {
        let exchange = async {
            let (read, mut write) = TcpStream::connect(&address).await.unwrap().into_split();
            let (mut there, _) = service.accept().await.unwrap();
            let asks = async {
                write.write_all(&request).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let answers = async {
                let mut heard = Vec::new();
                there.read_to_end(&mut heard).await.unwrap();
                assert!(heard == request);
                // The other direction still works after the first has ended.
                there.write_all(&heard[..100_000]).await.unwrap();
                drop(there);
            };
            let mut answer = Vec::new();
            let mut read = read.take(u64::MAX);
            let (_, (), ()) = tokio::join!(read.read_to_end(&mut answer), asks, answers);
            assert!(answer == request[..100_000]);
        };
        soon(exchange).await;
    }

    drop(service);
    let mut refused = TcpStream::connect(&address).await.unwrap();
    let ended = soon(refused.read(&mut [0])).await;
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
    connects.said("a connection broke: ").await;
    listens.said("a connection broke: ").await;

    signal(&connects.child, "INT");
    assert_eq!(connects.end().await.0, Some(0));
    assert_eq!(listens.end().await.0, Some(0));
}

#[tokio::test]
async fn datagrams_are_counted_on_both_sides() {
    let server = Server::start(&[]).await;
    let mut here = Example::start(&server, "datagrams", &[]);
    let code = here.code().await;
    let mut there = Example::start(&server, "datagrams", &[&code]);
    for side in [&mut here, &mut there] {
        let told = side.printed().await.expect("it says how many arrived");
        let words = told.split([' ', ',']);
        let numbers: Vec<u32> = words.filter_map(|word| word.parse().ok()).collect();
        let [arrived, sent, _late] = numbers[..] else {
            panic!("{told}")
        };
        assert_eq!(sent, 120, "{told}");
        // A datagram may be lost on a busy machine, too.
        assert!((60..=120).contains(&arrived), "{told}");
    }
    assert_eq!(here.end().await.0, Some(0));
    assert_eq!(there.end().await.0, Some(0));
}

/// The blocks of Rust code in README.md are compiled: crate pages begin with them.
#[test]
fn readme_shows_what_the_crate_pages_show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path| std::fs::read_to_string(root.join(path)).unwrap();
    let readme = read("README.md");
    let blocks: Vec<&str> = readme.split("```rust\n").skip(1).collect();
    let pages = ["client/src/lib.rs", "server/src/lib.rs"];
    assert_eq!(blocks.len(), pages.len(), "a block is compiled by no page");
    for (block, page) in blocks.into_iter().zip(pages) {
        let shown: Vec<&str> = block.lines().take_while(|line| *line != "```").collect();
        let source = read(page);
        let compiled: Vec<&str> = source
            .lines()
            .skip_while(|line| *line != "//! ```no_run")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.strip_prefix("//! ").unwrap_or(""))
            // What begins so is compiled and not shown.
            .filter(|line| *line != "#" && !line.starts_with("# "))
            .collect();
        assert_eq!(shown, compiled, "README.md differs from {page}");
        assert!(shown.len() >= 10, "{shown:?}");
    }
}
