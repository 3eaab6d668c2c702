//! The leg to the relay, there or being sought.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1;
use peersox_proto::v1::notice::Kind;
use rand_core::RngCore as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use crate::Error;
use crate::attach::{Attached, Choice, attach, notice};
use crate::leg::{End, Leg, Sink, Source};
use crate::server::{Pairing, Server};

/// What a link reports.
pub(super) enum News {
    /// There is room for a frame again.
    Room,
    Frame(Frame),
    /// A new leg was admitted; hand it back by [`Link::up`].
    Attached(Box<Attached>),
    /// The leg ended. Another is being sought, unless the driver decides to end.
    Lost(End),
    /// No leg was found in time.
    GaveUp(Error),
}

pub(super) struct Link {
    server: Server,
    pairing: Pairing,
    choice: Choice,
    patience: Duration,
    state: State,
}

enum State {
    Up(Box<Up>),
    Seeking {
        attempt: Attempt,
        failures: u32,
        give_up: Instant,
    },
    Ended,
}

type Attempt = Pin<Box<dyn Future<Output = Result<Attached, Error>> + Send>>;

struct Up {
    source: Source,
    out: mpsc::Sender<Out>,
    /// A leg that was given up may have a writer that waits for a dead network: it is aborted.
    writer: AbortOnDropHandle<End>,
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

impl Link {
    pub(super) fn new(
        server: Server,
        pairing: Pairing,
        choice: Choice,
        patience: Duration,
    ) -> Self {
        Self {
            server,
            pairing,
            choice,
            patience,
            state: State::Ended,
        }
    }

    /// Takes a leg that was admitted into use.
    pub(super) fn up(&mut self, leg: Leg, welcome: &v1::Welcome) {
        let (out, frames) = mpsc::channel(OUT);
        let asked = welcome.limits.map_or(0, |limits| limits.keepalive_millis);
        let period = Duration::from_millis(asked.into()).clamp(KEEPALIVE.0, KEEPALIVE.1);
        let mut keepalive = tokio::time::interval(period);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.state = State::Up(Box::new(Up {
            source: leg.source,
            out,
            writer: AbortOnDropHandle::new(tokio::spawn(write(leg.sink, frames))),
            keepalive,
            starved: false,
            heard: Instant::now(),
            ping: None,
        }));
    }

    /// Whether [`Link::send`] may be called. If not, [`Link::next`] tells when it may: the room may
    /// come back between the two calls, and would be missed if only a full queue were waited for.
    pub(super) fn has_room(&mut self) -> bool {
        let State::Up(up) = &mut self.state else {
            return false;
        };
        up.starved = up.out.capacity() == 0;
        !up.starved
    }

    /// Sends a frame; the caller has made sure that there is room.
    pub(super) fn send(&mut self, frame: Frame) {
        let State::Up(up) = &mut self.state else {
            return;
        };
        // If the writer has just ended, the frame is lost like those in the network: what carries
        // it sends it again on the next leg.
        let _ = up.out.try_send(Out::Frame(frame));
    }

    /// Waits for news. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> News {
        match &mut self.state {
            State::Up(up) => {
                let news = up.next().await;
                if matches!(news, News::Lost(_)) {
                    self.seek(0, Instant::now() + self.patience);
                }
                news
            }
            State::Seeking {
                attempt,
                failures,
                give_up,
            } => match attempt.await {
                Ok(attached) => News::Attached(Box::new(attached)),
                Err(error) => {
                    let (failures, give_up) = (*failures + 1, *give_up);
                    let out_of_time = Instant::now() >= give_up;
                    if !error.is_transient() || out_of_time {
                        self.state = State::Ended;
                        return News::GaveUp(error);
                    }
                    tracing::debug!(%error, failures, "no leg yet");
                    self.seek(failures, give_up);
                    News::Room
                }
            },
            State::Ended => std::future::pending().await,
        }
    }

    /// The time to the relay and back, if this answers the last Ping.
    pub(super) fn pong(&mut self, nonce: u64) -> Option<Duration> {
        let State::Up(up) = &mut self.state else {
            return None;
        };
        let (_, sent) = up.ping.take_if(|(awaited, _)| *awaited == nonce)?;
        Some(sent.elapsed())
    }

    /// Ends the leg, if there is one, after the frames already sent.
    pub(super) async fn hang_up(&mut self, reason: CloseReason) {
        let State::Up(up) = std::mem::replace(&mut self.state, State::Ended) else {
            return;
        };
        let Up {
            mut source,
            out,
            writer,
            ..
        } = *up;
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

    fn seek(&mut self, failures: u32, give_up: Instant) {
        let (server, pairing, choice) = (self.server.clone(), self.pairing.clone(), self.choice);
        let pause = pause(failures);
        let attempt = Box::pin(async move {
            tokio::time::sleep(pause).await;
            attach(&server, &pairing, choice).await
        });
        self.state = State::Seeking {
            attempt,
            failures,
            give_up,
        };
    }
}

impl Up {
    async fn next(&mut self) -> News {
        let wants_room = self.starved;
        loop {
            tokio::select! {
                biased;
                frame = self.source.next() => return match frame {
                    Ok(frame) => {
                        self.heard = Instant::now();
                        News::Frame(frame)
                    }
                    Err(end) => News::Lost(end),
                },
                end = &mut self.writer => return News::Lost(better_reason(&mut self.source, end.ok()).await),
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
async fn better_reason(source: &mut Source, end: Option<End>) -> End {
    let otherwise = end.unwrap_or_else(|| End::Lost("the leg's writer was lost".into()));
    let hung_up = async {
        loop {
            if let Err(end) = source.next().await {
                return end;
            }
        }
    };
    tokio::time::timeout(REASON, hung_up)
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

/// The pause before an attempt: none at first, then doubling from 100 ms to 10 s, each between half
/// of it and all of it, so that a thousand peers do not come back at once.
fn pause(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let full = 100u64 << doublings.min(7);
    let jitter = rand_core::OsRng.next_u64() % (full / 2 + 1);
    Duration::from_millis((full - jitter).min(10_000))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!(pause(0), Duration::ZERO);
        for failures in 1..200 {
            let full = Duration::from_millis(100 << (failures - 1).min(7));
            let pause = pause(failures);
            assert!(
                pause >= (full / 2).min(Duration::from_secs(5)),
                "{failures}: {pause:?}"
            );
            assert!(
                pause <= full.min(Duration::from_secs(10)),
                "{failures}: {pause:?}"
            );
        }
    }
}
