//! Keeps what the map promises: arrows between crates point down (law 6), the core decides and
//! touches no socket (law 1), and reads neither clock nor randomness (law 4). A shell decides nothing
//! (law 7). Documents name files that exist, and are a book.

mod book;
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each of our crates may name, for whatever purpose. `peersox-tests` and
/// `peersox-bench` may name all.
const ARROWS: [(&str, &[&str]); 14] = [
    ("peersox-proto", &[]),
    ("peersox-aead", &[]),
    ("peersox-codec", &[]),
    ("peersox-core", &["aead", "proto"]),
    ("peersox-control", &["core", "proto", "test-redis"]),
    ("peersox-relay", &["codec", "core", "proto"]),
    ("peersox-client", &["core", "proto", "web"]),
    ("peersox-client-wasm", &["core"]),
    ("peersox-transfer-wasm", &["core"]),
    ("peersox-client-wasm-bindgen", &[]),
    ("peersox-web", &[]),
    ("peersox-server", &["control", "relay", "core", "proto"]),
    ("peersox", &["server", "client", "core"]),
    ("peersox-test-redis", &[]),
];
const FREE: [&str; 2] = ["peersox-tests", "peersox-bench"];

/// Crates that bring sockets, an async runtime, a browser or system randomness: the core reaches
/// none of them, directly or through others.
const NOT_BELOW_CORE: [&str; 13] = [
    "async-std",
    "axum",
    "getrandom",
    "h2",
    "hyper",
    "mio",
    "quinn",
    "redis",
    "ring",
    "socket2",
    "tokio",
    "tonic",
    "web-sys",
];

/// The one exception: native programs seal with `ring`, which brings system randomness for parts of it that
/// core/aead does not call (`docs/decisions/019-ring-below-aead.md`).
const BELOW_AEAD: [&str; 2] = ["ring", "getrandom"];

/// What a rule asks for as an argument, or leaves to a shell.
///
/// An `IpAddr` is a value like any other; what opens a socket is not.
const NOT_IN_CORE: [&str; 15] = [
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "OsRng",
    "SystemRandom",
    "ring::rand",
    "thread_rng",
];

/// What only `client/src/platform` names: a program in a page has other sockets and no TLS of its own.
const NOT_OUTSIDE_PLATFORM: [&str; 9] = [
    "tokio::net",
    "quinn",
    "tungstenite",
    "rustls",
    "TcpStream",
    "UdpSocket",
    "peersox_web",
    "web_sys",
    "wasm_bindgen",
];

/// What a process has one of, and what its owner decides: the server is a library.
const NOT_IN_SERVER: [&str; 12] = [
    "std::env",
    "env::var",
    "std::process",
    "tokio::signal",
    "println!",
    "print!",
    "io::stdout",
    "io::stderr",
    "install_default",
    "set_global_default",
    "OnceLock",
    "static mut",
];

/// Backoff, timers and tasks: rules of [`peersox_core::attach`], and what only a platform does.
const NOT_IN_A_SHELL: [&str; 12] = [
    "<<",
    "shl(",
    "pow(",
    "saturating_mul",
    "next_u32",
    "next_u64",
    "jitter",
    "backoff",
    "tokio::time",
    "tokio::spawn",
    "Instant::now",
    "Then::",
];

/// What in `client/src` may hold time-outs: the platform those of sockets, the others those of calls to the
/// server.
const MAY_HOLD_TIMEOUTS: [&str; 4] = ["platform", "server.rs", "rpc", "rpc.rs"];

/// Where pages may wait: for core's next moment, for calls to the server, for the page to wake up; for what
/// the browser says of a failure, and for who takes over a call that was given up; and to throw what a
/// listener threw, at once.
const PAGES_MAY_WAIT: [&str; 7] = [
    "net/causes.ts",
    "net/joins.ts",
    "net/shell.ts",
    "net/grpc.ts",
    "net/control.ts",
    "net/wake.ts",
    "api/client.ts",
];

