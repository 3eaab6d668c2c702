//! The server of PeerSox, to be embedded: control, relay and your own routes on one TCP and UDP port.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use peersox_server::{Server, ServerConfig};
//!
//! # use peersox_server::{axum::Router, store::Memory};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # let (my_store, my_router) = (Memory::default(), Router::new());
//! # let my_layer = tower::layer::util::Identity::new();
//! let server = Server::builder()
//!     .config(ServerConfig { listen: Some("[::]:3000".parse()?), ..ServerConfig::default() })
//!     .store(my_store)   // implements `store::Store`; default: memory
//!     .routes(my_router) // an axum router, beside PeerSox's own paths
//!     .layer(my_layer)   // any tower layer, around both
//!     .bind()
//!     .await?;
//! println!("{}", server.url());
//! server.shutdown(Duration::from_secs(2)).await; // peers are told, and seek another leg
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//!      ┌─ TCP ──► http ── layers ──┬─ /peersox.v1.PairingService/… , /grpc.… ──► control ──► store
//! port ┤                           ├─ /v1/relay ──────────────────────────────► relay (WebSocket)
//!      │                           ├─ /peersox.v1.RelayService/Attach ────────► relay (gRPC)
//!      │                           ├─ /healthz, /readyz, /status.json ────────► probes
//!      │                           └─ all else ───────────────────────────────► your routes
//!      └─ UDP ──► quinn ──────────────────────────────────────────────────────► relay (QUIC, WebTransport)
//!
//! state   ── keys ───────────────────► control, relay   (at start)
//! control ── public key of tickets ──► relay            (at start)
//! control ── revocations ────────────► relay
//! relay   ── presence ───────────────► control
//! ```
//!
//! A process may also be control alone, or a relay alone ([`Role`]): relays announce themselves to every
//! node of control, and tell it who is attached.
//!
//! The embedder chooses where pairings are kept ([`store::Store`]), what else the port serves
//! ([`Builder::routes`]), and what stands around all of it ([`Builder::layer`]). The library reads no
//! environment, handles no signal, prints nothing and ends no process; it logs by `tracing`. It runs in the
//! tokio runtime that [`Builder::bind`] is called in, and several servers may run in one process.
//!
//! The page that `peersox serve` shows is not part of it; clients are the `peersox` command, the npm package
//! and `peersox-client`.

pub mod access;
mod bridge;
mod builder;
mod certificate;
mod config;
mod forwarded;
mod handle;
mod http;
mod https;
pub mod ice;
mod jwks;
mod metrics;
mod parts;
mod prefix;
mod probes;
mod proxied;
pub mod role;
mod secret_file;
mod server;
mod sockets;
pub mod state;
pub mod store;
mod watched;
mod webhook;

pub use access::Creators;
pub use builder::{BindError, Builder};
pub use certificate::{
    AcmeConfig, AcmeError, AcmeName, BadAcmeName, CertificateFiles, CertificateSource, Identity,
    IdentityError,
};
pub use config::{ConfigError, ServerConfig};
pub use forwarded::ProxyHeader;
pub use handle::{Handle, Status};
pub use peersox_control::directory::{BadPublicUrl, PublicUrl};
pub use peersox_control::{ClientAddr, Token};
pub use peersox_core::code::Digits;
pub use peersox_core::limit::{BadNetwork, Network};
pub use peersox_core::origin::Origin;
pub use peersox_core::pairing;
pub use peersox_core::placement::{BadRelayName, RelayName};
pub use role::Role;
pub use server::Server;
pub use webhook::{BadWebhookUrl, Webhook, WebhookSecret, WebhookUrl};

/// The web framework whose `Router` and layers [`Builder`] takes.
pub use axum;
