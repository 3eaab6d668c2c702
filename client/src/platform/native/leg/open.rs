//! A connection in use: a reader, and a writer in a task of its own.
//!
//! ```text
//!   source, read here ────────────► News
//!   queue ─► writer task ─► sink
//! ```
//!
//! Writing may not be interrupted half-way through a frame, so it has a task of its own. That task feeds what
//! is there and flushes when nothing waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peersox_core::attach::Ended;
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{End, Leg, Sink, Source};
use crate::platform::LegNews;

/// See the module.
pub(crate) struct Open {
    source: Source,
    out: mpsc::Sender<Out>,
    /// A leg that was given up may have a writer that waits for a dead network: it is aborted.
    writer: AbortOnDropHandle<End>,
    /// How many frames were handed to the writer and have not left it.
    held: Arc<AtomicUsize>,
    /// How the writer ended, which it says once, and until when a better reason is waited for.
    written: Option<(End, Instant)>,
    /// Somebody was told that there is no room, and waits for it.
    starved: bool,
}

/// What a writer is told.
enum Out {
    Frame(Frame),
    HangUp(CloseReason),
}

impl Open {
    pub(crate) fn new(leg: Leg) -> Self {
        let (out, frames) = mpsc::channel(OUT);
        let held = Arc::new(AtomicUsize::new(0));
        let writer = tokio::spawn(write(leg.sink, frames, Arc::clone(&held)));
        Self {
            source: leg.source,
            out,
            writer: AbortOnDropHandle::new(writer),
            held,
            written: None,
            starved: false,
        }
    }

    /// Whether [`Open::send`] may be called. If not, [`Open::next`] tells when it may: the room may come back
    /// between the two calls, and would be missed if only a full queue were waited for.
    pub(crate) fn has_room(&mut self) -> bool {
        self.starved = self.out.capacity() == 0;
        !self.starved
    }

    /// Sends a frame; the caller has made sure that there is room.
    pub(crate) fn send(&self, frame: Frame) {
        // If the writer has just ended, the frame is lost like those in the network: what carries it sends it
        // again on the next leg.
        if self.out.try_send(Out::Frame(frame)).is_ok() {
            self.held.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether frames that it took have not been handed to the network.
    pub(crate) fn waits(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }

    /// Whether its writer has ended.
    pub(crate) const fn is_written(&self) -> bool {
        self.written.is_some()
    }

    /// Waits for news. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> LegNews {
        loop {
            if let Some((end, until)) = self.written.clone() {
                return better_reason(&mut self.source, end, until).await.into();
            }
            tokio::select! {
                biased;
                frame = self.source.next() => return match frame {
                    Ok(frame) => LegNews::Frame(frame),
                    Err(end) => end.into(),
                },
                end = &mut self.writer => {
                    let end = end.unwrap_or_else(|_| End::Lost("the leg's writer was lost".into()));
                    self.written = Some((end, Instant::now() + REASON));
                }
                _ = self.out.reserve(), if self.starved => {
                    self.starved = false;
                    return LegNews::Room;
                }
            }
        }
    }

    /// Says why it ends, after the frames already sent, for as long as sockets may take.
    pub(crate) async fn hang_up(self, reason: CloseReason) {
        let Self {
            mut source,
            out,
            writer,
            ..
        } = self;
        let farewell = async {
            let _ = out.send(Out::HangUp(reason)).await;
            drop(out);
            // Reading on lets the transport process what the farewell needs.
            tokio::select! {
                _ = writer => {}
                () = async { while source.next().await.is_ok() {} std::future::pending().await } => {}
            }
        };
        let _ = tokio::time::timeout(HANG_UP, farewell).await;
    }
}

/// Writing fails before reading tells why: the reason is worth a moment's wait.
async fn better_reason(source: &mut Source, otherwise: End, until: Instant) -> End {
    let hung_up = async {
        loop {
            if let Err(end) = source.next().await {
                return end;
            }
        }
    };
    let told = tokio::time::timeout_at(until, hung_up).await;
    told.unwrap_or(otherwise)
}

/// Owns the sink: feeds what is there, flushes when nothing waits.
async fn write(mut sink: Sink, mut frames: mpsc::Receiver<Out>, held: Arc<AtomicUsize>) -> End {
    loop {
        let mut next = match frames.recv().await {
            Some(out) => Some(out),
            None => return End::Lost("given up".into()),
        };
        let mut fed = 0;
        while let Some(out) = next {
            match out {
                Out::Frame(frame) => {
                    if let Err(end) = sink.feed(frame).await {
                        return end;
                    }
                    fed += 1;
                }
                Out::HangUp(reason) => {
                    let _ = sink.flush().await;
                    sink.hang_up(reason).await;
                    return End::Closed(reason.number());
                }
            }
            next = frames.try_recv().ok();
        }
        if let Err(end) = sink.flush().await {
            return end;
        }
        held.fetch_sub(fed, Ordering::Relaxed);
    }
}

impl From<End> for LegNews {
    fn from(end: End) -> Self {
        let text = end.to_string();
        let ended = match end {
            End::Closed(number) => Ended::Closed(number),
            End::Lost(_) => Ended::Broken,
        };
        Self::Ended(ended, text)
    }
}

/// Frames between driver and writer: enough to fill a batch, few enough that an urgent record does
/// not queue behind many.
const OUT: usize = 4;

/// How long a better reason is waited for.
const REASON: Duration = Duration::from_millis(200);

/// For how long hanging up may take in all.
const HANG_UP: Duration = Duration::from_secs(3);
