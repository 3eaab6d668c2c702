//! A leg over WebSocket (RFC 6455): one binary message is one frame.
//!
//! A leg reads into memory that all legs of a thread share, and only within one poll. What it read is decoded
//! in place ([`peersox_codec::websocket`]); reliable frames make a run, which goes to the other leg's socket
//! as it lies there. What is left of an unfinished frame is copied, and so is what the socket does not take.
//! A leg that is idle owns no buffer.
//!
//! ```text
//!  socket ──> scratch ──> run ──────────────> the other socket
//!    ^          │          └─ not taken ────> Pump
//!    └── rest <─┘ unfinished
//! ```

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use hyper::upgrade::Upgraded;
use peersox_codec::websocket::{
    MAX_HEAD, largest_frame, put_close, put_message, put_ping, put_pong,
};
use peersox_codec::{Heads, Run};
use peersox_core::close::CloseReason;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};

use super::socket::Socket;
use super::{Broken, Came, Ending, Item};
use crate::pump::{Held, PART};

mod source;

use source::Source;

/// The WebSocket subprotocol of a leg.
pub const SUBPROTOCOL: &str = "peersox.v1";

pub(crate) struct Ws {
    socket: Socket,
    max_frame: usize,
    /// Bytes that may wait each way in the HTTP connection that carries the leg.
    window: usize,
    source: Source,
    sink: Sink,
}

/// What is being written.
struct Sink {
    /// Bytes that the socket has not taken.
    out: BytesMut,
    /// Whether the socket has taken bytes since it was flushed.
    dirty: bool,
}

impl Ws {
    /// `window` bytes may wait each way in the HTTP connection that carries it.
    pub(crate) fn new(upgraded: Upgraded, max_frame: usize, window: usize) -> Self {
        let (socket, came) = Socket::new(upgraded);
        Self {
            socket,
            max_frame,
            window,
            source: Source::new(max_frame, &came),
            sink: Sink {
                out: BytesMut::new(),
                dirty: false,
            },
        }
    }

    /// How many bytes the peer may have sent that nobody reads. The buffers of the system are not counted.
    pub(crate) fn unread(&self) -> usize {
        largest_frame(self.max_frame) + self.window
    }

    /// How many bytes may wait for the peer. The buffers of the system are not counted.
    pub(crate) fn send_buffer(&self) -> usize {
        // The last that is fed is a part of a run, which ends behind the frame that fills it.
        WRITE_BUFFER + PART + self.max_frame + 2 * MAX_HEAD + self.window
    }

    /// Whether the peer is known to have left for good, though not all that it sent is passed on.
    pub(crate) fn is_done(&self) -> bool {
        self.source.is_done()
    }

    /// The next message alone: what comes before frames are passed on.
    pub(crate) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, Ending>> {
        self.source.poll_first(cx, &mut self.socket)
    }

