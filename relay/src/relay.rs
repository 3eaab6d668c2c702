//! The relay as its owner sees it.

use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::SinkExt as _;
use http::HeaderValue;
use peersox_core::close::CloseReason;
use peersox_core::id::PairingId;
use peersox_core::limit::{Pool, Rates};
use peersox_core::origin::{self, Authority, Origin, Refused};
use peersox_core::role::Role;
use peersox_core::session::{Drain, LegId};
use peersox_core::ticket::Verifier;
use peersox_core::time::{Moment, Timestamp};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::future::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::admit::admit;
use crate::config::Config;
use crate::leg::{Ending, Leg, Wire};
use crate::metrics::{Metrics, Refusal, Snapshot, Transport};
use crate::pump::Held;
use crate::registry::{Placed, Registry, tell_draining};
use crate::seat::{Handshake, Pending, Seat, Seats};
use crate::session::{self, Attach};
use crate::span;

/// A relay. Clones are handles on the same one.
#[derive(Clone)]
pub struct Relay(pub(crate) Arc<Inner>);

/// A peer came or went, for whoever tells the other peers of its pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceEvent {
    /// The session, named after its pairing.
    pub session: PairingId,
    /// Who.
    pub role: Role,
    /// Whether it has a leg now.
    pub online: bool,
    /// The newest epoch among the tickets of the session.
    pub epoch: u32,
}

/// What a session has done in which both peers have met: told when they did, about every 10 s in which
/// something was forwarded, or 16 MiB, and when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionReport {
    /// The session, named after its pairing.
    pub session: PairingId,
    /// When both peers were attached for the first time.
    pub began: Timestamp,
    /// How long ago that was.
    pub lasted: Duration,
    /// Bytes that were forwarded since, both ways together.
    pub bytes: u64,
    /// Whether it has ended.
    pub ended: bool,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) seats: Seats,
    pub(crate) memory: Pool,
    rates: Mutex<Rates>,
    /// The origin of the clock of the budgets.
    origin: Instant,
    refused_origins: Mutex<Refused>,
    verifier: RwLock<Verifier>,
    /// Pages of these origins may attach, too.
    more_origins: RwLock<origin::Allowed>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    registry: Registry,
    presence: mpsc::Sender<PresenceEvent>,
    reports: broadcast::Sender<SessionReport>,
    next_leg: AtomicU64,
    /// Every task of the relay.
    tasks: TaskTracker,
    /// No new legs.
    draining: CancellationToken,
    /// Every task ends now.
    aborting: CancellationToken,
}

impl Relay {
    /// A relay that admits tickets that `verifier` accepts at the time that `clock` tells. Waiting
    /// is measured by tokio's clock.
    ///
    /// Presence events come out of the receiver. It holds a bounded number: events that find it
    /// full are dropped and counted, so it has to be read.
    #[must_use]
    pub fn new(
        config: Config,
        verifier: Verifier,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<PresenceEvent>) {
        let (presence, events) = mpsc::channel(PRESENCE_EVENTS.max(2 * config.max_legs));
        let metrics = Arc::<Metrics>::default();
        let relay = Self(Arc::new(Inner {
            seats: Seats::new(&config, Arc::clone(&metrics)),
            memory: Pool::new(config.memory, &config.unmetered),
            rates: Mutex::new(Rates::new(
                config.host_rate,
                config.max_legs,
                config.unmetered.clone(),
            )),
            origin: Instant::now(),
            refused_origins: Mutex::default(),
            config,
            metrics,
            verifier: RwLock::new(verifier),
            more_origins: RwLock::default(),
            clock: Box::new(clock),
            registry: Registry::default(),
            presence,
            reports: broadcast::Sender::new(REPORTS),
            next_leg: AtomicU64::new(1),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            aborting: CancellationToken::new(),
        }));
        (relay, events)
    }

    /// What the relay allows.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// What sessions do from now on. Who is 8,192 reports behind misses the oldest.
    #[must_use]
    pub fn reports(&self) -> broadcast::Receiver<SessionReport> {
        self.0.reports.subscribe()
    }

