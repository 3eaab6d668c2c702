//! How frames stand on a connection, as a client sends and receives them. A frame is a lane byte and a
//! payload (`docs/protocol.md`); references get the same bytes and do not look at them.

use std::io;

/// What stands around a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A length of four bytes: TCP, QUIC.
    Length,
    /// A binary message of WebSocket.
    Message,
}

/// The beginning of what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes before the frame.
    pub(crate) size: usize,
    /// Bytes of the frame.
    pub(crate) len: usize,
    /// Whether it is one that a peer sent. Others are notices, and control frames of WebSocket.
    pub(crate) from_peer: bool,
}

impl Wire {
    /// Appends what carries this frame to the relay.
    pub(crate) fn put(self, frame: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Length => {
                let len = u32::try_from(frame.len()).expect("frames are short");
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(frame);
            }
            Self::Message => {
                out.push(BINARY);
                match (u8::try_from(frame.len()), u16::try_from(frame.len())) {
                    (Ok(len), _) if len < 126 => out.push(MASKED | len),
                    (_, Ok(len)) => {
                        out.push(MASKED | 126);
                        out.extend_from_slice(&len.to_be_bytes());
                    }
                    (_, Err(_)) => {
                        out.push(MASKED | 127);
                        out.extend_from_slice(&(frame.len() as u64).to_be_bytes());
                    }
                }
                out.extend_from_slice(&MASK);
                let masked = frame.iter().zip(MASK.iter().cycle());
                out.extend(masked.map(|(byte, mask)| byte ^ mask));
            }
        }
    }

    /// Reads the head of what came; none if more bytes are needed.
    ///
    /// # Errors
    /// If the relay hangs up, or sends what it must not send.
    pub(crate) fn head(self, bytes: &[u8]) -> io::Result<Option<Head>> {
        let (first, size, len) = match (self, bytes) {
            (Self::Length, [a, b, c, d, ..]) => {
                (BINARY, 4, u32::from_be_bytes([*a, *b, *c, *d]).into())
            }
            (Self::Message, [_, 128..=255, ..]) => return Err(wrong("a masked message")),
            (Self::Message, [first, 126, a, b, ..]) => {
                (*first, 4, u16::from_be_bytes([*a, *b]).into())
            }
            (Self::Message, [first, 127, len @ ..]) if len.len() >= 8 => {
                let len = len.first_chunk().expect("it is longer");
                (*first, 10, u64::from_be_bytes(*len))
            }
            (Self::Message, [first, len, ..]) if *len < 126 => (*first, 2, (*len).into()),
            _ => return Ok(None),
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > MAX_FRAME {
            return Err(wrong("a frame that is too long"));
        }
        match (first, bytes.get(size)) {
            (CLOSE, _) => Err(wrong("that it hangs up")),
            (BINARY, None) if len > 0 => Ok(None),
            (_, lane) => Ok(Some(Head {
                size,
                len,
                from_peer: first == BINARY && lane == Some(&RELIABLE),
            })),
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the relay said {what}"))
}

/// The lane of everything that is measured.
pub(crate) const RELIABLE: u8 = 1;

/// The largest frame of PeerSox, its lane included.
pub(crate) const MAX_FRAME: usize = 65_536;

/// Bits and numbers of RFC 6455, section 5.2: a last piece, binary or close; the mask bit.
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;

/// Any four bytes. A relay cannot tell that they are always the same.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_soon_as_the_lane_is_there() {
        let head = |size, len, from_peer| {
            Some(Head {
                size,
                len,
                from_peer,
            })
        };
        let (length, message) = (Wire::Length, Wire::Message);
        for (wire, bytes, expected) in [
            (length, &[0, 0, 0, 5, 1][..], head(4, 5, true)),
            (length, &[0, 0, 0, 5, 0], head(4, 5, false)),
            (length, &[0, 0, 0, 5], None),
            (length, &[0, 0], None),
            (message, &[0x82, 5, 1], head(2, 5, true)),
            (message, &[0x82, 126, 1, 0, 1], head(4, 256, true)),
            (
                message,
                &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0, 1],
                head(10, 65_536, true),
            ),
            (message, &[0x89, 0], head(2, 0, false)),
            (message, &[0x81, 2], head(2, 2, false)),
            (message, &[0x82, 126, 1], None),
            (message, &[0x82], None),
            (message, &[], None),
        ] {
            assert_eq!(wire.head(bytes).unwrap(), expected, "{wire:?} {bytes:?}");
        }
        for wrong in [
            &[0x88, 0][..],
            &[0x82, 0x81, 0],
            &[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0, 1],
        ] {
            assert!(message.head(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn clients_mask_what_they_send() {
        let mut out = Vec::new();
        Wire::Message.put(&[1; 126], &mut out);
        assert_eq!(out[..4], [0x82, 0xfe, 0, 126]);
        assert_eq!(out[8..].len(), 126);
        assert!(
            out[8..]
                .iter()
                .zip(MASK.iter().cycle())
                .all(|(it, mask)| it ^ mask == 1)
        );
    }
}
