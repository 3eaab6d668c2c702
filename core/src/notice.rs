//! Notices: what a peer and its relay say to each other on the notice lane.
//!
//! ```text
//!   peer ── Hello ──► relay        first frame of a leg
//!        ◄─ Welcome ─              first frame from the relay
//!        ── Ping ────►  ◄─ Pong ── at any time
//!        ◄─ PeerOnline, PeerAway, Draining, DatagramsDropped
//! ```
//!
//! The messages are those of `proto/peersox/v1/relay.proto`. This module is their only codec: relay and peers
//! call it, so that both judge a malformed notice alike.

use bytes::Bytes;
use peersox_proto::v1;
use prost::Message as _;

use crate::frame::{Frame, Lane};

pub use peersox_proto::v1::notice::Kind;

/// A notice that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the notice cannot be decoded")]
pub struct Malformed;

/// The frame of a notice.
#[must_use]
pub fn encode(kind: Kind) -> Frame {
    Frame::encode(Lane::Notice, &v1::Notice { kind: Some(kind) })
}

/// Reads the payload of a frame of the notice lane. A kind of a later version gives `None`.
///
/// # Errors
/// [`Malformed`] if the payload is not a `Notice`. A peer ignores such a notice, a relay hangs up.
pub fn decode(payload: Bytes) -> Result<Option<Kind>, Malformed> {
    let notice = v1::Notice::decode(payload).map_err(|_| Malformed)?;
    Ok(notice.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_notice_comes_back_as_it_was() {
        let kinds = [
            Kind::Hello(v1::Hello {
                ticket: "T.I.C".into(),
                agent: "test".into(),
            }),
            Kind::Welcome(v1::Welcome::default()),
            Kind::Ping(v1::Ping { nonce: 300 }),
            Kind::PeerOnline(v1::PeerOnline {}),
            Kind::PeerAway(v1::PeerAway { grace_millis: 7 }),
        ];
        for kind in kinds {
            let frame = encode(kind.clone());
            assert_eq!(frame.lane(), Lane::Notice);
            assert_eq!(decode(frame.payload()), Ok(Some(kind)));
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_no_error() {
        // Field 99, length-delimited, empty.
        assert_eq!(decode(Bytes::from_static(&[0x9a, 0x06, 0x00])), Ok(None));
        assert_eq!(decode(Bytes::from_static(&[0x12, 0x05])), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_notice_or_an_error(bytes: Vec<u8>) {
            let _ = decode(bytes.into());
        }
    }
}
