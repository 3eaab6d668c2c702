//! A leg over gRPC: a call of `RelayService.Attach`, in which each message holds one frame or a close number.
//!
//! The leg reads the body of the request and writes the body of the answer, both streams of HTTP/2. What it
//! reads is decoded by generated code, what it writes is laid out by [`peersox_codec::grpc`], so that no
//! frame is copied but small ones. The task of the HTTP connection takes the answer out of a [`Pipe`].
//!
//! ```text
//!  request ──> splitter ──> AttachRequest ──> frame
//!  answer <── Pipe <── batch, chunks <── frame
//! ```

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body;
use peersox_codec::grpc::{BadHead, FIELD, HEAD, Splitter, put_head};
use peersox_core::close::CloseReason;
use peersox_proto::v1::attach_request::Kind;
use peersox_proto::v1::{AttachRequest, AttachResponse, attach_response};
use prost::Message as _;

use super::{Broken, Ending};
use crate::pump::{Held, PART};
use crate::seat::Seat;

mod pipe;

pub use pipe::Answer;
use pipe::Pipe;

pub(crate) struct Grpc {
    max_frame: usize,
    /// Bytes that may wait each way in the HTTP connection that carries the leg.
    window: usize,
    source: Source,
    sink: Sink,
}

/// What is being read.
struct Source {
    body: UnsyncBoxBody<Bytes, Lost>,
    splitter: Splitter,
    /// How the peer ended the leg.
    ended: Option<Ending>,
}

/// The stream of the request has ended before its end.
struct Lost;

/// What is being written: whole chunks, then a batch of small frames.
struct Sink {
    pipe: Arc<Pipe>,
    chunks: VecDeque<Bytes>,
    batch: BytesMut,
    /// Bytes in both.
    len: usize,
}

impl Grpc {
    /// `window` bytes may wait each way in the HTTP connection that carries it. The other half is the body of
    /// the answer to the request.
    pub(crate) fn new<B>(request: B, max_frame: usize, window: usize) -> (Self, Answer)
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let pipe = Arc::<Pipe>::default();
        let answer = Answer::new(Arc::clone(&pipe));
        let leg = Self {
            max_frame,
            window,
            source: Source {
                body: request.map_err(|_| Lost).boxed_unsync(),
                splitter: Splitter::new(max_frame + BESIDE),
                ended: None,
            },
            sink: Sink {
                pipe,
                chunks: VecDeque::new(),
                batch: BytesMut::new(),
                len: 0,
            },
        };
        (leg, answer)
    }

    /// How many bytes the peer may have sent that nobody reads.
    pub(crate) fn unread(&self) -> usize {
        self.max_frame + BESIDE + self.window
    }

    /// How many bytes may wait for the peer.
    pub(crate) fn send_buffer(&self) -> usize {
        // The last that is fed is a part of a run, which ends behind the frame that fills it. The same waits
        // in the pipe.
        2 * (WRITE_BUFFER + 2 * PART + self.max_frame + HEAD + FIELD) + self.window
    }

    /// The bytes of the next frame.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ending>> {
        let source = &mut self.source;
        loop {
            if let Some(ended) = source.ended {
                return Poll::Ready(Err(ended));
            }
            match source.splitter.split() {
                Ok(Some(message)) => {
                    let kind = AttachRequest::decode(message).map(|it| it.kind);
                    let ending = match kind {
                        Ok(Some(Kind::Frame(frame))) => return Poll::Ready(Ok(frame)),
                        Ok(Some(Kind::Close(number))) => Ending::of_peer(number.into()),
                        Ok(None) | Err(_) => Ending::Fault(CloseReason::ProtocolError),
                    };
                    source.ended = Some(ending);
                }
                Ok(None) => match ready!(Pin::new(&mut source.body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        // A request has no trailers that mean anything.
                        if let Ok(chunk) = frame.into_data() {
                            source.splitter.push(chunk);
                        }
                    }
                    Some(Err(Lost)) | None => source.ended = Some(Ending::Gone),
                },
                Err(why) => {
                    let reason = match why {
                        BadHead::TooLarge => CloseReason::FrameTooLarge,
                        BadHead::Compressed => CloseReason::ProtocolError,
                    };
                    source.ended = Some(Ending::Fault(reason));
                }
            }
        }
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.sink.len < WRITE_BUFFER {
            return Poll::Ready(Ok(()));
        }
        self.sink.poll_write(cx)
    }

    pub(crate) fn feed(&mut self, held: Held) {
        self.sink.feed(held);
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.sink.poll_write(cx)
    }

    /// Says the close number and ends the call. The stream may live on for as long as its peer does not read,
    /// and so does the seat.
    pub(crate) async fn hang_up(
        mut self: Box<Self>,
        last: Vec<Held>,
        reason: CloseReason,
        seat: Seat,
    ) {
        let sink = &mut self.sink;
        sink.pipe.keep(seat);
        for held in last {
            if poll_fn(|cx| sink.poll_write(cx)).await.is_err() {
                return;
            }
            sink.feed(held);
        }
        // If the peer was first, it knows why.
        if self
            .source
            .ended
            .is_none_or(|ended| matches!(ended, Ending::Fault(_)))
        {
            sink.put(close(reason));
        }
        sink.end(trailers(reason)).await;
    }

    /// Ends a call that the peer ended.
    pub(crate) async fn part(mut self: Box<Self>, seat: Seat) {
        self.sink.pipe.keep(seat);
        let end = match self.source.ended {
            Some(Ending::Done) => trailers(CloseReason::Done),
            Some(Ending::Moved) => trailers(CloseReason::Moved),
            Some(Ending::Gone | Ending::Fault(_)) | None => said(ABORTED, LOST),
        };
        self.sink.end(end).await;
    }
}

