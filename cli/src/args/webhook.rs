//! Flags about who is told what happens to pairings.

use std::path::PathBuf;

use clap::Args;
use peersox_server::WebhookUrl;

/// Who is told.
#[derive(Debug, Args)]
pub(crate) struct Webhook {
    /// Where a program of yours is told by HTTP what happens to pairings: `paired`, `connected`, and `closed`
    /// with bytes and time, as JSON, signed by the secret of `--webhook-secret-file`.
    #[arg(
        long,
        env = "PEERSOX_WEBHOOK",
        requires = "webhook_secret_file",
        value_name = "URL"
    )]
    pub(crate) webhook: Option<WebhookUrl>,

    /// File with the secret that events are signed with, readable by its owner only: `openssl rand -hex 32`
    /// writes one.
    #[arg(
        long,
        env = "PEERSOX_WEBHOOK_SECRET_FILE",
        requires = "webhook",
        value_name = "FILE"
    )]
    pub(crate) webhook_secret_file: Option<PathBuf>,
}
