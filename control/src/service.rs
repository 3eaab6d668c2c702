//! The service: what the binary holds in its hands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;
use peersox_core::code::{Digits, Odds, Price};
use peersox_core::id::PairingId;
use peersox_core::origin::Origin;
use peersox_core::pairing::{Command, Present, RevokeById};
use peersox_core::role::Role;
use peersox_core::ticket::{Keyring, Signer, Verifier};
use peersox_core::time::Timestamp;
use peersox_proto::v1::directory_service_server::DirectoryServiceServer;
use peersox_proto::v1::pairing_service_server::{PairingServiceServer, SERVICE_NAME};
use peersox_proto::v1::{FILE_DESCRIPTOR_SET, Transport};
use prometheus_client::registry::Registry;
use rand_core::{OsRng, RngCore as _};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::accounts::Accounts;
use crate::config::Config;
use crate::directory::Directory;
use crate::execute::{Failure, unrejected};
use crate::guard::Guard;
use crate::http;
use crate::living::Living;
use crate::metrics::{Metrics, Standing};
use crate::presence::{Presence, Source};
use crate::revoked::Revoked;
use crate::roster::{Order, Roster};
use crate::rpc;
use crate::sessions::{Happened, SessionReport, Sessions};
use crate::store::{Charge, Measured, Store, StoreError, Stored};
use crate::vigil::Vigil;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The control plane. A clone is another handle on the same one.
#[derive(Debug)]
pub struct Control<S>(pub(crate) Arc<Shared<S>>);

pub(crate) struct Shared<S> {
    pub(crate) config: Config,
    pub(crate) store: Measured<S>,
    pub(crate) metrics: Metrics,
    /// What tickets are signed with.
    pub(crate) keys: watch::Sender<Keyring>,
    pub(crate) directory: Directory,
    pub(crate) guard: Arc<Guard>,
    odds: Mutex<Odds>,
    pub(crate) vigil: Vigil,
    pub(crate) living: Living,
    pub(crate) presence: Presence,
    pub(crate) accounts: Accounts,
    pub(crate) sessions: Sessions,
    /// What happens to pairings, for whoever wants to know.
    pub(crate) events: broadcast::Sender<Happened>,
    lately: Revoked,
    /// Drawn at the start: names this node to relays.
    pub(crate) node: [u8; 16],
    /// The relays, if they run apart.
    pub(crate) roster: Option<Roster>,
    pub(crate) clock: Clock,
    pub(crate) revocations: mpsc::Sender<PairingId>,
    pub(crate) stop: CancellationToken,
    health: HealthReporter,
}

impl<S: Store> Control<S> {
    /// Puts control together. Nothing runs yet: serve [`Control::router`], run
    /// [`Control::keep_house`].
    ///
    /// The receiver names pairings that were revoked, so that the relay can hang up their legs. It
    /// holds up to 64; when it is full, `DeletePairing` waits until there is room and revokes only
    /// then, so that no revocation goes unheard. Dropping it says that nobody wants to know.
    #[must_use]
    pub fn new(
        config: Config,
        store: S,
        keys: impl Into<Keyring>,
        directory: Directory,
        clock: Clock,
    ) -> (Self, mpsc::Receiver<PairingId>) {
        let (revocations, revoked) = mpsc::channel(REVOCATIONS);
        let metrics = Metrics::default();
        let store = Measured {
            store,
            metrics: metrics.clone(),
        };
        let shared = Shared {
            guard: Arc::new(Guard::new(&config.guard)),
            odds: Mutex::new(Odds::new(config.pairing.digits, config.pairing.code_life())),
            vigil: Vigil::new(Arc::clone(&clock), config.pairing.shortest_life()),
            living: Living::default(),
            presence: Presence::default(),
            accounts: Accounts::default(),
            sessions: Sessions::default(),
            events: broadcast::Sender::new(EVENTS),
            lately: Revoked::default(),
            node: random(),
            roster: config.relays.as_ref().map(|_| Roster::new(Instant::now())),
            config,
            store,
            metrics,
            keys: watch::Sender::new(keys.into()),
            directory,
            clock,
            revocations,
            stop: CancellationToken::new(),
            health: HealthReporter::new(),
        };
        (Self(Arc::new(shared)), revoked)
    }

