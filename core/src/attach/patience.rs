//! How long what is waited for. A shell has no such number but the time-outs of its sockets.

use std::time::Duration;

/// How long the best transport is tried alone. A QUIC handshake takes one round trip, a WebSocket three or
/// four; networks that drop UDP do so silently.
pub const HEAD_START: Duration = Duration::from_millis(300);

/// The first pause before another attempt, at most; half of it at least.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Where the doubling of the pause ends.
pub const PAUSE_AT_MOST: Duration = Duration::from_secs(10);

/// A leg whose frames cannot leave, and over which nothing comes, is given up after this time.
pub const BLOCKED: Duration = Duration::from_secs(120);

/// How long the first leg is sought, however patient a peer is later.
pub const FIRST: Duration = Duration::from_secs(30);

/// How long the first leg is sought while the other peer has not let this one in. A person has to answer
/// there, for whom control waits two minutes.
pub const UNCONFIRMED: Duration = Duration::from_secs(150);

/// How soon control is asked again whether this peer was let in. Control keeps such a call for as long as it
/// can, so that this is no polling.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(500);

/// `RetryInfo` is obeyed up to this bound.
pub(super) const RETRY_AFTER_AT_MOST: Duration = Duration::from_secs(600);

/// How long OpenSession may take while there is no earlier ticket. The shell's own time-out is shorter.
pub(super) const OPENING: Duration = Duration::from_secs(15);

/// How long OpenSession may take before an earlier ticket is used.
pub(super) const OPENING_WITH_TICKET: Duration = Duration::from_secs(3);

/// How long an attempt may take from the first transport that connects to Welcome.
pub(super) const ATTEMPT: Duration = Duration::from_secs(10);

/// After so many refusals of control an earlier ticket is used. Control that is restarted together with its
/// relay is worth waiting for: it knows the new certificates, and only then QUIC is found again.
pub(super) const CONTROL_IS_DOWN: u32 = 3;

/// A leg that lived this long makes the pauses short again.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(10);

/// How long after a leg was given up its Hello may still reach a relay.
pub(super) const STRAYS: Duration = Duration::from_secs(60);

/// An attempt that is older than this begins anew when the program wakes up.
pub(super) const RESTART_AFTER: Duration = Duration::from_secs(1);

/// So many legs over WebTransport that were lost in silence are the last: one may be a lid that was closed.
pub const STUCK: u8 = 2;

/// The longest time between two attempts at a better transport, unless the embedder asks for more.
pub(super) const UPGRADE_AT_MOST: Duration = Duration::from_secs(600);

/// After so many attempts in a row at a relay that control has just named, none of which reached it, control
/// is told so.
pub const UNREACHED: u32 = 2;

/// A relay may spread its peers over so long a time, before they seek another one.
pub(super) const SPREAD_AT_MOST: Duration = Duration::from_secs(60);
