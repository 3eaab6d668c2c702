//! Frames: a lane byte, then the payload.
//!
//! Laws: a frame is its own encoding, and what is refused is empty or of no known lane.

use bytes::Bytes;
use peersox_core::frame::{Frame, Lane, Malformed};

pub(crate) fn run(bytes: &[u8]) {
    let given = Bytes::copy_from_slice(bytes);
    match Frame::parse(given.clone()) {
        Ok(frame) => {
            assert_eq!(bytes[0], frame.lane() as u8);
            assert_eq!(
                (frame.len(), frame.payload()),
                (bytes.len(), given.slice(1..))
            );
            assert_eq!(Frame::new(frame.lane(), &frame.payload()), frame);
            assert_eq!(frame.into_bytes(), given);
        }
        Err(Malformed::Empty) => assert!(bytes.is_empty()),
        Err(Malformed::UnknownLane(lane)) => {
            assert_eq!(lane, bytes[0]);
            assert!(Lane::try_from(lane).is_err());
        }
    }
}
