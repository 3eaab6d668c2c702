//! QUIC connections (RFC 9000) with ALPN `peersox.v1`, or `h3` for WebTransport.
//!
//! The client opens one bidirectional stream, of its session where there is one, and says Hello on it. Hello
//! timeout covers everything from the accepted handshake on.

mod endpoint;

use std::sync::Arc;
use std::time::Duration;

use peersox_core::close::CloseReason;
use quinn::crypto::rustls::{HandshakeData, NoInitialCipherSuite, QuicServerConfig};
use quinn::{RecvStream, SendStream, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use crate::leg::Wire;
use crate::leg::quic::{ALPN, NARROW, Quic, WIDE, close};
use crate::leg::webtransport::Session;
use crate::listen::webtransport::{self, NoSession};
use crate::metrics::{Refusal, Transport};
use crate::relay::Relay;

pub use endpoint::{Keys, bind, on_socket};

/// Accepts connections until the endpoint is closed or the relay drains. Connections with another
/// ALPN than [`ALPN`] and `h3` are closed; a server that speaks more on its endpoint accepts by itself and
/// calls [`Relay::serve_quic`].
///
/// Clients have to prove their address first (Retry, RFC 9000, section 8.1.2): a handshake that nobody
/// goes on with costs no memory, and little is sent to an address that never answered. A client that has
/// proven its address takes a place until its handshake is over, and its memory is free if that failed
/// ([`Config::max_handshakes`](crate::Config::max_handshakes)). It waits for one for
/// [`Config::hello_timeout`](crate::Config::hello_timeout) and is refused then.
pub async fn serve(relay: Relay, endpoint: quinn::Endpoint) {
    loop {
        let incoming = tokio::select! {
            biased;
            () = relay.draining() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else {
            return;
        };
        accept(&relay, incoming);
    }
}

/// Takes one incoming connection in a task of the relay.
pub fn accept(relay: &Relay, incoming: quinn::Incoming) {
    let address = incoming.remote_address().ip();
    if !incoming.remote_address_validated() && incoming.may_retry() {
        // An error means that it was validated meanwhile, which cannot be.
        let _ = incoming.retry();
        return;
    }
    let Ok(seat) = relay.0.seat(address, Transport::Quic) else {
        incoming.refuse();
        return;
    };
    let inner = Arc::clone(&relay.0);
    let relay = relay.clone();
    inner.spawn(async move {
        let patience = relay.0.config.hello_timeout;
        let Some(place) = relay.0.handshake(address, Instant::now() + patience).await else {
            incoming.refuse();
            return;
        };
        let deadline = Instant::now() + patience;
        let connecting = match incoming.accept() {
            Ok(connecting) => connecting,
            Err(error) => {
                relay.0.metrics.refused(Transport::Quic, Refusal::Handshake);
                return debug!(%error, "handshake refused");
            }
        };
        match timeout_at(deadline, connecting).await {
            Ok(Ok(connection)) => {
                drop(place);
                return begin(&relay.0, connection, seat, deadline).await;
            }
            Ok(Err(error)) => {
                debug!(%error, "handshake failed");
                relay.0.metrics.refused(Transport::Quic, Refusal::Handshake);
            }
            Err(_) => {
                debug!("handshake takes too long");
                relay.0.metrics.refused(Transport::Quic, Refusal::Timeout);
            }
        }
        drop(seat);
        // The memory is not free before, and others must not take it twice.
        tokio::select! {
            () = sleep(CLOSING) => {}
            () = relay.draining() => {}
        }
        drop(place);
    });
}

impl Relay {
    /// Serves one connection whose ALPN is [`ALPN`] or `h3`, in a task of the relay.
    pub fn serve_quic(&self, connection: quinn::Connection) {
        match self
            .0
            .seat(connection.remote_address().ip(), Transport::Quic)
        {
            Ok(seat) => {
                let inner = Arc::clone(&self.0);
                let deadline = Instant::now() + self.0.config.hello_timeout;
                self.0
                    .spawn(async move { begin(&inner, connection, seat, deadline).await });
            }
            Err(reason) => close(&connection, reason),
        }
    }
}

async fn begin(
    relay: &Arc<crate::relay::Inner>,
    connection: quinn::Connection,
    seat: (crate::seat::Seat, crate::seat::Pending),
    deadline: Instant,
) {
    let Ok(stream) = timeout_at(deadline, stream(relay, &connection)).await else {
        relay.metrics.hung_up(CloseReason::HelloTimeout);
        relay.metrics.refused(Transport::Quic, Refusal::Timeout);
        return close(&connection, CloseReason::HelloTimeout);
    };
    let (session, stream) = match stream {
        Ok(it) => it,
        Err(error) => {
            if let Some((transport, why)) = error.counted() {
                relay.metrics.refused(transport, why);
            }
            return debug!(%error, "no leg");
        }
    };
    let max_frame = relay.config.limits.frame_bytes;
    let quic = Quic::new(connection, session, stream, max_frame);
    relay
        .welcome(Wire::Quic(Box::new(quic)), seat, deadline)
        .await;
}

/// The stream of the leg, and the session that it is in if the client speaks WebTransport.
async fn stream(
    relay: &crate::relay::Inner,
    connection: &quinn::Connection,
) -> Result<(Option<Session>, (SendStream, RecvStream)), NoSession> {
    let shaken: Option<Box<HandshakeData>> = connection
        .handshake_data()
        .and_then(|data| data.downcast().ok());
    let protocol = shaken.and_then(|data| data.protocol);
    if protocol.as_deref() != Some(webtransport::ALPN) {
        return Ok((None, connection.accept_bi().await?));
    }
    let (session, stream) = webtransport::accept(relay, connection).await?;
    Ok((Some(session), stream))
}

/// A server configuration with ALPN [`ALPN`] and that of WebTransport, and bounded windows, for this
/// certificate chain.
///
/// # Errors
/// [`BadCertificate`] if the key does not fit the certificate or cannot be used.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<quinn::ServerConfig, BadCertificate> {
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(chain, key, &provider)?;
    server_config_with(Arc::new(SingleCertAndKey::from(certified)))
}

/// The same for a certificate that may be replaced at any time: `certificates` is asked in each handshake.
///
/// # Errors
/// [`BadCertificate::Cipher`] if the TLS provider cannot do QUIC.
pub fn server_config_with(
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<quinn::ServerConfig, BadCertificate> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    tls.alpn_protocols = vec![ALPN.to_vec(), webtransport::ALPN.to_vec()];
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport_config()));
    config
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(64 * 1024)
        .incoming_buffer_size_total(4 * 1024 * 1024);
    Ok(config)
}

