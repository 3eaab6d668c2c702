//! What carries a direct path.

/// What carries direct paths, and what a program offers first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// Data channels of WebRTC, which is what browsers have. Descriptions are sessions of SDP (RFC 8829).
    #[default]
    WebRtc,
    /// QUIC on the pair of addresses that ICE picks. Descriptions are a [`Description`](super::Description).
    /// Programs that have it have WebRTC, too, for the others.
    Quic,
}

/// Which half of a negotiation a description is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Offer,
    Answer,
}

impl Carrier {
    /// A short name: `webrtc`, `quic`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebRtc => "webrtc",
            Self::Quic => "quic",
        }
    }

    /// The type of a description that offers a connection.
    #[must_use]
    pub const fn offer(self) -> &'static str {
        match self {
            Self::WebRtc => "offer",
            Self::Quic => "quic-offer",
        }
    }

    /// The type of a description that answers an offer.
    #[must_use]
    pub const fn answer(self) -> &'static str {
        match self {
            Self::WebRtc => "answer",
            Self::Quic => "quic-answer",
        }
    }

    /// What a description of this type is, if it is known.
    pub(super) fn of(kind: &str) -> Option<(Self, Half)> {
        [Self::WebRtc, Self::Quic].into_iter().find_map(|it| {
            if kind == it.offer() {
                Some((it, Half::Offer))
            } else if kind == it.answer() {
                Some((it, Half::Answer))
            } else {
                None
            }
        })
    }

    /// Whether a program that offers this first takes offers of the other one.
    pub(super) fn takes(self, other: Self) -> bool {
        self == Self::Quic || other == Self::WebRtc
    }
}
