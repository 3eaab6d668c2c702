//! Bounds the bytes that one WebSocket message may cost.
//!
//! A message may be cut into any number of pieces, empty ones included, and the library reads them
//! all before it hands anything out. Reads are counted since the last message; beyond the budget
//! they fail, so an endless row of empty pieces ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that reads at most `budget` bytes between two calls of [`Metered::refill`].
pub(crate) struct Metered<S> {
    inner: S,
    budget: usize,
    left: usize,
}

impl<S> Metered<S> {
    pub(crate) fn new(inner: S, budget: usize) -> Self {
        Self {
            inner,
            budget,
            left: budget,
        }
    }

    /// A message was complete: the next one has the whole budget.
    pub(crate) fn refill(&mut self) {
        self.left = self.budget;
    }

    /// Past the budget, for throwing bytes away.
    pub(crate) fn inner(&mut self) -> &mut S {
        &mut self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let spent = "one message costs too many bytes";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, spent)));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.left = self.left.saturating_sub(buf.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn a_spent_budget_ends_reading_until_it_is_refilled() {
        let mut metered = Metered::new(&[7u8; 100][..], 10);
        let mut buffer = [0; 10];
        metered.read_exact(&mut buffer).await.unwrap();
        let error = metered.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        metered.refill();
        assert_eq!(metered.read(&mut buffer).await.unwrap(), 10);
    }
}
