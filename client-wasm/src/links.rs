//! The leg to the relay: made, kept alive, made again.
//!
//! ```text
//!  attach: OpenSession ─► connect ─► Hello ─► Welcome ─► frames
//!              ▲                                 │ lost, or the relay is about to stop
//!              └──── pause, growing, jittered ◄──┘ (a nudge ends the pause: the page is back, or online)
//! ```
//!
//! A leg that answers nothing is given up: every `keepalive` a Ping is sent, and something has to
//! come before its time is over. A leg that still has frames to send is not judged so, because a relay
//! that waits for a slow peer does not read.

use std::time::Duration;

use bytes::Bytes;
use peersox_core::close::{CloseReason, Then};
use peersox_core::frame::{Frame, Lane};
use peersox_core::time::Moment;
use peersox_proto::v1;
use peersox_proto::v1::notice::Kind as Notice;
use prost::Message as _;
use rand_core::RngCore as _;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;
use web_sys::AbortSignal;

use crate::emit::Kind;
use crate::failure::Failure;
use crate::leg::{Leg, News};
use crate::platform::{Random, millis, now};
use crate::server::open_session;
use crate::shell::{Inner, parse};

#[wasm_bindgen]
extern "C" {
    type AbortController;
    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;
    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> AbortSignal;
    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);
}

/// The relay's side of the shell.
pub(crate) struct Links {
    url: String,
    credential: Bytes,
    /// Ends a call under way.
    calls: AbortController,
    /// The leg that was admitted.
    leg: Option<Admitted>,
    attempt: Option<Attempt>,
    /// Names legs, so that late news of an old one changes nothing.
    legs: u32,
    /// Attempts that failed in a row.
    failures: u32,
    retry_at: Option<Moment>,
    /// A leg was admitted once: from then on trying never ends.
    proven: bool,
    /// The latest time to the relay and back.
    pub(crate) rtt: Option<Duration>,
}

struct Admitted {
    number: u32,
    leg: Leg,
    keepalive: Duration,
    ping_at: Moment,
    /// The Ping that nothing came after: when it was sent, and until when something has to come.
    awaited: Option<(Moment, Moment)>,
    nonce: u64,
}

enum Attempt {
    /// The session is being opened.
    Session,
    /// The transport is connecting, or Hello is under way.
    Leg {
        number: u32,
        leg: Leg,
        ticket: String,
        until: Moment,
    },
}

impl Links {
    pub(crate) fn new(url: String, credential: Bytes) -> Self {
        Self {
            url,
            credential,
            calls: AbortController::new(),
            leg: None,
            attempt: None,
            legs: 0,
            failures: 0,
            retry_at: None,
            proven: false,
            rtt: None,
        }
    }

    /// Whether the leg takes another frame.
    pub(crate) fn has_room(&self) -> bool {
        self.leg.as_ref().is_some_and(|it| it.leg.has_room())
    }

    pub(crate) fn send(&self, frame: Frame) {
        if let Some(admitted) = &self.leg {
            admitted.leg.send(frame);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        let attempt = match &self.attempt {
            Some(Attempt::Leg { until, .. }) => Some(*until),
            Some(Attempt::Session) | None => None,
        };
        let leg = self.leg.as_ref().map(|it| match it.awaited {
            Some((_, until)) => until.min(it.ping_at),
            None => it.ping_at,
        });
        [attempt, leg, self.retry_at].into_iter().flatten().min()
    }

    /// This side is done.
    pub(crate) fn stop(&mut self) {
        self.calls.abort();
        (self.attempt, self.retry_at) = (None, None);
        if let Some(admitted) = self.leg.take() {
            admitted.leg.hang_up(CloseReason::Done);
        }
    }

    /// After how long to try again: doubled each time, and never the same for two peers.
    fn pause(&mut self, at_least: Duration) -> Duration {
        let longest = FIRST_PAUSE * 2_u32.pow(self.failures.min(MOST_DOUBLINGS));
        self.failures += 1;
        let half = longest / 2;
        let share = f64::from(Random.next_u32()) / f64::from(u32::MAX);
        at_least.max(half + half.mul_f64(share))
    }
}

impl Inner {
    /// Begins an attempt unless one is under way.
    pub(crate) fn attach(&mut self) {
        if self.links.attempt.is_some() {
            return;
        }
        self.links.retry_at = None;
        self.links.attempt = Some(Attempt::Session);
        let (me, url) = (self.me.clone(), self.links.url.clone());
        let (credential, signal) = (self.links.credential.clone(), self.links.calls.signal());
        spawn_local(async move {
            let opened = open_session(&url, credential, &signal).await;
            if let Some(shell) = me.upgrade() {
                shell.with(|inner| inner.session_opened(opened));
            }
        });
    }

    /// There is no path at all: what waits for a server is done now.
    pub(crate) fn seek_relay(&mut self) {
        if self.links.retry_at.is_some() {
            self.attach();
        }
    }

