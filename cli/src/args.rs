//! The command line.

pub(crate) mod admin;
mod devices;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use peersox_server::{Network, Origin, PublicUrl, ice};

use crate::saved::Name;

pub(crate) use devices::{Devices, Forget, Hold, Pair};

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
    /// Carry TCP connections to a port here to a port of another device.
    Forward(Forward),
    /// Pair with another device for good, so that no code is needed from then on.
    Pair(Pair),
    /// List the saved devices.
    Devices(Devices),
    /// Forget a saved device and revoke the pairing.
    Forget(Forget),
    /// Say how a running server of this machine stands.
    Status(admin::Status),
    /// List the pairings of a running server of this machine.
    Pairings(admin::Status),
    /// Revoke a pairing of a running server of this machine.
    Revoke(admin::Revoke),
    /// Stop a running server of this machine as a signal does, and wait until it has ended.
    Drain(admin::Drain),
    /// Change the log filter of a running server of this machine.
    Log(admin::Log),
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
            | Self::Devices(_)
            | Self::Forget(_)
            | Self::Serve(_)
            | Self::Status(_)
            | Self::Pairings(_)
            | Self::Revoke(_)
            | Self::Drain(_)
            | Self::Log(_)
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
            Self::Forward(args) => args.partner.remote.json,
            Self::Pair(args) => args.remote.json,
            Self::Devices(args) => args.remote.json,
            Self::Forget(args) => args.remote.json,
            Self::Hold(args) => args.remote.json,
            Self::Status(args) | Self::Pairings(args) => args.json,
            Self::Serve(_)
            | Self::Revoke(_)
            | Self::Drain(_)
            | Self::Log(_)
            | Self::Completions { .. }
            | Self::Man { .. } => false,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox serve                                   on port 3000, for this network
  peersox serve --listen 127.0.0.1:8080           for this machine only
  peersox serve --tls-cert c.pem --tls-key k.pem  with TLS for everything
  peersox serve --state peersox.state             remembers pairings over a restart
  peersox serve --public-url https://p.example    behind a proxy that terminates TLS")]
pub(crate) struct Serve {
    /// Address for TCP (gRPC, gRPC-Web, WebSocket, page) and UDP (QUIC, STUN). Default: port 3000 of every
    /// address of this machine, IPv6 and IPv4.
    #[arg(long, env = "PEERSOX_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// Certificate chain in PEM, for TLS on TCP and for QUIC.
    #[arg(
        long,
        env = "PEERSOX_TLS_CERT",
        requires = "tls_key",
        value_name = "FILE"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key in PEM.
    #[arg(
        long,
        env = "PEERSOX_TLS_KEY",
        requires = "tls_cert",
        value_name = "FILE"
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// How peers reach this server, as in `https://p.example`. Default: as each of them called it.
    #[arg(long, env = "PEERSOX_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<PublicUrl>,

    /// File that keeps pairings and keys over a restart; created if it does not exist, for one
    /// server at a time. Default: memory, and devices pair again after a restart.
    #[arg(long, env = "PEERSOX_STATE", value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,

    /// Unix socket for `peersox status`, `pairings`, `revoke`, `log` and `drain`, for this user only.
    /// Default: none.
    #[arg(long, env = "PEERSOX_ADMIN_SOCKET", value_name = "PATH")]
    pub(crate) admin_socket: Option<PathBuf>,

    /// Web origin allowed to call this server, as in `https://app.example`. May be repeated.
    /// Default: only pages that this server serves itself.
    #[arg(
        long,
        env = "PEERSOX_ALLOW_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub(crate) allow_origin: Vec<Origin>,

    /// Proxy, or network of proxies, that is believed about the address of a client. May be repeated.
    /// Default: none.
    #[arg(
        long,
        env = "PEERSOX_TRUST_PROXY",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub(crate) trust_proxy: Vec<Network>,

    /// The header in which trusted proxies write the address of a client. What a client itself writes there
    /// has to be replaced or added to by the proxy.
    #[arg(long, env = "PEERSOX_PROXY_HEADER", value_enum, default_value_t)]
    pub(crate) proxy_header: ProxyHeader,

    /// Network whose addresses have no budgets and no shares of their own: one's own NAT, or a bench. May be
    /// repeated. Default: none.
    #[arg(
        long,
        env = "PEERSOX_UNMETERED",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub(crate) unmetered: Vec<Network>,

    /// Do not listen for QUIC on UDP.
    #[arg(long, env = "PEERSOX_NO_QUIC")]
    pub(crate) no_quic: bool,

