//! What a server is put together from, in each of its roles.
//!
//! ```text
//! all      control ── presence, revocations ── relay
//! control  control ◀── streams of relays
//! relay    relay ── bridge ──▶ every node of control
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, Request};
use axum::Router;
use axum::body::Body;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::any;
use peersox_control::directory::PublicUrl;
use peersox_control::{ClientAddr, Control, Directory, SessionReport, Store};
use peersox_core::id::PairingId;
use peersox_core::placement::RelayName;
use peersox_core::ticket::{Keyring, Verifier};
use peersox_proto::v1;
use peersox_relay::{ATTACH, PresenceEvent, Relay};
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::Bridge;
use crate::config::ServerConfig;
use crate::handle::{Plane, Status};
use crate::jwks;
use crate::metrics::{BridgeMetrics, Metrics, OfRelay};
use crate::probes::{self, Readiness};
use crate::role::{ControlRole, RelayRole};
use crate::server::now;
use crate::sockets;
use crate::state::Secret;
use crate::webhook::WebhookMetrics;

/// Signs with the first secret, and believes the tickets of all.
pub(crate) fn keyring<'a>(
    secret: &Secret,
    others: impl IntoIterator<Item = &'a Secret>,
) -> Keyring {
    let others = others.into_iter().map(|it| it.signer().public_key());
    Keyring::new(secret.signer(), others)
}

/// What the one relay there is believes.
pub(crate) fn verifier(keys: &Keyring) -> Verifier {
    Verifier::new(&keys.public_keys()).expect("the public key of a signer is a key")
}

/// Until control has said whose tickets are good.
pub(crate) fn trusts_nobody(relay: &RelayName) -> Verifier {
    let nobody = Verifier::new(&[]).expect("no key is no bad key");
    nobody.at(relay)
}

/// What the parts of a server are put together with.
pub(crate) struct Context {
    pub(crate) config: ServerConfig,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) directory: Directory,
    /// What the server counts, to which the parts add what they count.
    pub(crate) registry: Registry,
    /// Has the list of those who may create pairings read again.
    pub(crate) reload: Arc<Notify>,
    /// Until all else has ended.
    pub(crate) last: CancellationToken,
}

/// The parts that run.
pub(crate) struct Running {
    pub(crate) router: Router,
    pub(crate) control: Option<Arc<dyn Plane>>,
    pub(crate) relay: Option<Relay>,
    /// Ends the streams to control.
    pub(crate) bridge: CancellationToken,
    pub(crate) metrics: Metrics,
}

impl Context {
    /// Control, with a relay beside it or with those that announce themselves.
    pub(crate) fn control<S: Store>(
        self,
        role: Option<ControlRole>,
        store: S,
        keys: Keyring,
        relay: Option<(Relay, mpsc::Receiver<PresenceEvent>)>,
    ) -> Running {
        let (access, keeping) = self.config.creators.clone().open(self.reload);
        self.tasks
            .spawn(self.stop.clone().run_until_cancelled_owned(keeping));
        let settings = peersox_control::Config {
            access,
            relays: role.map(|role| peersox_control::config::Relays {
                token: role.token,
                region: role.region,
            }),
            ..self.config.control(&self.config.relay())
        };
        let (control, revoked) = Control::new(settings, store, keys, self.directory, Arc::new(now));
        let keeper = control.clone();
        self.tasks.spawn(async move { keeper.keep_house().await });
        let relay = relay.map(|(relay, presence)| {
            let presence = forward_presence(control.clone(), presence);
            let sessions = forward_sessions(control.clone(), relay.clone());
            self.tasks
                .spawn(self.last.clone().run_until_cancelled_owned(sessions));
            let revocations = forward_revocations(relay.clone(), revoked);
            let believing = forward_keys(relay.clone(), control.keys());
            self.tasks
                .spawn(self.stop.clone().run_until_cancelled_owned(believing));
            self.tasks
                .spawn(self.stop.clone().run_until_cancelled_owned(presence));
            self.tasks
                .spawn(self.stop.clone().run_until_cancelled_owned(revocations));
            relay
        });
        let mut router = control.router().layer(map_response(unbuffered));
        if let Some(relay) = &relay {
            router = router.merge(attaching(relay));
        }
        let keys = control.keys();
        let told = WebhookMetrics::default();
        if let Some(webhook) = self.config.webhook.clone() {
            let telling = webhook.run(control.events(), told.clone());
            self.tasks
                .spawn(self.last.clone().run_until_cancelled_owned(telling));
        }
        let mut registry = self.registry;
        control.register_metrics(&mut registry);
        told.register(&mut registry);
        if let Some(relay) = &relay {
            registry.register_collector(Box::new(OfRelay(relay.clone())));
        }
        let metrics = Metrics::new(registry);
        let control: Arc<dyn Plane> = Arc::new(control);
        if self.config.probes {
            let (plane, beside) = (Arc::clone(&control), relay.clone());
            let readiness = move || match (&beside, plane.is_ready()) {
                (Some(relay), _) if relay.is_draining() => Readiness::Draining,
                (None, _) if plane.is_stopping() => Readiness::Draining,
                (_, false) => Readiness::StoreAway,
                (_, true) => Readiness::Ready,
            };
            let (plane, beside) = (Arc::clone(&control), relay.clone());
            let status = move || Status::of(beside.as_ref(), Some(&*plane));
            router = router.merge(jwks::router(keys));
            let plane = Arc::clone(&control);
            let quic = move || plane.has_quic();
            router = router.merge(probes::router(readiness, status, quic));
        }
        Running {
            router,
            control: Some(control),
            relay,
            bridge: CancellationToken::new(),
            metrics,
        }
    }

