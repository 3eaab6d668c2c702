//! The leg to the relay: there, being sought, or both while a better one is on its way.
//!
//! ```text
//!                lost                       admitted
//!      up ────────────────► seeking ───────────────────────► up
//!       │                      ▲ │ fails: again, after a pause that grows
//!       │                      └─┘
//!       └─ the relay drains, or only a WebSocket was to be had ─► up and seeking ─ admitted ─► up
//! ```
//!
//! The relay lets the newest leg of a role replace the older, so a leg that is sought beside another
//! takes over without a gap; until it is admitted the older one carries.

mod up;

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::frame::Frame;
use peersox_proto::v1;
use rand_core::RngCore as _;
use tokio::time::Instant;

use crate::Error;
use crate::attach::{Attached, Session, attach};
use crate::options::{Choice, Options, Transport};
use crate::platform::{End, Leg};
use crate::server::{Pairing, Server};
use up::Up;

/// What a link reports.
pub(super) enum News {
    /// There is room for a frame again.
    Room,
    Frame(Frame),
    /// A leg was admitted; hand it back by [`Link::up`]. It takes the place of the present one.
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
    upgrade_after: Duration,
    /// What the last leg was admitted with; good for another while control cannot be reached.
    session: Option<Arc<Session>>,
    up: Option<Up>,
    seek: Option<Seek>,
}

struct Seek {
    attempt: Attempt,
    /// Until then it only waits.
    begins: Instant,
    failures: u32,
    why: Why,
}

/// Why a leg is sought.
enum Why {
    /// There is none.
    Lost {
        give_up: Instant,
        /// The end of the leg before, if the driver does not know of it yet.
        untold: Option<End>,
    },
    /// The relay is about to stop.
    Draining,
    /// The present one is a WebSocket, and QUIC may pass by now.
    Upgrade,
}

type Attempt = Pin<Box<dyn Future<Output = Result<Attached, Error>> + Send>>;

impl Link {
    pub(super) fn new(server: Server, pairing: Pairing, options: &Options) -> Self {
        Self {
            server,
            pairing,
            choice: options.transport,
            patience: options.patience,
            upgrade_after: options.upgrade_after,
            session: None,
            up: None,
            seek: None,
        }
    }

    /// Takes a leg that was admitted into use; the one before, if there is one, is dropped.
    pub(super) fn up(&mut self, leg: Leg, welcome: &v1::Welcome, session: Arc<Session>) {
        let better = self.choice == Choice::Auto
            && leg.transport == Transport::WebSocket
            && session.offers(Transport::Quic);
        self.session = Some(session);
        self.up = Some(Up::new(leg, welcome));
        self.seek = None;
        if better {
            self.seek(0, Why::Upgrade);
        }
    }

    /// Whether [`Link::send`] may be called. If not, [`Link::next`] tells when it may: the room may
    /// come back between the two calls, and would be missed if only a full queue were waited for.
    pub(super) fn has_room(&mut self) -> bool {
        self.up.as_mut().is_some_and(Up::has_room)
    }

    /// Sends a frame; the caller has made sure that there is room.
    pub(super) fn send(&mut self, frame: Frame) {
        if let Some(up) = &mut self.up {
            up.send(frame);
        }
    }

