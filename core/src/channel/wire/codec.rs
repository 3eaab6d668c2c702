//! Fields of records: varints, and what is made of them.

use super::Violation;
use crate::channel::Instance;

/// Takes fields off the front of a record.
///
/// After the first fault there is nothing left to read, and fields mean nothing: one [`Reader::check`] after
/// many fields says what was wrong.
pub(in crate::channel) struct Reader<'a> {
    pub(in crate::channel) rest: &'a [u8],
    fault: Fault,
}

#[derive(Clone, Copy)]
enum Fault {
    None,
    Truncated,
    OutOfRange,
}

impl<'a> Reader<'a> {
    pub(in crate::channel) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            fault: Fault::None,
        }
    }

    pub(in crate::channel) fn check(&self) -> Result<(), Violation> {
        match self.fault {
            Fault::None => Ok(()),
            Fault::Truncated => Err(Violation::Truncated),
            Fault::OutOfRange => Err(Violation::OutOfRange),
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.rest = &[];
        if matches!(self.fault, Fault::None) {
            self.fault = fault;
        }
    }

    fn take(&mut self, out: &mut [u8]) {
        match self.rest.split_at_checked(out.len()) {
            Some((taken, rest)) => {
                out.copy_from_slice(taken);
                self.rest = rest;
            }
            None => self.fail(Fault::Truncated),
        }
    }

    pub(super) fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.take(&mut byte);
        byte[0]
    }

    pub(super) fn tag(&mut self) -> u32 {
        let mut tag = [0; 4];
        self.take(&mut tag);
        u32::from_be_bytes(tag)
    }

    /// RFC 9000, section 16: the two top bits of the first byte tell the length.
    pub(in crate::channel) fn varint(&mut self) -> u64 {
        let first = self.byte();
        let more = (1 << (first >> 6)) - 1;
        let mut number = u64::from(first & 0x3f);
        for _ in 0..more {
            number = number << 8 | u64::from(self.byte());
        }
        number
    }

    /// A varint of at most 32 bits.
    pub(super) fn number(&mut self) -> u32 {
        self.below(1 << 32)
    }

    /// A channel's number, or a count of channels: below 2^30, so that twice of it never overflows.
    pub(in crate::channel) fn channel(&mut self) -> u32 {
        self.below(1 << 30)
    }

    fn below(&mut self, end: u64) -> u32 {
        let number = self.varint();
        if number >= end {
            self.fail(Fault::OutOfRange);
        }
        u32::try_from(number).unwrap_or(0)
    }

    pub(super) fn instance(&mut self) -> Instance {
        let mut instance = Instance::NONE;
        self.take(&mut instance.0);
        instance
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
pub(super) fn put_varint(out: &mut Vec<u8>, number: u64) {
    debug_assert!(number < 1 << 62);
    let len = varint_len(number);
    let top_bits = u64::from(len.trailing_zeros()) << (8 * len - 2);
    let bytes = (top_bits | number).to_le_bytes();
    out.extend(bytes[..len].iter().rev());
}
