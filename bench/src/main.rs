//! `peersox-bench`: how many pairings and set-ups a deployment of PeerSox carries, seen from its clients,
//! and what its relay costs beside others.
//!
//! [`relay`] sends frames through relays, [`mod@reference`] is one that does the least, and [`impair`]
//! makes a network worse; [`sealing`] needs no network. The rest is about pairings and set-ups: *couples*
//! make pairings, each one after the other and all at the same time. A couple is two devices, each with a
//! connection to control that it keeps.
//!
//! ```text
//!   pairings                 setups
//!   one CreatePairing        one CreatePairing, OpenSession, leg: Hello, Welcome
//!   two JoinPairing          two JoinPairing,   OpenSession, leg: Hello, Welcome, a message of 64 bytes
//!                            one has the message; two closed connections
//!   …and again, until the time is over or `--at-most` are made
//!   then DeletePairing for each, which is not measured
//! ```
//!
//! What travels is what clients send, but nothing is sealed and no certificate is verified: that is work of
//! peers alone. The relay sees no difference.

mod ancestor;
mod args;
mod control;
mod couple;
mod cpu;
mod dial;
mod failure;
mod impair;
mod leg;
mod load;
mod reference;
mod relay;
mod report;
mod sealing;

use std::process::ExitCode;

use clap::Parser as _;

use ancestor::Ancestors;
use args::{Args, Command, Options, Task};
use couple::Devices;

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Pairings { options } => measure(Task::Pairings, &options),
        Command::Setups { transport, options } => measure(Task::Setups(transport), &options),
        Command::Relay(load) => relay::run(&load).map(|()| ExitCode::SUCCESS),
        Command::Reference { kind, listen } => {
            reference::run(kind, listen).map(|()| ExitCode::SUCCESS)
        }
        Command::Sealing(options) => sealing::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Impair(options) => impair::run(&options).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Measures pairings or set-ups, and prints what came out.
fn measure(task: Task, options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        match options.ancestor {
            true => load::run::<Ancestors>(task, options).await,
            false => load::run::<Devices>(task, options).await,
        }
    })?;
    match options.json {
        true => println!("{}", report.json()),
        false => println!("{report}"),
    }
    match report.is_clean() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}