    /// A relay that announces itself to control.
    pub(crate) fn relay(
        mut self,
        role: RelayRole,
        (relay, presence): (Relay, mpsc::Receiver<PresenceEvent>),
    ) -> Running {
        let (trusted, trusts) = watch::channel(false);
        let tls = role.tls();
        let (told, hello) = watch::channel(self.hello(&role));
        let mut published = self.directory.published();
        let bridge = Bridge {
            controls: role.controls.clone(),
            token: role.token.clone(),
            name: role.name.clone(),
            tls,
            hello,
            relay: relay.clone(),
            trusted,
            metrics: BridgeMetrics::default(),
        };
        let mut registry = std::mem::take(&mut self.registry);
        bridge.metrics.register(&mut registry);
        registry.register_collector(Box::new(OfRelay(relay.clone())));
        let metrics = Metrics::new(registry);
        let end = CancellationToken::new();
        self.tasks.spawn(bridge.run(presence, end.clone()));
        let mut router = attaching(&relay);
        if self.config.probes {
            let beside = relay.clone();
            let readiness = move || match (beside.is_draining(), *trusts.borrow()) {
                (true, _) => Readiness::Draining,
                (false, false) => Readiness::ControlAway,
                (false, true) => Readiness::Ready,
            };
            let beside = relay.clone();
            let status = move || Status::of(Some(&beside), None);
            let quic = self.config.quic;
            router = router.merge(probes::router(readiness, status, move || quic));
        }
        let tasks = self.tasks.clone();
        let renewing = async move {
            while published.changed().await.is_ok() {
                told.send_replace(self.hello(&role));
            }
            // Without certificates of its own it says the same for ever.
            std::future::pending::<()>().await;
        };
        tasks.spawn(end.clone().run_until_cancelled_owned(renewing));
        Running {
            router,
            control: None,
            relay: Some(relay),
            bridge: end,
            metrics,
        }
    }

    /// Who the relay is, at this moment.
    fn hello(&self, role: &RelayRole) -> v1::RelayHello {
        let config = &self.config;
        // Each leg over TCP is a connection.
        let room = sockets::most_connections().min(config.relay().max_legs as u64);
        let origin = config.public_url.as_ref().map(PublicUrl::origin);
        v1::RelayHello {
            name: role.name.to_string(),
            endpoints: self.directory.endpoints(None).unwrap_or_default(),
            stun_urls: self.directory.stun_urls().unwrap_or_default(),
            region: role.region.clone(),
            capacity: u32::try_from(room).unwrap_or(u32::MAX),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            origin: origin.map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// Where peers attach over TCP.
fn attaching(relay: &Relay) -> Router {
    let (ws, grpc) = (relay.clone(), relay.clone());
    let websocket = any(move |request: Request<Body>| async move {
        let client = client(&request);
        ws.attach_websocket(request, client).map(Body::new)
    });
    let call = any(move |request: Request<Body>| async move {
        let client = client(&request);
        grpc.attach_grpc(request, client).map(Body::new)
    });
    Router::new().route(RELAY, websocket).route(ATTACH, call)
}

/// Whom a leg is charged to.
fn client(request: &Request<Body>) -> SocketAddr {
    let client = request.extensions().get::<ClientAddr>();
    let address = client.map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.0);
    SocketAddr::new(address, 0)
}

/// Asks proxies that understand it (nginx does) to pass an answer on as it comes: a stream of events that is
/// kept until there is more of it tells nobody anything.
async fn unbuffered(mut response: Response) -> Response {
    let no = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", no);
    response
}

/// Who waits is told at once; what is stored of it may take its time.
async fn forward_presence<S: Store>(
    control: Control<S>,
    mut presence: mpsc::Receiver<PresenceEvent>,
) {
    let (write, mut notes) = mpsc::channel::<PresenceEvent>(NOTES);
    let hearing = async {
        while let Some(event) = presence.recv().await {
            control.hear_presence(event.session, event.role, event.online);
            if write.try_send(event).is_err() {
                tracing::debug!("presence is noted later, by house keeping");
            }
        }
        drop(write);
    };
    let noting = async {
        while let Some(PresenceEvent { session, role, .. }) = notes.recv().await {
            if let Err(error) = control.note_presence(session, role).await {
                tracing::warn!(%error, "presence could not be noted");
            }
        }
    };
    tokio::join!(hearing, noting);
}

/// What the relay says of sessions, one after the other. One whose account has used its bytes is moved away,
/// and its peers are refused the next one.
async fn forward_sessions<S: Store>(control: Control<S>, relay: Relay) {
    let mut reports = relay.reports();
    loop {
        let report = match reports.recv().await {
            Ok(report) => report,
            // The next report of a session makes up for one that was missed.
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let over = control.hear_session(SessionReport {
            pairing: report.session,
            began: report.began,
            lasted: report.lasted,
            bytes: report.bytes,
            ended: report.ended,
        });
        if over.await && !report.ended {
            relay.move_away(report.session, MOVING).await;
        }
    }
}

async fn forward_revocations(relay: Relay, mut revoked: mpsc::Receiver<PairingId>) {
    while let Some(pairing) = revoked.recv().await {
        relay.revoke(pairing).await;
    }
}

/// Forgets keys whose time is over; new ones are believed before they sign, in [`crate::Handle`].
async fn forward_keys(relay: Relay, mut keys: watch::Receiver<Keyring>) {
    while keys.changed().await.is_ok() {
        let verifier = verifier(&keys.borrow_and_update());
        relay.trust(verifier);
    }
}

/// For how long peers of a session that has to go may finish.
const MOVING: Duration = Duration::from_secs(1);
/// The path of the relay.
const RELAY: &str = "/v1/relay";
/// Comings and goings that wait to be stored.
const NOTES: usize = 16_384;
