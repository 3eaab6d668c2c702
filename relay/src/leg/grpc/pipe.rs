//! What stands between the task of a session and the task of the HTTP connection: chunks of an answer, in
//! order, then the trailers.
//!
//! One hands over all it has at once, if less than [`ROOM`] waits; the other one takes chunk by chunk, as far
//! as HTTP/2 lets it. So a lock is taken for each batch of frames, never for a frame alone.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame};

use super::super::Broken;
use crate::seat::Seat;

/// See the head of the module.
#[derive(Default)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Bytes in them.
    len: usize,
    end: End,
    /// The session waits for room, or for the end.
    session: Option<Waker>,
    /// HTTP waits for something to send.
    http: Option<Waker>,
    /// Given back with the pipe, which is when the stream is closed.
    seat: Option<Seat>,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    /// What comes behind the chunks.
    Trailers(HeaderMap),
    /// All is said.
    Said,
    /// The stream is closed, or has never begun.
    Closed,
}

impl Pipe {
    /// Whether more may be put in.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut state = self.lock();
        match state.end {
            End::Open if state.len < ROOM => Poll::Ready(Ok(())),
            End::Open => wait(&mut state.session, cx),
            End::Trailers(_) | End::Said | End::Closed => Poll::Ready(Err(Broken)),
        }
    }

    /// Puts in whole messages, in pieces.
    pub(super) fn put(&self, chunks: VecDeque<Bytes>) {
        let mut state = self.lock();
        state.len += chunks.iter().map(Bytes::len).sum::<usize>();
        if state.chunks.is_empty() {
            state.chunks = chunks;
        } else {
            state.chunks.extend(chunks);
        }
        let http = state.http.take();
        drop(state);
        wake(http);
    }

    /// Ends the answer once all is taken that was put in.
    pub(super) fn end(&self, trailers: HeaderMap) {
        let mut state = self.lock();
        if matches!(state.end, End::Open) {
            state.end = End::Trailers(trailers);
        }
        let http = state.http.take();
        drop(state);
        wake(http);
    }

    /// Forgets what was not taken, and ends the answer in another way.
    pub(super) fn give_up(&self, trailers: HeaderMap) {
        let mut state = self.lock();
        if matches!(state.end, End::Open | End::Trailers(_)) {
            // A message that was cut is worth nothing, and its receiver notices.
            state.end = End::Trailers(trailers);
            state.chunks = VecDeque::new();
            state.len = 0;
        }
        let http = state.http.take();
        drop(state);
        wake(http);
    }

    /// Ready when nobody takes anything any more.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        match state.end {
            End::Closed => Poll::Ready(()),
            End::Open | End::Trailers(_) | End::Said => wait(&mut state.session, cx),
        }
    }

    /// Keeps the seat for as long as the stream lives.
    pub(super) fn keep(&self, seat: Seat) {
        self.lock().seat = Some(seat);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of the answer to a call.
pub struct Answer(Arc<Pipe>);

impl Answer {
    pub(super) fn new(pipe: Arc<Pipe>) -> Self {
        Self(pipe)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.0.lock();
        let Some(chunk) = state.chunks.pop_front() else {
            return match std::mem::take(&mut state.end) {
                End::Open => wait(&mut state.http, cx),
                End::Trailers(trailers) => {
                    state.end = End::Said;
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                End::Said | End::Closed => {
                    state.end = End::Said;
                    Poll::Ready(None)
                }
            };
        };
        if state.chunks.is_empty() {
            // An idle leg owns no buffer.
            state.chunks = VecDeque::new();
        }
        let was_full = state.len >= ROOM;
        state.len -= chunk.len();
        let session = match was_full && state.len < ROOM {
            true => state.session.take(),
            false => None,
        };
        drop(state);
        wake(session);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.lock();
        state.chunks.is_empty() && matches!(state.end, End::Said)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.end = End::Closed;
        state.chunks = VecDeque::new();
        state.len = 0;
        let session = state.session.take();
        drop(state);
        wake(session);
    }
}

fn wait<T>(waker: &mut Option<Waker>, cx: &Context<'_>) -> Poll<T> {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
    Poll::Pending
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// How much waits at most before more is put in, in bytes.
const ROOM: usize = 16 * 1024;