    /// The counters as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            memory: self.0.memory.used(),
            memory_limit: self.0.config.memory,
            ..self.0.metrics.snapshot()
        }
    }

    /// Admits tickets that this verifier accepts from now on, and no others.
    pub fn trust(&self, verifier: Verifier) {
        *self
            .0
            .verifier
            .write()
            .unwrap_or_else(PoisonError::into_inner) = verifier;
    }

    /// Admits pages of these origins from now on, beside those of the configuration.
    pub fn also_allow(&self, origins: origin::Allowed) {
        let mut allowed = self
            .0
            .more_origins
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *allowed = origins;
    }

    /// Has the peers of a pairing seek another relay: they are told that this one is stopping, and hung up
    /// after `grace`. Tells whether there was a session.
    pub async fn move_away(&self, session: PairingId, grace: Duration) -> bool {
        let Some(mut inbox) = self.0.registry.find(session) else {
            return false;
        };
        let drain = session::Command::Drain(Drain::within(grace));
        inbox.send(drain).await.is_ok()
    }

    /// Ends the session of a pairing that was deleted, and refuses its tickets from now on.
    pub async fn revoke(&self, session: PairingId) {
        if let Some(mut inbox) = self.0.registry.revoke(session) {
            // A session that ended meanwhile needs no telling.
            let _ = inbox.send(session::Command::Revoke).await;
        }
    }

    /// Whether [`Relay::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Resolves when [`Relay::drain`] is called.
    pub async fn draining(&self) {
        self.0.draining.cancelled().await;
    }

    /// Refuses new legs, as [`Relay::drain`] does first.
    pub fn refuse_new(&self) {
        self.0.draining.cancel();
    }

    /// Stops the relay: refuses new legs, tells every peer, hangs up after `grace` and waits until
    /// the last task is gone. Tasks that are still there after `grace` and the linger time of the
    /// configuration are aborted. Answers how many peers were hung up that had not gone elsewhere.
    pub async fn drain(&self, grace: Duration) -> u64 {
        let before = self.0.metrics.snapshot().cut_off;
        self.0.draining.cancel();
        let inboxes = self.0.registry.drain();
        self.0.tasks.close();
        let drain = Drain {
            grace,
            spread: spread(self.snapshot().legs, grace),
        };
        let done = async {
            tell_draining(inboxes, drain).await;
            self.0.tasks.wait().await;
        };
        let patience = grace + self.0.config.linger + Duration::from_secs(1);
        if timeout(patience, done).await.is_err() {
            warn!(tasks = self.0.tasks.len(), "aborting what did not end");
            self.0.aborting.cancel();
            self.0.tasks.wait().await;
        }
        self.0.metrics.snapshot().cut_off - before
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

impl Inner {
    /// Remembers that pages of `origin` were refused, and tells whether they are for the first time.
    pub(crate) fn is_news(&self, origin: &Origin) -> bool {
        let refused = self.refused_origins.lock();
        refused.is_ok_and(|mut refused| refused.is_news(origin))
    }

    /// A point on the clock of the budgets.
    pub(crate) fn moment(&self, now: Instant) -> Moment {
        Moment::from_origin(now.saturating_duration_since(self.origin))
    }

    /// Counts what was sent from an address, and tells for how long to pause.
    pub(crate) fn spend(&self, address: IpAddr, cost: u64, now: Moment) -> Duration {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.spend(address, cost, now)
    }

    /// Takes a seat, unless the relay is full or stopping.
    pub(crate) fn seat(
        &self,
        address: IpAddr,
        transport: Transport,
    ) -> Result<(Seat, Pending), CloseReason> {
        let taken = if self.draining.is_cancelled() {
            Err(CloseReason::Draining)
        } else {
            self.seats.take(address).ok_or(CloseReason::Overloaded)
        };
        taken.inspect_err(|reason| {
            self.metrics.refused(transport, *reason);
            debug!(%address, %reason, "connection refused");
        })
    }

    /// Waits for a place for a handshake of QUIC until `deadline`.
    pub(crate) async fn handshake(&self, address: IpAddr, deadline: Instant) -> Option<Handshake> {
        let taken = timeout_at(deadline, self.seats.handshake(address)).await;
        if taken.is_err() {
            self.metrics.refused(Transport::Quic, Refusal::Busy);
            debug!(%address, "handshake refused: too many are under way");
        }
        taken.ok()
    }

    /// Runs a task in the relay's set.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        // An async block around it would hold it twice: as it was given, and as it runs.
        let task = task.with_cancellation_token_owned(self.aborting.clone());
        self.tasks.spawn(task);
    }

    /// Brings a fresh connection to its session, or hangs it up.
    pub(crate) async fn welcome(
        self: &Arc<Self>,
        wire: Wire,
        (seat, pending): (Seat, Pending),
        deadline: Instant,
    ) {
        let id = LegId(self.next_leg.fetch_add(1, Relaxed));
        let mut leg = Leg::new(id, wire, seat);
        let verify = |ticket: &str| {
            let verifier = self.verifier.read().unwrap_or_else(PoisonError::into_inner);
            verifier.verify(ticket, (self.clock)())
        };
        let admitted = tokio::select! {
            biased;
            admitted = admit(&mut leg, deadline, verify) => admitted,
            () = self.draining.cancelled() => Err(Ending::Fault(CloseReason::Draining)),
        };
        drop(pending);
        match admitted {
            Ok(admission) => self.place(Box::new(Attach { admission, leg })),
            Err(Ending::Fault(reason)) => {
                debug!(%reason, "leg not admitted");
                self.metrics.refused(leg.transport(), reason);
                self.hang_up(leg, Vec::new(), reason);
            }
            Err(ending @ (Ending::Gone | Ending::Done | Ending::Moved)) => {
                self.metrics.refused(leg.transport(), Refusal::Gone);
                self.part(leg, ending);
            }
        }
    }

    fn place(self: &Arc<Self>, attach: Box<Attach>) {
        let session = attach.admission.session();
        match self.registry.place(attach) {
            Placed::There => {}
            Placed::First(inbox) => {
                let relay = Arc::clone(self);
                let task = async move {
                    let inbox = session::run(Arc::clone(&relay), session, inbox).await;
                    for late in relay.registry.end(session, inbox) {
                        relay.place(Box::new(late));
                    }
                };
                self.spawn(task);
            }
            Placed::Refused(attach, reason) => {
                self.metrics.refused(attach.leg.transport(), reason);
                self.hang_up(attach.leg, Vec::new(), reason);
            }
        }
    }

    /// Hangs up a leg in a task of its own, which gives up after the linger time.
    pub(crate) fn hang_up(self: &Arc<Self>, leg: Leg, last: Vec<Held>, reason: CloseReason) {
        self.metrics.hung_up(reason);
        span::closed(&leg.span, leg.taken, reason);
        let linger = self.config.linger;
        self.spawn(async move {
            let _ = timeout(linger, leg.hang_up(last, reason)).await;
        });
    }

    /// Lets go of a leg that the peer ended.
    pub(crate) fn part(self: &Arc<Self>, leg: Leg, ending: Ending) {
        span::ended(&leg.span, leg.taken, ending);
        let linger = self.config.linger;
        self.spawn(async move {
            let _ = timeout(linger, leg.part()).await;
        });
    }

    /// Whether a page may attach whose request has these values of `Origin`, and calls the server `own`. A
    /// request without any comes from a program that is not a browser.
    pub(crate) fn admits_page<'a>(
        &self,
        origins: impl IntoIterator<Item = &'a HeaderValue>,
        own: Option<&Authority>,
    ) -> bool {
        let Some(allowed) = &self.config.allowed_origins else {
            return true;
        };
        origins.into_iter().all(|value| {
            let Some(origin) = value.to_str().ok().and_then(|text| text.parse().ok()) else {
                return false;
            };
            let permitted = allowed.permits(&origin, own) || self.also_allows(&origin);
            if !permitted && self.is_news(&origin) {
                info!(%origin, "pages of this origin may not connect; it is not on the list");
            }
            permitted
        })
    }

    /// Whether pages of an origin may attach, where the configuration does not say so.
    pub(crate) fn also_allows(&self, origin: &Origin) -> bool {
        let allowed = self
            .more_origins
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        allowed.permits(origin, None)
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn report(&self, report: SessionReport) {
        // It fails if nobody listens.
        let _ = self.reports.send(report);
    }

    pub(crate) fn presence(&self, event: PresenceEvent) {
        if self.presence.try_send(event).is_err() {
            self.metrics.presence_lost();
        }
    }
}

/// Within which time so many peers begin to seek another relay: control answers them one after the other.
fn spread(legs: u64, grace: Duration) -> Duration {
    PER_LEG
        .saturating_mul(u32::try_from(legs).unwrap_or(u32::MAX))
        .min(grace / 2)
}

/// A node of control opens more sessions than one in this time.
const PER_LEG: Duration = Duration::from_millis(1);

/// Reports that wait for whoever listens.
const REPORTS: usize = 8_192;

/// Presence events that wait to be taken, at least: all legs may come or go at once.
const PRESENCE_EVENTS: usize = 1024;