/// The answer to a call that gets no leg.
pub(crate) fn refusal(reason: CloseReason) -> Answer {
    let pipe = Arc::<Pipe>::default();
    pipe.put([close(reason)].into());
    pipe.end(trailers(reason));
    Answer::new(pipe)
}

impl Sink {
    fn feed(&mut self, held: Held) {
        match held {
            Held::Frame(frame) => self.put_frame(frame.into_bytes()),
            Held::Run(run) => run.into_frames().for_each(|frame| self.put_frame(frame)),
        }
    }

    fn put_frame(&mut self, frame: Bytes) {
        let before = self.batch.len();
        if before == 0 {
            // Small frames seldom come alone.
            self.batch.reserve(FEW);
        }
        put_head(&mut self.batch, frame.len());
        self.len += self.batch.len() - before;
        self.put(frame);
    }

    fn put(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        if bytes.len() <= SMALL {
            // A small slice would pin the buffer it was read from until it is on its way.
            self.batch.extend_from_slice(&bytes);
        } else {
            self.chunks.push_back(self.batch.split().freeze());
            self.chunks.push_back(bytes);
        }
    }

    /// Hands over all that waits.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.len == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.pipe.poll_room(cx))?;
        if !self.batch.is_empty() {
            // An idle leg owns no buffer.
            let batch = std::mem::take(&mut self.batch);
            self.chunks.push_back(batch.freeze());
        }
        self.pipe.put(std::mem::take(&mut self.chunks));
        self.len = 0;
        Poll::Ready(Ok(()))
    }

    /// Hands over what waits and the end of the call, and waits until the stream is closed.
    async fn end(&mut self, trailers: HeaderMap) {
        if poll_fn(|cx| self.poll_write(cx)).await.is_ok() {
            self.pipe.end(trailers);
            poll_fn(|cx| self.pipe.poll_closed(cx)).await;
        }
    }
}

impl Drop for Sink {
    /// Whoever waits no longer leaves nothing behind but the end.
    fn drop(&mut self) {
        self.pipe.give_up(trailers(CloseReason::Internal));
    }
}

