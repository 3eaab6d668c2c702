//! The configuration file of `peersox serve`: flags, written down.
//!
//! ```text
//! --config FILE ── TOML ── a key for each flag ──► arguments in front of those that were typed
//! typed ────────────────── stands, and the file's value of this flag does not
//! environment ──────────── stands, and the file's value of this flag does not
//! ```
//!
//! The keys are clap's: a new flag is a new key. What a value may be is the flag's to say, too.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::args::Cli;
use crate::failure::Failure;

/// What a configuration file says.
#[derive(Debug)]
pub(crate) struct Settings {
    file: PathBuf,
    found: Vec<Setting>,
}

/// A key of the file that counts: nobody typed the flag, and the environment does not say it.
#[derive(Debug)]
struct Setting {
    key: String,
    values: Vec<String>,
    line: usize,
}

/// Where a file is wrong, and how.
type Wrong = (Range<usize>, String);

impl Settings {
    /// Reads the file that a command line or the environment names; nothing if neither does.
    pub(crate) fn of(arguments: &[OsString]) -> Result<Option<Self>, Failure> {
        let asks_for_help = |it: &OsString| it == "--help" || it == "-h";
        if arguments.get(1).is_none_or(|it| it != "serve") || arguments.iter().any(asks_for_help) {
            return Ok(None);
        }
        let Some(file) = named(arguments).filter(|file| !file.is_empty()) else {
            return Ok(None);
        };
        let file = PathBuf::from(file);
        let unreadable = |error| Failure::File(format!("cannot read {}: {error}", file.display()));
        let text = std::fs::read_to_string(&file).map_err(unreadable)?;
        let mut found = read(&text).map_err(|(span, why)| {
            let line = line(&text, &span);
            Failure::Usage(format!("{}, line {line}: {why}", file.display()))
        })?;
        let has_password = |it: &Setting| it.values.iter().any(|it| masked(it) != *it);
        if let Some(setting) = found.iter().find(|it| has_password(it)) {
            let mode = std::fs::metadata(&file).map_err(unreadable)?.mode();
            if mode & 0o077 != 0 {
                return Err(Failure::Usage(format!(
                    "{0}, line {1}: `{2}` holds a password, and others may read the file; say \
                     `chmod 600 {0}`",
                    file.display(),
                    setting.line,
                    setting.key,
                )));
            }
        }
        let serve = serve();
        found.retain(|setting| {
            let arg = flag(&serve, &setting.key).expect("the file was read by these flags");
            !is_typed(arguments, &setting.key) && arg.get_env().and_then(std::env::var_os).is_none()
        });
        Ok(Some(Self { file, found }))
    }

    /// The arguments with what the file says in front of what was typed.
    pub(crate) fn before(&self, arguments: &[OsString]) -> Vec<OsString> {
        let mut all = arguments[..2].to_vec();
        for Setting { key, values, .. } in &self.found {
            match &values[..] {
                [flag] if flag == "true" && is_switch(&serve(), key) => {
                    all.push(format!("--{key}").into());
                }
                values => all.extend(values.iter().map(|it| format!("--{key}={it}").into())),
            }
        }
        all.extend_from_slice(&arguments[2..]);
        all
    }

    /// Which flags of a command line are the file's, for a person who did not type them.
    pub(crate) fn hint(&self) -> Option<String> {
        let flags = self.found.iter().map(|it| format!("--{}", it.key));
        let flags: Vec<String> = flags.collect();
        let file = self.file.display();
        (!flags.is_empty()).then(|| format!("hint: {file} says {}", flags.join(", ")))
    }

    /// Where the value of a flag comes from, if it is the file.
    pub(crate) fn place(&self, key: &str) -> Option<String> {
        let setting = self.found.iter().find(|it| it.key == key)?;
        Some(format!("{}:{}", self.file.display(), setting.line))
    }
}

/// The flags of the server, with those that every command has.
pub(crate) fn serve() -> clap::Command {
    let mut cli = Cli::command();
    cli.build();
    let serve = cli.find_subcommand("serve");
    serve.expect("it is one of the commands").clone()
}

/// The flags that a file may say.
pub(crate) fn flags(serve: &clap::Command) -> impl Iterator<Item = (&str, &Arg)> {
    let flags = serve.get_arguments();
    let named = flags.filter_map(|arg| Some((arg.get_long()?, arg)));
    named.filter(|(long, _)| !NOT_IN_A_FILE.contains(long))
}

fn flag<'a>(serve: &'a clap::Command, key: &str) -> Option<&'a Arg> {
    flags(serve)
        .find(|(long, _)| *long == key)
        .map(|(_, arg)| arg)
}

fn is_switch(serve: &clap::Command, key: &str) -> bool {
    flag(serve, key).is_some_and(|arg| !arg.get_action().takes_values())
}

/// What is about one command line, and not about a server.
const NOT_IN_A_FILE: [&str; 4] = ["config", "check-config", "help", "version"];

/// The file that is named by a flag or by the environment.
fn named(arguments: &[OsString]) -> Option<OsString> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--config" {
            return rest.next().cloned();
        }
        if let Some(value) = argument.as_bytes().strip_prefix(b"--config=") {
            return Some(OsStr::from_bytes(value).to_owned());
        }
    }
    std::env::var_os("PEERSOX_CONFIG")
}

/// Whether a flag stands among the arguments: no value begins with two dashes.
fn is_typed(arguments: &[OsString], key: &str) -> bool {
    let name = |it: &OsString| {
        let text = it.as_bytes().strip_prefix(b"--")?.to_owned();
        text.split(|byte| *byte == b'=')
            .next()
            .map(<[u8]>::to_owned)
    };
    arguments
        .iter()
        .filter_map(name)
        .any(|it| it == key.as_bytes())
}

