//! What the embedder decides about legs.

use std::time::Duration;

use super::Transports;

/// How a peer attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The transports that the shell speaks and may use.
    pub transports: Transports,
    /// For how long a leg is sought after one was lost; [`Duration::MAX`] never gives up. The first leg is
    /// sought for [`FIRST`](super::FIRST) at most.
    pub patience: Duration,
    /// After how long on a transport that is not the best one offered a better one is tried; doubled
    /// with each failure up to ten minutes.
    pub upgrade_after: Duration,
}

impl Default for Config {
    /// Those of native programs; never gives up, since a closed lid may stay closed for a night; 30 s.
    fn default() -> Self {
        Self {
            transports: Transports::NATIVE,
            patience: Duration::MAX,
            upgrade_after: Duration::from_secs(30),
        }
    }
}
