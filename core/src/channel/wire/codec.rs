//! Fields of records: varints, channel numbers, names.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Entries, Violation};
use crate::channel::{Instance, MAX_NAME_BYTES};

/// Numbers of at most this much encode in eight bytes.
const MAX_VARINT: u64 = (1 << 62) - 1;

/// Takes fields off the front of a record.
pub(super) struct Reader<B>(pub(super) B);

impl<B: Buf> Reader<B> {
    pub(super) fn byte(&mut self) -> Result<u8, Violation> {
        self.0.try_get_u8().map_err(|_| Violation::Truncated)
    }

    pub(super) fn tag(&mut self) -> Result<u32, Violation> {
        self.0.try_get_u32().map_err(|_| Violation::Truncated)
    }

    /// RFC 9000, section 16: the two top bits of the first byte tell the length.
    pub(super) fn varint(&mut self) -> Result<u64, Violation> {
        let first = *self.0.chunk().first().ok_or(Violation::Truncated)?;
        let number = match first >> 6 {
            0 => self.0.try_get_u8().map(u64::from),
            1 => self.0.try_get_u16().map(|n| u64::from(n & 0x3fff)),
            2 => self.0.try_get_u32().map(|n| u64::from(n & 0x3fff_ffff)),
            _ => self.0.try_get_u64().map(|n| n & MAX_VARINT),
        };
        number.map_err(|_| Violation::Truncated)
    }

    /// A varint of at most 32 bits.
    pub(super) fn number(&mut self) -> Result<u32, Violation> {
        u32::try_from(self.varint()?).map_err(|_| Violation::OutOfRange)
    }

    /// A channel's number, or a count of channels: below 2^30, so that twice of it never overflows.
    pub(super) fn channel(&mut self) -> Result<u32, Violation> {
        let number = self.number()?;
        if number < 1 << 30 {
            Ok(number)
        } else {
            Err(Violation::OutOfRange)
        }
    }

    pub(super) fn instance(&mut self) -> Result<Instance, Violation> {
        let mut instance = Instance::NONE;
        self.0
            .try_copy_to_slice(&mut instance.0)
            .map_err(|_| Violation::Truncated)?;
        Ok(instance)
    }
}

impl Reader<Bytes> {
    pub(super) fn name(self) -> Result<String, Violation> {
        if self.0.is_empty() || self.0.len() > MAX_NAME_BYTES {
            return Err(Violation::Name);
        }
        std::str::from_utf8(&self.0)
            .map(str::to_owned)
            .map_err(|_| Violation::Name)
    }

    pub(super) fn entries(self) -> Result<Entries, Violation> {
        let mut check = Reader(&self.0[..]);
        if !check.0.has_remaining() {
            return Err(Violation::Truncated);
        }
        while check.0.has_remaining() {
            check.channel()?;
            check.varint()?;
        }
        Ok(Entries(self.0))
    }
}

/// How many bytes [`put_varint`] writes.
pub(super) const fn varint_len(number: u64) -> usize {
    match number {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// The shortest encoding of `number`, which stays below 2^62: counters start at zero.
pub(super) fn put_varint(out: &mut BytesMut, number: u64) {
    debug_assert!(number <= MAX_VARINT);
    match varint_len(number) {
        // Each branch holds only numbers that fit it, so the casts lose nothing.
        #[allow(clippy::cast_possible_truncation)]
        1 => out.put_u8(number as u8),
        2 => out.put_uint(0x4000 | number, 2),
        4 => out.put_uint(0x8000_0000 | number, 4),
        _ => out.put_u64(0xc000_0000_0000_0000 | number),
    }
}
