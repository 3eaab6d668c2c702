//! `peersox-bench`: how many pairings and set-ups a deployment of PeerSox carries, seen from its clients.
//!
//! *Couples* make pairings, each one after the other and all at the same time. A couple is two devices, each
//! with a connection to control that it keeps.
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
mod leg;
mod load;
mod report;

use std::process::ExitCode;

use clap::Parser as _;

use ancestor::Ancestors;
use args::{Args, Command};
use couple::Devices;
use report::Report;

fn main() -> ExitCode {
    match run(&Args::parse().command) {
        Ok(report) if report.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and prints what came out.
fn run(command: &Command) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (task, options) = command.parts();
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
    Ok(report)
}
