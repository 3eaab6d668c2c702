//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use http::Uri;

use crate::cpu::Process;
use crate::reference;
use crate::{impair, relay, sealing};

/// Measures how many pairings and set-ups a deployment of PeerSox carries, and what its relay costs.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create and join pairings.
    Pairings {
        #[command(flatten)]
        options: Options,
    },
    /// Create and join pairings, attach both peers to the relay, and send a message across.
    Setups {
        /// How both peers reach the relay.
        #[arg(long, value_enum, default_value_t = Transport::Ws, value_name = "TRANSPORT")]
        transport: Transport,
        #[command(flatten)]
        options: Options,
    },
    /// Send frames through relays that run, in turns.
    #[command(subcommand)]
    Relay(relay::Load),
    /// Be a relay that does the least that a relay can do.
    Reference {
        /// What it speaks.
        #[arg(value_enum)]
        kind: reference::Kind,
        /// Where it listens.
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
    },
    /// Seal records, without a network.
    Sealing(sealing::Options),
    /// Delay and lose packets that the kernel queues for a program.
    Impair(impair::Options),
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A node of control, as in `http://127.0.0.1:3000`. With several, separated by commas, the two devices
    /// of a pairing ask different ones.
    #[arg(
        long,
        required = true,
        value_delimiter = ',',
        value_name = "URL",
        value_parser = server
    )]
    pub(crate) server: Vec<Uri>,

    /// How long to measure, as in `10s` or `500ms`.
    #[arg(long = "for", default_value = "10s", value_name = "TIME", value_parser = time)]
    pub(crate) time: Duration,

    /// After how many to stop before that. All of them exist at the end, and a server of the default
    /// configuration keeps 100,000.
    #[arg(long, default_value_t = 50_000, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) at_most: u64,

    /// How many are in progress at any time.
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=4_096))]
    pub(crate) concurrency: u16,

    /// A process whose processor time is told, with a name or as `server`. Several of one name are added up.
    #[arg(long, value_delimiter = ',', value_name = "[NAME=]PID")]
    pub(crate) pid: Vec<Process>,

    /// Print one JSON object instead of a line for people.
    #[arg(long)]
    pub(crate) json: bool,

    /// The server is PeerSox 0.3 of npm: REST, and WebSockets at `/ws`.
    #[arg(long)]
    pub(crate) ancestor: bool,
}

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Pairings,
    Setups(Transport),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// WebSocket.
    Ws,
    /// QUIC.
    Quic,
}

fn server(text: &str) -> Result<Uri, String> {
    let wrong = || "write it as http://host:port or https://host".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        _ => Err(wrong()),
    }
}

pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1_000),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "write it as 10s or 500ms".to_owned())?;
    match number.saturating_mul(unit) {
        millis @ 1..=86_400_000 => Ok(Duration::from_millis(millis)),
        _ => Err("from 1ms to a day".to_owned()),
    }
}

const EXAMPLES: &str = "\
Examples:
  peersox-bench pairings --server http://127.0.0.1:3000 --pid $(pidof peersox)
  peersox-bench setups --transport quic --server http://10.0.0.1:3000,http://10.0.0.2:3000 --for 30s

The server limits what one address may do: start it with --unmetered for the address that this runs at.
Exit code 1 if anything failed.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let read = |text| time(text).ok().map(|it| it.as_millis());
        for (text, millis) in [("10s", 10_000), ("3", 3_000), ("250ms", 250)] {
            assert_eq!(read(text), Some(millis), "{text}");
        }
        for text in [
            "",
            "s",
            "0s",
            "ten",
            "-1s",
            "99999999999999999999s",
            "86401s",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn servers_are_addresses() {
        assert!(server("https://p.example/below").is_ok());
        for text in ["localhost:3000", "ws://h", "", "/x"] {
            assert!(server(text).is_err(), "{text}");
        }
    }
}
