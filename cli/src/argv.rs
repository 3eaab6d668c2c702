//! The list of arguments before and after it is read: options in front of the command, a code in the
//! command's place, and codes that do not stay where every user of the machine sees them.
//!
//! ```text
//! peersox --json --server URL send FILE   ──► peersox send --json --server URL FILE
//! peersox 481920 tulip ember              ──► peersox receive 481920 tulip ember
//! peersox receive 481920 tulip ember -y   ──► peersox receive -y, and PEERSOX_CODE="481920 tulip ember"
//! ```

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;

use clap::{CommandFactory as _, Parser as _};

use crate::args::Cli;

/// The variable that holds a code instead of the arguments.
pub(crate) const VARIABLE: &str = "PEERSOX_CODE";

/// Moves options that stand before the command behind it, and says `receive` where a code stands for the
/// command.
pub(crate) fn in_order(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let cli = Cli::command();
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        let Some(takes) = of_a_command(&cli, argument) else {
            break;
        };
        at += 1 + usize::from(takes);
    }
    let Some(first) = arguments.get(at).and_then(|it| it.to_str()) else {
        return arguments;
    };
    let is_command = cli.find_subcommand(first).is_some() || first == "help";
    if !is_command && !looks_like_a_code(first) {
        return arguments;
    }
    let command = match is_command {
        true => arguments.remove(at),
        false => "receive".into(),
    };
    arguments.insert(1, command);
    arguments
}

/// For an option that some command has and the program itself has not: whether the next argument is its
/// value.
fn of_a_command(cli: &clap::Command, argument: &OsStr) -> Option<bool> {
    let argument = argument.to_str()?;
    let (name, has_value) = match argument.split_once('=') {
        Some((name, _)) => (name, true),
        None => (argument, false),
    };
    let is_it = |arg: &&clap::Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => {
            let short = name.strip_prefix('-').unwrap_or_default();
            arg.get_short()
                .is_some_and(|it| short.chars().eq(std::iter::once(it)))
        }
    };
    let commands = cli.get_subcommands();
    let mut of_commands = commands.flat_map(clap::Command::get_arguments);
    let found = cli
        .get_arguments()
        .find(is_it)
        .or_else(|| of_commands.find(is_it))?;
    Some(found.get_action().takes_values() && !has_value)
}

/// Whether a person means a code or a link by it, and no command with a typing error.
fn looks_like_a_code(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        || text.starts_with("http://")
        || text.starts_with("https://")
}

/// Starts this program anew, in the same process, with the code in its environment: the arguments of a
/// process can be read by every user of the machine, its environment by its owner only. Returns if nothing is
/// to be hidden, or if it cannot be done; then the command goes on as it is.
pub(crate) fn hide_code(arguments: &[OsString], code: &[String]) -> Option<io::Error> {
    let rest = without_code(arguments, code)?;
    let program = std::env::current_exe().ok()?;
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.first() {
        again.arg0(name);
    }
    again.args(rest.iter().skip(1));
    again.env(VARIABLE, code.join(" "));
    // It returns only if it fails.
    Some(again.exec())
}

/// The arguments without the code; `None` if there is none in them, or if what is left would be read
/// otherwise.
fn without_code(arguments: &[OsString], code: &[String]) -> Option<Vec<OsString>> {
    if code.is_empty() || code == ["-"] {
        return None;
    }
    let mut rest = arguments.to_vec();
    let mut from = 2;
    for part in code {
        let found = rest.iter().skip(from).position(|it| it == part.as_str())?;
        from += found;
        rest.remove(from);
    }
    let read = |arguments: &[OsString]| {
        let mut cli = Cli::try_parse_from(arguments).ok()?;
        let code = cli.command.code().map(std::mem::take);
        Some((code.unwrap_or_default(), format!("{:?}", cli.command)))
    };
    let (hidden, as_before) = (read(&rest)?, read(arguments)?);
    (hidden.0.is_empty() && hidden.1 == as_before.1).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn options_of_a_command_may_stand_before_it() {
        for (typed, read) in [
            ("p --json send f", "p send --json f"),
            ("p --server http://x send f", "p send --server http://x f"),
            ("p --server=http://x send f", "p send --server=http://x f"),
            (
                "p --log debug --wait 3 receive 1234",
                "p receive --log debug --wait 3 1234",
            ),
            ("p -y receive 1234", "p receive -y 1234"),
            ("p -o - receive 1234", "p receive -o - 1234"),
            ("p 481920 tulip ember -y", "p receive 481920 tulip ember -y"),
            ("p --json http://h/#1234", "p receive --json http://h/#1234"),
            ("p send --json f", "p send --json f"),
            // Left for clap to explain.
            ("p --nonsense send f", "p --nonsense send f"),
            ("p sned f", "p sned f"),
            ("p --help", "p --help"),
            ("p --version", "p --version"),
            ("p", "p"),
        ] {
            assert_eq!(in_order(split(typed)), split(read), "{typed}");
        }
    }

    #[test]
    fn a_code_leaves_the_arguments_only_if_all_else_stays() {
        for (typed, code, left) in [
            (
                "p receive 481920-tulip-ember -y",
                "481920-tulip-ember",
                Some("p receive -y"),
            ),
            (
                "p receive -o tulip 481920 tulip ember",
                "481920 tulip ember",
                Some("p receive -o tulip"),
            ),
            (
                "p ping -n 5 481920 tulip",
                "481920 tulip",
                Some("p ping -n 5"),
            ),
            ("p ping -n 4819 4819", "4819", Some("p ping -n 4819")),
            // Without its first word this is another command line.
            ("p receive --from 4819 4819", "4819", None),
            ("p receive -", "-", None),
            ("p receive", "", None),
        ] {
            let code: Vec<String> = code.split_whitespace().map(str::to_owned).collect();
            let found = without_code(&split(typed), &code);
            assert_eq!(found, left.map(split), "{typed}");
        }
    }
}