    /// The services: pairing, `grpc.health.v1`, and reflection (v1 and v1alpha) if the configuration says so,
    /// over gRPC and gRPC-Web.
    ///
    /// Made to be merged with other routes, and served by a listener that speaks HTTP/1.1 and HTTP/2
    /// and inserts [`crate::ClientAddr`] into each request.
    ///
    /// # Panics
    /// If the descriptors compiled into this program are damaged.
    pub fn router(&self) -> Router {
        // The lock inside is free: nobody else has the reporter in a call.
        let _ = self.set_serving(true).now_or_never();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let pairing = rpc::Measured {
            service: rpc::Pairing(Arc::clone(&self.0)),
            metrics: self.0.metrics.clone(),
        };
        let pairing = PairingServiceServer::new(pairing).max_decoding_message_size(MAX_REQUEST);
        let health =
            tonic_health::server::HealthService::from_health_reporter(self.0.health.clone());
        let health = tonic_health::pb::health_server::HealthServer::new(health);
        let mut services =
            Routes::new(pairing).add_service(health.max_decoding_message_size(MAX_REQUEST));
        let relays = self.0.config.relays.clone().zip(self.0.roster.clone());
        if let Some((relays, roster)) = relays {
            let directory = DirectoryServiceServer::new(rpc::Directory {
                shared: Arc::clone(&self.0),
                roster,
                token: relays.token,
            });
            services = services.add_service(directory.max_decoding_message_size(MAX_REQUEST));
        }
        if self.0.config.reflection {
            services = services
                .add_service(reflection().build_v1().expect(DESCRIPTORS))
                .add_service(reflection().build_v1alpha().expect(DESCRIPTORS));
        }
        http::router(services, &self.0.config, Arc::clone(&self.0.guard))
    }

