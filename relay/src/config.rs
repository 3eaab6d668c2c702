//! What a relay allows, chosen once when it starts.

use std::time::Duration;

use peersox_core::limit::{Limit, Networks, Tiers};
use peersox_core::{origin, session};
use peersox_proto::v1;

/// The limits of a relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// What one leg may send.
    pub limits: Limits,
    /// From the arrival of a connection to its Hello.
    pub hello_timeout: Duration,
    /// How many bytes of reliable frames wait per direction; at least one frame fits always.
    pub hold_bytes: usize,
    /// After how long without a byte a leg that is being read is given up. QUIC legs follow the
    /// idle timeout of their transport instead.
    pub idle_timeout: Duration,
    /// After how long without a byte a WebSocket leg is sent a ping; also how often peers are asked
    /// to send Ping notices.
    pub ping_interval: Duration,
    /// For how long a side is parked, and for how long a lone peer waits.
    pub session: session::Config,
    /// For how long frames on their way to a leg that is being hung up may still arrive.
    pub linger: Duration,
    /// How many legs the relay carries, those that are not admitted yet included.
    pub max_legs: usize,
    /// How many legs one IPv4 address or one IPv6 /64 network may have.
    pub max_legs_per_address: usize,
    /// How many connections may be without an accepted Hello.
    pub max_pending: usize,
    /// How many handshakes of QUIC may be under way whose client has proven its address. Each costs memory
    /// that no ticket has paid for.
    pub max_handshakes: usize,
    /// Bytes of memory for frames that wait, those in the buffers of the transports included. While less than
    /// half is in use, a direction gets wide windows; then narrow ones; then its sender is slowed down.
    pub memory: u64,
    /// After how long a direction that gets no memory, and in which nothing moves, loses its sender (4015).
    pub starved_for: Duration,
    /// What one leg may send, in bytes; each frame counts 256 bytes more. A leg beyond it is read more
    /// slowly.
    pub leg_rate: Limit,
    /// What all legs of a host, and of its networks, may send together, in the same way.
    pub host_rate: Tiers,
    /// Networks without budgets and shares of their own.
    pub unmetered: Networks,
    /// Pages of which other origins may open a WebSocket; `None` admits any. Pages of the server to
    /// which the request goes, and requests without an `Origin` header, which do not come from a web
    /// page, are always admitted.
    pub allowed_origins: Option<origin::Allowed>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            hello_timeout: Duration::from_secs(5),
            hold_bytes: 128 * 1024,
            idle_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(20),
            session: session::Config::default(),
            linger: Duration::from_secs(10),
            max_legs: 10_000,
            max_legs_per_address: 1_000,
            max_pending: 1_000,
            max_handshakes: 128,
            memory: 512 * 1024 * 1024,
            starved_for: Duration::from_secs(5),
            leg_rate: Limit::per(LEG_RATE, Duration::from_secs(1)),
            host_rate: Self::host_rate(LEG_RATE),
            unmetered: Networks::default(),
            allowed_origins: None,
        }
    }
}

impl Config {
    /// The rates of a host and of its networks that fit a rate of one leg, in bytes per second: four legs at
    /// full speed for a host, and so on.
    #[must_use]
    pub fn host_rate(leg_rate: u64) -> Tiers {
        let limit = Limit::per(leg_rate, Duration::from_secs(1));
        Tiers::of(limit.times(4))
    }

    /// The limits as peers are told them, in Welcome and by control.
    #[must_use]
    pub fn announced(&self) -> v1::RelayLimits {
        v1::RelayLimits {
            max_frame_bytes: clamp(self.limits.frame_bytes as u128),
            max_datagram_bytes: clamp(self.limits.datagram_bytes as u128),
            max_signal_bytes: clamp(self.limits.signal_bytes as u128),
            park_grace_millis: clamp(self.session.park_grace.as_millis()),
            idle_timeout_millis: clamp(self.idle_timeout.as_millis()),
            keepalive_millis: clamp(self.ping_interval.as_millis()),
        }
    }
}

/// What one leg may send, and how much waits for it. Sizes include the lane byte.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest frame, in bytes.
    pub frame_bytes: usize,
    /// The largest frame on the datagram lane, in bytes.
    pub datagram_bytes: usize,
    /// The largest frame on the signal lane, in bytes.
    pub signal_bytes: usize,
    /// How many datagrams wait per direction.
    pub datagram_queue: Bound,
    /// How many signals wait per direction.
    pub signal_mailbox: Bound,
}

impl Default for Limits {
    fn default() -> Self {
        let bound = |frames| Bound {
            frames,
            bytes: 64 * 1024,
        };
        Self {
            frame_bytes: 64 * 1024,
            datagram_bytes: 1024,
            signal_bytes: 16 * 1024,
            datagram_queue: bound(64),
            signal_mailbox: bound(32),
        }
    }
}

/// How much a queue takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Frames.
    pub frames: usize,
    /// Bytes.
    pub bytes: usize,
}

/// Bytes per second that one leg may send: more than a 10-gigabit line half used carries.
const LEG_RATE: u64 = 1024 * 1024 * 1024;

/// Milliseconds or bytes as protobuf carries them.
pub(crate) fn clamp(value: u128) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
