//! A running server: what it is put together from, and how it stops.
//!
//! It stops in this order: no new connections, peers are told, a grace time for them to leave, the rest is
//! cut off.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use peersox_control::directory::PublicUrl;
use peersox_control::{Directory, Memory, Store};
use peersox_core::limit::Networks;
use peersox_core::time::Timestamp;
use peersox_relay::Relay;
use peersox_relay::listen::{quic, stun};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder::{BindError, Builder};
use crate::certificate::{CertificateSource, Certificates, Presented};
#[cfg(doc)]
use crate::config::ServerConfig;
use crate::forwarded::Forwarded;
use crate::handle::{Handle, Plane, Status};
use crate::http::{self, Http};
use crate::metrics::{Connections, Metrics, OfCertificate};
use crate::parts::{self, Context, Running, trusts_nobody};
use crate::prefix::Prefix;
use crate::proxied::Proxied;
use crate::role::Role;
use crate::sockets;

/// A running server. Dropping it is a [`Server::shutdown`] without grace that nobody waits for.
#[must_use = "dropping it stops the server"]
pub struct Server {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    handle: Handle,
    ending: Option<Ending>,
}

impl Server {
    /// Begins with the defaults of [`ServerConfig`] and a store in memory.
    pub fn builder() -> Builder<Memory> {
        Builder::new()
    }

    /// The address that it listens on; port 0 of the configuration has become a real one.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where peers find it, without a slash at the end: the public URL if there is one, else the address that
    /// it listens on, with `localhost` for every address of this machine.
    #[must_use]
    pub fn url(&self) -> &str {
        self.handle.url()
    }

    /// Where metrics are served, if they are.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// What it carries now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// What asks and tells it something while somebody else owns it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops in good order. No connection is accepted any more, `/readyz` answers 503, and peers are told to
    /// seek another leg. After `grace`, or earlier if all have left, legs are hung up (4005). Returns once
    /// everything is gone: at once if the peers answer, else at most 13 s after `grace`. Answers how many
    /// peers were hung up; those that went to another server before are none of them.
    pub async fn shutdown(mut self, grace: Duration) -> u64 {
        match self.ending.take() {
            Some(ending) => ending.run(grace).await,
            None => 0,
        }
    }