    /// Sweeps every ten seconds, or as often as short lives need it, until [`Control::stop`]. Run it
    /// once, in a task of the caller's.
    pub async fn keep_house(&self) {
        let pause = self.0.config.pairing.shortest_life() / 8;
        let mut ticks = tokio::time::interval(pause.clamp(SHORTEST_SWEEP, SWEEP));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                _ = ticks.tick() => self.sweep().await,
            }
        }
    }

    /// Prolongs what shows signs of life, forgets what is over, and counts the codes that wait.
    pub async fn sweep(&self) {
        if let Err(error) = self.0.sweep().await {
            tracing::warn!(%error, "cannot sweep the store");
        }
    }

    /// Hears that a peer attached to the relay or left it, and tells the other peer's watches, as
    /// [`Control::report_presence`] does first. What is left to do is [`Control::note_presence`].
    pub fn hear_presence(&self, pairing: PairingId, role: Role, online: bool) {
        let beside = Source {
            relay: None,
            epoch: 0,
        };
        // The relay beside control is the only one.
        let _ = self.0.presence.set(pairing, role, online, &beside);
        self.0.vigil.leg(pairing, role, online);
    }

    /// Stores whether a peer is attached, which tells what the pairing is worth. What is lost of it is made
    /// up for by house keeping.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be stored.
    pub async fn note_presence(&self, pairing: PairingId, role: Role) -> Result<(), StoreError> {
        self.0.note_presence(pairing, role).await.map(drop)
    }

    /// Notes that a peer attached to the relay or left it, and tells the other peer's watches. The
    /// caller reports the changes of one peer one after the other.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be stored that the pairing is in use. Watches were told.
    pub async fn report_presence(
        &self,
        pairing: PairingId,
        role: Role,
        online: bool,
    ) -> Result<(), StoreError> {
        self.hear_presence(pairing, role, online);
        self.note_presence(pairing, role).await
    }

    /// Hears what the relay beside says of a session. Tells whether the relay has to let go of it: its
    /// account has used the bytes that it may.
    pub async fn hear_session(&self, report: SessionReport) -> bool {
        self.0.hear_session(report).await.is_err()
    }

    /// What happens to pairings from now on. Who is 1,024 events behind misses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Happened> {
        self.0.events.subscribe()
    }

    /// The pairings there are, as [`Store::list`] gives them.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn pairings(
        &self,
        after: Option<PairingId>,
        most: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let now = (self.0.clock)();
        self.0.store.list(after, most, now).await
    }

    /// Revokes a pairing at the word of the operator, as if one of its peers had: credentials and tickets
    /// stop working, and the relay is told. Tells whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be stored.
    pub async fn revoke(&self, pairing: PairingId) -> Result<bool, StoreError> {
        let revoked = unrejected(self.0.revoke(pairing, &RevokeById { pairing }).await)?;
        if revoked {
            tracing::info!(%pairing, "revoked by the operator");
        }
        Ok(revoked)
    }

    /// Adds what control counts, as OpenMetrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
        self.0.guard.refusals.register(registry);
        registry.register_collector(Box::new(Standing(self.clone())));
    }

    /// What tickets are signed with, and whose are good; marked whenever that changes.
    #[must_use]
    pub fn keys(&self) -> watch::Receiver<Keyring> {
        self.0.keys.subscribe()
    }

    /// Signs with these keys from now on, and tells the relays that run apart. A relay beside control has to
    /// believe them before.
    pub fn use_keys(&self, keys: Keyring) {
        self.0.keys.send_replace(keys);
    }

    /// The present keys with another one that signs: the present one is believed as long as its tickets live.
    #[must_use]
    pub fn renewed_keys(&self, signer: Signer) -> Keyring {
        let lifetime = self.0.config.ticket_lifetime + 2 * Verifier::LEEWAY;
        let until = (self.0.clock)() + lifetime;
        self.0.keys.borrow().renewed(signer, until)
    }

    /// Who of a pairing is attached to a relay, by [`Role::index`].
    #[must_use]
    pub fn online(&self, pairing: PairingId) -> [bool; 2] {
        self.0.presence.online(pairing)
    }

    /// The transports on which peers can attach.
    #[must_use]
    pub fn transports(&self) -> Vec<Transport> {
        self.0.transports()
    }

    /// The origins that pages have to be permitted to connect to: those of the relays that run apart, and
    /// that of WebTransport where it has a port of its own.
    #[must_use]
    pub fn relay_origins(&self) -> Vec<Origin> {
        match &self.0.roster {
            Some(roster) => roster.origins(),
            None => self.0.directory.webtransport_origin().into_iter().collect(),
        }
    }

    /// How many sessions and legs the relays that run apart carry.
    #[must_use]
    pub fn relayed(&self) -> (u64, u64) {
        self.0
            .roster
            .as_ref()
            .map(Roster::total)
            .unwrap_or_default()
    }

    /// How many relays that run apart are there; nothing if the relay runs beside control.
    #[must_use]
    pub fn relays(&self) -> Option<usize> {
        self.0.roster.as_ref().map(Roster::count)
    }

    /// Whether [`Control::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Whether the store can be expected to answer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.store.is_ready()
    }

    /// How many watches are open.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.0.vigil.watches()
    }

    /// Sets what `grpc.health.v1` says, of the whole server and of the pairing service: a draining
    /// server is not serving.
    pub async fn set_serving(&self, serving: bool) {
        let status = match serving {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for service in ["", SERVICE_NAME] {
            self.0.health.set_service_status(service, status).await;
        }
    }

    /// Ends all watches, with `UNAVAILABLE`, so that their clients call again elsewhere; and
    /// [`Control::keep_house`].
    pub fn stop(&self) {
        self.0.stop.cancel();
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// Legs are hung up in far less time than pairings are revoked.
const REVOCATIONS: usize = 64;
/// Events that wait for whoever wants to know.
const EVENTS: usize = 1_024;
const SWEEP: Duration = Duration::from_secs(10);
const SHORTEST_SWEEP: Duration = Duration::from_millis(100);
/// No request of ours comes near.
const MAX_REQUEST: usize = 64 * 1024;
const DESCRIPTORS: &str = "the descriptors compiled into this program are sound";

impl<S> Clone for Control<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> std::fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<S: Store> Shared<S> {
    pub(crate) fn transports(&self) -> Vec<Transport> {
        match &self.roster {
            Some(roster) => roster.transports(),
            None => self.directory.transports(),
        }
    }

    /// Writes whether a peer is attached, as relays say by now, which tells what the pairing is worth; says
    /// whether there is one.
    pub(crate) async fn note_presence(
        &self,
        pairing: PairingId,
        role: Role,
    ) -> Result<bool, StoreError> {
        let present = Present {
            pairing,
            role,
            online: self.presence.online(pairing)[role.index()],
        };
        unrejected(self.execute(&present).await)
    }

    /// Revokes a pairing, and tells the relay if there was one. Where the store does not say whether it has
    /// done it, that is found out later.
    pub(crate) async fn revoke(
        self: &Arc<Self>,
        pairing: PairingId,
        command: &impl Command<Reply = bool>,
    ) -> Result<bool, Failure> {
        // First a place to say it, then the deed: what is revoked is surely told to the relay.
        let place = self.revocations.reserve().await;
        let revoked = match self.execute(command).await {
            Ok(revoked) => revoked,
            Err(failure) => {
                if matches!(failure, Failure::Store(_)) {
                    tokio::spawn(Arc::clone(self).find_out(pairing));
                }
                return Err(failure);
            }
        };
        if revoked {
            self.revoked(pairing);
            if let Ok(place) = place {
                place.send(pairing);
            }
        }
        Ok(revoked)
    }

    fn revoked(&self, pairing: PairingId) {
        self.living.found(pairing, None);
        self.accounts.gone(pairing);
        self.lately.add(pairing);
        if let Some(roster) = &self.roster {
            roster.order_all(Order::Revoke(pairing));
        }
    }

    /// Whether a pairing that is not stored any more was revoked of late, here or at another node; others
    /// have expired.
    pub(crate) async fn was_revoked(&self, pairing: PairingId) -> bool {
        self.lately.has(pairing) || self.store.was_revoked(pairing).await.unwrap_or_default()
    }

    /// Asks the store until it says whether a pairing is gone, and tells the relay if it is.
    async fn find_out(self: Arc<Self>, pairing: PairingId) {
        const TRIES: u32 = 60;
        for _ in 0..TRIES {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            match self.store.load(pairing, (self.clock)()).await {
                Ok(Some(_)) => return,
                Ok(None) => {
                    self.revoked(pairing);
                    // Nobody listens any more if this fails.
                    let _ = self.revocations.send(pairing).await;
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    pub(crate) fn odds(&self) -> MutexGuard<'_, Odds> {
        self.odds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a try at a nameplate of this length costs, where several servers share their budgets.
pub(crate) fn odds_charge(digits: Digits, price: Price) -> Charge {
    Charge {
        budget: format!("length:{}", digits.count()),
        cost: price.cost,
        most: price.most,
    }
}
