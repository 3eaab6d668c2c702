//! `peersox serve`: control, relay and page in one process on one port.
//!
//! ```text
//!          TCP ──► serve::http ──┬─ /peersox.v1.PairingService/… ──► control
//! :3000 ──┤                      ├─ /v1/relay ────────────────────► relay (WebSocket)
//!          UDP ──► quinn ────────┼───────────────────────────────► relay (QUIC)
//!                                └─ / ────────────────────────────► page
//!
//! state   ── store ──► control, ── keys ──► all         (at start)
//! control ── public key of the tickets ──► relay        (at start)
//! control ── revocations ───────────────► relay
//! relay   ── presence ──────────────────► control
//! ```
//!
//! A signal to stop is answered in this order: no new connections, peers are told, a grace time for
//! them to leave, the rest is cut off.

mod asset;
mod certificate;
pub(crate) mod forwarded;
mod http;
mod ice;
mod page;
mod prefix;
mod sockets;
mod state;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::http::{HeaderValue, Request};
use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::any;
use peersox_control::directory::PublicUrl;
use peersox_control::ice::Servers;
use peersox_control::{AnyStore, ClientAddr, Directory, directory};
use peersox_core::code::Digits;
use peersox_core::id::PairingId;
use peersox_core::limit::Limit;
use peersox_core::origin::{self, Origin};
use peersox_core::pairing;
use peersox_core::ticket::{Signer, Verifier};
use peersox_core::time::Timestamp;
use peersox_relay::listen::{quic, stun};
use peersox_relay::{PresenceEvent, Relay};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::Serve;
use crate::failure::Failure;
use crate::greeting::{self, Place};
use crate::reach;
use crate::signals::Signals;
use crate::terminal::Voice;
use certificate::Identity;
use forwarded::Forwarded;
use prefix::Prefix;

pub(crate) async fn run(args: Serve) -> anyhow::Result<()> {
    let server = Server::start(&args).await?;
    server.greet(args.public_url.as_ref());
    let mut signals = Signals::listen()?;
    signals.next().await;
    Voice::new(false).say("stopping; a second signal stops at once", &Value::Null);
    tokio::select! {
        () = server.stop(Duration::from_secs(args.drain_grace)) => Ok(()),
        second = signals.next() => Err(Failure::Stopped(second).into()),
    }
}

type Control = peersox_control::Control<AnyStore>;

/// Everything that runs.
struct Server {
    address: SocketAddr,
    secure: bool,
    quic: Option<quinn::Endpoint>,
    relay: Relay,
    control: Control,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    async fn start(args: &Serve) -> anyhow::Result<Self> {
        let ice_servers = ice::servers(args)?;
        let listener = sockets::tcp(args.listen).with_context(|| {
            let asked = args.listen.map(|listen| listen.to_string());
            let asked = asked.unwrap_or_else(|| "port 3000".to_owned());
            format!("cannot listen on {asked}; choose another port with --listen")
        })?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let identity = identity(args)?;
        let tls = identity
            .as_ref()
            .map(|identity| acceptor(identity.clone()))
            .transpose()?;
        let secure = tls.is_some();

        let (store, secret) =
            state::open(args.state.as_deref(), &pairing_config(args), now()).await?;
        let signer = secret.signer();
        let verifier = Verifier::new(&[signer.public_key()])?;
        let (relay, presence) = Relay::new(relay_config(args), verifier, now);

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (digests, published) = watch::channel(Vec::new());
        let quic = match args.no_quic {
            true => None,
            false => {
                let first = identity.map_or_else(Identity::self_signed, Ok)?;
                let config = first.clone().quic()?;
                let keys = secret.quic_keys();
                let stun = (!args.no_stun).then(|| stun::Server::new(&relay));
                let endpoint = sockets::udp(address)
                    .and_then(|socket| quic::on_socket(config, &keys, socket, stun))
                    .with_context(|| {
                        format!("cannot listen for QUIC on UDP {address}; --no-quic does without")
                    })?;
                if !secure {
                    let rotation = certificate::rotate(endpoint.clone(), first, digests);
                    tasks.spawn(stop.clone().run_until_cancelled_owned(rotation));
                }
                tasks.spawn(quic::serve(relay.clone(), endpoint.clone()));
                Some(endpoint)
            }
        };

        let (control, revoked) =
            control(args, &relay, store, signer, secure, published, ice_servers);
        let keeper = control.clone();
        tasks.spawn(async move { keeper.keep_house().await });
        tasks.spawn(
            stop.clone()
                .run_until_cancelled_owned(forward_presence(control.clone(), presence)),
        );
        tasks.spawn(
            stop.clone()
                .run_until_cancelled_owned(forward_revocations(relay.clone(), revoked)),
        );

        let public = args.public_url.as_ref().map(PublicUrl::origin);
        let router = router(&control, &relay, quic.is_some(), public);
        let http = http::Http {
            listener,
            most: sockets::most_connections(),
            tls,
            router,
            prefix: Prefix::of(args.public_url.as_ref()),
            forwarded: Forwarded {
                trusted: args.trust_proxy.iter().copied().collect(),
                header: args.proxy_header,
                ..Forwarded::default()
            },
            // All clients of a proxy come from its address.
            unmetered: args
                .unmetered
                .iter()
                .chain(&args.trust_proxy)
                .copied()
                .collect(),
        };
        tasks.spawn(http.run(stop.clone(), tasks.clone()));
        tracing::info!(%address, tls = secure, quic = quic.is_some(), "listening");
        Ok(Self {
            address,
            secure,
            quic,
            relay,
            control,
            stop,
            tasks,
        })
    }

