//! What carries a direct path.

/// What carries a direct path. Two programs without a common one stay with the relay: each drops the offers
/// of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// Data channels of WebRTC, which browsers have. Descriptions are sessions of SDP (RFC 8829).
    #[default]
    WebRtc,
    /// QUIC on the pair of addresses that ICE picks. Descriptions are a [`Description`](super::Description).
    Quic,
}

impl Carrier {
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
}
