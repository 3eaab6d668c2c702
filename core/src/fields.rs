//! The encoding of Protocol Buffers, field by field.
//!
//! ```text
//! message = *field      field = varint(number << 3 | type) ‖ value
//!                       type 0: a varint; 1: 8 bytes; 2: a length, a varint, and so many bytes; 5: 4 bytes
//! ```
//!
//! Notices and signals are read and written by this module instead of `prost`, whose code for the same
//! messages adds 2.4 KB to what a page downloads. Tests hold both against each other.

/// Bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Of a number, a flag or an enumeration.
    Number(u64),
    /// Of a text, bytes or a message.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The number; a value of another type is read as missing.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) => 0,
        }
    }

    /// The same of 32 bits; those above are dropped.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) const fn small(self) -> u32 {
        self.number() as u32
    }

    /// The bytes; a value of another type is read as missing.
    pub(crate) const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Number(_) => &[],
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The text.
    pub(crate) fn text(self) -> Result<String, Malformed> {
        let text = std::str::from_utf8(self.bytes()).map_err(|_| Malformed)?;
        Ok(text.to_owned())
    }
}

/// Reads the fields of a message, in the order in which they were written.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next field; nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        while !self.0.is_empty() {
            let tag = self.varint()?;
            let value = match tag & 7 {
                VARINT => Value::Number(self.varint()?),
                LENGTH => {
                    let length = self.varint()?;
                    let length = usize::try_from(length).map_err(|_| Malformed)?;
                    Value::Bytes(self.take(length)?)
                }
                // No message of ours has fields of a fixed length: they are of a later version.
                BITS64 => {
                    self.take(8)?;
                    continue;
                }
                BITS32 => {
                    self.take(4)?;
                    continue;
                }
                _ => return Err(Malformed),
            };
            return Ok(Some((tag >> 3, value)));
        }
        Ok(None)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

/// Writes the fields of a message. A field with the value that a missing one is read as is left out.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    /// A number, a flag or an enumeration.
    pub(crate) fn number(mut self, field: u64, value: u64) -> Self {
        if value != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(value);
        }
        self
    }

    /// A text.
    pub(crate) fn text(self, field: u64, text: &str) -> Self {
        match text.is_empty() {
            true => self,
            false => self.message(field, text.as_bytes()),
        }
    }

    /// An encoded message, which is written also if it is empty.
    pub(crate) fn message(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            #[allow(clippy::cast_possible_truncation)]
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        #[allow(clippy::cast_possible_truncation)]
        self.0.push(value as u8);
    }
}

const VARINT: u64 = 0;
const BITS64: u64 = 1;
const LENGTH: u64 = 2;
const BITS32: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Malformed> {
        let mut reader = Reader(bytes);
        let mut fields = Vec::new();
        while let Some(field) = reader.next()? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn fields_of_every_type_are_found_or_passed_over() {
        let message = Writer::default()
            .number(1, u64::MAX)
            .number(2, 0)
            .text(3, "grün")
            .message(4, &[]);
        let Writer(mut bytes) = message;
        bytes.extend([5 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0, 6 << 3 | 5, 0, 0, 0, 0]);
        let expected = vec![
            (1, Value::Number(u64::MAX)),
            (3, Value::Bytes("grün".as_bytes())),
            (4, Value::Bytes(&[])),
        ];
        assert_eq!(all(&bytes), Ok(expected));
    }

    #[test]
    fn what_is_cut_short_or_of_no_known_type_is_malformed() {
        let Writer(bytes) = Writer::default().text(3, "grün");
        for length in 1..bytes.len() {
            assert_eq!(all(&bytes[..length]), Err(Malformed), "{length} bytes");
        }
        assert_eq!(all(&[1 << 3 | 3]), Err(Malformed));
        assert_eq!(all(&[0xff; 11]), Err(Malformed));
        assert_eq!(Value::Bytes(&[0xff]).text(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_fields_or_an_error(bytes: Vec<u8>) {
            let _ = all(&bytes);
        }
    }
}
