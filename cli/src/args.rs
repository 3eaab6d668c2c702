//! The command line.

pub(crate) mod admin;
pub(crate) mod auth;
mod devices;
mod doctor;
mod serve;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use peersox_client::{Label, NotALabel};

use crate::saved::Name;

pub(crate) use devices::{Devices, Forget, Hold, Pair};
pub(crate) use doctor::Doctor;
pub(crate) use serve::{LogFormat, ProxyHeader, Role, Serve};

/// Two devices, one short code, one channel over the best path the network allows.
#[derive(Debug, Parser)]
#[command(name = "peersox", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log filter, as in `info` or `peersox_relay=debug`; the log goes to stderr.
    #[arg(long, global = true, env = "PEERSOX_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run control, relay and page in one process on one TCP and UDP port.
    Serve(Box<Serve>),
    /// Send files, folders or standard input to another device.
    Send(Send),
    /// Receive what another device sends.
    Receive(Receive),
    /// Join standard input and output of two machines.
    Connect(Connect),
    /// Measure the round trip to another device.
    Ping(Ping),
    /// Say what this network allows: direct paths, and the ways to the relay.
    Doctor(Doctor),
    /// Carry TCP connections to a port here to a port of another device.
    Forward(Forward),
    /// Pair with another device for good, so that no code is needed from then on.
    Pair(Pair),
    /// List the saved devices.
    Devices(Devices),
    /// Forget a saved device and revoke the pairing.
    Forget(Forget),
    /// Say how a running server of this machine stands, or the nodes of a service.
    Status(admin::Status),
    /// List the pairings of a running server of this machine.
    Pairings(admin::Pairings),
    /// Revoke a pairing of a running server of this machine.
    Revoke(admin::Revoke),
    /// Sign tickets with another secret from now on, on a running server of this machine.
    Rotate(admin::Rotate),
    /// Stop a running server of this machine as a signal does, and wait until it has ended.
    Drain(admin::Drain),
    /// Change the log filter of a running server of this machine.
    Log(admin::Log),
    /// Make a key for somebody who may create codes on a server with `--auth keys`: its line for the file
    /// goes to standard output, the key itself to standard error.
    Key(auth::NewKey),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Hold the connection to a saved device for other commands, which start this one by themselves.
    #[command(hide = true)]
    Hold(Hold),
    /// Print a manual page in roff.
    #[command(hide = true)]
    Man {
        /// Of which command; without one, of the program.
        command: Option<String>,
    },
}

impl Command {
    /// The code of the other device among the arguments.
    pub(crate) fn code(&mut self) -> Option<&mut Vec<String>> {
        match self {
            Self::Receive(args) => Some(&mut args.code),
            Self::Connect(args) => Some(&mut args.partner.code),
            Self::Ping(args) => Some(&mut args.partner.code),
            Self::Forward(args) => Some(&mut args.partner.code),
            Self::Pair(args) => Some(&mut args.code),
            Self::Send(_)
            | Self::Doctor(_)
            | Self::Devices(_)
            | Self::Forget(_)
            | Self::Serve(_)
            | Self::Status(_)
            | Self::Pairings(_)
            | Self::Revoke(_)
            | Self::Rotate(_)
            | Self::Drain(_)
            | Self::Log(_)
            | Self::Key(_)
            | Self::Completions { .. }
            | Self::Hold(_)
            | Self::Man { .. } => None,
        }
    }

