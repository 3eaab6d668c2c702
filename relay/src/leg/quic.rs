//! A leg over QUIC: one bidirectional stream of length-prefixed frames, and QUIC datagrams
//! (RFC 9221) for the datagram lane. A leg over WebTransport is the same within a [`Session`].

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use peersox_codec::Heads;
use peersox_codec::length::{PREFIX, Piece, Splitter, TooLarge};
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use quinn::{ConnectionError, ReadError, SendDatagramError, VarInt};
use tokio_util::sync::ReusableBoxFuture;

use super::webtransport::{NO_ERROR, Session};
use super::{Broken, Came, Ending, Item, Sent, Want};
use crate::pump::{Held, PART};

/// The ALPN of a leg (RFC 7301).
pub const ALPN: &[u8] = b"peersox.v1";

pub(crate) struct Quic {
    connection: quinn::Connection,
    /// That of WebTransport, if it is one.
    session: Option<Session>,
    max_frame: usize,
    /// Whether the peer was permitted to send [`WIDE`] bytes ahead. That cannot be taken back.
    is_wide: bool,
    /// How often the peer has permitted to send it more, when that was last asked for.
    permitted: u64,
    source: Source,
    sink: Sink,
}

/// What is being read.
struct Source {
    stream: quinn::RecvStream,
    splitter: Splitter,
    /// The stream is over; the end of the session is awaited.
    is_over: bool,
    /// The stream is over; the peer's close is awaited.
    closed: Option<Waiting<ConnectionError>>,
    /// None once the connection is lost, which the stream reports in order.
    datagram: Option<Waiting<Result<Bytes, ConnectionError>>>,
    /// Whether the stream goes first; it alternates so that neither starves the other.
    stream_first: bool,
}

/// What is being written: whole chunks, then a batch of small frames.
struct Sink {
    stream: quinn::SendStream,
    chunks: VecDeque<Bytes>,
    batch: BytesMut,
    /// Bytes in both.
    len: usize,
    /// A datagram that waits for room in QUIC's buffer.
    datagram: Option<Waiting<Result<(), SendDatagramError>>>,
}

type Waiting<T> = ReusableBoxFuture<'static, T>;

impl Quic {
    pub(crate) fn new(
        connection: quinn::Connection,
        session: Option<Session>,
        (send, recv): (quinn::SendStream, quinn::RecvStream),
        max_frame: usize,
    ) -> Self {
        let datagram = ReusableBoxFuture::new(next_datagram(connection.clone()));
        Self {
            connection,
            session,
            max_frame,
            is_wide: false,
            permitted: 0,
            source: Source {
                stream: recv,
                splitter: Splitter::new(max_frame, Lane::Reliable as u8),
                is_over: false,
                closed: None,
                datagram: Some(datagram),
                stream_first: true,
            },
            sink: Sink {
                stream: send,
                chunks: VecDeque::new(),
                batch: BytesMut::new(),
                len: 0,
                datagram: None,
            },
        }
    }

    pub(crate) const fn is_webtransport(&self) -> bool {
        self.session.is_some()
    }

    /// How many bytes the peer may have sent that nobody reads.
    pub(crate) fn unread(&self, wide: bool) -> usize {
        (if wide || self.is_wide { WIDE } else { NARROW }) as usize
    }

