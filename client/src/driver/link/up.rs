//! A leg in use: its two halves, its keep-alive, and the room in front of its writer.

use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1;
use peersox_proto::v1::notice::Kind;
use rand_core::RngCore as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use super::News;
use crate::attach::notice;
use crate::platform::{End, Leg, Sink, Source};

pub(super) struct Up {
    source: Source,
    out: mpsc::Sender<Out>,
    /// A leg that was given up may have a writer that waits for a dead network: it is aborted.
    writer: AbortOnDropHandle<End>,
    /// How the writer ended, which it says once, and until when a better reason is waited for.
    written: Option<(End, Instant)>,
    keepalive: tokio::time::Interval,
    /// Somebody was told that there is no room, and waits for it.
    starved: bool,
    /// When the last frame came in.
    heard: Instant,
    /// The unanswered Ping.
    ping: Option<(u64, Instant)>,
}

/// What the writer is told.
enum Out {
    Frame(Frame),
    HangUp(CloseReason),
}

impl Up {
    pub(super) fn new(leg: Leg, welcome: &v1::Welcome) -> Self {
        let (out, frames) = mpsc::channel(OUT);
        let asked = welcome.limits.map_or(0, |limits| limits.keepalive_millis);
        let period = Duration::from_millis(asked.into()).clamp(KEEPALIVE.0, KEEPALIVE.1);
        let mut keepalive = tokio::time::interval(period);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            source: leg.source,
            out,
            writer: AbortOnDropHandle::new(tokio::spawn(write(leg.sink, frames))),
            written: None,
            keepalive,
            starved: false,
            heard: Instant::now(),
            ping: None,
        }
    }

    pub(super) fn has_room(&mut self) -> bool {
        self.starved = self.out.capacity() == 0;
        !self.starved
    }

    pub(super) fn send(&mut self, frame: Frame) {
        // If the writer has just ended, the frame is lost like those in the network: what carries
        // it sends it again on the next leg.
        let _ = self.out.try_send(Out::Frame(frame));
    }

    /// Waits for room, a frame or the end. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> News {
        let wants_room = self.starved;
        loop {
            if let Some((end, until)) = self.written.clone() {
                return News::Lost(better_reason(&mut self.source, end, until).await);
            }
            tokio::select! {
                biased;
                frame = self.source.next() => return match frame {
                    Ok(frame) => {
                        self.heard = Instant::now();
                        News::Frame(frame)
                    }
                    Err(end) => News::Lost(end),
                },
                end = &mut self.writer => {
                    let end = end.unwrap_or_else(|_| End::Lost("the leg's writer was lost".into()));
                    self.written = Some((end, Instant::now() + REASON));
                    continue;
                }
                _ = self.out.reserve(), if wants_room => return News::Room,
                _ = self.keepalive.tick() => {}
            }
            let silence = self.heard.elapsed();
            if silence > self.keepalive.period() * SILENT_PERIODS {
                let why = format!("the relay was silent for {} s", silence.as_secs());
                return News::Lost(End::Lost(why));
            }
            self.send_ping();
        }
    }

    /// The time to the relay and back, if this answers the last Ping.
    pub(super) fn pong(&mut self, nonce: u64) -> Option<Duration> {
        let (_, sent) = self.ping.take_if(|(awaited, _)| *awaited == nonce)?;
        Some(sent.elapsed())
    }

    /// Ends the leg after the frames already sent.
    pub(super) async fn hang_up(self, reason: CloseReason) {
        let Self {
            mut source,
            out,
            writer,
            written: None,
            ..
        } = self
        else {
            // Nobody is left to write a farewell.
            return;
        };
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

    fn send_ping(&mut self) {
        let nonce = rand_core::OsRng.next_u64();
        let frame = notice(Kind::Ping(v1::Ping { nonce }));
        // A full queue shows life enough.
        if self.out.try_send(Out::Frame(frame)).is_ok() {
            self.ping = Some((nonce, Instant::now()));
        }
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
    tokio::time::timeout_at(until, hung_up)
        .await
        .unwrap_or(otherwise)
}

/// Owns the sink: feeds what is there, flushes when nothing waits.
async fn write(mut sink: Sink, mut frames: mpsc::Receiver<Out>) -> End {
    loop {
        let mut next = match frames.recv().await {
            Some(out) => Some(out),
            None => return End::Lost("given up".into()),
        };
        while let Some(out) = next {
            match out {
                Out::Frame(frame) => {
                    if let Err(end) = sink.feed(frame).await {
                        return end;
                    }
                }
                Out::HangUp(reason) => {
                    let _ = sink.flush().await;
                    sink.hang_up(reason).await;
                    return End::HungUp(reason);
                }
            }
            next = frames.try_recv().ok();
        }
        if let Err(end) = sink.flush().await {
            return end;
        }
    }
}

/// Frames between driver and writer: enough to fill a batch, few enough that an urgent record does
/// not queue behind many.
const OUT: usize = 4;

/// The shortest and the longest time between two Pings, whatever the relay asks for.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(25));

/// After so many keepalive periods without a frame the leg is given up.
const SILENT_PERIODS: u32 = 3;

/// How long a better reason is waited for.
const REASON: Duration = Duration::from_millis(200);

/// For how long hanging up may take in all.
const HANG_UP: Duration = Duration::from_secs(3);