    /// Whether it speaks to scripts.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Send(args) => args.remote.json,
            Self::Receive(args) => args.remote.json,
            Self::Connect(args) => args.partner.remote.json,
            Self::Ping(args) => args.partner.remote.json,
            Self::Doctor(args) => args.json,
            Self::Forward(args) => args.partner.remote.json,
            Self::Pair(args) => args.remote.json,
            Self::Devices(args) => args.remote.json,
            Self::Forget(args) => args.remote.json,
            Self::Hold(args) => args.remote.json,
            Self::Status(args) => args.json,
            Self::Pairings(args) => args.json,
            Self::Serve(args) => args.log_format == LogFormat::Json,
            Self::Revoke(_)
            | Self::Rotate(_)
            | Self::Drain(_)
            | Self::Log(_)
            | Self::Key(_)
            | Self::Completions { .. }
            | Self::Man { .. } => false,
        }
    }

    /// The name of a command that calls a server, for the span of its run.
    pub(crate) fn calling(&self) -> Option<&'static str> {
        match self {
            Self::Send(_) => Some("send"),
            Self::Receive(_) => Some("receive"),
            Self::Connect(_) => Some("connect"),
            Self::Ping(_) => Some("ping"),
            Self::Doctor(_) => Some("doctor"),
            Self::Forward(_) => Some("forward"),
            Self::Pair(_) => Some("pair"),
            Self::Devices(_) => Some("devices"),
            Self::Forget(_) => Some("forget"),
            Self::Hold(_) => Some("hold"),
            Self::Serve(_)
            | Self::Key(_)
            | Self::Status(_)
            | Self::Pairings(_)
            | Self::Revoke(_)
            | Self::Rotate(_)
            | Self::Drain(_)
            | Self::Log(_)
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        }
    }

    /// How a line of the log is written.
    pub(crate) fn log_format(&self) -> LogFormat {
        match self {
            Self::Serve(args) => args.log_format,
            _ => LogFormat::Text,
        }
    }
}

/// What every command that talks to a server takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// The server. Default: http://localhost:3000; for a saved device, always its own.
    #[arg(long, env = "PEERSOX_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,

    /// How to reach the relay.
    #[arg(long, env = "PEERSOX_TRANSPORT", value_enum, default_value_t = Transport::Auto)]
    pub(crate) transport: Transport,

    /// Whether data may go straight to the other device. Looking for a direct path shows each device the
    /// addresses of the other.
    #[arg(long, env = "PEERSOX_PATH", value_enum, default_value_t = Paths::Auto)]
    pub(crate) path: Paths,

    /// Certificate authority in PEM to trust beside those of this machine.
    #[arg(long, env = "PEERSOX_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) credential: auth::Credential,

    /// Print one JSON object per event instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,

    /// Draw no QR code.
    #[arg(long, env = "PEERSOX_NO_QR", hide_env_values = true,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_qr: bool,

    /// Seconds to wait for the other device to appear, and to come back when it is away.
    #[arg(long, default_value_t = 600, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) wait: u64,
}

/// With whom a command talks that either side may begin.
#[derive(Debug, Args)]
pub(crate) struct Partner {
    /// The code that the other side shows. Without one, a code is shown here.
    #[arg(value_name = "CODE")]
    pub(crate) code: Vec<String>,
    /// A saved device, instead of a code.
    #[arg(long, value_name = "NAME", conflicts_with = "code")]
    pub(crate) with: Option<Name>,
    #[command(flatten)]
    pub(crate) new_code: NewCode,
    #[command(flatten)]
    pub(crate) joiner: Joiner,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

impl Remote {
    /// The server for a new pairing.
    pub(crate) fn server(&self) -> &str {
        self.server.as_deref().unwrap_or(DEFAULT_SERVER)
    }
}

/// What `peersox serve` listens on, seen from the same machine.
pub(crate) const DEFAULT_SERVER: &str = "http://localhost:3000";

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Transport {
    /// QUIC, or WebSocket where UDP is blocked.
    Auto,
    /// QUIC only.
    Quic,
    /// WebSocket only.
    Ws,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Paths {
    /// Over the relay at once, and directly as soon as there is such a path.
    Auto,
    /// Over the relay only.
    Relay,
    /// Waits for a direct path, and fails if there is none.
    Direct,
}

/// What a command that makes a code takes.
#[derive(Debug, Args)]
pub(crate) struct NewCode {
    /// Secret words in the code, which the server never sees.
    #[arg(long, env = "PEERSOX_WORDS", default_value_t = 2,
          value_parser = clap::value_parser!(u8).range(0..=8))]
    pub(crate) words: u8,
    /// Ask here before a device that has typed the code is connected. Without a terminal to ask on, none is.
    #[arg(long)]
    pub(crate) confirm: bool,
}

/// What a command that takes a code takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Joiner {
    /// What this device calls itself when it types a code, where the other one asks (`--confirm`). The server
    /// is told it, too. Default, or if it is empty: nothing.
    #[arg(
        long,
        env = "PEERSOX_LABEL",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) label: Called,
}

/// What a device calls itself, if it says so.
#[derive(Clone, Debug)]
pub(crate) struct Called(pub(crate) Option<Label>);

impl FromStr for Called {
    type Err = NotALabel;

