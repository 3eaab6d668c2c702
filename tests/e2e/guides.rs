//! What the tour, the guides and the comparison tell people to type works as it stands there, and the code
//! that they show is that of examples which other tests run.
//!
//! A block of `sh` without a file above it is typed by [`types`]; a `text` below it is what it says:
//!
//! ```text
//! # here                       the first line names the device: its home, where it is typed
//! peersox send list.txt
//!
//! code: 481920-tulip-ember     `…` stands for what differs; this code for the one that is shown
//! ```
//!
//! Any other block names the file that it is a part of, in a comment above it:
//! `<!-- client/examples/chat.rs -->`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};

use crate::harness::{PATIENCE, binary, quiet_port};

/// What pages call the code that was shown last.
const CODE: &str = "481920-tulip-ember";

/// Ports that pages name. Each page gets others in their place.
const PORTS: [&str; 2] = [":3000", ":9464"];

/// What a command says that goes on until another one does something. The next block is typed meanwhile.
const GOES_ON: [&str; 3] = ["code: ", "PeerSox is ready at ", "waiting for "];

/// Pages of which every block is typed.
const TYPED: [&str; 3] = ["docs/tour.md", "docs/compare.md", "docs/guides/operator.md"];

/// Whose examples other tests run.
const TESTED: [&str; 4] = [
    "client/examples/",
    "client-wasm/js/examples/",
    "server/examples/embed/",
    "tests/interop/python/",
];

#[test]
fn the_tour_works() {
    types(TYPED[0]);
}

#[test]
fn what_operators_are_told_works() {
    types(TYPED[2]);
}

#[test]
fn what_is_said_of_us_beside_others_is_so() {
    types(TYPED[1]);
}

#[test]
fn code_in_guides_is_that_of_examples() {
    let guides = fs::read_dir(root().join("docs/guides")).unwrap();
    let guides = guides.map(|entry| entry.unwrap().path());
    let typed = TYPED.map(|page| root().join(page));
    let mut parts = 0;
    for page in guides.chain(typed.clone()) {
        let is_typed = typed.contains(&page);
        let text = fs::read_to_string(&page).unwrap();
        for block in blocks(&text) {
            let at = format!("{}:{}", page.display(), block.line);
            let Some(file) = block.file else {
                assert!(is_typed, "{at}: of no file");
                assert!(["sh", "text"].contains(&block.language), "{at}: of no file");
                continue;
            };
            assert!(TESTED.iter().any(|it| file.starts_with(it)), "{at}: {file}");
            let source = fs::read_to_string(root().join(file)).unwrap();
            assert!(is_part(&block.lines, &source), "{at} is no part of {file}");
            parts += 1;
        }
    }
    assert!(parts >= 10, "{parts} blocks were compared");
}

#[test]
fn parts_of_files_are_recognised() {
    let source = "//! Says:\n//!\n//! one\n//!   two\n\n    three\n\n        four\n";
    for (part, is_one) in [
        ("one\n  two", true),
        ("three\n\n    four", true),
        ("three\n\nfour", false),
        ("one\ntwo", false),
        ("ree", false),
    ] {
        let lines: Vec<&str> = part.lines().collect();
        assert_eq!(is_part(&lines, source), is_one, "{part}");
    }
    assert!(matches("sent … over …; done", "sent 1 over relay; done"));
    assert!(!matches("sent … over …; done", "sent 1 over relay; done!"));
}

/// Types all that a page has to be typed, each block when what the one before it says has been said.
fn types(page: &str) {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let ports = PORTS.map(|written| (written, format!(":{}", quiet_port())));
    let folder = tempfile::tempdir().unwrap();
    let mut code = String::new();
    let mut running = Vec::new();
    let blocks = blocks(&text);
    let typed = |block: &Block| block.language == "sh" && block.file.is_none();
    assert!(blocks.iter().filter(|it| typed(it)).count() >= 5, "{page}");
    for (number, block) in blocks.iter().enumerate() {
        if !typed(block) {
            continue;
        }
        let said = blocks.get(number + 1).filter(|it| it.language == "text");
        let said = said.map_or(Vec::new(), |it| it.lines.clone());
        let script = typed_for(&block.lines.join("\n"), &code, &ports);
        let at = format!("{page}:{}", block.line);
        let mut command = Running::start(&script, folder.path(), &ports[0].1, at);
        let heard = command.says(&said);
        let goes_on = heard
            .iter()
            .any(|line| GOES_ON.iter().any(|it| line.starts_with(it)));
        let shown = heard.iter().find_map(|line| line.strip_prefix("code: "));
        if let Some(shown) = shown {
            code = shown.to_owned();
        }
        if goes_on {
            running.push(command);
        } else {
            command.ends_well();
        }
    }
    for mut command in running.into_iter().rev() {
        // A server goes on for ever, and a command whose code was spent shows another.
        if command.has_ended() {
            command.ends_well();
        }
    }
}

