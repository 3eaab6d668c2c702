//! What crosses: a call, and the reply to it.

use std::time::Duration;

use bytes::Bytes;
use peersox_core::time::Moment;

use crate::failure::Failure;

/// What a call says beside the machine; `op.rs` has what the rest means.
pub(crate) struct Call {
    pub(crate) op: u8,
    pub(crate) now: Moment,
    pub(crate) a: f64,
    pub(crate) b: f64,
    pub(crate) c: f64,
    pub(crate) bytes: Vec<u8>,
}

impl Call {
    /// The texts and bytes of a call that has several.
    pub(crate) fn parts<const N: usize>(&self) -> Result<[&[u8]; N], Failure> {
        let mut rest = self.bytes.as_slice();
        let mut parts = [rest; N];
        for part in &mut parts {
            let (length, after) = rest.split_first_chunk().ok_or_else(Failure::senseless)?;
            let length = u32::from_le_bytes(*length) as usize;
            (*part, rest) = after
                .split_at_checked(length)
                .ok_or_else(Failure::senseless)?;
        }
        Ok(parts)
    }
}

/// Up to four numbers, and bytes that are lent until the next call.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) number: f64,
    pub(crate) a: f64,
    pub(crate) b: f64,
    pub(crate) c: f64,
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

    /// The same with several texts, each behind its length.
    pub(crate) fn with(mut self, parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            // A part of more than 4 GiB does not fit the memory of the module.
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(part);
        }
        self.bytes = bytes.into();
        self
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

/// Milliseconds of JavaScript as a span; nothing if they are fewer than none.
pub(crate) fn span(millis: f64) -> Option<Duration> {
    (millis >= 0.0).then(|| Duration::from_micros(whole(millis * 1e3 + 0.5)))
}

/// A span in milliseconds, as JavaScript counts.
pub(crate) fn millis(span: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let seconds = span.as_secs() as f64;
    seconds * 1e3 + f64::from(span.subsec_micros()) / 1e3
}
