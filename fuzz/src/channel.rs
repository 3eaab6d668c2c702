//! A `Mux` whose other peer sends any records.
//!
//! Laws: what waits to be read stays within the limits that this side announced, whatever comes; what this
//! side sends is a record; it comes to rest after each record.

use std::time::Duration;

use bytes::Bytes;
use peersox_core::channel::{Chunk, Config, Event, Instance, Limits, Mux, Priority, Record};
use peersox_core::role::Role;
use peersox_core::time::Moment;

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let limits = Limits {
        window: 1_024 << (kind & 3),
        total: 16_384,
        max_record: 16_384,
        max_channels: 1 + u32::from(kind >> 2 & 7),
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    let role = Role::BOTH[usize::from(kind >> 7)];
    let mut mux = Mux::new(config, role, ME);
    let mut now = Moment::default();
    mux.path_up(now);
    let own = mux.open("own", Priority::Normal);
    let own = own.expect("the first channel can be opened");
    while let Some(record) = input.message() {
        let step = input.byte();
        now = now + Duration::from_millis(10 * u64::from(step >> 2));
        let record = with_tag(record);
        let taken = match step & 1 {
            0 => mux.handle_record(record, now),
            _ => {
                mux.handle_datagram(record);
                Ok(())
            }
        };
        if taken.is_err() {
            return;
        }
        let _ = mux.try_send(own, Chunk::binary(vec![step; usize::from(step)]));
        mux.handle_timeout(now);
        rest(&mut mux, now, step & 2 != 0);
        // One fragment more for each channel with nothing in flight.
        let most = (limits.total + (1 + 2 * limits.max_channels) * limits.max_record) as usize;
        assert!(mux.buffered() <= most, "{} bytes wait", mux.buffered());
    }
}

/// A record but for its tag, which is that of the two peers: nothing else is listened to.
fn with_tag(record: &[u8]) -> Bytes {
    let mut record = record.to_vec();
    if record.first() != Some(&OPEN)
        && let Some(tag) = record.get_mut(1..5)
    {
        tag.copy_from_slice(&Instance(ME).tag(Instance(OTHER)).to_be_bytes());
    }
    record.into()
}

/// Polls until there is nothing to do, and reads what has come if it is to be read.
fn rest(mux: &mut Mux, now: Moment, reads: bool) {
    let mut steps = 0;
    let mut step = || {
        steps += 1;
        assert!(steps <= 10_000, "it has no end");
    };
    while let Some(event) = mux.poll_event() {
        step();
        match event {
            Event::Readable(id) if reads => while mux.read(id).is_some() {},
            Event::DatagramReadable(id) => while mux.read_datagram(id).is_some() {},
            _ => {}
        }
    }
    while let Some(packed) = mux.poll_record(now) {
        step();
        let record = Bytes::copy_from_slice(packed.record());
        Record::decode(record).expect("what is sent is a record");
    }
    while mux.poll_datagram().is_some() {
        step();
    }
}

const ME: [u8; 16] = [1; 16];
/// The instance that the corpus opens with.
const OTHER: [u8; 16] = [2; 16];
/// The type of the one record without a tag.
const OPEN: u8 = 1;