    fn from_str(text: &str) -> Result<Self, NotALabel> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|label| Self(Some(label)))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox send photo.jpg holiday/      then type the code on the other device
  tar c . | peersox send -             a stream; `peersox receive -o -` takes it as one
  peersox send --json big.iso          for scripts")]
pub(crate) struct Send {
    /// Files and folders, or `-` for standard input.
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub(crate) paths: Vec<PathBuf>,
    /// Another name for the only file or folder that is sent. Standard input is called `stdin` unless
    /// this is given.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Send to a saved device instead of showing a code.
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<Name>,
    #[command(flatten)]
    pub(crate) code: NewCode,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peersox receive 481920-tulip-ember               into this folder, after asking
  peersox receive 481920 tulip ember -o ~/Downloads -y
  peersox receive 481920-tulip-ember -o - | tar x  to standard output
  peersox receive                                  asks for the code, and completes its words
  PEERSOX_CODE=481920-tulip-ember peersox receive  for scripts: other users do not see it")]
pub(crate) struct Receive {
    /// The code that the sender shows; spaces, case and dashes do not matter. Also the link with the code, or
    /// `-` for the first line of standard input. Default: what PEERSOX_CODE holds, or else it is asked for.
    #[arg(value_name = "CODE")]
    pub(crate) code: Vec<String>,
    /// Receive from a saved device instead of typing a code.
    #[arg(long, value_name = "NAME", conflicts_with = "code")]
    pub(crate) from: Option<Name>,
    /// Receive one transfer after the other, until Ctrl-C.
    #[arg(long, requires = "from", conflicts_with = "code")]
    pub(crate) keep: bool,
    /// Folder to receive into, or `-` for standard output; a file, as in `new.txt`, if one file with
    /// that extension is offered.
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Another name for the only file or folder that is offered.
    #[arg(long, value_name = "NAME", value_parser = file_name)]
    pub(crate) name: Option<String>,
    /// Accept without asking. Without a terminal to ask on, nothing is accepted unless this is given.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Replace files that exist, instead of choosing another name.
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) joiner: Joiner,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox connect                       shows a code, then joins the two terminals
  peersox connect 481920-tulip-ember    on the other machine
  pg_dump db | peersox connect          … | psql db at the other end")]
pub(crate) struct Connect {
    #[command(flatten)]
    pub(crate) partner: Partner,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox ping                          shows a code, and answers
  peersox ping 481920-tulip-ember -n 5  measures")]
pub(crate) struct Ping {
    /// How many round trips to measure.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    /// Milliseconds between two of them.
    #[arg(short, long, default_value_t = 200, value_name = "MS")]
    pub(crate) interval: u64,
    #[command(flatten)]
    pub(crate) partner: Partner,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox forward --target localhost:5432              where the service is; shows a code
  peersox forward --listen 127.0.0.1:5432 CODE         where it is needed
  peersox forward --listen 127.0.0.1:8080 --with nas   with a saved device")]
#[command(group(clap::ArgGroup::new("side").required(true).args(["listen", "target"])))]
pub(crate) struct Forward {
    /// Accept connections here and carry them to the other side.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Connect what comes from the other side to this address, and to no other.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) partner: Partner,
}

/// The name of a file in a folder.
fn file_name(name: &str) -> Result<String, String> {
    let names = peersox_core::transfer::Names::Unix;
    match peersox_core::transfer::SafePath::on(names, &[name]) {
        Ok(path) => Ok(path.to_string()),
        Err(error) => Err(format!("this is no name of a file: {error}")),
    }
}

const EXAMPLES: &str = "\
Examples:
  peersox serve                          the server, on port 3000
  peersox send photo.jpg                 prints a code
  peersox receive 481920-tulip-ember     takes it, on the other device
  echo hello | peersox connect           a pipe between two machines
  peersox pair --save laptop             pairs for good; then `peersox send --to laptop FILE`

Exit codes:
  0  done                     4  the other side declined or cancelled
  1  another failure          5  the server or the other side cannot be reached
  2  wrong usage              6  what arrived is not what was sent
  3  no such code, or wrong   7  a file here is in the way, or cannot be read or written
  8                           peers of a relay that stopped were hung up
  129, 130, 143               ended by SIGHUP, by Ctrl-C, by SIGTERM
  141                         nobody reads standard output any more";
