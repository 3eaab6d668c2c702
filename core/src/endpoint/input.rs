//! What a shell tells an endpoint.

use std::time::Duration;

use bytes::Bytes;

use crate::attach::{self, Ended, LegId, Session};
use crate::direct;
use crate::id::PairingId;
use crate::peer::{self, Proof};
use crate::role::Role;
#[cfg(not(target_arch = "wasm32"))]
use crate::trace::TraceContext;

/// How an [`Endpoint`](super::Endpoint) behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Channels and paths.
    pub peer: peer::Config,
    /// The leg to the relay.
    pub attach: attach::Config,
    /// When to look for a direct path.
    pub direct: direct::Mode,
    /// What carries direct paths here, and is offered first.
    pub carrier: direct::Carrier,
    /// Whether neither side saves the pairing: a peer whose process is gone cannot come back then, because
    /// the code is spent. Once the relay has given the other peer up
    /// ([`PeerLost`](crate::close::CloseReason::PeerLost)), and it is not back [`RETURN`] later, this ends.
    pub once: bool,
}

/// Who an [`Endpoint`](super::Endpoint) is.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// Which of the two peers.
    pub role: Role,
    /// The name of the pairing.
    pub pairing: PairingId,
    /// What this side proves itself with. A code makes one endpoint, ever.
    pub proof: Proof<'a>,
    /// Told to the other peer in each handshake, sealed.
    pub hello: Bytes,
    /// Name and version of this software, told to the relay; at most 128 bytes.
    pub agent: String,
    /// The trace that legs belong to, told to the relay. Pages say none, as they would download what says it.
    #[cfg(not(target_arch = "wasm32"))]
    pub trace: Option<TraceContext>,
}

/// Where frames come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// A leg to the relay.
    Leg(LegId),
    /// The connection of this attempt at a direct path.
    Direct(u64),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// OpenSession was answered.
    SessionOpened {
        /// Which call.
        call: u32,
        /// The answer.
        session: Session,
        /// For how much longer than the ticket the TURN credentials of the answer are valid, if it has
        /// any: a difference of two times of the server's, since the clock here may be wrong.
        outlives: Option<Duration>,
    },
    /// OpenSession failed.
    SessionFailed {
        /// Which call.
        call: u32,
        /// Calling again would fail the same way.
        is_final: bool,
        /// What `RetryInfo` says.
        retry_after: Option<Duration>,
    },
    /// The transport of a leg is connected.
    LegConnected(LegId),
    /// A leg ended, or could not be connected.
    LegEnded(LegId, Ended),
    /// Whether frames that a leg took earlier still wait in this process. Say so before [`Input::Timeout`].
    Waiting(LegId, bool),
    /// The connection of an attempt reports.
    Direct(u64, direct::Input),
    /// The program was asleep for so long, is visible again, or its network changed.
    Wake(Duration),
    /// Say goodbye: everything sent is read by the other side, or the time is over.
    Close(Duration),
    /// The time of [`Endpoint::poll_timeout`](super::Endpoint::poll_timeout) has come.
    Timeout,
}

/// For how long a peer that the relay has given up is still waited for. A program that was stopped and goes
/// on has noticed by then that its leg is gone.
pub const RETURN: Duration = Duration::from_secs(15);

/// For how long [`Input::Close`] usually may take: what is still under way may have to cross a slow network.
pub const FAREWELL: Duration = Duration::from_secs(30);
