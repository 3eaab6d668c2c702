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

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hyper::upgrade::Upgraded;
use peersox_codec::websocket::{
    Buffer, Decoder, Fault, Kind, MAX_HEAD, Token, largest_frame, put_close, put_message, put_ping,
    put_pong,
};
use peersox_codec::{Heads, Run};
use peersox_core::close::CloseReason;
use peersox_core::frame::Lane;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::socket::Socket;
use super::{Broken, Came, Ending, Item};
use crate::pump::{Held, PART};

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

/// What is being read.
struct Source {
    decoder: Decoder,
    /// The beginning of a frame, as it came.
    rest: BytesMut,
    /// `rest` may hold more than that: look at it before more is read.
    unseen: bool,
    /// How the leg ended. It is told once all that came before has been passed on.
    ended: Option<Ending>,
    /// The close frame of the peer, with its number, which is to be answered.
    closed: Option<Option<u16>>,
}

/// What is being written.
struct Sink {
    /// Bytes that the socket has not taken.
    out: BytesMut,
    /// The payload of the latest Ping that is not answered. The answer to an older one may be left out
    /// (RFC 6455, section 5.5.3).
    ping: Option<Bytes>,
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
            source: Source {
                decoder: Decoder::new(max_frame),
                // Copied, as it may pin a buffer of HTTP.
                rest: BytesMut::from(&*came),
                unseen: false,
                ended: None,
                closed: None,
            },
            sink: Sink {
                out: BytesMut::new(),
                ping: None,
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
        matches!(self.source.ended, Some(Ending::Done | Ending::Moved))
    }