    /// Waits for news. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> News {
        loop {
            let Self { up, seek, .. } = self;
            let leg = async {
                match up {
                    Some(up) => up.next().await,
                    None => pending().await,
                }
            };
            let sought = async {
                match seek {
                    Some(seek) => (&mut seek.attempt).await,
                    None => pending().await,
                }
            };
            let news = tokio::select! {
                biased;
                news = leg => self.heard(news),
                result = sought => self.found(result),
            };
            if let Some(news) = news {
                return news;
            }
        }
    }

    /// The time to the relay and back, if this answers the last Ping.
    pub(super) fn pong(&mut self, nonce: u64) -> Option<Duration> {
        self.up.as_mut()?.pong(nonce)
    }

    /// The relay is about to stop: looks for another leg while this one lasts.
    pub(super) fn draining(&mut self) {
        let seeking = matches!(&self.seek, Some(seek) if !matches!(seek.why, Why::Upgrade));
        if !seeking {
            self.session = None;
            self.seek(0, Why::Draining);
        }
    }

    /// Gives up the present leg, which is of no use, and seeks another after a pause.
    pub(super) fn give_up(&mut self) {
        if self.up.take().is_some() {
            self.lost(1, None);
        }
    }

    /// Ends the leg, if there is one, after the frames already sent.
    pub(super) async fn hang_up(&mut self, reason: CloseReason) {
        self.seek = None;
        if let Some(up) = self.up.take() {
            up.hang_up(reason).await;
        }
    }

    fn heard(&mut self, news: News) -> Option<News> {
        let News::Lost(end) = news else {
            return Some(news);
        };
        self.up = None;
        match &mut self.seek {
            // The one that is being admitted did it. What becomes of that attempt decides. Before it
            // begins it cannot be the one: then it is another process, which shall keep its place.
            Some(Seek { why, begins, .. })
                if matches!(end, End::HungUp(CloseReason::Replaced))
                    && *begins <= Instant::now() =>
            {
                let give_up = Instant::now() + self.patience;
                let untold = Some(end);
                *why = Why::Lost { give_up, untold };
                None
            }
            Some(_) | None => {
                self.lost(0, None);
                Some(News::Lost(end))
            }
        }
    }

    fn found(&mut self, result: Result<Attached, Error>) -> Option<News> {
        let Seek { failures, why, .. } = self.seek.take()?;
        let error = match result {
            Ok(attached) => return Some(News::Attached(Box::new(attached))),
            Err(error) => error,
        };
        tracing::debug!(%error, failures, "no leg yet");
        let failures = failures + 1;
        match why {
            Why::Lost { give_up, .. } if !error.is_transient() || Instant::now() >= give_up => {
                Some(News::GaveUp(error))
            }
            Why::Lost { give_up, untold } => {
                let why = Why::Lost {
                    give_up,
                    untold: None,
                };
                self.seek(failures, why);
                untold.map(News::Lost)
            }
            Why::Draining | Why::Upgrade => {
                // Whatever is final about the error, the present leg's end will tell.
                if error.is_transient() {
                    self.seek(failures, why);
                }
                None
            }
        }
    }

    fn lost(&mut self, failures: u32, untold: Option<End>) {
        let give_up = Instant::now() + self.patience;
        self.seek(failures, Why::Lost { give_up, untold });
    }

    fn seek(&mut self, failures: u32, why: Why) {
        let (server, pairing) = (self.server.clone(), self.pairing.clone());
        let (pause, choice) = match why {
            Why::Lost { .. } | Why::Draining => (pause(failures), self.choice),
            Why::Upgrade => {
                let doubled = self.upgrade_after * (1 << failures.min(10));
                let at_most = UPGRADE_AT_MOST.max(self.upgrade_after);
                (doubled.min(at_most), Choice::Only(Transport::Quic))
            }
        };
        // Control that is restarted together with its relay is worth waiting for: it knows the new
        // certificates, and only then QUIC is found again.
        let known = self.session.clone().filter(|_| failures >= CONTROL_IS_DOWN);
        let attempt = Box::pin(async move {
            tokio::time::sleep(pause).await;
            attach(&server, &pairing, choice, known).await
        });
        self.seek = Some(Seek {
            attempt,
            begins: Instant::now() + pause,
            failures,
            why,
        });
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

/// After so many failures an earlier session is used where control does not answer.
const CONTROL_IS_DOWN: u32 = 3;

/// The longest time between two attempts to get from a WebSocket to QUIC.
const UPGRADE_AT_MOST: Duration = Duration::from_secs(600);

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