    /// How many bytes may wait for the peer.
    pub(crate) fn send_buffer(&self, wide: bool) -> usize {
        // The last that is fed is a part of a run, which ends behind the frame that fills it. Lengths are up
        // to two bytes longer than the heads of tiny frames of a WebSocket.
        let window = (if wide { WIDE } else { NARROW }) as usize;
        window + WRITE_BUFFER + 2 * PART + self.max_frame
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Whether the peer has permitted to send it more since the last call, as it does when its program reads.
    pub(crate) fn reads_on(&mut self) -> bool {
        let came = self.connection.stats().frame_rx;
        let permitted = came.max_data + came.max_stream_data;
        std::mem::replace(&mut self.permitted, permitted) != permitted
    }

    pub(crate) fn is_done(&self) -> bool {
        let end = match &self.session {
            Some(session) => session.end(),
            None => self.connection.close_reason().as_ref().map(ending),
        };
        matches!(end, Some(Ending::Done | Ending::Moved))
    }

    pub(crate) fn widen_receiving(&mut self) {
        if !std::mem::replace(&mut self.is_wide, true) {
            self.connection.set_receive_window(VarInt::from_u32(WIDE));
        }
    }

    pub(crate) fn set_sending(&self, wide: bool) {
        let window = if wide { WIDE } else { NARROW };
        self.connection.set_send_window(window.into());
    }

    pub(crate) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        want: Want,
        room: usize,
    ) -> Poll<Result<Came<'static>, Ending>> {
        if let Some(session) = &mut self.session {
            // Whoever looks at the end later wants to know it.
            session.poll_end(cx);
        }
        self.source.stream_first ^= true;
        let stream_first = self.source.stream_first;
        if want != Want::Datagrams && stream_first {
            let frame = self.poll_stream(cx, room);
            if frame.is_ready() {
                return frame;
            }
        }
        if want != Want::Ordered {
            let frame = self.poll_incoming_datagram(cx);
            if frame.is_ready() {
                return frame;
            }
        }
        if want != Want::Datagrams && !stream_first {
            return self.poll_stream(cx, room);
        }
        Poll::Pending
    }

    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<Result<Came<'static>, Ending>> {
        let source = &mut self.source;
        loop {
            if let (Some(session), true) = (&mut self.session, source.is_over) {
                let end = session.poll_end(cx);
                return end.map_or(Poll::Pending, |end| Poll::Ready(Err(end)));
            }
            if let Some(closed) = &mut source.closed {
                let error = ready!(closed.poll(cx));
                return Poll::Ready(Err(ending(&error)));
            }
            match source.splitter.split(room.min(PART)) {
                Ok(Some(Piece::Frame(frame))) => {
                    return Poll::Ready(Ok(Came::Item(Item::Frame(frame))));
                }
                Ok(Some(Piece::Run(run))) => return Poll::Ready(Ok(Came::Shared(run))),
                Ok(None) => {}
                Err(TooLarge) => {
                    return Poll::Ready(Err(Ending::Fault(CloseReason::FrameTooLarge)));
                }
            }
            // The future holds no state: quinn remembers whom to wake by stream.
            let read = pin!(source.stream.read_chunk(READ_CHUNK, true)).poll(cx);
            match ready!(read) {
                Ok(Some(chunk)) => source.splitter.push(chunk.bytes),
                // A browser that ends its session resets the streams of it, too.
                Ok(None) | Err(ReadError::Reset(_)) if self.session.is_some() => {
                    source.is_over = true;
                }
                Ok(None) => {
                    let connection = self.connection.clone();
                    let closed = async move { connection.closed().await };
                    source.closed = Some(ReusableBoxFuture::new(closed));
                }
                Err(ReadError::ConnectionLost(error)) if self.session.is_none() => {
                    return Poll::Ready(Err(ending(&error)));
                }
                Err(_) => return Poll::Ready(Err(Ending::Gone)),
            }
        }
    }

    fn poll_incoming_datagram(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Came<'static>, Ending>> {
        let Some(waiting) = &mut self.source.datagram else {
            return Poll::Pending;
        };
        let bytes = loop {
            let Ok(bytes) = ready!(waiting.poll(cx)) else {
                self.source.datagram = None;
                return Poll::Pending;
            };
            waiting.set(next_datagram(self.connection.clone()));
            match &self.session {
                None => break bytes,
                // A datagram of another session, which there is not, is lost.
                Some(session) => {
                    if let Some(bytes) = session.unwrap(bytes) {
                        break bytes;
                    }
                }
            }
        };
        if bytes.first() != Some(&(Lane::Datagram as u8)) {
            return Poll::Ready(Err(Ending::Fault(CloseReason::FrameMalformed)));
        }
        Poll::Ready(Ok(Came::Item(Item::Frame(bytes))))
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.sink.len < WRITE_BUFFER {
            return Poll::Ready(Ok(()));
        }
        self.sink.poll_write(cx, WRITE_BUFFER)
    }

    pub(crate) fn feed(&mut self, held: Held) {
        self.sink.feed(held);
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.sink.poll_write(cx, 1)
    }

    /// None if the datagram has to go on the stream, because the peer takes none.
    pub(crate) fn poll_datagram(&mut self, cx: &mut Context<'_>, frame: &Frame) -> Option<Sent> {
        let max = self.connection.max_datagram_size()?;
        let overhead = self.session.as_ref().map_or(0, Session::overhead);
        if frame.len() + overhead > max {
            return Some(Sent::TooLarge);
        }
        if let Some(waiting) = &mut self.sink.datagram {
            if waiting.poll(cx).is_pending() {
                return Some(Sent::Busy);
            }
            self.sink.datagram = None;
        }
        let bytes = match &self.session {
            Some(session) => session.wrap(&frame.clone().into_bytes()),
            None => frame.clone().into_bytes(),
        };
        if self.connection.datagram_send_buffer_space() >= bytes.len() {
            return Some(match self.connection.send_datagram(bytes) {
                Err(SendDatagramError::TooLarge) => Sent::TooLarge,
                // Whatever else is wrong, the stream reports it.
                Ok(()) | Err(_) => Sent::Yes,
            });
        }
        let connection = self.connection.clone();
        let mut waiting: Waiting<_> =
            ReusableBoxFuture::new(async move { connection.send_datagram_wait(bytes).await });
        if waiting.poll(cx).is_pending() {
            self.sink.datagram = Some(waiting);
        }
        Some(Sent::Yes)
    }

    /// Closing a connection forgets what is under way, so a graceful end waits until the peer has
    /// acknowledged it all.
    pub(crate) async fn hang_up(mut self: Box<Self>, last: Vec<Held>, reason: CloseReason) {
        let closing = Closing {
            connection: self.connection.clone(),
            number: match self.session {
                Some(_) => NO_ERROR,
                None => VarInt::from_u32(reason.number().into()),
            },
            reason,
        };
        if super::is_graceful(reason) {
            for held in last {
                self.sink.feed(held);
            }
            let sink = &mut self.sink;
            if std::future::poll_fn(|cx| sink.poll_write(cx, 1))
                .await
                .is_ok()
                && sink.stream.finish().is_ok()
            {
                let _ = sink.stream.stopped().await;
            }
        }
        if let Some(session) = &mut self.session {
            session.close(reason).await;
        }
        drop(closing);
    }

    /// The connection is closed already.
    pub(crate) fn part(self: Box<Self>) {
        let number = self.session.map_or(VarInt::from_u32(0), |_| NO_ERROR);
        self.connection.close(number, b"");
    }
}