    /// The next message alone: what comes before frames are passed on.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, Ending>> {
        let (source, ping) = (&mut self.source, &mut self.sink.ping);
        loop {
            if let Some(ending) = source.ended {
                return Poll::Ready(Err(ending));
            }
            let mut rest = std::mem::take(&mut source.rest);
            let mut buffer = Buffer::new(&mut rest);
            let token = source.decoder.next(&mut buffer);
            let token = token.map(|token| token.map(|token| source.item(token, &buffer, ping)));
            let left = buffer.rest().len();
            rest.advance(rest.len() - left);
            source.rest = rest;
            match token {
                Ok(Some(item)) => {
                    source.unseen = true;
                    return Poll::Ready(item);
                }
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(ending(fault))),
            }
            source.rest.reserve(FIRST_READ);
            let mut room = (&mut source.rest).limit(FIRST_READ);
            match ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut room)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => source.ended = Some(Ending::Gone),
            }
        }
    }

    /// Reads once, and hands on what is whole then: at most `room` bytes, which is no less than the largest
    /// frame has. `take` answers whether there is room for another frame; its error ends the leg.
    pub(crate) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        take: &mut impl FnMut(&mut Context<'_>, Came<'_>) -> Result<bool, Ending>,
    ) -> Poll<Result<(), Ending>> {
        if let Some(ending) = self.source.ended {
            return Poll::Ready(Err(ending));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let turn = 2 * largest_frame(self.max_frame);
            if scratch.len() < turn {
                scratch.resize(turn, 0);
            }
            let scratch = &mut scratch[..turn.min(room)];
            let read = ready!(self.poll_fill(cx, scratch));
            let mut pass = |came: Came<'_>| take(cx, came);
            let ping = &mut self.sink.ping;
            match read {
                Filled::Scratch(len) => {
                    let mut buffer = Buffer::new(&mut scratch[..len]);
                    self.source.pass(&mut buffer, ping, &mut pass);
                    self.source.put_aside(buffer.rest());
                }
                Filled::Rest => {
                    let mut rest = std::mem::take(&mut self.source.rest);
                    let seen = rest.len().min(room);
                    self.source.unseen = seen < rest.len();
                    let mut buffer = Buffer::new(&mut rest[..seen]);
                    self.source.pass(&mut buffer, ping, &mut pass);
                    let left = buffer.rest().len();
                    rest.advance(seen - left);
                    self.source.rest = rest;
                }
                Filled::Nothing => {}
                Filled::End => return Poll::Ready(Err(Ending::Gone)),
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Reads once, behind what is left of the last time.
    fn poll_fill(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Filled> {
        let source = &mut self.source;
        if std::mem::take(&mut source.unseen) && !source.rest.is_empty() {
            return Poll::Ready(Filled::Rest);
        }
        let kept = source.rest.len();
        if kept == 0 {
            source.rest = BytesMut::new();
        }
        if kept > SMALL {
            // A large frame is gathered where it is, instead of being copied with every read.
            let missing = Decoder::missing(&source.rest);
            let mut room = (&mut source.rest).limit(missing);
            return Poll::Ready(
                match ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut room)) {
                    Ok(0) | Err(_) => Filled::End,
                    Ok(read) if read < missing => Filled::Nothing,
                    Ok(_) => Filled::Rest,
                },
            );
        }
        scratch[..kept].copy_from_slice(&source.rest);
        let mut room = ReadBuf::new(&mut scratch[kept..]);
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room));
        let read = read.map_or(0, |()| room.filled().len());
        source.rest = BytesMut::new();
        Poll::Ready(match read {
            0 => Filled::End,
            read => Filled::Scratch(kept + read),
        })
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
            out.reserve(SMALL);
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
        if let Some(payload) = self.sink.ping.take() {
            put_pong(&mut self.sink.out, &payload);
        }
    }

    /// Writes frames as they lie in the memory of another leg. Answers how many bytes of them are dealt with:
    /// all that the socket took, and the rest of the frame at whose middle it stopped.
    pub(crate) fn write_run(
        &mut self,
        cx: &mut Context<'_>,
        run: Run<&[u8]>,
    ) -> Result<usize, Broken> {
        if !self.sink.out.is_empty() && self.poll_write(cx)?.is_pending() {
            return Ok(0);
        }
        let bytes = run.bytes();
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(0) | Err(_)) if written == 0 => return Err(Broken),
                // What was begun is lost with the leg; the next write finds out.
                Poll::Ready(Ok(0) | Err(_)) | Poll::Pending => break,
                Poll::Ready(Ok(taken)) => written += taken,
            }
        }
        self.sink.dirty |= written > 0;
        let (begun, _) = run.split(written);
        let begun = begun.bytes();
        self.sink.out.extend_from_slice(&begun[written..]);
        Ok(begun.len())
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
            if self.sink.ping.is_none() {
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
        self.close((reason.number(), reason.text())).await;
    }

    /// Answers the peer's close frame.
    pub(crate) async fn part(mut self: Box<Self>) {
        if self.source.closed.is_some() {
            self.close((CloseReason::Done.number(), "")).await;
        } else {
            self.drain().await;
        }
    }

    /// Sends the close frame, unless the peer was first: then the answer, which has its number.
    async fn close(&mut self, close: (u16, &str)) {
        let close = match self.source.closed.take() {
            Some(number) => number.map(|number| (number, "")),
            None => Some(close),
        };
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

/// Where the bytes are that were read.
enum Filled {
    /// So many in the shared memory.
    Scratch(usize),
    /// In [`Source::rest`].
    Rest,
    /// In [`Source::rest`], where more has to come.
    Nothing,
    /// There are none, and none will come.
    End,
}

impl Source {
    /// Hands on what is whole: frames of the reliable lane as one run, at last.
    fn pass(
        &mut self,
        buffer: &mut Buffer<'_>,
        ping: &mut Option<Bytes>,
        take: &mut impl FnMut(Came<'_>) -> Result<bool, Ending>,
    ) {
        let ended = loop {
            let token = match self.decoder.next(buffer) {
                Ok(Some(token)) => token,
                Ok(None) => break None,
                Err(fault) => break Some(ending(fault)),
            };
            if let Token::Message(Kind::Binary, at) = &token
                && buffer.payload(at).first() == Some(&(Lane::Reliable as u8))
            {
                buffer.keep();
                continue;
            }
            if let Token::Assembled(Kind::Binary, bytes) = &token
                && bytes.first() == Some(&(Lane::Reliable as u8))
            {
                // It must not overtake what came before it.
                let run = buffer.take_run();
                if !run.is_empty()
                    && let Err(ending) = take(Came::Run(run))
                {
                    break Some(ending);
                }
            }
            match self
                .item(token, buffer, ping)
                .and_then(|item| take(Came::Item(item)))
            {
                Ok(true) => {}
                Ok(false) => {
                    // Frames in pieces may cost more than the bytes that came.
                    self.unseen = true;
                    break None;
                }
                Err(ending) => break Some(ending),
            }
        };
        let run = buffer.take_run();
        let passed = match run.is_empty() {
            true => Ok(true),
            false => take(Came::Run(run)),
        };
        self.ended = passed.err().or(ended);
    }

    /// What a token is to the session.
    fn item(
        &mut self,
        token: Token,
        buffer: &Buffer<'_>,
        ping: &mut Option<Bytes>,
    ) -> Result<Item, Ending> {
        match token {
            Token::Message(Kind::Binary, at) => {
                Ok(Item::Frame(Bytes::copy_from_slice(buffer.payload(&at))))
            }
            Token::Assembled(Kind::Binary, bytes) => Ok(Item::Frame(bytes)),
            Token::Message(Kind::Text, _) | Token::Assembled(Kind::Text, _) => {
                Err(Ending::Fault(CloseReason::FrameMalformed))
            }
            Token::Ping(payload) => {
                *ping = Some(payload);
                Ok(Item::Sign)
            }
            Token::Pong => Ok(Item::Sign),
            Token::Close(number) => {
                self.closed = Some(number);
                Err(number.map_or(Ending::Gone, |number| Ending::of_peer(number.into())))
            }
        }
    }

    /// Copies the beginning of a frame out of memory that is shared.
    fn put_aside(&mut self, rest: &[u8]) {
        if self.ended.is_some() || rest.is_empty() {
            return;
        }
        // Who has sent no more than a head gets no room for what it announces.
        let more = match rest.len() > SMALL {
            true => Decoder::missing(rest),
            false => 0,
        };
        self.rest = BytesMut::with_capacity(rest.len() + more);
        self.rest.extend_from_slice(rest);
    }
}

fn ending(fault: Fault) -> Ending {
    Ending::Fault(match fault {
        Fault::TooLarge => CloseReason::FrameTooLarge,
        Fault::Utf8 => CloseReason::FrameMalformed,
        Fault::Reserved
        | Fault::Opcode(_)
        | Fault::Unmasked
        | Fault::Control
        | Fault::OutOfOrder
        | Fault::Pieces
        | Fault::Close => CloseReason::ProtocolError,
    })
}

thread_local! {
    /// What the legs of a thread read into, one at a time. It holds two of the largest frames.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How much is read at a time before a leg is admitted, in bytes.
const FIRST_READ: usize = 4 * 1024;
/// The beginning of a frame that is copied to where the next read goes, in bytes.
const SMALL: usize = 4 * 1024;
/// How much is collected before it is written without a flush, in bytes.
const WRITE_BUFFER: usize = 32 * 1024;
/// How much is read from a leg that is being hung up, in bytes.
const MAX_WASTE: usize = 4 * 1024 * 1024;
