//! Reference relays: the least that a relay can do over each transport. They know neither pairs nor lanes nor
//! limits, and no memory is bounded; the table of `docs/performance.md` compares ours with them.
//!
//! Two peers meet by a token. Over TCP and QUIC it is the first 32 bytes, which the relay answers with one
//! byte when both are there; over WebSocket it is the path of the request.
//!
//! ```text
//!   tcp    one thread, one epoll, edge-triggered: read into a shared buffer, write from there
//!   ws     the same; what a client sends becomes in place what a server sends ([`unmask`])
//!   wss    tokio and rustls, the same change in place
//!   quic   quinn: what a stream brings goes to the other one as it came
//! ```

mod epoll;
mod quic;
mod tls;
mod unmask;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use clap::ValueEnum;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

pub(crate) use quic::ALPN;

/// What a reference relay speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// TCP, bare epoll.
    Tcp,
    /// WebSocket, bare epoll.
    Ws,
    /// WebSocket over TLS, tokio and rustls.
    Wss,
    /// QUIC, quinn.
    Quic,
}

/// Relays until the process ends.
///
/// # Errors
/// If it cannot listen, or the system fails.
pub(crate) fn run(kind: Kind, listen: SocketAddr) -> anyhow::Result<()> {
    match kind {
        Kind::Tcp => epoll::run(listen, epoll::Speaks::Bytes),
        Kind::Ws => epoll::run(listen, epoll::Speaks::WebSocket),
        Kind::Wss => alone(tls::run(listen)),
        Kind::Quic => alone(quic::run(listen)),
    }
}

/// On this thread.
fn alone(relay: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(relay)
}

/// Says where it listens, once it does.
fn ready(at: std::io::Result<SocketAddr>) -> anyhow::Result<()> {
    println!("ready at {}", at?);
    Ok(())
}

/// The bytes of a token over TCP and QUIC.
pub(crate) const TOKEN_BYTES: usize = 32;

/// What the relay says when both peers are there.
pub(crate) const MET: u8 = b'k';

/// TLS with a certificate that nobody vouches for.
fn tls_config(alpn: &[u8]) -> anyhow::Result<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key.into())?;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}
