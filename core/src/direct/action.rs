//! What the shell is to do.

use bytes::Bytes;

use super::{Carrier, IceCandidate, SessionDescription, Why};
use crate::connect::PathId;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a connection of this carrier for this attempt, with the servers of the latest session.
    Make(u64, Carrier),
    /// Make an offer and take it as the local description, with the servers of the latest session.
    Offer {
        /// The attempt.
        attempt: u64,
        /// Whether ICE is to be restarted.
        restart: bool,
    },
    /// Take the description of the other side.
    Accept(u64, SessionDescription),
    /// Make an answer and take it as the local description, with the servers of the latest session.
    Answer(u64),
    /// Add a candidate of the other side. One that does not fit costs nothing but itself.
    Add(u64, IceCandidate),
    /// Close the connection, and tell nothing more of it.
    Close(u64),
    /// Open a session for the sake of its servers; report with [`Direct::renewed`](super::Direct::renewed).
    Renew,
    /// Seal this signal for the other peer.
    Signal(Bytes),
    /// The connection is a path from now on; name it by [`Direct::set_path`](super::Direct::set_path).
    Up(u64),
    /// This path ended.
    Down(PathId),
    /// What [`Direct::dial`](super::Direct::dial) asked for could not be made.
    Failed(Why),
}
