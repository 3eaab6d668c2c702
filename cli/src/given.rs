//! The code of the other device, however a person gives it.
//!
//! ```text
//! peersox receive 481920-tulip-ember      or spoken: 481920 Tulip Ember
//! peersox receive http://p.example/#481920-tulip-ember      a link; its server is used
//! PEERSOX_CODE=481920-tulip-ember peersox receive           not in the list of processes
//! peersox receive - < FILE                                  the first line of standard input
//! peersox receive                                           asks, and completes words with Tab
//! ```

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use peersox_client::{Code, Words};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Behavior, Config, Context, Editor, Helper};

use crate::args::{Command, Remote};
use crate::argv;
use crate::failure::Failure;
use crate::signals::Stop;
use crate::terminal::Voice;

/// Puts the code into the command, and the server if the code came as a link; asks for it if the command
/// cannot do without.
pub(crate) fn complete(command: &mut Command) -> anyhow::Result<()> {
    match command {
        Command::Receive(args) if args.from.is_none() => {
            take(&mut args.code, &mut args.remote)?;
            if args.code == ["-"] {
                args.code = vec![first_line()?];
            }
            if args.code.is_empty() {
                args.code = vec![ask(Voice::new(args.remote.json))?];
            }
            follow_link(&mut args.code, &mut args.remote)
        }
        Command::Connect(args) if args.partner.with.is_none() => {
            take(&mut args.partner.code, &mut args.partner.remote)
        }
        Command::Ping(args) if args.partner.with.is_none() => {
            take(&mut args.partner.code, &mut args.partner.remote)
        }
        Command::Forward(args) if args.partner.with.is_none() => {
            take(&mut args.partner.code, &mut args.partner.remote)
        }
        Command::Pair(args) => take(&mut args.code, &mut args.remote),
        _ => Ok(()),
    }
}

/// The code of the arguments, or else of the environment.
fn take(code: &mut Vec<String>, remote: &mut Remote) -> anyhow::Result<()> {
    if code.is_empty() {
        let set = std::env::var(argv::VARIABLE).unwrap_or_default();
        code.extend(Some(set).filter(|set| !set.trim().is_empty()));
    }
    follow_link(code, remote)
}

/// Takes a link apart: what stands before `#` is the server, what stands behind is the code.
fn follow_link(code: &mut Vec<String>, remote: &mut Remote) -> anyhow::Result<()> {
    let text = code.join(" ");
    let text = text.trim();
    if !text.contains("://") {
        return Ok(());
    }
    let Some((server, fragment)) = text.split_once('#') else {
        return Err(Failure::Usage(
            "this link holds no code: one that does ends with # and the code".into(),
        )
        .into());
    };
    remote.server = Some(server.trim_end_matches('/').to_owned());
    *code = vec![fragment.replace("%20", " ")];
    Ok(())
}

/// The first line of standard input, as far as a code goes.
fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    let mut stdin = std::io::stdin().lock().take(MAX_LINE);
    match stdin.read_line(&mut line) {
        Ok(_) if !line.trim().is_empty() => Ok(line.trim().to_owned()),
        Ok(_) => Err(Failure::Usage("there is no code on standard input".into()).into()),
        Err(error) => Err(Failure::File(format!("cannot read standard input: {error}")).into()),
    }
}

/// Asks for a code at the terminal until it has the form of one. It is kept in no history.
fn ask(voice: Voice) -> anyhow::Result<String> {
    if !voice.has_terminal() || !std::io::stdin().is_terminal() {
        let text = "a code is missing: name it behind `receive`, set PEERSOX_CODE, or say `-` to read it \
                    from standard input; `--from NAME` receives from a saved device";
        return Err(Failure::Usage(text.into()).into());
    }
    let config = Config::builder().behavior(Behavior::PreferTerm).build();
    let mut editor = Editor::<Typing, DefaultHistory>::with_config(config).map_err(unusable)?;
    editor.set_helper(Some(Typing));
    loop {
        match editor.readline("code (Tab completes its words): ") {
            Ok(line) if line.contains("://") => return Ok(line),
            Ok(line) => match line.parse::<Code>() {
                Ok(_) => return Ok(line),
                Err(malformed) => {
                    voice.say(&malformed.to_string(), &serde_json::Value::Null);
                }
            },
            Err(ReadlineError::Interrupted) => {
                return Err(Failure::Stopped(Stop::Interrupt).into());
            }
            Err(ReadlineError::Eof) => {
                return Err(Failure::Usage("no code was typed".into()).into());
            }
            Err(error) => return Err(unusable(error)),
        }
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn unusable(error: ReadlineError) -> anyhow::Error {
    Failure::File(format!("cannot ask for a code here: {error}")).into()
}

/// Completes the words of a code.
struct Typing;

impl Helper for Typing {}
impl Highlighter for Typing {}
impl Validator for Typing {}

impl Hinter for Typing {
    type Hint = String;
}

impl Completer for Typing {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(candidates(line.get(..at).unwrap_or_default()))
    }
}

/// Where the word begins that is being typed, and what it can become.
fn candidates(typed: &str) -> (usize, Vec<String>) {
    let begun = typed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let word = typed[begun.len()..].to_ascii_lowercase();
    let has_digits = begun.contains(|c: char| c.is_ascii_digit());
    if !has_digits || word.is_empty() {
        return (typed.len(), Vec::new());
    }
    let words = Words::list().iter().filter(|it| it.starts_with(&word));
    (begun.len(), words.map(|&it| it.to_owned()).collect())
}

/// Longer than any code or link.
const MAX_LINE: u64 = 4_096;

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn a_link_brings_its_server() {
        for (given, server, code) in [
            (
                "http://h:1/#481920-tulip-ember",
                Some("http://h:1"),
                "481920-tulip-ember",
            ),
            (
                "https://h/x/#481920-tulip",
                Some("https://h/x"),
                "481920-tulip",
            ),
            (" https://h#4819%20tulip ", Some("https://h"), "4819 tulip"),
            ("4819 Tulip", None, "4819 Tulip"),
        ] {
            let mut cli = Cli::try_parse_from(["peersox", "pair", "--save", "x", given]).unwrap();
            complete(&mut cli.command).unwrap();
            let Command::Pair(args) = cli.command else {
                panic!("another command")
            };
            assert_eq!(args.remote.server.as_deref(), server, "{given}");
            assert_eq!(args.code.join(" "), code);
        }
        let args = ["peersox", "receive", "https://h/"];
        let mut cli = Cli::try_parse_from(args).unwrap();
        let error = complete(&mut cli.command).unwrap_err();
        assert!(error.to_string().contains("holds no code"), "{error}");
    }

    #[test]
    fn words_are_completed_once_there_are_digits() {
        assert_eq!(candidates("481920-tul"), (7, vec!["tulip".to_owned()]));
        assert_eq!(candidates("481920 TUL"), (7, vec!["tulip".to_owned()]));
        let (at, found) = candidates("481920-tulip-em");
        assert!(at == 13 && found.contains(&"ember".to_owned()), "{found:?}");
        assert_eq!(candidates("tul"), (3, Vec::new()));
        assert_eq!(candidates("481920-"), (7, Vec::new()));
        assert_eq!(candidates("481920-xyz").1, Vec::<String>::new());
    }
}
