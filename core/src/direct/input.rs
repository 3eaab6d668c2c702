//! What the shell reports.

use super::{IceCandidate, SessionDescription};

/// What the shell reports of the connection of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// [`Action::Offer`](super::Action::Offer) or [`Action::Answer`](super::Action::Answer) is done: this is
    /// the local description.
    Described(SessionDescription),
    /// [`Action::Accept`](super::Action::Accept) is done.
    Accepted,
    /// A candidate of this side.
    Candidate(IceCandidate),
    /// The connection, or its reliable channel, is in another state.
    Changed(Connection, Channel),
    /// The connection cannot be made, or a step failed.
    Failed,
}

/// `RTCPeerConnection.connectionState`, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// New, connecting, or disconnected: probes tell earlier whether that matters.
    Pending,
    /// Connected.
    Connected,
    /// ICE found no pair of addresses that works.
    Failed,
    /// Closed.
    Closed,
}

/// `RTCDataChannel.readyState` of the reliable channel, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Not open yet.
    Pending,
    /// Open.
    Open,
    /// Closed.
    Closed,
}
