//! What the binary decides about control.

use std::time::Duration;

use peersox_core::{origin, pairing};
use peersox_proto::v1::RelayLimits;

use crate::access::Access;
use crate::guard;
use crate::token::Token;

/// The configuration of control.
#[derive(Clone, Debug)]
pub struct Config {
    /// Version of the server software, shown to peers.
    pub server_version: String,
    /// How long codes and pairings live.
    pub pairing: pairing::Config,
    /// Who may create pairings.
    pub access: Access,
    /// Who may try how often.
    pub guard: guard::Config,
    /// The limits of the relay, shown to peers.
    pub relay_limits: RelayLimits,
    /// What relays show that run apart. Nothing if there is one relay, beside control.
    pub relays: Option<Relays>,
    /// How long a ticket is accepted. A peer is asked to fetch a new one at 80 % of it.
    pub ticket_lifetime: Duration,
    /// Pages of which other origins may call. The page that control itself is served with needs no
    /// entry.
    pub allowed_origins: origin::Allowed,
    /// Whether server reflection is served. It tells what `proto/` says, to anybody.
    pub reflection: bool,
    /// How long a call may take to its reply, or a stream to its beginning, if the caller asks for
    /// no less.
    pub deadline: Duration,
}

/// Relays that run apart.
#[derive(Clone, Debug)]
pub struct Relays {
    /// What they show.
    pub token: Token,
    /// The region that control is in: its relays are preferred. May be empty.
    pub region: String,
}

impl Default for Config {
    /// Pairings for everybody, tickets of 5 minutes, calls of 10 seconds, no foreign origins, no reflection.
    fn default() -> Self {
        Self {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            pairing: pairing::Config::default(),
            access: Access::Everybody,
            guard: guard::Config::default(),
            relay_limits: RelayLimits::default(),
            relays: None,
            ticket_lifetime: Duration::from_secs(5 * 60),
            allowed_origins: origin::Allowed::default(),
            reflection: false,
            deadline: Duration::from_secs(10),
        }
    }
}