fn read(text: &str) -> Result<Vec<Setting>, Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        (span, format!("this is no TOML: {}", error.message()))
    })?;
    let serve = serve();
    let mut found = Vec::new();
    for (key, value) in table.get_ref() {
        let Some(arg) = flag(&serve, key.get_ref()) else {
            return Err((key.span(), unknown(&serve, key.get_ref())));
        };
        let values = values(arg, key.get_ref(), value)?;
        for value in &values {
            let refused = refusal(&serve, arg, key.get_ref(), value);
            if let Some(why) = refused {
                return Err((key.span(), why));
            }
        }
        // What is so without a word asks for no other flag, and goes with all.
        let defaults = arg.get_default_values().iter();
        let defaults: Vec<_> = defaults
            .map(|it| it.to_string_lossy().into_owned())
            .collect();
        if values == defaults {
            continue;
        }
        let line = line(text, &key.span());
        let key = key.get_ref().to_string();
        found.push(Setting { key, values, line });
    }
    found.sort_by_key(|it| it.line);
    // A switch that is off is what it is without a word.
    found.retain(|it| !(is_switch(&serve, &it.key) && it.values.is_empty()));
    Ok(found)
}

/// The values of a flag, each as it would be typed: none for a switch that is off.
fn values(arg: &Arg, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Wrong> {
    let wrong = |what: &str| (value.span(), format!("`{key}` has to be {what}"));
    if !arg.get_action().takes_values() {
        return match value.get_ref() {
            DeValue::Boolean(true) => Ok(vec!["true".to_owned()]),
            DeValue::Boolean(false) => Ok(Vec::new()),
            _ => Err(wrong("true or false")),
        };
    }
    if is_number(arg) {
        return match value.get_ref() {
            DeValue::Integer(it) => match i64::from_str_radix(it.as_str(), it.radix()) {
                Ok(number) => Ok(vec![number.to_string()]),
                Err(_) => Err(wrong("a number of at most 64 bits")),
            },
            _ => Err(wrong("a number, without quotes")),
        };
    }
    match value.get_ref() {
        DeValue::String(text) => Ok(vec![text.to_string()]),
        DeValue::Array(list) if is_list(arg) => {
            let texts = list.iter().map(|it| match it.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err((
                    it.span(),
                    format!("`{key}` has to be a list of texts, in quotes"),
                )),
            });
            texts.collect()
        }
        _ if is_list(arg) => Err(wrong("a text in quotes, or a list of them in brackets")),
        _ => Err(wrong("a text, in quotes")),
    }
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn is_number(arg: &Arg) -> bool {
    let numbers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
    ];
    let of = arg.get_value_parser().type_id();
    numbers.into_iter().any(|it| of == it)
}

/// Why a flag does not take this value.
fn refusal(serve: &clap::Command, arg: &Arg, key: &str, value: &str) -> Option<String> {
    if !arg.get_action().takes_values() {
        return None;
    }
    let typed = ["serve".to_owned(), format!("--{key}={value}")];
    let error = serve.clone().try_get_matches_from(typed).err()?;
    let is_about_it = |it: &ContextValue| {
        let long = format!("--{key} ");
        matches!(it, ContextValue::String(named) if named.starts_with(&long))
    };
    // What a flag asks for beside it, or does not go with, is judged with all that was said.
    let is_value = matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    );
    if !is_value || !error.get(ContextKind::InvalidArg).is_some_and(is_about_it) {
        return None;
    }
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    Some(
        first
            .trim_start_matches("error: ")
            .replace(value, &masked(value)),
    )
}

/// What is said of a key that is no flag: with the one that may be meant.
fn unknown(serve: &clap::Command, key: &str) -> String {
    if NOT_IN_A_FILE.contains(&key) {
        return format!("`{key}` is a flag of the command line, and no key of a file; remove it");
    }
    let typed = ["serve".to_owned(), format!("--{key}")];
    let error = serve.clone().try_get_matches_from(typed).err();
    let meant = error
        .as_ref()
        .and_then(|it| it.get(ContextKind::SuggestedArg));
    match meant {
        Some(ContextValue::String(flag)) => {
            let meant = flag.trim_start_matches('-');
            format!("there is no key `{key}`; did you mean `{meant}`?")
        }
        _ => format!(
            "there is no key `{key}`; `peersox serve --help` lists all, without dashes here"
        ),
    }
}

fn line(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// A value without the password that it may hold as a URL, and without a query, which may be a secret.
pub(crate) fn masked(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?…"),
        None => (rest, ""),
    };
    let end = rest.find(['/', '#']).unwrap_or(rest.len());
    let user = rest[..end].rsplit_once('@').map(|(user, _)| user);
    match user.and_then(|user| Some((user, user.split_once(':')?.0))) {
        None => format!("{scheme}://{rest}{query}"),
        Some((user, name)) => format!("{scheme}://{name}:…{}{query}", &rest[user.len()..]),
    }
}

/// Values of a flag as a file has them.
pub(crate) fn written(arg: &Arg, values: &[String]) -> String {
    let is_bare = !arg.get_action().takes_values() || is_number(arg);
    let texts = values.iter().map(|it| match is_bare {
        true => it.clone(),
        false => format!("{it:?}"),
    });
    let all = texts.collect::<Vec<_>>().join(", ");
    match is_list(arg) {
        true => format!("[{all}]"),
        false => all,
    }
}

/// The environment variable that says a flag.
pub(crate) fn variable(arg: &Arg) -> Option<&OsStr> {
    arg.get_env()
        .filter(|name| std::env::var_os(name).is_some())
}

#[cfg(test)]
mod tests;
