//! What a person sees and types at a terminal: a pseudo-terminal that `script` (util-linux) opens.

use std::process::Stdio;

use peersox_client::Words;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::harness::{Peer, Server, binary, quiet, soon};

/// A command at a terminal.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// What it has shown since the last text that was waited for.
    seen: String,
}

impl Terminal {
    pub fn start(size: (u16, u16), environment: &[(&str, &str)], args: &str) -> Self {
        let (columns, rows) = size;
        let line = format!(
            "stty cols {columns} rows {rows}; exec {} {args}",
            binary().display()
        );
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env_remove("NO_COLOR")
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm");
        let command = quiet(&mut command).stdin(Stdio::piped());
        let mut child = command.envs(environment.iter().copied()).spawn().unwrap();
        Self {
            keys: child.stdin.take().unwrap(),
            screen: child.stdout.take().unwrap(),
            child,
            seen: String::new(),
        }
    }

    /// Reads on until this text is shown; gives what was shown since the last one.
    pub async fn shows(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let mut piece = [0; 4096];
            let read = soon(self.screen.read(&mut piece)).await.unwrap_or(0);
            assert!(read > 0, "it ended without {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }

    pub async fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
    }

    /// Its exit code, and what it showed since the last text that was waited for.
    pub async fn end(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        let _ = soon(self.screen.read_to_end(&mut rest)).await;
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        let status = soon(self.child.wait()).await.unwrap();
        (status.code().unwrap_or(-1), self.seen)
    }
}

/// Whether this machine has an address that others could call.
fn has_network() -> bool {
    std::fs::read_to_string("/proc/net/route").is_ok_and(|routes| routes.lines().count() > 1)
}

#[tokio::test]
async fn a_picture_has_colours_of_its_own_and_is_drawn_where_it_can_be_read() {
    if !has_network() {
        // There is no link that a telephone could follow.
        return;
    }
    let server = Server::start(&["--listen", "0.0.0.0:0"]).await;
    let roomy = (80, 50);
    let none = (false, false);
    let cases = [
        (roomy, ("LANG", ""), "", (true, true)),
        (roomy, ("LANG", ""), "--no-qr", none),
        (roomy, ("PEERSOX_NO_QR", "1"), "", none),
        (roomy, ("NO_COLOR", "1"), "", none),
        (roomy, ("TERM", "dumb"), "", none),
        (roomy, ("TERM", "vt100"), "", none),
        ((30, 50), ("LANG", ""), "", none),
        ((100, 60), ("LC_ALL", "C"), "", (true, false)),
        ((40, 24), ("LC_ALL", "C"), "", none),
    ];
    let shown = cases.map(async |(size, variable, options, (picture, blocks))| {
        let line = format!("ping --wait 5 {options} --server {}", server.url());
        let (_, shown) = Terminal::start(size, &[variable], &line).end().await;
        let case = format!("{size:?} {variable:?} {options}: {shown:?}");
        assert!(
            shown.contains("on the other device: peersox ping"),
            "{case}"
        );
        assert_eq!(shown.contains("107m"), picture, "{case}");
        assert_eq!(shown.contains('█'), blocks, "{case}");
        // No other sequence is written either.
        assert_eq!(shown.contains('\u{1b}'), picture, "{case}");
    });
    futures_util::future::join_all(shown).await;
}

#[tokio::test]
async fn a_code_is_asked_for_and_its_words_are_completed() {
    let server = Server::start(&[]).await;
    let mut shows = Peer::start(&server.url(), &["send", "/bin/true"]);
    let code = shows.code().await;
    let dir = tempfile::tempdir().unwrap();
    let args = format!(
        "receive -y -o {} --server {}",
        dir.path().display(),
        server.url()
    );
    let mut types = Terminal::start((80, 24), &[], &args);
    types.shows("code (Tab").await;
    types.types("what\r").await;
    types.shows("must begin with its digits").await;
    // As many letters of the last word as it takes until it is the first that begins so.
    let (front, word) = code.rsplit_once('-').unwrap();
    let is_first = |len: &usize| {
        let found = Words::list()
            .iter()
            .find(|it| it.starts_with(&word[..*len]));
        *found.unwrap() == word
    };
    let len = (1..=word.len()).find(is_first).unwrap();
    types.types(&format!("{front}-{}\t", &word[..len])).await;
    types.shows(word).await;
    types.types("\r").await;
    let (exit, shown) = types.end().await;
    assert_eq!(exit, 0, "{shown}");
    assert!(dir.path().join("true").exists());

    // Without a terminal nobody can be asked.
    let (exit, said) = Peer::start(&server.url(), &["receive"]).end().await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("PEERSOX_CODE"), "{said}");
    let (exit, shown) = {
        let mut asked = Terminal::start((80, 24), &[], &args);
        asked.shows("code (Tab").await;
        asked.types("\u{3}").await;
        asked.end().await
    };
    assert_eq!(exit, 130, "{shown}");
}