/// A message that says why the leg ends.
fn close(reason: CloseReason) -> Bytes {
    let number = u32::from(reason.number());
    let message = AttachResponse {
        kind: Some(attach_response::Kind::Close(number)),
    };
    let message = message.encode_to_vec();
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &len.to_be_bytes(), &message].concat().into()
}

/// The end of a call that ends for a reason.
fn trailers(reason: CloseReason) -> HeaderMap {
    said(status(reason), reason.text())
}

/// The end of a call, for generated code and for people. The texts are ASCII without `%`, which would have to
/// be encoded.
fn said(status: u16, text: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        (GRPC_STATUS, HeaderValue::from(status)),
        (GRPC_MESSAGE, HeaderValue::from_static(text)),
    ])
}

/// The status of gRPC with which a call ends.
const fn status(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::Done | CloseReason::PeerLeft | CloseReason::Moved => OK,
        CloseReason::PeerLost | CloseReason::Replaced => ABORTED,
        CloseReason::Revoked => PERMISSION_DENIED,
        CloseReason::Draining => UNAVAILABLE,
        CloseReason::IdleTimeout | CloseReason::HelloTimeout => DEADLINE_EXCEEDED,
        CloseReason::TicketInvalid | CloseReason::TicketExpired => UNAUTHENTICATED,
        CloseReason::Misdirected => FAILED_PRECONDITION,
        CloseReason::HelloInvalid
        | CloseReason::FrameTooLarge
        | CloseReason::FrameMalformed
        | CloseReason::LaneUnknown
        | CloseReason::NoticeForbidden
        | CloseReason::ProtocolError => INVALID_ARGUMENT,
        CloseReason::RateLimited | CloseReason::Overloaded => RESOURCE_EXHAUSTED,
        CloseReason::Internal => INTERNAL,
    }
}

/// Of each answer: how the call has ended.
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Of each answer: a sentence about that.
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a call is told that ended without a number.
const LOST: &str = "the call ended without `close`: the leg is lost";

// Statuses (https://grpc.io/docs/guides/status-codes).
const OK: u16 = 0;
const INVALID_ARGUMENT: u16 = 3;
const DEADLINE_EXCEEDED: u16 = 4;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
const FAILED_PRECONDITION: u16 = 9;
const ABORTED: u16 = 10;
pub(crate) const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

/// What a message may have beside its frame, in bytes: fields of a later version, too.
const BESIDE: usize = 64;
/// What is reserved for small frames, in bytes.
const FEW: usize = 4 * 1024;
/// Frames up to this size, in bytes, are copied together.
const SMALL: usize = 2 * 1024;
/// How much is collected before it is handed over without a flush, in bytes.
const WRITE_BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_into_trailers() {
        let texts = CloseReason::ALL.iter().map(|reason| reason.text());
        for text in texts.chain([LOST]) {
            let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'%';
            assert!(text.bytes().all(is_plain), "{text}");
            assert_eq!(said(OK, text)[GRPC_MESSAGE], text);
        }
    }

    #[test]
    fn messages_are_what_generated_code_makes_of_them() {
        let mut pipe = BytesMut::new();
        let frame = Bytes::from(vec![1; 300]);
        put_head(&mut pipe, frame.len());
        pipe.extend_from_slice(&frame);
        let said = AttachResponse::decode(&pipe[HEAD..]).unwrap().kind;
        assert_eq!(said, Some(attach_response::Kind::Frame(frame)));
        for reason in CloseReason::ALL {
            let bytes = close(*reason);
            assert_eq!(usize::from(bytes[4]), bytes.len() - HEAD);
            let said = AttachResponse::decode(&bytes[HEAD..]).unwrap().kind;
            let number = u32::from(reason.number());
            assert_eq!(said, Some(attach_response::Kind::Close(number)));
        }
    }
}