/// Closes the connection with its reason even if waiting for the last bytes is cut short.
struct Closing {
    connection: quinn::Connection,
    number: VarInt,
    reason: CloseReason,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let text = self.reason.text().as_bytes();
        self.connection.close(self.number, text);
    }
}

/// Ends a connection with a reason, at once.
pub(crate) fn close(connection: &quinn::Connection, reason: CloseReason) {
    let number = VarInt::from_u32(reason.number().into());
    connection.close(number, reason.text().as_bytes());
}

impl Sink {
    fn feed(&mut self, held: Held) {
        match held {
            Held::Frame(frame) => self.put_frame(frame.into_bytes()),
            Held::Run(run) => match run.heads() {
                Heads::Length => {
                    self.len += run.bytes().len();
                    self.put(run.into_bytes());
                }
                Heads::WebSocket => run.into_frames().for_each(|frame| self.put_frame(frame)),
            },
        }
    }

    fn put_frame(&mut self, frame: Bytes) {
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        self.len += PREFIX + frame.len();
        self.batch.put_u32(len);
        self.put(frame);
    }

    fn put(&mut self, bytes: Bytes) {
        if bytes.len() <= SMALL {
            // A small slice would pin the buffer it was read from until it is acknowledged.
            self.batch.put_slice(&bytes);
        } else {
            if !self.batch.is_empty() {
                self.chunks.push_back(self.batch.split().freeze());
            }
            self.chunks.push_back(bytes);
        }
    }

    /// Writes until fewer than `until` bytes wait.
    fn poll_write(&mut self, cx: &mut Context<'_>, until: usize) -> Poll<Result<(), Broken>> {
        while self.len >= until {
            if !self.batch.is_empty() {
                self.chunks.push_back(self.batch.split().freeze());
            }
            let chunks = self.chunks.make_contiguous();
            // The future holds no state: quinn takes bytes at once or remembers whom to wake.
            let written = pin!(self.stream.write_chunks(chunks)).poll(cx);
            let Ok(written) = ready!(written) else {
                return Poll::Ready(Err(Broken));
            };
            self.chunks.drain(..written.chunks);
            self.len -= written.bytes;
        }
        Poll::Ready(Ok(()))
    }
}

async fn next_datagram(connection: quinn::Connection) -> Result<Bytes, ConnectionError> {
    connection.read_datagram().await
}

fn ending(error: &ConnectionError) -> Ending {
    match error {
        ConnectionError::ApplicationClosed(close) => Ending::of_peer(close.error_code.into_inner()),
        _ => Ending::Gone,
    }
}

/// The most that is taken from the stream at once, in bytes.
const READ_CHUNK: usize = 64 * 1024;
/// How much is collected before it is written without a flush, in bytes.
const WRITE_BUFFER: usize = 16 * 1024;
/// Frames up to this size, in bytes, are copied together.
const SMALL: usize = 2 * 1024;

/// Windows of a leg, in bytes: while it is idle or memory is scarce, and while it is in use.
pub(crate) const NARROW: u32 = 64 * 1024;
pub(crate) const WIDE: u32 = 1024 * 1024;
