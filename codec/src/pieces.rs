//! Puts together what a head announces, however the stream is cut.
//!
//! What lies inside one chunk is a slice of it. What spans chunks is put together in a buffer of its own,
//! which is the one copy on this path.

use bytes::{Buf as _, Bytes, BytesMut};

/// The state between two chunks: the head is complete exactly if `body` is there.
#[derive(Debug)]
pub(crate) struct Pieces<const HEAD: usize> {
    chunk: Bytes,
    head: [u8; HEAD],
    head_len: usize,
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    len: usize,
    bytes: BytesMut,
}

impl<const HEAD: usize> Pieces<HEAD> {
    pub(crate) const fn new() -> Self {
        Self {
            chunk: Bytes::new(),
            head: [0; HEAD],
            head_len: 0,
            body: None,
        }
    }

    /// Takes the next chunk, once the one before is used up.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty());
        self.chunk = chunk;
    }

    /// The rest of the chunk, if nothing is begun.
    pub(crate) fn between(&mut self) -> Option<&mut Bytes> {
        (self.head_len == 0).then_some(&mut self.chunk)
    }

    /// What the next head announces, if the chunks so far complete it. `measure` reads a head, and refuses it
    /// before the first byte of what it announces is kept.
    pub(crate) fn next<E>(
        &mut self,
        measure: impl Fn([u8; HEAD]) -> Result<usize, E>,
    ) -> Result<Option<Bytes>, E> {
        while self.body.is_none() {
            if self.head_len < HEAD {
                if self.chunk.is_empty() {
                    return Ok(None);
                }
                self.head[self.head_len] = self.chunk.get_u8();
                self.head_len += 1;
                continue;
            }
            let len = measure(self.head)?;
            if self.chunk.len() >= len {
                self.head_len = 0;
                return Ok(Some(self.chunk.split_to(len)));
            }
            let bytes = BytesMut::with_capacity(len);
            self.body = Some(Body { len, bytes });
        }
        let Some(mut body) = self.body.take() else {
            return Ok(None);
        };
        let missing = body.len - body.bytes.len();
        let part = self.chunk.split_to(missing.min(self.chunk.len()));
        body.bytes.extend_from_slice(&part);
        if body.bytes.len() < body.len {
            self.body = Some(body);
            return Ok(None);
        }
        self.head_len = 0;
        Ok(Some(body.bytes.freeze()))
    }
}