    /// Says where to go next, to the person who started it.
    fn greet(&self, public: Option<&PublicUrl>) {
        let public = public.map(|url| format!("{}{}", url.origin(), url.path()));
        let place = Place {
            address: self.address,
            tls: self.secure,
            quic: self.quic.is_some(),
            public: public.as_deref(),
        };
        let lines = greeting::lines(&place, &reach::addresses());
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        Voice::new(false).say_lines(&lines, &Value::Null);
    }

    /// Stops in good order; takes little longer than `grace`.
    async fn stop(self, grace: Duration) {
        self.control.set_serving(false).await;
        self.control.stop();
        self.stop.cancel();
        self.relay.drain(grace).await;
        if let Some(quic) = &self.quic {
            quic.close(0u8.into(), b"stopped");
            let _ = tokio::time::timeout(CUT_OFF, quic.wait_idle()).await;
        }
        self.tasks.close();
        if tokio::time::timeout(CUT_OFF, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::debug!(left = self.tasks.len(), "connections were cut off");
        }
    }
}

fn router(control: &Control, relay: &Relay, quic: bool, public: Option<&Origin>) -> Router {
    let attach = {
        let relay = relay.clone();
        any(move |request: Request<Body>| async move {
            let client = request
                .extensions()
                .get::<ClientAddr>()
                .map(|client| client.0);
            let client = client.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
            relay
                .attach_websocket(request, SocketAddr::new(client, 0))
                .map(Body::new)
        })
    };
    control
        .router()
        .layer(map_response(unbuffered))
        .route("/v1/relay", attach)
        .merge(page::router(relay.clone(), quic, public))
}

/// Pages of which other origins may call control and attach to the relay: those that the operator lists, and
/// pages under the public URL, whose proxy may call this server by another name.
fn allowed_origins(args: &Serve) -> origin::Allowed {
    let public = args.public_url.as_ref().map(PublicUrl::origin);
    args.allow_origin.iter().chain(public).cloned().collect()
}

/// Asks proxies that understand it (nginx does) to pass an answer on as it comes: a stream of events that is
/// kept until there is more of it tells nobody anything.
async fn unbuffered(mut response: Response) -> Response {
    let no = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", no);
    response
}

async fn forward_presence(control: Control, mut presence: mpsc::Receiver<PresenceEvent>) {
    while let Some(event) = presence.recv().await {
        let noted = control
            .report_presence(event.session, event.role, event.online)
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "presence could not be noted");
        }
    }
}

async fn forward_revocations(relay: Relay, mut revoked: mpsc::Receiver<PairingId>) {
    while let Some(pairing) = revoked.recv().await {
        relay.revoke(pairing).await;
    }
}

/// Assembles control; the relay hears of revocations by the channel returned.
fn control(
    args: &Serve,
    relay: &Relay,
    store: AnyStore,
    signer: Signer,
    tls: bool,
    certificates: watch::Receiver<Vec<[u8; 32]>>,
    ice_servers: Servers,
) -> (Control, mpsc::Receiver<PairingId>) {
    let directory = directory::Config {
        public_url: args.public_url.clone(),
        tls,
        quic: (!args.no_quic).then(|| directory::Quic {
            // An operator who names servers names all of them.
            stun: !args.no_stun && args.ice_server.is_empty(),
            ..directory::Quic::default()
        }),
        ice_servers,
    };
    let config = peersox_control::Config {
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        pairing: pairing_config(args),
        guard: peersox_control::guard::Config {
            unmetered: args.unmetered.iter().copied().collect(),
            ..peersox_control::guard::Config::default()
        },
        reflection: args.reflection,
        relay_limits: relay.config().announced(),
        allowed_origins: allowed_origins(args),
        ..peersox_control::Config::default()
    };
    let directory = Directory::new(directory, certificates);
    Control::new(config, store, signer, directory, Arc::new(now))
}

fn pairing_config(args: &Serve) -> pairing::Config {
    pairing::Config {
        digits: Digits::new(args.digits).unwrap_or_default(),
        code_ttl: Duration::from_secs(args.code_ttl),
        code_max: Duration::from_secs(args.code_max),
        unkept_ttl: Duration::from_secs(args.unkept_ttl),
        ..pairing::Config::default()
    }
}

fn relay_config(args: &Serve) -> peersox_relay::Config {
    let mut config = peersox_relay::Config {
        hold_bytes: args.hold as usize,
        allowed_origins: Some(allowed_origins(args)),
        memory: args.relay_memory,
        leg_rate: Limit::per(args.leg_rate, Duration::from_secs(1)),
        host_rate: peersox_relay::Config::host_rate(args.leg_rate),
        unmetered: args.unmetered.iter().copied().collect(),
        ..peersox_relay::Config::default()
    };
    config.limits.frame_bytes = args.max_frame as usize;
    config.session.park_grace = Duration::from_secs(args.park_grace.into());
    config
}

/// The certificate given on the command line.
fn identity(args: &Serve) -> anyhow::Result<Option<Identity>> {
    let (Some(chain), Some(key)) = (&args.tls_cert, &args.tls_key) else {
        return Ok(None);
    };
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::File(format!("cannot use {}: {error}", path.display()))
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(chain, &error))?;
    if certificates.is_empty() {
        return Err(unreadable(chain, &"it holds no certificate in PEM").into());
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    Ok(Some(Identity {
        chain: certificates,
        key,
    }))
}

fn acceptor(identity: Identity) -> anyhow::Result<TlsAcceptor> {
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .context("certificate and key do not belong together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// For how long connections may finish once the peers are gone.
const CUT_OFF: Duration = Duration::from_secs(1);
