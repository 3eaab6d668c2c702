//! What a person sees and types at a terminal: a pseudo-terminal that `script` (util-linux) opens.

use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::harness::{Peer, Server, binary, quiet, soon};

/// A command at a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    fn start(size: (u16, u16), environment: &[(&str, &str)], args: &str) -> Self {
        let (columns, rows) = size;
        let line = format!(
            "stty cols {columns} rows {rows}; exec {} {args}",
            binary().display()
        );
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env_remove("NO_COLOR")
            .env_remove("PEERSOX_CODE")
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

    /// Reads on until this text was shown.
    async fn shows(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let mut piece = [0; 4096];
            let read = soon(self.screen.read(&mut piece)).await.unwrap_or(0);
            assert!(read > 0, "it ended without {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }

    async fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
    }

    async fn end(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        let _ = soon(self.screen.read_to_end(&mut rest)).await;
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        let status = soon(self.child.wait()).await.unwrap();
        (status.code().unwrap_or(-1), self.seen)
    }
}

#[tokio::test]
async fn a_picture_has_colours_of_its_own_and_is_drawn_where_it_can_be_read() {
    // The link in the picture has to work on a telephone.
    let server = Server::start(&["--listen", "0.0.0.0:0"]).await;
    let ping = |options: &str| format!("ping --wait 1 {options} --server {}", server.url());
    let has_picture = async |size, environment: &[(&str, &str)], options: &str| {
        let shown = Terminal::start(size, environment, &ping(options))
            .end()
            .await
            .1;
        assert!(
            shown.contains("on the other device: peersox ping"),
            "{shown}"
        );
        let picture = shown.contains("107m");
        assert_eq!(
            picture,
            shown.contains('\u{1b}'),
            "other sequences: {shown:?}"
        );
        (picture, shown.contains('█'))
    };
    let roomy = (80, 50);
    assert_eq!(has_picture(roomy, &[], "").await, (true, true));
    assert_eq!(has_picture(roomy, &[], "--no-qr").await, (false, false));
    for none in [
        ("NO_COLOR", "1"),
        ("TERM", "dumb"),
        ("TERM", "vt100"),
        ("PEERSOX_NO_QR", "1"),
    ] {
        assert_eq!(
            has_picture(roomy, &[none], "").await,
            (false, false),
            "{none:?}"
        );
    }
    let ascii = [("LC_ALL", "C")];
    assert_eq!(has_picture((100, 60), &ascii, "").await, (true, false));
    assert_eq!(has_picture((40, 24), &ascii, "").await, (false, false));
    assert_eq!(has_picture((30, 50), &[], "").await, (false, false));
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
    // A word is complete with its last letter missing if no other word begins like it.
    let (last, front) = (code.chars().next_back().unwrap(), &code[..code.len() - 1]);
    types.types(&format!("{front}\t")).await;
    types
        .shows(&format!("{}{last}", &front[front.rfind('-').unwrap()..]))
        .await;
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
            4 => (vec![&code], ""),
            _ => (vec!["receive", "-"], ""),
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
        let lan = std::fs::read_to_string("/proc/net/route")
            .unwrap()
            .lines()
            .count()
            > 1;
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
        (&["receive", "000000", "--json", "--server", &url], 3),
        (&["receive", "1", "--json", "--server", &url], 2),
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

#[tokio::test]
async fn commands_that_do_not_fit_say_so_on_both_sides() {
    let server = Server::start(&[]).await;
    let mut sends = Peer::start(&server.url(), &["send", "/bin/true"]);
    let code = sends.code().await;
    let joins = Peer::start(&server.url(), &["connect", &code]);
    let (exit, said) = joins.end().await;
    assert_eq!(exit, 2, "{said}");
    assert!(
        said.contains("`peersox send`") && said.contains("`peersox receive`"),
        "{said}"
    );
    let (exit, said) = sends.end().await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("does not fit"), "{said}");
}
