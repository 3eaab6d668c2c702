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

use crate::fields::{self, Reader, Value, Writer};
use crate::frame::{Frame, Lane};

pub use peersox_proto::v1::notice::Kind;

/// A notice that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the notice cannot be decoded")]
pub struct Malformed;

/// The frame of a notice.
#[must_use]
pub fn encode(kind: Kind) -> Frame {
    let number = |field, value: u64| Writer::default().number(field, value);
    let (field, Writer(message)) = match kind {
        Kind::Hello(it) => (HELLO, hello(&it)),
        Kind::Welcome(it) => (WELCOME, welcome(&it)),
        Kind::Ping(it) => (PING, number(1, it.nonce)),
        Kind::Pong(it) => (PONG, number(1, it.nonce)),
        Kind::PeerOnline(_) => (PEER_ONLINE, Writer::default()),
        Kind::PeerAway(it) => (PEER_AWAY, number(1, it.grace_millis.into())),
        Kind::Draining(it) => (
            DRAINING,
            number(1, it.grace_millis.into()).number(2, it.spread_millis.into()),
        ),
        Kind::DatagramsDropped(it) => (DATAGRAMS_DROPPED, number(1, it.count)),
    };
    let Writer(notice) = Writer::default().message(field, &message);
    Frame::new(Lane::Notice, &notice)
}

/// Reads the payload of a frame of the notice lane. A kind of a later version gives `None`, and so does Hello
/// in a page.
///
/// # Errors
/// [`Malformed`] if the payload is not a `Notice`. A peer ignores such a notice, a relay hangs up.
#[allow(clippy::needless_pass_by_value)] // Every caller has a handle of its own: `Frame::payload`.
pub fn decode(payload: Bytes) -> Result<Option<Kind>, Malformed> {
    let mut kind = None;
    let mut reader = Reader(&payload);
    while let Some((field, value)) = reader.next()? {
        kind = match kind_of(field, value.bytes())? {
            None => kind,
            known => known,
        };
    }
    Ok(kind)
}

fn kind_of(field: u64, message: &[u8]) -> Result<Option<Kind>, Malformed> {
    // Most kinds have one number, which is field 1.
    let (mut first, mut second) = (Value::Number(0), Value::Number(0));
    // Relays read Hello, and none is a page, which has to download what it compiles.
    #[cfg(not(target_arch = "wasm32"))]
    let mut hello = v1::Hello::default();
    let mut welcome = v1::Welcome::default();
    let mut reader = Reader(message);
    while let Some((number, value)) = reader.next()? {
        match (field, number) {
            #[cfg(not(target_arch = "wasm32"))]
            (HELLO, 1) => hello.ticket = value.text()?,
            #[cfg(not(target_arch = "wasm32"))]
            (HELLO, 2) => hello.agent = value.text()?,
            #[cfg(not(target_arch = "wasm32"))]
            (HELLO, 3) => hello.traceparent = value.text()?,
            #[cfg(not(target_arch = "wasm32"))]
            (HELLO, 4) => hello.tracestate = value.text()?,
            (WELCOME, 1) => welcome.role = value.small().cast_signed(),
            (WELCOME, 2) => welcome.peer_online = value.number() != 0,
            (WELCOME, 3) => welcome.resumed = value.number() != 0,
            (WELCOME, 4) => welcome.limits = Some(limits(value.bytes())?),
            (_, 1) => first = value,
            (_, 2) => second = value,
            _ => {}
        }
    }
    let (nonce, count, grace_millis) = (first.number(), first.number(), first.small());
    let spread_millis = second.small();
    Ok(Some(match field {
        #[cfg(not(target_arch = "wasm32"))]
        HELLO => Kind::Hello(hello),
        WELCOME => Kind::Welcome(welcome),
        PING => Kind::Ping(v1::Ping { nonce }),
        PONG => Kind::Pong(v1::Pong { nonce }),
        PEER_ONLINE => Kind::PeerOnline(v1::PeerOnline {}),
        PEER_AWAY => Kind::PeerAway(v1::PeerAway { grace_millis }),
        DRAINING => Kind::Draining(v1::Draining {
            grace_millis,
            spread_millis,
        }),
        DATAGRAMS_DROPPED => Kind::DatagramsDropped(v1::DatagramsDropped { count }),
        _ => return Ok(None),
    }))
}