    /// Do not answer STUN on UDP, and do not name this server to peers as a STUN server.
    #[arg(long, env = "PEERSOX_NO_STUN")]
    pub(crate) no_stun: bool,

    /// STUN or TURN server handed to peers, as in `stun:stun.example` or
    /// `turns:turn.example:5349?transport=tcp`. May be repeated. TURN needs `--turn-secret-file`.
    /// Default: STUN of this server, on the UDP port of QUIC.
    #[arg(
        long,
        env = "PEERSOX_ICE_SERVER",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub(crate) ice_server: Vec<ice::ServerUrl>,

    /// File with the secret of the TURN servers (`static-auth-secret` of coturn), readable by its
    /// owner only. Peers get credentials made from it.
    #[arg(long, env = "PEERSOX_TURN_SECRET_FILE", value_name = "FILE")]
    pub(crate) turn_secret_file: Option<PathBuf>,

    /// Seconds for which credentials for the TURN servers are valid. Peers that need them later ask
    /// again.
    #[arg(long, env = "PEERSOX_TURN_LIFETIME", default_value_t = 43_200, value_name = "SECONDS",
          requires = "turn_secret_file",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) turn_lifetime: u64,

    /// The fewest digits of a nameplate, 4 to 12. Codes have more where the odds of guessing ask for
    /// it: with the longest life of a day, six at least.
    #[arg(long, env = "PEERSOX_DIGITS", default_value_t = 6,
          value_parser = clap::value_parser!(u8).range(4..=12))]
    pub(crate) digits: u8,

    /// Seconds for which a code can be joined after its creator was last heard of.
    #[arg(long, env = "PEERSOX_CODE_TTL", default_value_t = 130, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) code_ttl: u64,

    /// Seconds for which a code can be joined at most, however long its creator waits. A shorter time
    /// allows for fewer digits.
    #[arg(long, env = "PEERSOX_CODE_MAX", default_value_t = 86_400, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) code_max: u64,

    /// Seconds for which a pairing is remembered after both peers have left, unless one of them asked
    /// to keep it.
    #[arg(long, env = "PEERSOX_UNKEPT_TTL", default_value_t = 600, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) unkept_ttl: u64,

    /// Largest frame in bytes.
    #[arg(long, env = "PEERSOX_MAX_FRAME", default_value_t = 65_536, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(4_096..=1_048_576))]
    pub(crate) max_frame: u32,

    /// Bytes of reliable frames held per direction of a session before its sender is slowed.
    #[arg(long, env = "PEERSOX_HOLD", default_value_t = 262_144, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(65_536..=16_777_216))]
    pub(crate) hold: u32,

    /// Bytes of memory for all frames that wait, the buffers of transports included.
    #[arg(long, env = "PEERSOX_RELAY_MEMORY", default_value_t = 536_870_912, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(4_194_304..=1_099_511_627_776))]
    pub(crate) relay_memory: u64,

    /// Bytes per second that one peer may send through the relay before it is slowed down; each frame counts
    /// 256 bytes more. An address may send four times as much.
    #[arg(long, env = "PEERSOX_LEG_RATE", default_value_t = 1_073_741_824, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(65_536..=1_099_511_627_776))]
    pub(crate) leg_rate: u64,

    /// Serve gRPC reflection.
    #[arg(long, env = "PEERSOX_REFLECTION")]
    pub(crate) reflection: bool,

    /// Seconds for which a lost peer is waited for.
    #[arg(long, env = "PEERSOX_PARK_GRACE", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) park_grace: u32,

    /// Seconds for which peers may find another relay after a signal to stop.
    #[arg(long, env = "PEERSOX_DRAIN_GRACE", default_value_t = 2, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) drain_grace: u64,
}

/// In which header proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProxyHeader {
    /// `X-Forwarded-For: 192.0.2.7`, with or without a port.
    #[default]
    XForwardedFor,
    /// `Forwarded: for="[2001:db8::1]:443"` (RFC 7239).
    Forwarded,
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

    /// Certificate authority in PEM to trust beside those of this machine.
    #[arg(long, env = "PEERSOX_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,

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

/// What a command that makes a code takes.
#[derive(Debug, Args)]
pub(crate) struct NewCode {
    /// Secret words in the code, which the server never sees.
    #[arg(long, env = "PEERSOX_WORDS", default_value_t = 2,
          value_parser = clap::value_parser!(u8).range(0..=8))]
    pub(crate) words: u8,
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
  129, 130, 143               ended by SIGHUP, by Ctrl-C, by SIGTERM
  141                         nobody reads standard output any more";
