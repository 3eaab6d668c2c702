//! What the relay counts. Sessions count locally and publish once per batch of frames.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use peersox_core::close::CloseReason;
use peersox_core::frame::Lane;

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
}

/// Counters shared by every task of a relay.
#[derive(Debug, Default)]
pub struct Metrics {
    sessions: AtomicU64,
    legs: AtomicU64,
    admitted: AtomicU64,
    refused: AtomicU64,
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
    /// Living sessions.
    pub sessions: u64,
    /// Open legs, those that are not admitted yet and those being hung up included.
    pub legs: u64,
    /// Bytes of the memory budget that are taken.
    pub memory: u64,
    /// Legs admitted so far.
    pub admitted: u64,
    /// Connections turned away before a leg began: no room, wrong request, foreign origin.
    pub refused: u64,
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
            sessions: self.sessions.load(Relaxed),
            legs: self.legs.load(Relaxed),
            memory: 0,
            admitted: self.admitted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            cut_off: self.cut_off.load(Relaxed),
            presence_lost: self.presence_lost.load(Relaxed),
            frames: read(&self.frames),
            bytes: read(&self.bytes),
            dropped: read(&self.dropped),
            hung_up: read(&self.hung_up),
            stun: read(&self.stun),
        }
    }

    pub(crate) fn session_began(&self) {
        self.sessions.fetch_add(1, Relaxed);
    }

    pub(crate) fn session_ended(&self) {
        self.sessions.fetch_sub(1, Relaxed);
    }

    pub(crate) fn leg_opened(&self) {
        self.legs.fetch_add(1, Relaxed);
    }

    pub(crate) fn leg_closed(&self) {
        self.legs.fetch_sub(1, Relaxed);
    }

    pub(crate) fn admitted(&self) {
        self.admitted.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
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
