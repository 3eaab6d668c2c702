//! What the relay counts. Sessions count locally and publish once per batch of frames.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use peersox_core::close::CloseReason;
use peersox_core::frame::Lane;
use peersox_core::session::State;

/// What carries a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// WebSocket, over HTTP/1.1 or HTTP/2.
    WebSocket,
    /// QUIC. A connection of WebTransport counts here until it has said that it is one.
    Quic,
    /// WebTransport over HTTP/3.
    WebTransport,
    /// A call of gRPC.
    Grpc,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 4] = [Self::WebSocket, Self::Quic, Self::WebTransport, Self::Grpc];

    /// The name used as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
            Self::Grpc => "grpc",
        }
    }
}

/// Why a connection did not become the leg of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The relay is stopping.
    Draining,
    /// There is no room for another leg, or none for this address.
    Full,
    /// Too many handshakes of QUIC are under way.
    Busy,
    /// Pages of this origin may not attach.
    Origin,
    /// The request is none for a leg.
    Malformed,
    /// The transport's own handshake failed.
    Handshake,
    /// The handshake, or Hello, did not come in time.
    Timeout,
    /// The connection was gone before Hello.
    Gone,
    /// The first frame is no Hello.
    HelloInvalid,
    /// The ticket is malformed, or not signed by this deployment.
    TicketInvalid,
    /// The ticket's time is over.
    TicketExpired,
    /// The pairing meets at another relay.
    Misdirected,
    /// The pairing was revoked.
    Revoked,
    /// Another rule of the protocol was broken before Hello.
    Protocol,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Draining,
        Self::Full,
        Self::Busy,
        Self::Origin,
        Self::Malformed,
        Self::Handshake,
        Self::Timeout,
        Self::Gone,
        Self::HelloInvalid,
        Self::TicketInvalid,
        Self::TicketExpired,
        Self::Misdirected,
        Self::Revoked,
        Self::Protocol,
    ];

    /// The name used as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::Busy => "busy",
            Self::Origin => "origin",
            Self::Malformed => "malformed",
            Self::Handshake => "handshake",
            Self::Timeout => "timeout",
            Self::Gone => "gone",
            Self::HelloInvalid => "hello_invalid",
            Self::TicketInvalid => "ticket_invalid",
            Self::TicketExpired => "ticket_expired",
            Self::Misdirected => "misdirected",
            Self::Revoked => "revoked",
            Self::Protocol => "protocol",
        }
    }
}

/// What a leg that was not admitted is told says why.
impl From<CloseReason> for Refusal {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Draining => Self::Draining,
            CloseReason::Overloaded => Self::Full,
            CloseReason::HelloTimeout => Self::Timeout,
            CloseReason::HelloInvalid => Self::HelloInvalid,
            CloseReason::TicketInvalid => Self::TicketInvalid,
            CloseReason::TicketExpired => Self::TicketExpired,
            CloseReason::Misdirected => Self::Misdirected,
            CloseReason::Revoked => Self::Revoked,
            _ => Self::Protocol,
        }
    }
}

/// Where a living session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// A peer has never been attached.
    Waiting,
    /// Both peers are attached.
    Live,
    /// A peer was lost, and is waited for.
    Parked,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Live, Self::Parked];

    /// The name used as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Live => "live",
            Self::Parked => "parked",
        }
    }

    /// Nothing once the session has ended.
    pub(crate) const fn of(state: State) -> Option<Self> {
        match state {
            State::Waiting => Some(Self::Waiting),
            State::Live => Some(Self::Live),
            State::Parked(_) => Some(Self::Parked),
            State::Ended(_) => None,
        }
    }
}

/// Why a frame was dropped. Reliable frames never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The datagram queue was full; the oldest datagram made room.
    DatagramQueueFull,
    /// The datagram does not fit the QUIC path of the receiver.
    DatagramTooLargeForPath,
    /// The receiver of a datagram was not attached.
    DatagramPeerAway,
    /// The signal mailbox was full; the newest signal was refused.
    SignalMailboxFull,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::DatagramQueueFull,
        Self::DatagramTooLargeForPath,
        Self::DatagramPeerAway,
        Self::SignalMailboxFull,
    ];

    /// The lane of what is dropped for this reason.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::DatagramQueueFull | Self::DatagramTooLargeForPath | Self::DatagramPeerAway => {
                Lane::Datagram
            }
            Self::SignalMailboxFull => Lane::Signal,
        }
    }

    /// The name used as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DatagramQueueFull => "datagram_queue_full",
            Self::DatagramTooLargeForPath => "datagram_too_large_for_path",
            Self::DatagramPeerAway => "datagram_peer_away",
            Self::SignalMailboxFull => "signal_mailbox_full",
        }
    }
}

