//! What crosses: a call, and the reply to it.

use bytes::Bytes;
use peersox_core::time::Moment;

/// What a call says beside the machine; `op.rs` has what the rest means.
pub(crate) struct Call {
    pub(crate) op: u8,
    pub(crate) now: Moment,
    pub(crate) a: f64,
    pub(crate) b: f64,
    pub(crate) bytes: Vec<u8>,
}

/// Up to three numbers, and bytes that are lent until the next call.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) number: f64,
    pub(crate) a: f64,
    pub(crate) b: f64,
    pub(crate) bytes: Bytes,
}

/// No number, as a number.
pub(crate) const NONE: f64 = -1.0;

impl Reply {
    pub(crate) fn number(number: impl Into<f64>) -> Self {
        Self {
            number: number.into(),
            ..Self::default()
        }
    }

    pub(crate) fn lend(number: u8, bytes: impl Into<Bytes>) -> Self {
        Self {
            number: number.into(),
            bytes: bytes.into(),
            ..Self::default()
        }
    }

    pub(crate) fn none() -> Self {
        Self::number(NONE)
    }
}

/// A number of JavaScript as a whole one, or the nearest that there is.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) const fn whole(number: f64) -> u64 {
    number as u64
}

/// The same, up to 2^32.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) const fn small(number: f64) -> u32 {
    number as u32
}
