//! How a target takes its bytes apart: numbers in front, then messages.

/// What is left of the bytes of a run. Past their end everything is zero or empty.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// The next message behind its length of two bytes, cut to what there is; nothing at the end.
    pub(crate) fn message(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let len = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        let (message, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        Some(message)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}