/// The transport parameters of a leg: what one connection may cost. The relay widens its windows while the
/// leg is in use and there is memory.
#[must_use]
pub fn transport_config() -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .keep_alive_interval(Some(Duration::from_secs(15)))
        .max_idle_timeout(Some(VarInt::from_u32(30_000).into()))
        // A leg has one; with WebTransport its session has another, and HTTP/3 some of its own.
        .max_concurrent_bidi_streams(VarInt::from_u32(2))
        .max_concurrent_uni_streams(VarInt::from_u32(webtransport::STREAMS))
        .stream_receive_window(VarInt::from_u32(WIDE))
        .receive_window(VarInt::from_u32(NARROW))
        .send_window(NARROW.into())
        .datagram_receive_buffer_size(Some(64 * 1024))
        .datagram_send_buffer_size(64 * 1024);
    transport
}

/// A certificate that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// The key does not fit the certificate, or one of them is malformed.
    #[error("the certificate and its key cannot be used together: {0}")]
    Tls(#[from] rustls::Error),
    /// The provider lacks the cipher that QUIC begins with.
    #[error("the TLS provider cannot do QUIC: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
}

/// How long `quinn` remembers a connection whose handshake has failed: three probe time-outs (RFC 9000,
/// section 10.2), of one second each while the round trip is not known.
const CLOSING: Duration = Duration::from_secs(3);

/// Connections whose first packet waits to be looked at.
const MAX_INCOMING: usize = 1024;
