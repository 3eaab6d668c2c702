//! Commands that talk to a running server of this machine.

use std::path::PathBuf;

use clap::Args;
use peersox_core::id::{NotAPairingId, PairingId};

use crate::nodes::MetricsUrl;

/// Where the server is.
#[derive(Debug, Args)]
pub(crate) struct Socket {
    /// The Unix socket of the server, as its own `--admin-socket` names it.
    #[arg(
        long = "admin-socket",
        env = "PEERSOX_ADMIN_SOCKET",
        value_name = "PATH"
    )]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox status --admin-socket PATH                    a server of this machine, once
  peersox status http://127.0.0.1:9464                  a node by its --metrics-listen, until Ctrl-C
  peersox status http://10.0.0.1:9464 10.0.0.2:9464     several
  peersox status http://127.0.0.1:9464 --json           once, for scripts; rates are those of one second")]
pub(crate) struct Status {
    /// Where nodes serve metrics. On a terminal the table is drawn anew each second. Default: the server of
    /// `--admin-socket`.
    #[arg(value_name = "URL")]
    pub(crate) metrics: Vec<MetricsUrl>,
    /// The Unix socket of the server, as its own `--admin-socket` names it.
    #[arg(
        long = "admin-socket",
        env = "PEERSOX_ADMIN_SOCKET",
        required_unless_present = "metrics",
        value_name = "PATH"
    )]
    pub(crate) path: Option<PathBuf>,
    /// Print one JSON object for each server instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pairings {
    #[command(flatten)]
    pub(crate) socket: Socket,
    /// Print one JSON object instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) socket: Socket,
    /// The name of the pairing, as `peersox pairings` prints it.
    #[arg(value_name = "ID", value_parser = pairing)]
    pub(crate) pairing: PairingId,
}

fn pairing(text: &str) -> Result<PairingId, NotAPairingId> {
    PairingId::try_from(text.to_owned())
}

#[derive(Debug, Args)]
#[command(
    after_help = "With --secret-file the server reads the file again: its first line signs from now on, \
and all are believed. Otherwise it draws a secret, keeps it in the state file if there is one, and believes \
the former one for as long as its tickets live. Nobody who is connected is hung up on."
)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) socket: Socket,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) socket: Socket,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox log --admin-socket PATH info
  peersox log --admin-socket PATH info,peersox_relay=debug")]
pub(crate) struct Log {
    #[command(flatten)]
    pub(crate) socket: Socket,
    /// The filter, as `--log` takes it.
    #[arg(value_name = "FILTER")]
    pub(crate) filter: String,
}
