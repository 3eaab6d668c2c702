//! What a relay costs: several relays that all run are measured in turns, so that what the machine does
//! meanwhile hits all of them alike.
//!
//! ```text
//!   round 0   a: connect, warm up, measure, hang up   b: the same   c: the same
//!   round 1   b …                                     c …           a …
//! ```
//!
//! Each turn prints one line of JSON. Peers are those of [`ends`]: they speak to our relay as clients do (a
//! pairing, tickets, Hello, Welcome, frames), and to references by a token and the same frames.

mod ends;
mod join;
mod latency;
mod memory;
mod target;
mod throughput;
mod wire;

use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Map, Value, json};
use tokio::task::LocalSet;

use crate::args::time;
use crate::cpu::{self, Process};
use crate::failure::Failure;
use join::Joiners;
use target::Target;

/// What every kind of load takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A relay that is running, as NAME=FORM@ADDRESS. FORM is tcp, ws, wss or quic for a reference,
    /// peersox/ws/quic for PeerSox with those legs, ancestor for PeerSox 0.3, proxy/PORT for a TCP proxy
    /// with that backend.
    #[arg(long = "target", required = true, value_name = "NAME=FORM@ADDRESS")]
    targets: Vec<Target>,

    /// A process of a relay.
    #[arg(long, value_delimiter = ',', value_name = "NAME=PID")]
    pid: Vec<Process>,

    /// How often each relay has its turn.
    #[arg(long, default_value_t = 9, value_name = "N")]
    rounds: usize,

    /// How long a turn is measured, as in `500ms`.
    #[arg(long, default_value = "500ms", value_name = "TIME", value_parser = time)]
    turn: Duration,

    /// How long the load runs before that.
    #[arg(long, default_value = "300ms", value_name = "TIME", value_parser = time)]
    warm_up: Duration,

    /// Bytes of a frame, its lane included.
    #[arg(long, default_value_t = 64, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(16..=65_536))]
    size: u32,

    /// How many pairs are connected.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Load {
    /// One peer of each pair sends as fast as frames arrive at the other one.
    Throughput {
        /// Bytes that one write carries at most. 1 makes one write of each frame.
        #[arg(long, default_value_t = 16_384, value_name = "BYTES")]
        batch: usize,
        /// Bytes of a pair that may be on their way.
        #[arg(long, default_value_t = 262_144, value_name = "BYTES")]
        window: usize,
        #[command(flatten)]
        options: Options,
    },
    /// One frame at a time goes to the other peer and back.
    PingPong {
        #[command(flatten)]
        options: Options,
    },
    /// Each pair sends a frame at fixed times, and the other peer sends it back. Latency counts from the time
    /// at which a frame was to be sent.
    Paced {
        /// Frames that a pair sends each second.
        #[arg(long, default_value_t = 25, value_name = "N",
              value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        #[command(flatten)]
        options: Options,
    },
    /// Pairs that do nothing: what memory each takes.
    Idle {
        #[command(flatten)]
        options: Options,
    },
    /// Pairs of which one sends all it can, and the other one reads nothing: what memory each takes.
    Stalled {
        #[command(flatten)]
        options: Options,
    },
}

/// Measures, and prints a line for each turn.
///
/// # Errors
/// If a relay cannot be measured.
pub(crate) fn run(load: &Load) -> anyhow::Result<()> {
    let options = load.options();
    for round in 0..options.rounds {
        for turn in 0..options.targets.len() {
            let target = &options.targets[(round + turn) % options.targets.len()];
            // Nothing of one turn lives until the next.
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build()?;
            let turn = async {
                let measured = load.turn(target).await;
                // So long connections of QUIC need to say that they end; else the relay goes on with them.
                tokio::time::sleep(FAREWELL).await;
                measured
            };
            let measured = LocalSet::new().block_on(&runtime, turn);
            let measured = measured.map_err(|why| anyhow::anyhow!("{}: {why}", target.name))?;
            let mut line = Map::new();
            line.insert("round".into(), round.into());
            line.insert("target".into(), target.name.as_str().into());
            line.extend(measured);
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", Value::Object(line))?;
            out.flush()?;
        }
    }
    Ok(())
}

impl Load {
    const fn options(&self) -> &Options {
        match self {
            Self::Throughput { options, .. }
            | Self::PingPong { options }
            | Self::Paced { options, .. }
            | Self::Idle { options }
            | Self::Stalled { options } => options,
        }
    }

    async fn turn(&self, target: &Target) -> Result<Map<String, Value>, Failure> {
        let options = self.options();
        let count = options.pairs as usize;
        let mut joiners = Joiners::new(&target.form, count).await?;
        let pids: Vec<u32> = options.pids(target);
        match self {
            Self::Throughput { batch, window, .. } => {
                let pairs = joiners.pairs(count).await?;
                throughput::run(pairs, options, *batch, *window, &pids).await
            }
            Self::PingPong { .. } => {
                latency::ping_pong(joiners.pairs(1).await?, options, &pids).await
            }
            Self::Paced { rate, .. } => {
                latency::paced(joiners.pairs(count).await?, options, *rate, &pids).await
            }
            Self::Idle { .. } => memory::idle(&mut joiners, options, &pids).await,
            Self::Stalled { .. } => memory::stalled(&mut joiners, options, &pids).await,
        }
    }
}

impl Options {
    fn pids(&self, target: &Target) -> Vec<u32> {
        let mine = self.pid.iter().filter(|it| it.name == target.name);
        mine.map(|it| it.pid).collect()
    }
}

/// Time and processor time since it began.
struct Meter<'a> {
    pids: &'a [u32],
    began: Instant,
    relay: f64,
    generator: f64,
    machine: f64,
}

impl<'a> Meter<'a> {
    fn start(pids: &'a [u32]) -> Self {
        Self {
            pids,
            relay: cpu::exact(pids),
            generator: cpu::exact(&[std::process::id()]),
            machine: cpu::machine(),
            began: Instant::now(),
        }
    }

    fn stop(&self) -> Map<String, Value> {
        let seconds = self.began.elapsed().as_secs_f64();
        let relay = cpu::exact(self.pids) - self.relay;
        let generator = cpu::exact(&[std::process::id()]) - self.generator;
        let others = cpu::machine() - self.machine - relay - generator;
        let told = json!({
            "seconds": seconds,
            "relay_seconds": relay,
            "generator_seconds": generator,
            "others_seconds": others.max(0.0),
        });
        match told {
            Value::Object(told) => told,
            _ => Map::new(),
        }
    }
}

/// Between the end of a turn and that of its runtime.
const FAREWELL: Duration = Duration::from_millis(100);
