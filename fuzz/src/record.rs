//! Records of the channel.
//!
//! Laws: what is read is what is read again from its own encoding, which is not longer than what came.

use bytes::Bytes;
use peersox_core::channel::Record;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(record) = Record::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let packed = record.pack(3, 5);
    assert!(packed.record().len() <= bytes.len());
    let again = Bytes::copy_from_slice(packed.record());
    assert_eq!(Record::decode(again).as_ref(), Ok(&record));
    if let Record::Ack { entries, .. } = &record {
        assert!(2 * entries.iter().count() <= bytes.len());
    }
}
