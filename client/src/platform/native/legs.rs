//! The legs of one peer: each connects, then has a reader and a writer.
//!
//! ```text
//!   connect ──► Connecting ──► Open ──┬─ source, read here ────────────► News
//!                                     └─ queue ─► writer task ─► sink
//! ```
//!
//! Writing may not be interrupted half-way through a frame, so it has a task of its own. That task feeds what
//! is there and flushes when nothing waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use peersox_core::attach::{Ended, LegId, Transports};
use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1::RelayEndpoint;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::leg::{End, Leg, Sink, Source};
use super::tls::Trust;
use super::{BoxFuture, Dialer};
use crate::platform::LegNews;

/// The legs of one peer, those that are being connected included.
pub(crate) struct Legs {
    trust: Trust,
    dialer: Dialer,
    legs: Vec<(LegId, State)>,
    /// Legs that say goodbye.
    farewells: FuturesUnordered<BoxFuture<()>>,
}

enum State {
    Connecting(BoxFuture<Result<Leg, End>>),
    Open(Box<Open>),
}

/// A leg that is connected.
struct Open {
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

impl Legs {
    /// What carries a leg here.
    pub(crate) const TRANSPORTS: Transports = Transports::NATIVE;

    /// Without any. Legs are connected through `dialer` to relays that `trust` knows.
    pub(crate) fn new(trust: Trust, dialer: Dialer) -> Self {
        Self {
            trust,
            dialer,
            legs: Vec::new(),
            farewells: FuturesUnordered::new(),
        }
    }

    /// Begins to connect a leg to this endpoint.
    pub(crate) fn connect(&mut self, leg: LegId, endpoint: RelayEndpoint) {
        let (trust, dialer) = (self.trust.clone(), self.dialer.clone());
        let connecting = async move { Leg::connect(&endpoint, &trust, &dialer).await };
        self.legs
            .push((leg, State::Connecting(Box::pin(connecting))));
    }

    /// The legs that are connected.
    pub(crate) fn open(&self) -> Vec<LegId> {
        let open = |(leg, state): &(LegId, State)| match state {
            State::Open(_) => Some(*leg),
            State::Connecting(_) => None,
        };
        self.legs.iter().filter_map(open).collect()
    }

    /// Whether [`Legs::send`] may be called. If not, [`Legs::next`] tells when it may: the room may come
    /// back between the two calls, and would be missed if only a full queue were waited for.
    pub(crate) fn has_room(&mut self, leg: LegId) -> bool {
        let Some(open) = self.get(leg) else {
            return false;
        };
        open.starved = open.out.capacity() == 0;
        !open.starved
    }

    /// Sends a frame; the caller has made sure that there is room.
    pub(crate) fn send(&mut self, leg: LegId, frame: Frame) {
        let Some(open) = self.get(leg) else { return };
        // If the writer has just ended, the frame is lost like those in the network: what carries it sends it
        // again on the next leg.
        if open.out.try_send(Out::Frame(frame)).is_ok() {
            open.held.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether frames that this leg took have not been handed to the network.
    pub(crate) fn waits(&mut self, leg: LegId) -> bool {
        let held = self.get(leg).map(|open| open.held.load(Ordering::Relaxed));
        held.is_some_and(|held| held > 0)
    }

    /// Ends a leg and tells nothing more of it: with a reason after the frames already sent, else at once.
    pub(crate) fn hang_up(&mut self, leg: LegId, reason: Option<CloseReason>) {
        let Some(at) = self.legs.iter().position(|(it, _)| *it == leg) else {
            return;
        };
        let (_, state) = self.legs.swap_remove(at);
        if let (State::Open(open), Some(reason)) = (state, reason)
            && open.written.is_none()
        {
            self.farewells.push(Box::pin(open.hang_up(reason)));
        }
    }

    /// Waits until each leg that was hung up with a reason has told it, for as long as sockets may take.
    pub(crate) async fn finish(mut self) {
        while self.farewells.next().await.is_some() {}
    }

    /// Waits for news of any leg. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> (LegId, LegNews) {
        let (leg, news) = {
            let mut news = std::pin::pin!(any(&mut self.legs));
            loop {
                tokio::select! {
                    biased;
                    Some(()) = self.farewells.next(), if !self.farewells.is_empty() => {}
                    news = &mut news => break news,
                }
            }
        };
        if matches!(news, LegNews::Ended(..)) {
            self.legs.retain(|(it, _)| *it != leg);
        }
        (leg, news)
    }

    fn get(&mut self, leg: LegId) -> Option<&mut Open> {
        let (_, state) = self.legs.iter_mut().find(|(it, _)| *it == leg)?;
        match state {
            State::Open(open) => Some(open),
            State::Connecting(_) => None,
        }
    }
}

/// Waits for news of any of these legs. Cancelling it loses nothing.
async fn any(legs: &mut [(LegId, State)]) -> (LegId, LegNews) {
    match legs {
        [] => std::future::pending().await,
        // Nearly always there is one: nothing is allocated for each frame.
        [(leg, state)] => (*leg, state.next().await),
        several => {
            let each = several.iter_mut();
            let all = each.map(|(leg, state)| Box::pin(async { (*leg, state.next().await) }));
            select_all(all).await.0
        }
    }
}

impl State {
    async fn next(&mut self) -> LegNews {
        let connected = match self {
            Self::Open(open) => return open.next().await,
            Self::Connecting(connecting) => connecting.await,
        };
        match connected {
            Ok(leg) => {
                *self = Self::Open(Box::new(Open::new(leg)));
                LegNews::Connected
            }
            Err(end) => end.into(),
        }
    }
}

impl Open {
    fn new(leg: Leg) -> Self {
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

    async fn next(&mut self) -> LegNews {
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

    async fn hang_up(self, reason: CloseReason) {
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
