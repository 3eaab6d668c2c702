//! `peersox`: two devices, one short code, one channel.
//!
//! One binary carries the server (`serve`), what its operator asks it (`status`, `pairings`, `revoke`,
//! `rotate`, `drain`, `log`) and makes by it (`key`), the peers (`send`, `receive`, `connect`, `ping`,
//! `forward`, `pair`), and what looks at the network for them (`doctor`).
//! Standard output is for data; everything said to people, or to scripts with `--json`, goes to
//! standard error.

mod admin;
mod args;
mod argv;
mod confirm;
mod connect;
mod doctor;
mod failure;
mod fit;
mod forward;
mod given;
mod greeting;
mod invite;
mod keep;
mod manual;
mod meet;
mod nodes;
mod pair;
mod person;
mod ping;
mod plain;
mod progress;
mod qr;
mod reach;
mod saved;
mod serve;
mod settings;
mod share;
mod signals;
mod telemetry;
mod terminal;
mod transfer;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;

use args::{Cli, Command};
use settings::Settings;
use signals::until_stopped;
use telemetry::Telemetry;
use terminal::{Voice, out_raw};

/// Gives back what a thousand pairs have used, which the allocator of glibc does not, and wastes less beside
/// what idle pairs hold (docs/decisions/023-memory-of-idle-and-stalled-pairs.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let typed = argv::in_order(std::env::args_os().collect());
    let settings = match Settings::of(&typed) {
        Ok(settings) => settings,
        Err(failure) => return failure::report(Err(failure.into()), Voice::new(false)),
    };
    let arguments = match &settings {
        Some(settings) => settings.before(&typed),
        None => typed,
    };
    let mut cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &arguments, settings.as_ref()),
    };
    if let Command::Serve(args) = &cli.command
        && args.check_config
    {
        let checked = serve::check::run(args, &arguments, settings.as_ref());
        return failure::report(checked, Voice::new(false));
    }
    // While this is the only thread: others would notice, as that of the allocator does, that the program
    // begins anew.
    let code = cli.command.code();
    let shown = code.and_then(|code| argv::hide_code(&arguments, code));
    let voice = Voice::new(cli.command.is_json());
    failure::report(run(cli, shown), voice)
}

/// Answers a command line that runs nothing: help, the version, or what is wrong with it.
fn refuse(error: &clap::Error, arguments: &[OsString], settings: Option<&Settings>) -> ExitCode {
    let text = error.render().to_string();
    let voice = Voice::new(arguments.iter().any(|it| it == "--json"));
    if !error.use_stderr() {
        return failure::report(out_raw(&text), voice);
    }
    let hint = settings.and_then(Settings::hint);
    let lines: Vec<&str> = text.lines().chain(hint.as_deref()).collect();
    let message = text.trim().trim_start_matches("error: ");
    let event = json!({"event": "error", "exit": USAGE, "message": message});
    voice.say_lines(&lines, &event);
    ExitCode::from(USAGE)
}

/// Makes a key. The line goes where data goes, so that `>>` adds it to the list, and a failure adds nothing.
fn key(args: &args::auth::NewKey) -> anyhow::Result<()> {
    let key = peersox_server::access::Key::random();
    out_raw(&format!("{}\n", key.line(&args.name)))?;
    Voice::new(false).say(key.reveal(), &serde_json::Value::Null);
    Ok(())
}

/// The exit code of a command line that is wrong.
const USAGE: u8 = 2;

fn run(cli: Cli, shown: Option<std::io::Error>) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed first"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let Telemetry {
        filter,
        metrics,
        traces,
    } = {
        let _inside = runtime.enter();
        telemetry::start(&cli)
    };
    let mut command = cli.command;
    if let Some(error) = shown {
        tracing::debug!(%error, "the code stays in the list of processes");
    }
    given::complete(&mut command)?;
    let is_server = matches!(command, Command::Serve(_));
    let result = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(*args, filter, metrics).await,
            Command::Send(args) => until_stopped(transfer::send(args)).await,
            Command::Receive(args) if args.keep => until_stopped(keep::receive(args)).await,
            Command::Receive(args) => until_stopped(transfer::receive(args)).await,
            Command::Connect(args) => until_stopped(connect::run(args)).await,
            Command::Ping(args) => until_stopped(ping::run(args)).await,
            Command::Doctor(args) => until_stopped(doctor::run(args)).await,
            Command::Forward(args) => until_stopped(forward::run(args)).await,
            Command::Pair(args) => until_stopped(pair::run(args)).await,
            Command::Devices(args) if args.names => manual::names(),
            Command::Devices(args) => pair::list(args.remote).await,
            Command::Forget(args) => pair::forget(args).await,
            Command::Hold(args) => share::owner::run(args).await,
            Command::Status(args) => until_stopped(admin::status(args)).await,
            Command::Pairings(args) => admin::pairings(args).await,
            Command::Revoke(args) => admin::revoke(args).await,
            Command::Rotate(args) => admin::rotate(args).await,
            Command::Drain(args) => admin::drain(args).await,
            Command::Log(args) => admin::log(args).await,
            Command::Key(args) => key(&args),
            Command::Completions { shell } => manual::completions(shell),
            Command::Man { command } => manual::page(command.as_deref()),
        }
    });
    // Who asks a server twice to stop does not wait for a collector.
    let at_once = is_server && failure::is_stopped(&result);
    if let Some(traces) = traces.filter(|_| !at_once) {
        traces.end(result.is_err());
    }
    // A thread may be blocked in reading a terminal that nobody types on.
    runtime.shutdown_background();
    result
}
