//! `peersox serve --check-config`: what a server would be, and where each value of it comes from. Files that
//! flags name are read; nothing is opened, bound or asked.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory as _};

use crate::args::{Cli, Serve};
use crate::settings::{self, Settings, masked};
use crate::terminal::out;

/// `arguments` are all that the server would start with, those of the file among them.
pub(crate) fn run(
    args: &Serve,
    arguments: &[OsString],
    settings: Option<&Settings>,
) -> anyhow::Result<()> {
    // By it certificates are looked at. This process does nothing else.
    let _ = rustls::crypto::ring::default_provider().install_default();
    super::judge(args)?;
    let matches = Cli::command().try_get_matches_from(arguments)?;
    let matches = matches.subcommand_matches("serve");
    let matches = matches.expect("these arguments were read as those of a server");
    let serve = settings::serve();
    for (key, arg) in settings::flags(&serve) {
        if let Some(line) = line(key, arg, matches, settings) {
            out(&line)?;
        }
    }
    Ok(())
}

/// `key = value  # source`, as it could stand in a file; nothing for what has no value.
fn line(key: &str, arg: &Arg, matches: &ArgMatches, settings: Option<&Settings>) -> Option<String> {
    let raw = matches.get_raw(arg.get_id().as_str())?;
    let texts: Vec<String> = raw.map(|it| masked(&it.to_string_lossy())).collect();
    let from = match matches.value_source(arg.get_id().as_str())? {
        ValueSource::CommandLine => settings
            .and_then(|it| it.place(key))
            .unwrap_or_else(|| format!("--{key}")),
        ValueSource::EnvVariable => settings::variable(arg)?.to_string_lossy().into_owned(),
        _ => "default".to_owned(),
    };
    Some(format!(
        "{key} = {}  # {from}",
        settings::written(arg, &texts)
    ))
}
