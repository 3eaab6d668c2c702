//! Frames: what a leg carries.
//!
//! ```text
//! offset 0        1                                   len
//!        +--------+------------------------------------+
//!        |  lane  |  payload (opaque to the relay       |
//!        |        |  on every lane but notice)          |
//!        +--------+------------------------------------+
//! 1 <= len <= max_frame_bytes of the relay's limits
//! ```
//!
//! A frame is its own encoding: what one peer sends is what the other receives, byte for byte. The
//! transport marks its end: a WebSocket message, a QUIC datagram, a length prefix on a QUIC stream.

use bytes::{BufMut, Bytes, BytesMut};

/// How a frame is to be treated; its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Between one peer and its relay, never forwarded.
    Notice = 0x00,
    /// Forwarded in order; waits for a slow receiver.
    Reliable = 0x01,
    /// Forwarded at once or dropped.
    Datagram = 0x02,
    /// Forwarded in order; kept in a small mailbox while the peer is away.
    Signal = 0x03,
}

impl Lane {
    /// Every lane, in the order of its byte.
    pub const ALL: [Self; 4] = [Self::Notice, Self::Reliable, Self::Datagram, Self::Signal];

    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Reliable => "reliable",
            Self::Datagram => "datagram",
            Self::Signal => "signal",
        }
    }
}

impl TryFrom<u8> for Lane {
    type Error = Malformed;

    fn try_from(byte: u8) -> Result<Self, Malformed> {
        match byte {
            0x00 => Ok(Self::Notice),
            0x01 => Ok(Self::Reliable),
            0x02 => Ok(Self::Datagram),
            0x03 => Ok(Self::Signal),
            unknown => Err(Malformed::UnknownLane(unknown)),
        }
    }
}

/// One frame, lane byte and payload in one piece. Cloning it copies a handle, not bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// Takes what a transport delivered as a frame, without copying it.
    ///
    /// # Errors
    /// [`Malformed`] if it is empty or its lane is unknown. Its length is the transport's to check.
    pub fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let lane = *bytes.first().ok_or(Malformed::Empty)?;
        Lane::try_from(lane)?;
        Ok(Self(bytes))
    }

    /// Makes a frame by copying `payload` behind a lane byte.
    #[must_use]
    pub fn new(lane: Lane, payload: &[u8]) -> Self {
        Self([&[lane as u8], payload].concat().into())
    }

    /// Makes a frame of an encoded protobuf message.
    #[must_use]
    pub fn encode(lane: Lane, message: &impl prost::Message) -> Self {
        let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
        bytes.put_u8(lane as u8);
        // `encode` fails only for want of room, and a `BytesMut` grows.
        let _ = message.encode(&mut bytes);
        Self(bytes.freeze())
    }

    /// The lane.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self.0[0] {
            0x00 => Lane::Notice,
            0x01 => Lane::Reliable,
            0x02 => Lane::Datagram,
            _ => Lane::Signal,
        }
    }

    /// Everything after the lane byte, as a handle on the same memory.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.0.slice(1..)
    }

    /// The whole frame, as it goes on the wire.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Length in bytes, lane byte included; never zero.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for Frame {
    /// Shows lane and length, never the payload.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({}, {} B)", self.lane().as_str(), self.len())
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No bytes at all.
    #[error("the frame is empty; it needs at least its lane byte")]
    Empty,
    /// The first byte names no lane.
    #[error("{0:#04x} is no lane; lanes are 0x00 to 0x03")]
    UnknownLane(u8),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lane_byte_decides() {
        for lane in Lane::ALL {
            let frame = Frame::parse(Bytes::from(vec![lane as u8, 7, 8])).unwrap();
            assert_eq!(frame.lane(), lane);
            assert_eq!(&frame.payload()[..], [7, 8]);
            assert_eq!(Frame::new(lane, &[7, 8]), frame);
        }
        assert_eq!(Frame::parse(Bytes::new()), Err(Malformed::Empty));
        assert_eq!(
            Frame::parse(Bytes::from_static(&[4])),
            Err(Malformed::UnknownLane(4))
        );
    }

    #[test]
    fn parsing_copies_nothing() {
        let bytes = Bytes::from(vec![1; 100]);
        let frame = Frame::parse(bytes.clone()).unwrap();
        assert_eq!(frame.payload().as_ptr(), bytes[1..].as_ptr());
        assert_eq!(frame.into_bytes().as_ptr(), bytes.as_ptr());
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_themselves_or_to_an_error(bytes: Vec<u8>) {
            let valid = bytes.first().is_some_and(|lane| *lane < 4);
            match Frame::parse(Bytes::from(bytes.clone())) {
                Ok(frame) => {
                    prop_assert!(valid);
                    prop_assert_eq!(&frame.into_bytes()[..], &bytes[..]);
                }
                Err(_) => prop_assert!(!valid),
            }
        }
    }
}