    /// The page is back, or online: what waits is done now, and what may be dead has to prove itself.
    pub(crate) fn wake(&mut self) {
        if self.links.retry_at.is_some() {
            self.links.failures = 0;
            self.attach();
        }
        self.ping_relay(now(), IMPATIENCE);
    }

    pub(crate) fn links_ring(&mut self, now: Moment) {
        if self.links.retry_at.is_some_and(|at| at <= now) {
            self.attach();
        }
        if let Some(Attempt::Leg { until, .. }) = &self.links.attempt
            && *until <= now
        {
            self.attempt_failed(Failure::unreachable("the relay does not answer"));
        }
        let Some(admitted) = &mut self.links.leg else {
            return;
        };
        if admitted.awaited.is_some_and(|(_, until)| until <= now) {
            if admitted.leg.is_drained() {
                self.leg_lost(None, "the relay does not answer");
                return;
            }
            admitted.awaited = None;
        }
        if admitted.ping_at <= now {
            self.ping_relay(now, PATIENCE);
        }
    }

    /// The leg is gone, whoever says so; another one is sought.
    pub(crate) fn leg_lost(&mut self, number: Option<u16>, why: &str) {
        self.links.leg = None;
        self.relay_down();
        let reason = number.and_then(CloseReason::from_number);
        let why = reason.map_or_else(|| why.to_owned(), |reason| reason.text().to_owned());
        if let Some(reason) = reason
            && reason.then() == Then::Stop
        {
            let (name, error) = match reason {
                CloseReason::PeerLeft => ("peer-closed", JsValue::NULL),
                CloseReason::Replaced => ("replaced", JsValue::NULL),
                CloseReason::Revoked => {
                    let failure = Failure::new("pairing-invalid", why.clone());
                    ("revoked", failure.into())
                }
                _ => ("protocol", Failure::protocol(why.clone()).into()),
            };
            return self.end(name, &why, error);
        }
        let mut wait = None;
        if self.links.attempt.is_none() {
            let pause = self.links.pause(Duration::ZERO);
            self.links.retry_at = Some(now() + pause);
            wait = Some(millis(pause));
        }
        let values = [why.into(), number.into(), wait.into()];
        self.out.push(Kind::LegLost, values);
    }

    fn session_opened(&mut self, opened: Result<v1::OpenSessionResponse, Failure>) {
        if self.is_over() {
            return;
        }
        let session = match opened {
            Ok(session) => session,
            Err(failure) => return self.attempt_failed(failure),
        };
        self.dialer.use_servers(&session.ice_servers);
        self.links.legs += 1;
        let (me, number) = (self.me.clone(), self.links.legs);
        let leg = Leg::connect(&session.endpoints, move |news| {
            if let Some(shell) = me.upgrade() {
                shell.with(|inner| inner.leg_news(number, news));
            }
        });
        match leg {
            Ok(leg) => {
                self.links.attempt = Some(Attempt::Leg {
                    number,
                    leg,
                    ticket: session.ticket,
                    until: now() + ATTEMPT,
                });
            }
            Err(failure) => self.attempt_failed(failure),
        }
    }

    /// The first time nothing is tried again, so that a caller hears of it.
    fn attempt_failed(&mut self, failure: Failure) {
        self.links.attempt = None;
        if !(self.links.proven && failure.is_transient()) {
            // A server that lost its memory takes no part in what the peers say directly.
            if self.links.proven && self.dialer.is_up() {
                return self.retry_later(failure);
            }
            let revoked = matches!(&failure, Failure::Ours(it) if it.code == "pairing-invalid");
            return self.fail(if revoked { "revoked" } else { "failed" }, failure);
        }
        self.retry_later(failure);
    }

    /// The next attempt comes after a pause, or when the server asked for it.
    fn retry_later(&mut self, failure: Failure) {
        let Failure::Ours(failure) = failure else {
            return;
        };
        let asked = failure.retry_after_millis.unwrap_or(0.0).clamp(0.0, 6e5);
        let pause = self.links.pause(Duration::from_secs_f64(asked / 1e3));
        self.links.retry_at = Some(now() + pause);
        if self.links.leg.is_none() {
            let wait = Some(millis(pause));
            let values = [failure.message.into(), JsValue::NULL, wait.into()];
            self.out.push(Kind::LegLost, values);
        }
    }

    fn leg_news(&mut self, number: u32, news: News) {
        if self.is_over() {
            return;
        }
        if matches!(&self.links.leg, Some(it) if it.number == number) {
            match news {
                News::Open => {}
                News::Frame(bytes) => self.leg_frame(bytes),
                News::Closed(code, why) => {
                    let why = if why.is_empty() {
                        "the connection was lost"
                    } else {
                        &why
                    };
                    self.leg_lost(code, why);
                }
            }
            return;
        }
        match &self.links.attempt {
            Some(Attempt::Leg {
                number: it,
                leg,
                ticket,
                ..
            }) if *it == number => match news {
                News::Open => {
                    let (ticket, agent) = (ticket.clone(), AGENT.into());
                    leg.send(notice(Notice::Hello(v1::Hello { ticket, agent })));
                }
                News::Frame(bytes) => self.welcome(&bytes),
                News::Closed(code, _) => self.not_admitted(code),
            },
            // Late news of a leg that is no longer wanted.
            _ => {}
        }
    }

