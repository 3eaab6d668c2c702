//! The layout of the messages between the peers, behind the lane byte.
//!
//! ```text
//! PAKE        0x01  step:1  body
//!                   1  commitment                32 B   initiator -> joiner
//!                   2  element Y                 33 B   joiner -> initiator
//!                   3  element X                 33 B   initiator -> joiner
//!                   4  joiner's confirmation     32 B   joiner -> initiator
//!                   5  initiator's confirmation  32 B   initiator -> joiner
//!                   6  burnt, reason              1 B   either
//! handshake   0x02  step:1  body
//!                   0  please send again          0 B   either
//!                   1  attempt:8  Noise message 1       initiator -> joiner
//!                   2  attempt:8  Noise message 2       joiner -> initiator
//! record      0x03  session:4  counter:8  ciphertext  tag:16
//! ```
//! Numbers are big-endian.

use bytes::Bytes;

use super::failure::{Burnt, Violation};
use super::keys::TAG;
use crate::frame::{Frame, Lane};
use crate::role::Role;

pub(super) const PAKE: u8 = 0x01;
pub(super) const HANDSHAKE: u8 = 0x02;
pub(super) const RECORD: u8 = 0x03;

/// The length of a SPAKE2 message: a side byte and a compressed point.
pub(super) const ELEMENT: usize = 33;

/// The name of one handshake attempt, drawn by the initiator.
pub(super) type Attempt = [u8; 8];

/// A message of the PAKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PakeMessage {
    Commitment([u8; TAG]),
    ElementY([u8; ELEMENT]),
    ElementX([u8; ELEMENT]),
    JoinerConfirms([u8; TAG]),
    InitiatorConfirms([u8; TAG]),
    Burnt(Burnt),
}

impl PakeMessage {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let [PAKE, step, body @ ..] = payload else {
            return Err(Violation::Malformed);
        };
        match step {
            1 => exact(body).map(Self::Commitment),
            2 => exact(body).map(Self::ElementY),
            3 => exact(body).map(Self::ElementX),
            4 => exact(body).map(Self::JoinerConfirms),
            5 => exact(body).map(Self::InitiatorConfirms),
            6 => {
                let [reason] = exact(body)?;
                Burnt::try_from(reason).map(Self::Burnt)
            }
            _ => Err(Violation::Malformed),
        }
    }

    /// Whose message it is; anybody may say that the code is burnt.
    pub(super) const fn sender(&self) -> Option<Role> {
        match self {
            Self::Commitment(_) | Self::ElementX(_) | Self::InitiatorConfirms(_) => {
                Some(Role::Initiator)
            }
            Self::ElementY(_) | Self::JoinerConfirms(_) => Some(Role::Joiner),
            Self::Burnt(_) => None,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let reason;
        let (step, body): (u8, &[u8]) = match self {
            Self::Commitment(body) => (1, body),
            Self::ElementY(body) => (2, body),
            Self::ElementX(body) => (3, body),
            Self::JoinerConfirms(body) => (4, body),
            Self::InitiatorConfirms(body) => (5, body),
            Self::Burnt(burnt) => {
                reason = [*burnt as u8];
                (6, &reason)
            }
        };
        join(&[&[PAKE, step], body])
    }
}

/// A message of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeMessage<'a> {
    SendAgain,
    First(Attempt, &'a [u8]),
    Second(Attempt, &'a [u8]),
}

impl<'a> HandshakeMessage<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Violation> {
        let [HANDSHAKE, step, body @ ..] = payload else {
            return Err(Violation::Malformed);
        };
        if *step == 0 && body.is_empty() {
            return Ok(Self::SendAgain);
        }
        let (attempt, noise) = body.split_first_chunk().ok_or(Violation::Malformed)?;
        match step {
            1 => Ok(Self::First(*attempt, noise)),
            2 => Ok(Self::Second(*attempt, noise)),
            _ => Err(Violation::Malformed),
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        match self {
            Self::SendAgain => Bytes::from_static(&[HANDSHAKE, 0]),
            Self::First(attempt, noise) => join(&[&[HANDSHAKE, 1], attempt, noise]),
            Self::Second(attempt, noise) => join(&[&[HANDSHAKE, 2], attempt, noise]),
        }
    }
}

/// Puts a message of the PAKE or the handshake into a frame of the reliable lane.
pub(super) fn frame(payload: &[u8]) -> Frame {
    Frame::new(Lane::Reliable, payload)
}

fn exact<const N: usize>(body: &[u8]) -> Result<[u8; N], Violation> {
    body.try_into().map_err(|_| Violation::Malformed)
}

fn join(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_message_survives_its_encoding() {
        for message in [
            PakeMessage::Commitment([1; TAG]),
            PakeMessage::ElementY([2; ELEMENT]),
            PakeMessage::ElementX([3; ELEMENT]),
            PakeMessage::JoinerConfirms([4; TAG]),
            PakeMessage::InitiatorConfirms([5; TAG]),
            PakeMessage::Burnt(Burnt::Mismatch),
            PakeMessage::Burnt(Burnt::Restarted),
            PakeMessage::Burnt(Burnt::Spent),
        ] {
            assert_eq!(PakeMessage::parse(&message.encode()), Ok(message));
        }
        for message in [
            HandshakeMessage::SendAgain,
            HandshakeMessage::First([7; 8], b"noise"),
            HandshakeMessage::Second([8; 8], b""),
        ] {
            assert_eq!(HandshakeMessage::parse(&message.encode()), Ok(message));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_themselves_or_to_an_error(kind in 0u8..4, step in 0u8..8, body: Vec<u8>) {
            let bytes = [&[kind, step], &body[..]].concat();
            if let Ok(message) = PakeMessage::parse(&bytes) {
                prop_assert_eq!(&message.encode()[..], &bytes[..]);
            }
            if let Ok(message) = HandshakeMessage::parse(&bytes) {
                prop_assert_eq!(&message.encode()[..], &bytes[..]);
            }
        }
    }
}
