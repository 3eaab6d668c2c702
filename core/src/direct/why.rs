//! Why there is no direct path.

/// Why the peers talk over the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Why {
    /// It is turned off on this side, or not to be had here.
    Off = 0,
    /// Nobody asked for a direct path.
    NotAsked = 1,
    /// The other peer is not there yet.
    NoPeer = 2,
    /// A direct path is being looked for.
    Looking = 3,
    /// The direct path fell silent.
    Silent = 4,
    /// The two devices did not reach each other in time.
    Unreachable = 5,
    /// No pair of addresses worked.
    NoPair = 6,
    /// The other side closed the direct connection.
    PeerClosed = 7,
    /// The direct connection was closed.
    Closed = 8,
    /// The direct connection could not be made here.
    Refused = 9,
    /// The other peer was restarted.
    PeerRestarted = 10,
}

impl Why {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 11] = [
        Self::Off,
        Self::NotAsked,
        Self::NoPeer,
        Self::Looking,
        Self::Silent,
        Self::Unreachable,
        Self::NoPair,
        Self::PeerClosed,
        Self::Closed,
        Self::Refused,
        Self::PeerRestarted,
    ];

    /// One sentence for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Off => "direct paths are turned off on this side",
            Self::NotAsked => "nobody asked for a direct path",
            Self::NoPeer => "the other peer is not there yet",
            Self::Looking => "a direct path is being looked for",
            Self::Silent => "the direct path fell silent",
            Self::Unreachable => "the two devices cannot reach each other directly",
            Self::NoPair => "no pair of addresses worked; a TURN server may help",
            Self::PeerClosed => "the other side closed the direct connection",
            Self::Closed => "the direct connection was closed",
            Self::Refused => "this side could not make the direct connection",
            Self::PeerRestarted => "the other peer was restarted",
        }
    }
}