fn limits(message: &[u8]) -> Result<v1::RelayLimits, Malformed> {
    let mut limits = v1::RelayLimits::default();
    let mut reader = Reader(message);
    while let Some((field, value)) = reader.next()? {
        let limit = match field {
            1 => &mut limits.max_frame_bytes,
            2 => &mut limits.max_datagram_bytes,
            3 => &mut limits.max_signal_bytes,
            4 => &mut limits.park_grace_millis,
            5 => &mut limits.idle_timeout_millis,
            6 => &mut limits.keepalive_millis,
            _ => continue,
        };
        *limit = value.small();
    }
    Ok(limits)
}

fn hello(hello: &v1::Hello) -> Writer {
    let message = Writer::default()
        .text(1, &hello.ticket)
        .text(2, &hello.agent);
    // A page says no trace.
    #[cfg(not(target_arch = "wasm32"))]
    let message = message
        .text(3, &hello.traceparent)
        .text(4, &hello.tracestate);
    message
}

fn welcome(welcome: &v1::Welcome) -> Writer {
    let message = Writer::default()
        // An enumeration is a number of 64 bits with its sign.
        .number(1, i64::from(welcome.role).cast_unsigned())
        .number(2, welcome.peer_online.into())
        .number(3, welcome.resumed.into());
    let Some(it) = welcome.limits else {
        return message;
    };
    let Writer(limits) = Writer::default()
        .number(1, it.max_frame_bytes.into())
        .number(2, it.max_datagram_bytes.into())
        .number(3, it.max_signal_bytes.into())
        .number(4, it.park_grace_millis.into())
        .number(5, it.idle_timeout_millis.into())
        .number(6, it.keepalive_millis.into());
    message.message(4, &limits)
}

impl From<fields::Malformed> for Malformed {
    fn from(_: fields::Malformed) -> Self {
        Self
    }
}

/// The fields of `Notice`.
const HELLO: u64 = 1;
const WELCOME: u64 = 2;
const PING: u64 = 3;
const PONG: u64 = 4;
const PEER_ONLINE: u64 = 5;
const PEER_AWAY: u64 = 6;
const DRAINING: u64 = 7;
const DATAGRAMS_DROPPED: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message as _;

    /// What `prost` makes of the same kind.
    fn by_prost(kind: Kind) -> Vec<u8> {
        v1::Notice { kind: Some(kind) }.encode_to_vec()
    }

    #[test]
    fn a_notice_comes_back_as_it_was() {
        let kinds = [
            Kind::Hello(v1::Hello {
                ticket: "T.I.C".into(),
                agent: "test".into(),
                traceparent: "00-1-2-01".into(),
                tracestate: "a=1".into(),
            }),
            Kind::Welcome(v1::Welcome::default()),
            Kind::Welcome(v1::Welcome {
                role: -1,
                peer_online: true,
                resumed: true,
                limits: Some(v1::RelayLimits {
                    max_frame_bytes: u32::MAX,
                    max_datagram_bytes: 2,
                    max_signal_bytes: 3,
                    park_grace_millis: 4,
                    idle_timeout_millis: 5,
                    keepalive_millis: 6,
                }),
            }),
            Kind::Ping(v1::Ping { nonce: u64::MAX }),
            Kind::Pong(v1::Pong { nonce: 300 }),
            Kind::PeerOnline(v1::PeerOnline {}),
            Kind::PeerAway(v1::PeerAway { grace_millis: 7 }),
            Kind::Draining(v1::Draining {
                grace_millis: 8,
                spread_millis: 3,
            }),
            Kind::DatagramsDropped(v1::DatagramsDropped { count: 9 }),
        ];
        for kind in kinds {
            let frame = encode(kind.clone());
            assert_eq!(frame.lane(), Lane::Notice);
            assert_eq!(frame.payload(), by_prost(kind.clone()));
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