    /// Reads once, and hands on what is whole then: at most `room` bytes, which is no less than the largest
    /// frame has. An error of `take` ends the leg.
    pub(crate) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        take: &mut impl FnMut(&mut Context<'_>, Came<'_>) -> Result<(), Ending>,
    ) -> Poll<Result<(), Ending>> {
        self.source.poll_turn(cx, &mut self.socket, room, take)
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.sink.out.len() < WRITE_BUFFER {
            return Poll::Ready(Ok(()));
        }
        match self.poll_write(cx) {
            Poll::Pending if self.sink.out.len() < WRITE_BUFFER => Poll::Ready(Ok(())),
            written => written,
        }
    }

    pub(crate) fn feed(&mut self, held: Held) {
        self.answer();
        let out = &mut self.sink.out;
        if out.is_empty() {
            // Small frames seldom come alone.
            out.reserve(FEW);
        }
        match held {
            Held::Frame(frame) => put_message(out, &frame.into_bytes()),
            Held::Run(run) => match run.heads() {
                Heads::WebSocket => out.extend_from_slice(run.bytes()),
                Heads::Length => run.slices().for_each(|frame| put_message(out, frame)),
            },
        }
    }

    /// Answers the latest Ping, between two frames.
    fn answer(&mut self) {
        if let Some(payload) = self.source.ping.take() {
            put_pong(&mut self.sink.out, &payload);
        }
    }

    /// Writes frames as they lie in other memory. Answers how many bytes of them are dealt with: all that the
    /// socket took, and the rest of the frame at whose middle it stopped.
    pub(crate) fn write_runs<'a>(
        &mut self,
        cx: &mut Context<'_>,
        runs: impl Iterator<Item = Run<&'a [u8]>> + Clone,
    ) -> Result<usize, Broken> {
        if !self.sink.out.is_empty() && self.poll_write(cx)?.is_pending() {
            return Ok(0);
        }
        let mut written = 0;
        loop {
            match self.poll_write_behind(cx, written, runs.clone()) {
                Poll::Ready(Ok(Some(taken @ 1..))) => written += taken,
                Poll::Ready(Ok(None)) | Poll::Pending => break,
                Poll::Ready(Ok(Some(0)) | Err(_)) if written == 0 => return Err(Broken),
                // What was begun is lost with the leg; the next write finds out.
                Poll::Ready(Ok(Some(0)) | Err(_)) => break,
            }
        }
        self.sink.dirty |= written > 0;
        let mut dealt_with = 0;
        for run in runs {
            if written == dealt_with {
                break;
            }
            let taken = (written - dealt_with).min(run.bytes().len());
            let (begun, _) = run.split(taken);
            self.sink.out.extend_from_slice(&begun.bytes()[taken..]);
            dealt_with += begun.bytes().len();
            if begun.bytes().len() > taken {
                break;
            }
        }
        Ok(dealt_with)
    }

    /// Writes what comes behind the first bytes, unless that is nothing.
    fn poll_write_behind<'a>(
        &mut self,
        cx: &mut Context<'_>,
        mut behind: usize,
        runs: impl Iterator<Item = Run<&'a [u8]>>,
    ) -> Poll<io::Result<Option<usize>>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for run in runs {
            let skipped = behind.min(run.bytes().len());
            behind -= skipped;
            if skipped < run.bytes().len() {
                slices[count] = IoSlice::new(&run.into_bytes()[skipped..]);
                count += 1;
            }
            if count == SLICES {
                break;
            }
        }
        let socket = Pin::new(&mut self.socket);
        let written = match &slices[..count] {
            [] => return Poll::Ready(Ok(None)),
            [one] => ready!(socket.poll_write(cx, one)),
            several => ready!(socket.poll_write_vectored(cx, several)),
        };
        Poll::Ready(written.map(Some))
    }

    pub(crate) fn ping(&mut self) {
        put_ping(&mut self.sink.out);
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if self.sink.out.len() < WRITE_BUFFER {
                self.answer();
            }
            ready!(self.poll_write(cx))?;
            if self.source.ping.is_none() {
                break;
            }
        }
        if self.sink.dirty {
            ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(|_| Broken)?;
            self.sink.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Hands the socket what waits.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let out = &mut self.sink.out;
        while !out.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, out)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken)),
                Ok(taken) => out.advance(taken),
            }
            self.sink.dirty = true;
        }
        *out = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Sends the close frame and the end of the stream, then reads on for a while: closing a socket
    /// with unread bytes resets it, and the peer would never see why.
    pub(crate) async fn hang_up(mut self: Box<Self>, last: Vec<Held>, reason: CloseReason) {
        for held in last {
            if std::future::poll_fn(|cx| self.poll_ready(cx))
                .await
                .is_err()
            {
                return;
            }
            self.feed(held);
        }
        // If the peer was first, it gets an answer with its number.
        let close = match self.source.closed.take() {
            Some(number) => number.map(|number| (number, "")),
            None => Some((reason.number(), reason.text())),
        };
        self.close(close).await;
    }

    /// Answers the peer's close frame, if it sent one.
    pub(crate) async fn part(mut self: Box<Self>) {
        match self.source.closed.take() {
            Some(number) => self.close(number.map(|number| (number, ""))).await,
            None => self.drain().await,
        }
    }

    async fn close(&mut self, close: Option<(u16, &str)>) {
        // Nothing comes behind a close frame.
        self.answer();
        put_close(&mut self.sink.out, close);
        if std::future::poll_fn(|cx| self.poll_flush(cx)).await.is_ok() {
            self.drain().await;
        }
    }

    async fn drain(&mut self) {
        if self.socket.shutdown().await.is_err() {
            return;
        }
        let mut waste = vec![0; 8 * 1024];
        let mut left = MAX_WASTE;
        while let Ok(read @ 1..) = self.socket.read(&mut waste).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    }
}

/// What is reserved for small frames, in bytes.
const FEW: usize = 4 * 1024;
/// So many runs leave in one write.
const SLICES: usize = 16;
/// How much is collected before it is written without a flush, in bytes.
const WRITE_BUFFER: usize = 32 * 1024;
/// How much is read from a leg that is being hung up, in bytes.
const MAX_WASTE: usize = 4 * 1024 * 1024;
