//! From a configuration to a running server.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::Route;
use peersox_control::{Memory, Store};
use peersox_relay::listen::quic::BadCertificate;
use tower::{Layer, Service};

use crate::certificate::AcmeError;
use crate::config::{ConfigError, ServerConfig};
use crate::role::Role;
use crate::server::Server;
use crate::sockets;
use crate::state::Secret;

/// Collects what a server is made of. [`Builder::bind`] starts it.
///
/// Without any call it is `peersox serve` without a flag: port 3000, a store in memory, a new secret, and
/// nothing but PeerSox on the port.
#[must_use = "nothing runs before `bind`"]
pub struct Builder<S> {
    pub(crate) config: ServerConfig,
    pub(crate) store: S,
    pub(crate) secret: Secret,
    pub(crate) former: Vec<Secret>,
    pub(crate) role: Role,
    pub(crate) routes: Router,
    pub(crate) layers: Vec<Wrap>,
}

/// Puts one layer around everything.
pub(crate) type Wrap = Box<dyn FnOnce(Router) -> Router + Send>;

impl Builder<Memory> {
    pub(crate) fn new() -> Self {
        Self {
            config: ServerConfig::default(),
            store: Memory::default(),
            secret: Secret::random(),
            former: Vec::new(),
            role: Role::default(),
            routes: Router::new(),
            layers: Vec::new(),
        }
    }
}

impl<S: Store> Builder<S> {
    /// Replaces the configuration.
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Keeps pairings here. A store that outlives the process needs a [`Builder::secret`] that does, too.
    pub fn store<T: Store>(self, store: T) -> Builder<T> {
        Builder {
            config: self.config,
            store,
            secret: self.secret,
            former: self.former,
            role: self.role,
            routes: self.routes,
            layers: self.layers,
        }
    }

    /// Derives all keys from this secret. Default: a new one, so that tickets of an earlier process are
    /// refused, and peers fetch others.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = secret;
        self
    }

    /// Believes tickets that these secrets have signed, too: the former ones, or those that come next.
    pub fn former_secrets(mut self, former: Vec<Secret>) -> Self {
        self.former = former;
        self
    }

    /// Makes it control alone, or a relay alone. Default: both.
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Serves these routes on the same port, beside PeerSox's own, which have precedence: paths below
    /// `/peersox.v1.PairingService/` and `/grpc.health.v1.Health/`, those of gRPC reflection with
    /// [`ServerConfig::reflection`], `/v1/relay`, `/peersox.v1.RelayService/`, and
    /// [the probes](ServerConfig::probes). The fallback of `routes` answers what nobody else does. Called
    /// again, it replaces the routes.
    ///
    /// Requests carry [`ClientAddr`](crate::ClientAddr), the address of the client, behind trusted proxies,
    /// too. Connections are counted, and idle ones closed, as for PeerSox's own; bodies are bounded by what
    /// `routes` says only.
    pub fn routes(mut self, routes: Router) -> Self {
        self.routes = routes;
        self
    }

    /// Puts a layer of `tower` around everything that the port serves over HTTP, PeerSox's own routes
    /// included; a later call goes around the earlier ones, as with [`Router::layer`]. Legs over QUIC pass no
    /// layer. A layer for the embedder's routes alone belongs to the router of [`Builder::routes`].
    ///
    /// Calls may be streams that last for days, and the relay's upgrade becomes a WebSocket: a layer must not
    /// collect bodies, and must leave `connection`, `upgrade` and `sec-websocket-*` as they are.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.layers.push(Box::new(|router| router.layer(layer)));
        self
    }

    /// Opens the sockets and starts to serve, in the tokio runtime of the caller.
    ///
    /// # Errors
    /// [`BindError`] if the configuration, a socket or the certificate cannot be used. Nothing runs then, and
    /// the port is free again.
    pub async fn bind(self) -> Result<Server, BindError> {
        Server::start(self).await
    }
}

impl<S> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        f.debug_struct("Builder")
            .field("config", config)
            .finish_non_exhaustive()
    }
}

/// Why a server did not start. The source, if there is one, says what the system or the library said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A relay alone does not say how peers reach it.
    #[error("a relay has to say how peers reach it; set `public_url`")]
    NoPublicUrl,
    /// The TCP port cannot be had.
    #[error("cannot listen on {}; set `listen` to another address or port", listened(.address))]
    Listen {
        /// What [`ServerConfig::listen`] says.
        address: Option<SocketAddr>,
        /// What the system says.
        source: io::Error,
    },
    /// The UDP port cannot be had.
    #[error("cannot listen for QUIC on UDP {address}; free the port, or set `quic` to false")]
    Quic {
        /// The address of the TCP port, which has the same number.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// What [`ServerConfig::tls`] holds cannot be used for TLS.
    #[error("certificate and key do not belong together")]
    Tls(#[source] rustls::Error),
    /// The same for QUIC.
    #[error("the certificate cannot be used for QUIC")]
    QuicCertificate(#[source] BadCertificate),
    /// A certificate cannot be ordered as it is configured.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The address for HTTP-01 cannot be had.
    #[error(
        "cannot listen on {address} for HTTP-01; set `http_listen` to another address, or to none"
    )]
    AcmeHttp {
        /// What [`AcmeConfig::http_listen`](crate::AcmeConfig::http_listen) says.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// No certificate for QUIC could be made.
    #[error("cannot sign a certificate for QUIC; set `tls`, or set `quic` to false")]
    SelfSigned(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn listened(address: &Option<SocketAddr>) -> String {
    match address {
        Some(address) => address.to_string(),
        None => format!("port {}", sockets::PORT),
    }
}
