//! Why a leg ends: one stable number on every transport.
//!
//! The number is the WebSocket close code (RFC 6455, private range 4000–4999), the QUIC application
//! error code (RFC 9000, section 20.2), the field `close` of a call of gRPC and, later, the WebTransport
//! session error code. Numbers are
//! never reused. Whoever hangs up names the reason; a transport that ends without one was lost.

/// Declares the table once: variant, number, what the peer does next, the sentence it is shown.
macro_rules! reasons {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, $then:ident, $text:literal; )*) => {
        /// Why a leg ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum CloseReason { $( $(#[$doc])* $name = $number, )* }

        impl CloseReason {
            /// Every reason, in the order of its number.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// The reason with this number, if there is one.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $( $number => Some(Self::$name), )* _ => None }
            }

            /// What a peer should do about it.
            #[must_use]
            pub const fn then(self) -> Then {
                match self { $( Self::$name => Then::$then, )* }
            }

            /// One sentence for people, at most 120 bytes, so that it fits a WebSocket close frame.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }
        }
    };
}

reasons! {
    /// The peer is done and will not come back: the session ends for both.
    Done = 4000, Stop, "done";
    /// The other peer is done: it hung up with [`CloseReason::Done`].
    PeerLeft = 4001, Stop, "the other peer left";
    /// The other peer's leg was lost and it did not come back in time.
    PeerLost = 4002, Reattach, "the other peer was lost and did not come back in time";
    /// A newer leg of the same role took this one's place.
    Replaced = 4003, Stop, "another leg of the same role took the place of this one";
    /// The pairing was deleted.
    Revoked = 4004, Stop, "the pairing was revoked";
    /// The relay is about to stop.
    Draining = 4005, Reattach, "the relay is stopping; open a session again";
    /// Nothing was received for too long.
    IdleTimeout = 4006, Reattach, "nothing was received for too long";
    /// No Hello arrived in time.
    HelloTimeout = 4007, Reattach, "no Hello arrived in time";
    /// The first frame was not a Hello, or it could not be decoded.
    HelloInvalid = 4008, Stop, "the first frame must be a Hello notice with a ticket";
    /// The ticket is malformed, or its signature is not that of this deployment.
    TicketInvalid = 4009, Refresh, "the ticket is not valid here; open a session again";
    /// The ticket's time is over.
    TicketExpired = 4010, Refresh, "the ticket has expired; open a session again";
    /// A frame exceeded the limit of its lane.
    FrameTooLarge = 4011, Stop, "the frame is larger than the relay's limit";
    /// A frame was empty, or a message was not binary.
    FrameMalformed = 4012, Stop, "every message must be binary and begin with a lane byte";
    /// The lane byte is unknown.
    LaneUnknown = 4013, Stop, "the lane is unknown; lanes are 0x00 to 0x03";
    /// A peer sent a notice that only a relay may send, or one that cannot be decoded.
    NoticeForbidden = 4014, Stop, "a peer may send only Hello and Ping notices";
    /// The peer exceeded its budget.
    RateLimited = 4015, Reattach, "too much, too fast; come back later";
    /// The relay has no room for another leg.
    Overloaded = 4016, Reattach, "the relay is full; come back later";
    /// The relay made a mistake.
    Internal = 4017, Reattach, "the relay made a mistake";
    /// The transport's own rules were broken.
    ProtocolError = 4018, Reattach, "the transport's own rules were broken";
    /// The ticket is for another relay.
    Misdirected = 4019, Refresh, "the pairing meets at another relay; open a session again";
    /// The peer has gone to another relay, where the pairing meets now: the other one is to follow.
    Moved = 4020, Refresh, "the peer has moved to another relay";
}

/// What a peer should do after a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// Nothing: trying again would end the same way.
    Stop,
    /// Attach again, after a pause that grows.
    Reattach,
    /// Open a session for a fresh ticket, then attach again.
    Refresh,
}

impl CloseReason {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text(), self.number())
    }
}

impl From<crate::frame::Malformed> for CloseReason {
    fn from(malformed: crate::frame::Malformed) -> Self {
        match malformed {
            crate::frame::Malformed::Empty => Self::FrameMalformed,
            crate::frame::Malformed::UnknownLane(_) => Self::LaneUnknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_distinct() {
        for (offset, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(usize::from(reason.number()), 4000 + offset, "{reason:?}");
            assert_eq!(CloseReason::from_number(reason.number()), Some(*reason));
            assert!(
                reason.text().len() <= 120,
                "{reason:?} does not fit a close frame"
            );
        }
        assert_eq!(CloseReason::from_number(1000), None);
        assert_eq!(CloseReason::from_number(4999), None);
    }
}