#[tokio::test]
async fn a_code_is_taken_in_every_form_and_leaves_the_list_of_processes() {
    let server = Server::start(&[]).await;
    let url = server.url();
    for form in 0..6 {
        let mut shows = Peer::start(&url, &["connect"]);
        let code = shows.code().await;
        let spoken = code.to_uppercase().replace('-', " ");
        let link = format!("{url}/#{code}");
        let parts: Vec<&str> = spoken.split(' ').collect();
        let connect = [&["connect"], &parts[..]].concat();
        let (args, variable): (Vec<&str>, &str) = match form {
            0 => (connect, ""),
            1 => (vec!["connect", &link], ""),
            2 => (vec!["connect"], &code),
            3 => (vec!["receive", "-y", &code], ""),
            4 => (vec![&code, "-y"], ""),
            _ => (vec!["receive", "-y", "-"], ""),
        };
        let mut types = Peer::start_with(&url, &args, &[("PEERSOX_CODE", variable)]);
        if form == 5 {
            let mut stdin = types.stdin.take().unwrap();
            stdin
                .write_all(format!("{code}\n").as_bytes())
                .await
                .unwrap();
        }
        types.event("connected").await;
        let pid = types.child.id().unwrap();
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let arguments = String::from_utf8(arguments).unwrap().to_lowercase();
        for part in code.split('-') {
            assert!(!arguments.contains(part), "form {form}: {arguments:?}");
        }
    }
    let (exit, said) = Peer::start(&url, &["connect", "http://h/"]).end().await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("holds no code"), "{said}");
}

#[tokio::test]
async fn what_is_shown_for_the_other_device_works_there() {
    for (listen, reachable) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let server = Server::start(&["--listen", listen]).await;
        let mut shows = Peer::start(&server.url(), &["ping"]);
        let event = shows.event("code").await;
        let shown = event["server"].as_str().unwrap();
        let local = shown.contains("127.0.0.1");
        // A machine without a network has nothing better.
        let lan = has_network();
        assert_eq!(!local, reachable && lan, "{event}");
        let mut measures =
            Peer::start(shown, &["ping", event["code"].as_str().unwrap(), "-n", "1"]);
        measures.event("connected").await;
        assert_eq!(measures.end().await.0, 0);
    }
}

#[tokio::test]
async fn json_is_json_to_the_last_line() {
    let server = Server::start(&[]).await;
    let url = server.url();
    for (args, code) in [
        (
            &[
                "--json",
                "send",
                "/bin/true",
                "--wait",
                "1",
                "--server",
                &url,
            ][..],
            5,
        ),
        (&["receive", "-y", "000000", "--json", "--server", &url], 3),
        (&["receive", "-y", "1", "--json", "--server", &url], 2),
        (&["send", "--json", "--nonsense"], 2),
        (&["--json", "--server", "nonsense", "ping"], 2),
        (&["send", "/nonexistent", "--json", "--server", &url], 7),
    ] {
        let mut command = Command::new(binary());
        let output = soon(quiet(command.args(args)).output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        let events: Vec<serde_json::Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{args:?}: {line}")))
            .collect();
        let last = events.last().unwrap();
        assert_eq!(last["event"], "error", "{args:?}: {last}");
        assert_eq!(last["exit"], code, "{args:?}");
    }
}

/// What a terminal shows of a text: without what moves its cursor or changes its colours.
fn plain(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |shown, piece| {
        let end = piece.find(|it: char| it.is_ascii_alphabetic());
        shown + end.map_or("", |end| &piece[end + 1..])
    })
}

