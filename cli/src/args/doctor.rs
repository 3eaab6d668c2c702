//! What `peersox doctor` takes.

use std::path::PathBuf;

use clap::Args;
use peersox_client::StunServer;

use super::DEFAULT_SERVER;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox doctor --server https://p.example
  peersox doctor --stun stun.example:3478     what kind of NAT there is takes two servers of STUN")]
pub(crate) struct Doctor {
    /// The server. Default: http://localhost:3000.
    #[arg(long, env = "PEERSOX_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,

    /// Another server of STUN to ask beside those that the server names. May be repeated; eight are asked in
    /// all.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) stun: Vec<StunServer>,

    /// Certificate authority in PEM to trust beside those of this machine.
    #[arg(long, env = "PEERSOX_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,

    /// Print one JSON object per finding instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Doctor {
    pub(crate) fn server(&self) -> &str {
        self.server.as_deref().unwrap_or(DEFAULT_SERVER)
    }
}
