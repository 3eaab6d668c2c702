//! A leg over WebSocket (RFC 6455): one binary message is one frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::meter::Metered;
use super::{Broken, Ending, Item};

/// The WebSocket subprotocol of a leg.
pub const SUBPROTOCOL: &str = "peersox.v1";

pub(crate) struct Ws {
    stream: WebSocketStream<Metered<TokioIo<Upgraded>>>,
    /// Fed but not flushed.
    dirty: bool,
    /// How many bytes the peer may have sent that nobody reads, and how many may wait for it. The buffers of
    /// the system are not counted.
    unread: usize,
    send_buffer: usize,
}

impl Ws {
    /// `window` bytes may wait each way in the HTTP connection that carries it.
    pub(crate) async fn new(upgraded: Upgraded, max_frame: usize, window: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            // A frame is fed only once the buffer drained below its mark; a close frame may follow.
            .max_write_buffer_size(WRITE_BUFFER + 2 * max_frame + 4096)
            .max_message_size(Some(max_frame))
            .max_frame_size(Some(max_frame));
        // Twice the largest message pays for a message in pieces of 16 bytes and of what the read
        // buffer holds of the next one.
        let metered = Metered::new(TokioIo::new(upgraded), 2 * (max_frame + READ_BUFFER));
        Self {
            stream: WebSocketStream::from_raw_socket(metered, Role::Server, Some(config)).await,
            dirty: false,
            unread: READ_BUFFER + max_frame + window,
            send_buffer: WRITE_BUFFER + 2 * max_frame + window,
        }
    }

    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    pub(crate) fn send_buffer(&self) -> usize {
        self.send_buffer
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, Ending>> {
        let message = match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Poll::Ready(Err(ending(&error))),
            None => return Poll::Ready(Err(Ending::Gone)),
        };
        self.stream.get_mut().refill();
        Poll::Ready(match message {
            Message::Binary(bytes) => Ok(Item::Frame(bytes)),
            Message::Ping(_) | Message::Pong(_) => Ok(Item::Sign),
            Message::Text(_) | Message::Frame(_) => Err(Ending::Fault(CloseReason::FrameMalformed)),
            Message::Close(Some(close)) => Err(Ending::of_peer(u16::from(close.code).into())),
            Message::Close(None) => Err(Ending::Gone),
        })
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let ready = Pin::new(&mut self.stream).poll_ready(cx);
        ready.map_err(|_| Broken)
    }

    pub(crate) fn feed(&mut self, frame: Frame) -> Result<(), Broken> {
        self.start(Message::Binary(frame.into_bytes()))
    }

    pub(crate) fn ping(&mut self) -> Result<(), Broken> {
        self.start(Message::Ping(Bytes::new()))
    }

    fn start(&mut self, message: Message) -> Result<(), Broken> {
        self.dirty = true;
        Pin::new(&mut self.stream)
            .start_send(message)
            .map_err(|_| Broken)
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if !self.dirty {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.dirty = false;
        Poll::Ready(flushed.map_err(|_| Broken))
    }

    /// Sends the close frame and the end of the stream, then reads on for a while: closing a socket
    /// with unread bytes resets it, and the peer would never see why.
    pub(crate) async fn hang_up(mut self: Box<Self>, last: Vec<Frame>, reason: CloseReason) {
        for frame in last {
            if self
                .stream
                .feed(Message::Binary(frame.into_bytes()))
                .await
                .is_err()
            {
                return;
            }
        }
        let close = CloseFrame {
            code: reason.number().into(),
            reason: reason.text().into(),
        };
        if self.stream.close(Some(close)).await.is_ok() {
            self.drain().await;
        }
    }

    /// Answers the peer's close frame.
    pub(crate) async fn part(mut self: Box<Self>) {
        if self.stream.flush().await.is_ok() {
            self.drain().await;
        }
    }

    async fn drain(&mut self) {
        let socket = self.stream.get_mut().inner();
        if socket.shutdown().await.is_err() {
            return;
        }
        let mut waste = vec![0; 8 * 1024];
        let mut left = MAX_WASTE;
        while let Ok(read @ 1..) = socket.read(&mut waste).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    }
}

fn ending(error: &Error) -> Ending {
    match error {
        Error::Capacity(_) => Ending::Fault(CloseReason::FrameTooLarge),
        Error::Utf8(_) => Ending::Fault(CloseReason::FrameMalformed),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ending::Gone,
        Error::Protocol(_) => Ending::Fault(CloseReason::ProtocolError),
        Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Ending::Fault(CloseReason::ProtocolError)
        }
        _ => Ending::Gone,
    }
}

/// Read buffer, in bytes; allocated by every leg, so a compromise between throughput and idle legs.
const READ_BUFFER: usize = 16 * 1024;
/// How much is collected before it is written without a flush, in bytes.
const WRITE_BUFFER: usize = 32 * 1024;
/// How much is read from a leg that is being hung up, in bytes.
const MAX_WASTE: usize = 4 * 1024 * 1024;
