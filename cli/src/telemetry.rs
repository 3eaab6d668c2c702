//! The log: to standard error, so that standard output stays data.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging with the filter given, or `info` for a server and warnings for a peer.
pub(crate) fn start(filter: Option<&str>, server: bool) {
    let filter = filter.unwrap_or(if server { "info" } else { "error" });
    let (filter, fault) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    if let Some(error) = fault {
        tracing::warn!(%error, "the log filter cannot be used; logging at info");
    }
}