/// What became of a datagram of STUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stun {
    /// It was answered.
    Answered,
    /// It is no Binding request, or a damaged one; it got no answer.
    Malformed,
    /// Its sender, a network of its sender, or all together asked too often; it got no answer.
    OverBudget,
}

impl Stun {
    /// Everything that can become of one.
    pub const ALL: [Self; 3] = [Self::Answered, Self::Malformed, Self::OverBudget];

    /// The name used as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Malformed => "malformed",
            Self::OverBudget => "over_budget",
        }
    }
}

/// Counters shared by every task of a relay.
#[derive(Debug, Default)]
pub struct Metrics {
    sessions: [AtomicU64; Standing::ALL.len()],
    legs: AtomicU64,
    attached: [AtomicU64; Transport::ALL.len()],
    admitted: [AtomicU64; Transport::ALL.len()],
    refused: [[AtomicU64; Refusal::ALL.len()]; Transport::ALL.len()],
    slowed: AtomicU64,
    cut_off: AtomicU64,
    presence_lost: AtomicU64,
    frames: [AtomicU64; 4],
    bytes: [AtomicU64; 4],
    dropped: [AtomicU64; DropReason::ALL.len()],
    hung_up: [AtomicU64; CloseReason::ALL.len()],
    stun: [AtomicU64; Stun::ALL.len()],
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Living sessions, in the order of [`Standing::ALL`].
    pub sessions: [u64; Standing::ALL.len()],
    /// Open legs, those that are not admitted yet and those being hung up included.
    pub legs: u64,
    /// Those of them that were admitted, in the order of [`Transport::ALL`].
    pub attached: [u64; Transport::ALL.len()],
    /// Bytes of the memory budget that are taken.
    pub memory: u64,
    /// Bytes of the memory budget in all.
    pub memory_limit: u64,
    /// Legs admitted so far, in the order of [`Transport::ALL`].
    pub admitted: [u64; Transport::ALL.len()],
    /// Connections that did not become the leg of a peer, by transport and reason.
    pub refused: [[u64; Refusal::ALL.len()]; Transport::ALL.len()],
    /// How often a leg was slowed down because it, its host or its network sent more than its budget.
    pub slowed: u64,
    /// Peers that were hung up because they had to go elsewhere and had not gone in time.
    pub cut_off: u64,
    /// Presence events that were lost because their receiver was too slow.
    pub presence_lost: u64,
    /// Frames forwarded, by [`Lane`] in the order of [`Lane::ALL`].
    pub frames: [u64; 4],
    /// Bytes forwarded, by lane.
    pub bytes: [u64; 4],
    /// Frames dropped, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Legs hung up by the relay, in the order of [`CloseReason::ALL`].
    pub hung_up: [u64; CloseReason::ALL.len()],
    /// Datagrams of STUN, in the order of [`Stun::ALL`].
    pub stun: [u64; Stun::ALL.len()],
}

impl Snapshot {
    /// All living sessions.
    #[must_use]
    pub fn all_sessions(&self) -> u64 {
        self.sessions.iter().sum()
    }

    /// All legs admitted so far.
    #[must_use]
    pub fn all_admitted(&self) -> u64 {
        self.admitted.iter().sum()
    }

    /// How many connections over a transport did not become a leg, for this reason.
    #[must_use]
    pub fn refused(&self, transport: Transport, refusal: Refusal) -> u64 {
        self.refused[transport as usize][refusal as usize]
    }

    /// All connections that did not become a leg.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        self.refused.as_flattened().iter().sum()
    }

    /// How many frames were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// What became of so many datagrams of STUN.
    #[must_use]
    pub fn stun(&self, what: Stun) -> u64 {
        self.stun[what as usize]
    }

    /// How many legs the relay hung up for this reason.
    #[must_use]
    pub fn hung_up(&self, reason: CloseReason) -> u64 {
        self.hung_up[position(reason)]
    }
}