/// What is typed in place of what is written: with the present code, and ports that are free.
fn typed_for(script: &str, code: &str, ports: &[(&str, String)]) -> String {
    let mut script = script.to_owned();
    // The whole code, and the code without its last word.
    let shorter = |code: &str| code.rsplit_once('-').map(|(rest, _)| rest.to_owned());
    if let (Some(written), Some(real)) = (shorter(CODE), shorter(code)) {
        script = script.replace(CODE, code).replace(&written, &real);
    }
    for (written, free) in ports {
        script = script.replace(written, free);
    }
    script
}

/// A block that was typed, with all that it started. Nothing of it is left when this is dropped.
struct Running {
    at: String,
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    fn start(script: &str, folder: &Path, port: &str, at: String) -> Self {
        let first = script
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "));
        let home = folder.join(first.expect("the first line names a device"));
        fs::create_dir_all(&home).unwrap();
        let programs = binary().parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut child = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(&home)
            .env_clear()
            .env("HOME", &home)
            .env("LANG", "C.UTF-8")
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("PEERSOX_LISTEN", format!("127.0.0.1{port}"))
            .env("PEERSOX_SERVER", format!("http://127.0.0.1{port}"))
            .env("PEERSOX_NO_QR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("bash runs");
        let (told, lines) = mpsc::channel();
        tell(child.stdout.take().unwrap(), told.clone());
        tell(child.stderr.take().unwrap(), told);
        Self {
            at,
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits until it has said each of these lines, in whatever order; gives those that it said.
    fn says(&mut self, expected: &[&str]) -> Vec<String> {
        let mut left: Vec<String> = expected.iter().map(|it| it.replace(CODE, "…")).collect();
        let mut heard = Vec::new();
        while !left.is_empty() {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("{}: {left:?} is not among {:?}", self.at, self.said);
            };
            self.said.push(line.clone());
            if let Some(found) = left.iter().position(|it| matches(it, &line)) {
                left.remove(found);
                heard.push(line);
            }
        }
        heard
    }

    /// Waits for its end.
    fn ends_well(&mut self) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{} goes on: {:?}", self.at, self.said),
            }
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}: {status}: {:?}", self.at, self.said);
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let kill = Command::new("kill")
            .args(["-s", "KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        // It may have ended.
        let _ = (kill, self.child.wait());
    }
}

/// Sends each line that is read, until there are no more.
fn tell(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // What nobody waits for is read all the same.
            let _ = to.send(line);
        }
    });
}

/// Whether a line is as expected, with anything in place of each `…`.
fn matches(expected: &str, line: &str) -> bool {
    let Some((first, rest)) = expected.split_once('…') else {
        return expected == line;
    };
    let Some(mut line) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = line.split_once(part) else {
            return false;
        };
        line = after;
    }
    line.ends_with(last)
}

/// Whether lines are consecutive ones of a source, all indented further by the same space, or in the comment
/// at its head.
fn is_part(lines: &[&str], source: &str) -> bool {
    let source: Vec<&str> = source.lines().collect();
    source.windows(lines.len()).any(|there| {
        let indent = there[0].strip_suffix(lines[0]);
        let Some(indent) = indent.filter(|it| ["", "//!"].contains(&it.trim())) else {
            return false;
        };
        let pairs = lines.iter().zip(there);
        pairs.into_iter().all(|(line, there)| match *line {
            "" => there.trim() == indent.trim(),
            line => there.strip_prefix(indent) == Some(line),
        })
    })
}

/// A block of code of a page.
pub struct Block<'a> {
    /// The line of the page where it begins.
    line: usize,
    pub language: &'a str,
    file: Option<&'a str>,
    pub lines: Vec<&'a str>,
}

pub fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let file = before.strip_prefix("<!-- ");
            let inside = lines.by_ref().map(|(_, line)| line);
            found.push(Block {
                line: number + 1,
                language,
                file: file.and_then(|it| it.strip_suffix(" -->")),
                lines: inside.take_while(|line| *line != "```").collect(),
            });
        }
        before = line;
    }
    found
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
