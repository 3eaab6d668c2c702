//! Notices, Hello and Welcome among them.
//!
//! Laws: what is read is what is read again from its own encoding, `prost` writes and reads the same, and
//! nothing is longer than it came.

use bytes::Bytes;
use peersox_core::frame::Lane;
use peersox_core::notice::{self, Kind};
use peersox_proto::v1;
use prost::Message as _;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(Some(kind)) = notice::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    if let Kind::Hello(hello) = &kind {
        assert!(hello.ticket.len() + hello.agent.len() <= bytes.len());
    }
    let frame = notice::encode(kind.clone());
    assert_eq!(frame.lane(), Lane::Notice);
    assert_eq!(notice::decode(frame.payload()), Ok(Some(kind.clone())));
    let by_prost = v1::Notice { kind: Some(kind) };
    assert_eq!(frame.payload(), by_prost.encode_to_vec());
    assert_eq!(v1::Notice::decode(frame.payload()), Ok(by_prost));
}