impl Metrics {
    /// The counters as they are now; each is exact, together they may be a moment apart.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        fn read<const N: usize>(counters: &[AtomicU64; N]) -> [u64; N] {
            std::array::from_fn(|at| counters[at].load(Relaxed))
        }
        Snapshot {
            sessions: read(&self.sessions),
            legs: self.legs.load(Relaxed),
            attached: read(&self.attached),
            memory: 0,
            memory_limit: 0,
            admitted: read(&self.admitted),
            refused: std::array::from_fn(|at| read(&self.refused[at])),
            slowed: self.slowed.load(Relaxed),
            cut_off: self.cut_off.load(Relaxed),
            presence_lost: self.presence_lost.load(Relaxed),
            frames: read(&self.frames),
            bytes: read(&self.bytes),
            dropped: read(&self.dropped),
            hung_up: read(&self.hung_up),
            stun: read(&self.stun),
        }
    }

    /// A session that stood somewhere stands somewhere else; before its begin and after its end nowhere.
    pub(crate) fn session_stands(&self, before: Option<Standing>, now: Option<Standing>) {
        if before == now {
            return;
        }
        if let Some(now) = now {
            self.sessions[now as usize].fetch_add(1, Relaxed);
        }
        if let Some(before) = before {
            self.sessions[before as usize].fetch_sub(1, Relaxed);
        }
    }

    pub(crate) fn leg_opened(&self) {
        self.legs.fetch_add(1, Relaxed);
    }

    pub(crate) fn leg_closed(&self) {
        self.legs.fetch_sub(1, Relaxed);
    }

    /// A leg was admitted, and is attached until [`Metrics::detached`].
    pub(crate) fn admitted(&self, transport: Transport) {
        self.admitted[transport as usize].fetch_add(1, Relaxed);
        self.attached[transport as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn detached(&self, transport: Transport) {
        self.attached[transport as usize].fetch_sub(1, Relaxed);
    }

    pub(crate) fn refused(&self, transport: Transport, why: impl Into<Refusal>) {
        self.refused[transport as usize][why.into() as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn slowed(&self) {
        self.slowed.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut_off(&self) {
        self.cut_off.fetch_add(1, Relaxed);
    }

    pub(crate) fn presence_lost(&self) {
        self.presence_lost.fetch_add(1, Relaxed);
    }

    pub(crate) fn hung_up(&self, reason: CloseReason) {
        self.hung_up[position(reason)].fetch_add(1, Relaxed);
    }

    pub(crate) fn stun(&self, what: Stun) {
        self.stun[what as usize].fetch_add(1, Relaxed);
    }

    /// Adds what a session counted since it last published, and starts it over.
    pub(crate) fn publish(&self, tally: &mut Tally) {
        fn add(counters: &[AtomicU64], counts: &[u64]) {
            for (counter, count) in counters.iter().zip(counts).filter(|(_, count)| **count > 0) {
                counter.fetch_add(*count, Relaxed);
            }
        }
        if *tally == Tally::default() {
            return;
        }
        let Tally {
            frames,
            bytes,
            dropped,
        } = std::mem::take(tally);
        add(&self.frames, &frames);
        add(&self.bytes, &bytes);
        add(&self.dropped, &dropped);
    }
}

/// What one session counted since it last published.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    frames: [u64; 4],
    bytes: [u64; 4],
    dropped: [u64; DropReason::ALL.len()],
}

impl Tally {
    pub(crate) fn forwarded(&mut self, lane: Lane, len: usize) {
        self.forwarded_many(lane, 1, len);
    }

    /// So many frames, with so many bytes together.
    pub(crate) fn forwarded_many(&mut self, lane: Lane, frames: usize, bytes: usize) {
        self.frames[lane as usize] += frames as u64;
        self.bytes[lane as usize] += bytes as u64;
    }

    pub(crate) fn dropped(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// All bytes that were forwarded.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

/// Close numbers are consecutive from the first, which `core::close` tests.
fn position(reason: CloseReason) -> usize {
    usize::from(reason.number() - CloseReason::ALL[0].number())
}
