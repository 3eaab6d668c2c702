//! `peersox`: two devices, one short code, one channel.
//!
//! One binary carries the server (`serve`) and the peers (`send`, `receive`, `connect`, `ping`,
//! `forward`, `pair`).
//! Standard output is for data; everything said to people, or to scripts with `--json`, goes to
//! standard error.

mod args;
mod connect;
mod failure;
mod forward;
mod meet;
mod pair;
mod ping;
mod progress;
mod qr;
mod saved;
mod serve;
mod telemetry;
mod terminal;
mod transfer;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start(cli.log.as_deref(), matches!(cli.command, Command::Serve(_)));
    failure::report(run(cli.command))
}

fn run(command: Command) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed first"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(*args).await,
            Command::Send(args) => terminal::until_interrupted(transfer::send(args)).await,
            Command::Receive(args) => terminal::until_interrupted(transfer::receive(args)).await,
            Command::Connect(args) => terminal::until_interrupted(connect::run(args)).await,
            Command::Ping(args) => terminal::until_interrupted(ping::run(args)).await,
            Command::Forward(args) => terminal::until_interrupted(forward::run(args)).await,
            Command::Pair(args) => terminal::until_interrupted(pair::run(args)).await,
            Command::Devices(args) => pair::list(args).await,
            Command::Forget(args) => pair::forget(args).await,
            Command::Completions { shell } => {
                clap_complete::generate(
                    shell,
                    &mut Cli::command(),
                    "peersox",
                    &mut std::io::stdout(),
                );
                Ok(())
            }
        }
    });
    // A thread may be blocked in reading a terminal that nobody types on.
    runtime.shutdown_background();
    result
}
