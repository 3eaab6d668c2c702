//! What can go wrong between the peers, and who is to blame.

/// Why a frame of the other side brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The code is spent and no secret came of it: the pairing needs a new code. Final.
    #[error(transparent)]
    Burnt(#[from] Burnt),
    /// The frame breaks the protocol and was dropped; the state is what it was before.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// Why a code is spent. Both peers learn it, in these words.
///
/// What stands in a message of step 6 is not authenticated: a server can pretend any of these. It
/// could as well have cut the line, and gains no more by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.text())]
#[repr(u8)]
pub enum Burnt {
    /// The peers do not share a code.
    Mismatch = 1,
    /// A peer began again, or a third party spoke, while the pairing was half done.
    Restarted = 2,
    /// The other peer is already paired and takes no code any more.
    Spent = 3,
}

impl Burnt {
    /// What people are told.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Mismatch => {
                "the codes differ: somebody mistyped, or tried to guess; this code is spent, make a new one"
            }
            Self::Restarted => {
                "the pairing was interrupted half-way, or somebody else tried the code; \
                 this code is spent, make a new one"
            }
            Self::Spent => "the other side has already used this code; make a new one",
        }
    }
}

impl TryFrom<u8> for Burnt {
    type Error = Violation;

    fn try_from(byte: u8) -> Result<Self, Violation> {
        match byte {
            1 => Ok(Self::Mismatch),
            2 => Ok(Self::Restarted),
            3 => Ok(Self::Spent),
            _ => Err(Violation::Malformed),
        }
    }
}

/// How a frame breaks the protocol.
///
/// What to do about it is the shell's to decide: a frame that [is stale](Self::is_stale) is dropped
/// silently, since honest paths deliver late and twice. Anything else was altered or forged under
/// way. On the datagram and signal lanes it is dropped and counted; on the reliable lane the path is
/// given up, so that the channel repeats what was lost on the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// No message has this shape.
    #[error("the payload is no message of this protocol")]
    Malformed,
    /// A message of this kind does not travel on this lane.
    #[error("a message of this kind does not travel on this lane")]
    WrongLane,
    /// A genuine message, but not one that this role expects in this state.
    #[error("the message is not expected by this role in this state")]
    Unexpected,
    /// The authentication failed: altered under way, or made without the keys.
    #[error("the message is altered or forged: its authentication failed")]
    Forged,
    /// A record that was opened before.
    #[error("the record was already opened")]
    Replayed,
    /// A record or answer so late that its keys or its place in the window are gone.
    #[error("the message is too late; what belongs to it is forgotten")]
    TooOld,
    /// A record of a session that is not, or no longer, known here.
    #[error("the record belongs to no session known here")]
    UnknownSession,
    /// A record that claims to be further ahead than any honest sender gets.
    #[error("the record claims an epoch far in the future")]
    TooFarAhead,
}

impl Violation {
    /// Whether honest peers on honest paths cause this too, after a path change or a restart.
    #[must_use]
    pub const fn is_stale(self) -> bool {
        match self {
            Self::Replayed | Self::TooOld | Self::UnknownSession => true,
            Self::Malformed
            | Self::WrongLane
            | Self::Unexpected
            | Self::Forged
            | Self::TooFarAhead => false,
        }
    }
}

/// Why a plaintext was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SealError {
    /// No handshake is complete yet: wait for [`Event::Secured`](super::Event::Secured).
    #[error("the connection is not secured yet")]
    NotReady,
    /// The notice lane ends at the relay, which has no keys.
    #[error("the notice lane is not sealed")]
    NoticeLane,
    /// The buffer is shorter than its headroom, or the plaintext longer than a frame takes.
    #[error("the plaintext does not fit into a frame")]
    Length,
    /// Every counter of the session is used up, after 2^64 records.
    #[error("the session has no counters left")]
    Exhausted,
}