#[tokio::test]
async fn a_bar_takes_one_line_of_a_narrow_terminal() {
    let widths = [28, 32, 40];
    let transfers = futures_util::future::join_all(widths.map(shown_of_a_transfer)).await;
    for (columns, shown) in widths.into_iter().zip(transfers) {
        let lines = shown.split(['\r', '\n']);
        let bars = lines.filter(|line| line.contains(" %"));
        let widths: Vec<_> = bars.map(|line| line.chars().count()).collect();
        let fits = |width: &usize| *width <= usize::from(columns);
        assert!(
            !widths.is_empty() && widths.iter().all(fits),
            "{columns}: {shown:?}"
        );
    }
}

/// What a sender shows at a terminal of this width, up to its last line.
async fn shown_of_a_transfer(columns: u16) -> String {
    let server = Server::start(&["--leg-rate", "1000000"]).await;
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("a-name-that-is-too-long-for-it");
    std::fs::write(&large, vec![1; 4_000_000]).unwrap();
    let line = format!("send --no-qr --server {} {}", server.url(), large.display());
    let mut sender = Terminal::start((columns, 24), &[], &line);
    let said = sender.shows("on the other device").await;
    let code = said.split("code: ").nth(1).unwrap();
    let code = code.split_whitespace().next().unwrap();
    let into = folder.path().join("into");
    let receive = ["receive", "-y", "-o", into.to_str().unwrap(), code];
    let receiver = Peer::start(&server.url(), &receive);
    let shown = plain(&sender.shows("sent 1 file").await);
    assert_eq!(receiver.end().await, (0, String::new()));
    assert_eq!(sender.end().await.0, 0);
    shown
}

#[tokio::test]
async fn without_colours_the_log_has_none() {
    for (environment, colours) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let mut serves = Terminal::start((80, 24), environment, "serve --listen 127.0.0.1:0");
        let said = serves.shows("listens for this machine only").await;
        assert!(said.contains("listening"), "{said:?}");
        assert_eq!(said.contains('\u{1b}'), colours, "{said:?}");
        serves.types("\u{3}").await;
        assert_eq!(serves.end().await.0, 0);
    }
}

#[tokio::test]
async fn a_path_that_no_server_has_is_refused() {
    let server = Server::start(&[]).await;
    let url = format!("{}/foo", server.url());
    let (exit, said) = Peer::start(&url, &["send", "/bin/true"]).end().await;
    assert_eq!(exit, 5, "{said}");
    assert!(said.contains("404"), "{said}");
}

/// Ctrl-C takes the bar away, and a terminal without UTF-8 gets ASCII.
#[tokio::test]
async fn a_transfer_that_is_interrupted_leaves_no_bar() {
    let server = Server::start(&["--leg-rate", "1000000"]).await;
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large");
    std::fs::write(&large, vec![1; 60_000_000]).unwrap();
    for locale in ["C.UTF-8", "C"] {
        let line = format!("send --no-qr --server {} {}", server.url(), large.display());
        let mut sender = Terminal::start((80, 24), &[("LC_ALL", locale)], &line);
        let said = sender.shows("on the other device").await;
        let code = said.split("code: ").nth(1).unwrap();
        let code = code.split_whitespace().next().unwrap();
        let into = tempfile::tempdir().unwrap();
        let into = into.path().to_str().unwrap();
        let receiver = Peer::start(&server.url(), &["receive", "-y", "-o", into, code]);
        let bar = sender.shows("MiB/s").await + &sender.shows("large").await;
        sender.types("\u{3}").await;
        let (exit, rest) = sender.end().await;
        assert_eq!(exit, 130, "{rest:?}");
        let last = rest.rsplit("\u{1b}[2K").next().unwrap();
        assert!(
            rest.contains("\u{1b}[2K") && !last.contains('%'),
            "{rest:?}"
        );
        assert_eq!(bar.contains('·'), locale != "C", "{bar:?}");
        receiver.end().await;
    }
}