#[test]
fn arrows_point_down() {
    let mut wrong = Vec::new();
    for package in our_packages() {
        let name = text(&package["name"]);
        if FREE.contains(&name.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            wrong.push(format!(
                "{name} is not on the map: add its arrows to this test"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = text(&dependency["name"]);
            let Some(short) = to.strip_prefix("peersox-") else {
                continue;
            };
            if !allowed.contains(&short) {
                wrong.push(format!("{name} depends on {to}"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_core_takes_only_the_messages_of_the_language() {
    let packages = our_packages();
    let core = packages.iter().find(|p| p["name"] == "peersox-core");
    let dependencies = core.and_then(|p| p["dependencies"].as_array());
    for dependency in dependencies.expect("the core is in the workspace") {
        if dependency["name"] == "peersox-proto" {
            assert_eq!(dependency["features"], serde_json::json!(["messages"]));
        }
    }
}

#[test]
fn core_and_codec_reach_no_socket_and_no_runtime() {
    // In a page, and in a native program.
    let page = &["--target", "wasm32-unknown-unknown"][..];
    for (package, target, known) in [
        ("peersox-core", page, " peersox-proto "),
        ("peersox-core", &[], " peersox-proto "),
        ("peersox-codec", &[], " bytes "),
    ] {
        let tree = [
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--no-dedupe",
            "--prefix",
            "depth",
            "--format",
            " {p}",
        ];
        let tree = cargo(&[&tree[..], target].concat());
        assert!(tree.contains(known), "no dependencies read:\n{tree}");
        let allowed = if target.is_empty() {
            &BELOW_AEAD[..]
        } else {
            &[]
        };
        assert_none(&below_core(&tree, allowed));
    }
}

#[test]
fn what_the_core_reaches_is_recognised() {
    let tree = "0 peersox-core v1\n1 peersox-aead v1\n2 ring v0\n3 getrandom v0\n1 chrono v0\n";
    assert_none(&below_core(tree, &BELOW_AEAD));
    assert_eq!(below_core(tree, &[]).len(), 2);
    for beside in [
        "1 ring v0",
        "1 chrono v0\n2 getrandom v0",
        "1 peersox-aead v1\n2 mio v1",
    ] {
        let wrong = below_core(&format!("0 peersox-core v1\n{beside}"), &BELOW_AEAD);
        assert_eq!(wrong.len(), 1, "{beside}");
    }
}

/// What a tree of `cargo tree --prefix depth` shows that does not belong below core, unless it is below
/// core/aead and allowed there.
fn below_core(tree: &str, allowed_below_aead: &[&str]) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut wrong = Vec::new();
    for line in tree.lines() {
        let mut fields = line.split(' ');
        let depth = fields.next().and_then(|depth| depth.parse().ok());
        let (Some(depth), Some(name)) = (depth, fields.next()) else {
            panic!("no line of a tree: {line}");
        };
        path.truncate(depth);
        let in_aead = path.contains(&"peersox-aead") && allowed_below_aead.contains(&name);
        path.push(name);
        if NOT_BELOW_CORE.contains(&name) && !in_aead {
            wrong.push(path.join(" → "));
        }
    }
    wrong
}

/// Cargo compiles a dependency twice if tests want more of its features than the binary, and everything that
/// is built on it, too.
#[test]
fn tests_and_the_binary_share_what_is_compiled() {
    let features = |edges| {
        let tree = [
            "tree",
            "--workspace",
            "--prefix",
            "none",
            "--format",
            "{p} {f}",
        ];
        let tree = cargo(&[&tree[..], &["--edges", edges]].concat());
        let lines = tree.lines().map(|line| line.trim_end_matches(" (*)"));
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (tests, binary) = (features("normal,build,dev"), features("normal,build"));
    assert!(binary.len() > 100, "no dependencies read: {binary:?}");
    let wrong: Vec<_> = binary
        .difference(&tests)
        .map(|it| format!("tests want more features than `{it}`: name them in tests/Cargo.toml"))
        .collect();
    assert_none(&wrong);
}

#[test]
fn the_core_asks_for_time_and_randomness() {
    let mut wrong = Vec::new();
    let folders = ["core/src", "core/aead/src"].map(|it| root().join(it));
    for file in folders.iter().flat_map(|it| files(it, &["rs"])) {
        let is_test = |part: &str| ["testing", "testing.rs", "tests", "tests.rs"].contains(&part);
        if file.iter().any(|part| part.to_str().is_some_and(is_test)) {
            continue;
        }
        let source = read(&file);
        let rules = source.split("#[cfg(test)]\nmod tests").next();
        for (number, line) in rules.unwrap_or_default().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in NOT_IN_CORE.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_client_names_sockets_in_its_platform_only() {
    let source = root().join("client/src");
    let mut wrong = Vec::new();
    for file in files(&source, &["rs"]) {
        if file.starts_with(source.join("platform")) {
            continue;
        }
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in NOT_OUTSIDE_PLATFORM.iter().filter(|w| code.contains(**w)) {
                wrong.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_server_leaves_the_process_to_its_embedder() {
    let mut wrong = Vec::new();
    for file in files(&root().join("server/src"), &["rs"]) {
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in NOT_IN_SERVER.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    assert_none(&wrong);
}

/// Law 7: a shell asks core when and whether, and core judges close numbers. `Done` is what a peer says that
/// hangs up.
#[test]
fn the_client_decides_nothing_about_a_leg() {
    let source = root().join("client/src");
    let mut wrong = Vec::new();
    for file in files(&source, &["rs"]) {
        let inside = file.strip_prefix(&source).expect("it is inside");
        if MAY_HOLD_TIMEOUTS.iter().any(|it| inside.starts_with(it)) {
            continue;
        }
        let source = read(&file);
        let shell = source.split("#[cfg(test)]\nmod tests").next();
        for (number, line) in shell.unwrap_or_default().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for decision in decisions(code) {
                wrong.push(format!("{}:{}: {decision}", file.display(), number + 1));
            }
        }
    }
    assert_none(&wrong);
}

/// The same for pages. `shell.ts` has the one timer that rings when core says so.
#[test]
fn the_shell_of_pages_decides_nothing_about_a_leg() {
    let source = root().join("client-wasm/js/src");
    let mut wrong = Vec::new();
    for file in files(&source, &["ts"]) {
        let inside = file.strip_prefix(&source).expect("it is inside");
        let may_wait = PAGES_MAY_WAIT.iter().any(|it| inside == Path::new(it));
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is_comment = ["*", "/*"]
                .iter()
                .any(|it| code.trim_start().starts_with(it));
            if is_comment {
                continue;
            }
            let mut words = vec!["setInterval", "Math.random"];
            if !may_wait {
                words.push("setTimeout");
            }
            let words = words.into_iter().filter(|word| code.contains(word));
            let found = words.map(str::to_owned).chain(close_numbers(code));
            wrong.extend(found.map(|it| format!("{}:{}: {it}", file.display(), number + 1)));
        }
    }
    assert_none(&wrong);
}

#[test]
fn decisions_of_a_shell_are_recognised() {
    for decides in [
        "let pause = Duration::from_millis(100) * failures;",
        "const PATIENCE: Duration = Duration::from_secs(600);",
        "CloseReason::Replaced => return,",
        "4_003 | 4001 => {}",
        "Duration::from_millis(100 << doublings)",
        "tokio::time::sleep(pause).await",
    ] {
        assert!(!decisions(decides).is_empty(), "{decides}");
    }
    for obeys in [
        "self.legs.hang_up(leg, Some(CloseReason::Done));",
        "let grace = Duration::from_millis(grace_millis.into());",
        "let size = 64 * 1024 * 1024 + 14001;",
        "use peersox_core::close::CloseReason;",
    ] {
        assert_eq!(decisions(obeys), Vec::<String>::new());
    }
}

/// What in a line of a shell decides for itself.
fn decisions(code: &str) -> Vec<String> {
    let after = |word| code.split(word).skip(1);
    let words = NOT_IN_A_SHELL.iter().filter(|word| code.contains(**word));
    let mut found: Vec<_> = words.map(|word| (*word).to_owned()).collect();
    // A duration that is written here, not one that somebody said.
    let durations =
        after("Duration::from_").filter_map(|rest| rest.split_once('(')?.1.chars().next());
    found.extend(
        durations
            .filter(char::is_ascii_digit)
            .map(|_| "a duration".into()),
    );
    let reasons = after("CloseReason::").filter(|rest| !rest.starts_with("Done"));
    found.extend(reasons.map(|_| "a close reason".into()));
    found.extend(close_numbers(code));
    found
}

/// The numbers of [`peersox_core::close`] that are written in a line.
fn close_numbers(code: &str) -> Vec<String> {
    let digits = code.replace('_', "");
    let numbers = digits.split(|c: char| !c.is_ascii_digit());
    let is_close = |number: &&str| {
        let number = number.parse();
        number.is_ok_and(|it: u32| (4_000..=4_018).contains(&it))
    };
    let found = numbers.filter(is_close);
    found
        .map(|number| format!("close number {number}"))
        .collect()
}

fn our_packages() -> Vec<Value> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo metadata prints JSON");
    metadata["packages"]
        .as_array()
        .expect("it lists packages")
        .clone()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("the cargo that built this test runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests crate has a parent folder")
        .to_path_buf()
}

/// Every file below `folder` with one of these endings, less what is built, fetched or hidden.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the source tree can be read") {
        let path = entry.expect("the source tree can be read").path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
                found.extend(files(&path, endings));
            }
        } else if endings
            .iter()
            .any(|ending| path.extension().is_some_and(|e| e == *ending))
        {
            found.push(path);
        }
    }
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("a source file is UTF-8")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
