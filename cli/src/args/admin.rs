//! Commands that talk to a running server of this machine.

use std::path::PathBuf;

use clap::Args;
use peersox_core::id::{NotAPairingId, PairingId};

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
pub(crate) struct Status {
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