    fn not_admitted(&mut self, code: Option<u16>) {
        let reason = code.and_then(CloseReason::from_number);
        match reason.filter(|reason| reason.then() == Then::Stop) {
            Some(_) => {
                self.links.attempt = None;
                self.leg_lost(code, "");
            }
            None => {
                let why = reason.map_or("the relay cannot be reached", CloseReason::text);
                self.attempt_failed(Failure::unreachable(why));
            }
        }
    }

    fn welcome(&mut self, bytes: &Bytes) {
        let Some(Notice::Welcome(welcome)) = decode(bytes) else {
            return self.attempt_failed(Failure::protocol("the relay did not begin with Welcome"));
        };
        let Some(Attempt::Leg { number, leg, .. }) = self.links.attempt.take() else {
            return;
        };
        // An older leg ends here; what it still carried is said again.
        self.relay_down();
        let limits = welcome.limits.unwrap_or_default();
        let keepalive = match limits.keepalive_millis {
            0 => KEEPALIVE,
            millis => Duration::from_millis(millis.into()),
        };
        let now = now();
        self.links.leg = Some(Admitted {
            number,
            leg,
            keepalive,
            ping_at: now,
            awaited: None,
            nonce: 0,
        });
        (self.links.failures, self.links.proven) = (0, true);
        self.out.tell(Kind::Attached, welcome.resumed);
        if welcome.peer_online {
            self.relay_up();
            self.out.say(Kind::PeerOnline);
        }
        self.links_ring(now);
    }

    fn leg_frame(&mut self, bytes: Bytes) {
        let now = now();
        self.received.add(bytes.len(), now);
        if let Some(admitted) = &mut self.links.leg {
            // Whatever came proves that the leg lives; only a Pong measures it.
            if let Some((_, until)) = &mut admitted.awaited {
                *until = (*until).max(now + PATIENCE);
            }
        }
        let Some(frame) = parse(bytes) else {
            return self.leg_lost(None, "the relay sent something that is no frame");
        };
        if frame.lane() == Lane::Notice {
            return self.notice(&frame.into_bytes(), now);
        }
        if let Some(path) = self.latest {
            self.take(path, frame);
        }
    }

    fn notice(&mut self, bytes: &Bytes, now: Moment) {
        match decode(bytes) {
            Some(Notice::Pong(pong)) => {
                let Some(admitted) = &mut self.links.leg else {
                    return;
                };
                if admitted.nonce == pong.nonce
                    && let Some((sent, _)) = admitted.awaited.take()
                {
                    self.links.rtt = Some(now - sent);
                }
            }
            Some(Notice::PeerOnline(_)) => {
                self.relay_up();
                self.out.say(Kind::PeerOnline);
            }
            Some(Notice::PeerAway(away)) => {
                self.relay_down();
                self.out.tell(Kind::PeerAway, away.grace_millis);
            }
            // The old leg serves until the new one is there.
            Some(Notice::Draining(_)) => self.attach(),
            Some(Notice::DatagramsDropped(dropped)) => self.dropped += dropped.count,
            // A relay does not send these, and what cannot be read may be of a later version.
            Some(Notice::Hello(_) | Notice::Welcome(_) | Notice::Ping(_)) | None => {}
        }
    }

    fn ping_relay(&mut self, now: Moment, patience: Duration) {
        let Some(admitted) = &mut self.links.leg else {
            return;
        };
        admitted.ping_at = now + admitted.keepalive;
        admitted.nonce += 1;
        let until = now + patience;
        admitted.awaited = Some(match admitted.awaited {
            Some((_, earlier)) => (now, earlier.min(until)),
            None => (now, until),
        });
        let nonce = admitted.nonce;
        admitted.leg.send(notice(Notice::Ping(v1::Ping { nonce })));
    }
}

fn notice(kind: Notice) -> Frame {
    Frame::encode(Lane::Notice, &v1::Notice { kind: Some(kind) })
}

fn decode(frame: &Bytes) -> Option<Notice> {
    let payload = frame.get(1..)?;
    v1::Notice::decode(payload).ok()?.kind
}

/// What a relay is told of this software.
pub(crate) const AGENT: &str = concat!("peersox-web/", env!("CARGO_PKG_VERSION"));

/// The first pause before another attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(400);

/// 400 ms doubled six times are 26 s.
const MOST_DOUBLINGS: u32 = 6;

/// From connecting to Welcome.
const ATTEMPT: Duration = Duration::from_secs(10);

/// If a relay does not say how often to ping.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long a leg may answer nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same after a wake-up, when a leg is likely to be dead.
const IMPATIENCE: Duration = Duration::from_secs(4);