    pub(crate) async fn start<S: Store>(builder: Builder<S>) -> Result<Self, BindError> {
        let config = builder.config;
        config.validate()?;
        if matches!(builder.role, Role::Relay(_)) && config.public_url.is_none() {
            return Err(BindError::NoPublicUrl);
        }
        let has_quic = config.quic && !matches!(builder.role, Role::Control(_));
        let refused = |address| move |source| BindError::Listen { address, source };
        let sockets = match has_quic {
            true => sockets::both(config.listen).map(|(tcp, udp)| (tcp, Some(udp))),
            false => sockets::tcp(config.listen).map(|tcp| (tcp, None)),
        };
        let (tcp, udp) = sockets.map_err(refused(config.listen))?;
        let (listener, address) = listen(tcp).map_err(refused(config.listen))?;
        let metrics_listener = config.metrics_listen.map(|address| {
            let listening = sockets::tcp(Some(address)).and_then(listen);
            listening.map_err(refused(Some(address)))
        });
        let metrics_listener = metrics_listener.transpose()?;
        let certificates = match config.tls.clone() {
            Some(source) => Some(Certificates::of(source, &config)?),
            None if has_quic => Some(Certificates::own(&config)?),
            None => None,
        };
        let secure = certificates.as_ref().filter(|_| config.tls.is_some());
        let tls = secure.map(Certificates::acceptor).transpose()?;
        let http_listen = config.tls.as_ref().and_then(CertificateSource::http_listen);
        let http_listener = http_listen.map(|address| {
            let listening = sockets::tcp(Some(address)).and_then(listen);
            listening.map_err(|source| BindError::AcmeHttp { address, source })
        });
        let http_listener = http_listener.transpose()?;
        let keys = parts::keyring(&builder.secret, &builder.former);
        let relay = match &builder.role {
            Role::All => Some(Relay::new(config.relay(), parts::verifier(&keys), now)),
            Role::Relay(role) => Some(Relay::new(config.relay(), trusts_nobody(&role.name), now)),
            Role::Control(_) => None,
        };
        let endpoint = match (&relay, udp, &certificates) {
            (Some((relay, _)), Some(socket), Some(certificates)) => {
                let served = certificates.quic()?;
                let stun = config.stun.then(|| stun::Server::new(relay));
                let keys = builder.secret.quic_keys();
                let endpoint =
                    socket.and_then(|socket| quic::on_socket(served, &keys, socket, stun));
                Some(endpoint.map_err(|source| BindError::Quic { address, source })?)
            }
            (None, ..) | (_, None, _) | (_, _, None) => None,
        };

        // From here on nothing fails.
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let first = certificates.as_ref().map(Certificates::digests);
        let (digests, published) = watch::channel(first.unwrap_or_default());
        let reload = Arc::new(Notify::new());
        let relist = Arc::new(Notify::new());
        let reloads = certificates.as_ref().is_some_and(Certificates::can_reload);
        let presented = certificates.as_ref().map(|it| Arc::clone(&it.presented));
        if let Some(certificates) = certificates {
            let keeping = certificates.keep(digests, Arc::clone(&reload));
            tasks.spawn(stop.clone().run_until_cancelled_owned(keeping));
        }
        if let Some(((relay, _), endpoint)) = relay.as_ref().zip(endpoint.as_ref()) {
            tasks.spawn(quic::serve(relay.clone(), endpoint.clone()));
        }
        let role = builder.role.name();
        let mut registry = Metrics::registry(role);
        let connections = Connections::default();
        connections.register(&mut registry);
        if let Some(presented) = &presented {
            let certificate = OfCertificate(Arc::clone(presented));
            registry.register_collector(Box::new(certificate));
        }
        // Until all else has ended: how a server drains is worth a look.
        let last = CancellationToken::new();
        let context = Context {
            registry,
            config: config.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
            directory: Directory::new(config.directory(has_quic), published),
            reload: Arc::clone(&relist),
            last: last.clone(),
        };
        let running = match (builder.role, relay) {
            (Role::Relay(role), Some(relay)) => context.relay(role, relay),
            (Role::Control(role), _) => context.control(Some(role), builder.store, keys, None),
            (Role::All, relay) | (Role::Relay(_), relay) => {
                context.control(None, builder.store, keys, relay)
            }
        };

        let router = running.router.fallback_service(builder.routes);
        let router = builder.layers.into_iter().fold(router, |it, wrap| wrap(it));
        let secure = tls.is_some();
        let trusted: Networks = config.trusted_proxies.iter().copied().collect();
        let http = Http {
            listener,
            most: sockets::most_connections(),
            tls,
            router,
            prefix: Prefix::of(config.public_url.as_ref()),
            proxied: config.proxy_protocol.then(|| Proxied::new(trusted.clone())),
            unmetered: config.unmetered_connections(),
            forwarded: Forwarded {
                trusted,
                header: config.proxy_header,
                ..Forwarded::default()
            },
            hsts: config.hsts,
            connections,
        };
        tasks.spawn(http.run(stop.clone(), tasks.clone()));
        if let Some(((listener, address), presented)) = http_listener.zip(presented.clone()) {
            let http = to_https_at(listener, presented, config.unmetered_connections());
            tasks.spawn(http.run(stop.clone(), tasks.clone()));
            tracing::info!(%address, "HTTP-01");
        }
        tracing::info!(%address, tls = secure, quic = has_quic, "listening");
        let url = url(address, secure, config.public_url.as_ref());
        let Running {
            control,
            relay,
            bridge,
            metrics,
            ..
        } = running;
        let metrics_address = match metrics_listener {
            Some((listener, address)) => {
                let http = Http {
                    listener,
                    most: METRICS_CONNECTIONS,
                    tls: None,
                    router: metrics.clone().router(),
                    prefix: Prefix::of(None),
                    proxied: None,
                    unmetered: Networks::default(),
                    forwarded: Forwarded::default(),
                    hsts: Duration::ZERO,
                    connections: Connections::default(),
                };
                tasks.spawn(http.run(last.clone(), tasks.clone()));
                tracing::info!(%address, "metrics");
                Some(address)
            }
            None => None,
        };
        Ok(Self {
            address,
            metrics_address,
            handle: Handle::new(
                url,
                relay.clone(),
                control.clone(),
                metrics,
                reloads.then_some(reload),
                config.creators.can_reload().then_some(relist),
                presented.map(|it| it.settled()),
            ),
            ending: Some(Ending {
                control,
                relay,
                bridge,
                last,
                quic: endpoint,
                stop,
                tasks,
            }),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(ending) = self.ending.take() else {
            return;
        };
        // Without a runtime no task of the server runs any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(ending.run(Duration::ZERO));
        } else {
            ending.stop.cancel();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, address) = (self.url(), self.address);
        f.debug_struct("Server")
            .field("url", &url)
            .field("address", &address)
            .finish_non_exhaustive()
    }
}

/// Everything that has to be told that it is over.
struct Ending {
    control: Option<Arc<dyn Plane>>,
    relay: Option<Relay>,
    bridge: CancellationToken,
    last: CancellationToken,
    quic: Option<quinn::Endpoint>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Ending {
    /// Takes as long as [`Server::shutdown`] says.
    async fn run(self, grace: Duration) -> u64 {
        if let Some(control) = &self.control {
            control.end().await;
        } else if let Some(relay) = &self.relay {
            // Control has to know before the peers ask it where else to attach.
            relay.refuse_new();
            tokio::time::sleep(KNOWN).await;
        }
        // The store is closed with the last task that has it, or with the last handle.
        drop(self.control);
        self.stop.cancel();
        let cut_off = match &self.relay {
            Some(relay) => relay.drain(grace).await,
            None => 0,
        };
        self.bridge.cancel();
        self.last.cancel();
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
        cut_off
    }
}

/// A port of plain HTTP for HTTP-01, which sends everybody but authorities to `https`.
fn to_https_at(listener: TcpListener, presented: Arc<Presented>, unmetered: Networks) -> Http {
    let answer = async move |request: Request| {
        let text = presented.challenges.text(request.uri().path());
        text.map_or_else(|| http::to_https(&request), |text| text.into_response())
    };
    Http {
        listener,
        most: sockets::most_connections() / 8,
        tls: None,
        router: Router::new().fallback(answer),
        prefix: Prefix::of(None),
        proxied: None,
        unmetered,
        forwarded: Forwarded::default(),
        hsts: Duration::ZERO,
        connections: Connections::default(),
    }
}

/// Of those who read metrics; more are refused.
const METRICS_CONNECTIONS: u64 = 64;

fn listen(socket: std::net::TcpListener) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::from_std(socket)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn url(address: SocketAddr, secure: bool, public: Option<&PublicUrl>) -> String {
    if let Some(public) = public {
        let url = format!("{}{}", public.origin(), public.path());
        return url.trim_end_matches('/').to_owned();
    }
    let scheme = if secure { "https" } else { "http" };
    match address.ip().is_unspecified() {
        true => format!("{scheme}://localhost:{}", address.port()),
        false => format!("{scheme}://{address}"),
    }
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// What a report to control takes at most, where nothing is wrong.
const KNOWN: Duration = Duration::from_millis(200);
/// For how long connections may finish once the peers are gone.
const CUT_OFF: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_that_a_peer_can_call() {
        let public: PublicUrl = "https://p.example/x/".parse().unwrap();
        for (address, secure, public, expected) in [
            ("[::]:3000", false, None, "http://localhost:3000"),
            ("0.0.0.0:1", true, None, "https://localhost:1"),
            ("192.0.2.7:80", false, None, "http://192.0.2.7:80"),
            ("[2001:db8::1]:80", true, None, "https://[2001:db8::1]:80"),
            ("[::]:3000", false, Some(&public), "https://p.example/x"),
        ] {
            assert_eq!(url(address.parse().unwrap(), secure, public), expected);
        }
    }
}
