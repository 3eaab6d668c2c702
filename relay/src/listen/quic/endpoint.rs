//! The UDP socket, whether it answers STUN, and what a restarted server says to peers of its predecessor.
//!
//! ```text
//! peer ── packet for connection C ──► server that does not know C
//!      ◄── stateless reset: a token that only HMAC(key, C) gives ──
//! ```
//!
//! The peer was told the token when the connection began. If it is right, the connection is over at
//! once (RFC 9000, section 10.3) instead of after the idle timeout, and the peer attaches again.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, Runtime as _};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;

use crate::listen::stun;

/// What has to be the same before and after a restart. Secret: whoever knows it can end connections.
#[derive(Clone)]
pub struct Keys {
    /// Gives the token of each connection.
    pub reset: [u8; 32],
    /// Marks connection ids as ours: others are not answered, be it with a reset.
    pub connection_ids: u64,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(redacted)")
    }
}

/// Listens on a UDP port. To be called within a tokio runtime, which the endpoint runs on.
///
/// # Errors
/// What the system says if the port cannot be used.
pub fn bind(
    config: quinn::ServerConfig,
    keys: &Keys,
    address: SocketAddr,
) -> std::io::Result<quinn::Endpoint> {
    on_socket(config, keys, UdpSocket::bind(address)?, None)
}

/// Listens on a socket that is bound and does not block, as [`bind`]. Datagrams of STUN are for `stun`, if
/// there is one.
///
/// # Errors
/// What the system says if the socket cannot be used.
pub fn on_socket(
    config: quinn::ServerConfig,
    keys: &Keys,
    socket: UdpSocket,
    stun: Option<stun::Server>,
) -> std::io::Result<quinn::Endpoint> {
    let runtime = Arc::new(quinn::TokioRuntime);
    let mut socket = runtime.wrap_udp_socket(socket)?;
    if let Some(server) = stun {
        socket = Arc::new(stun::Socket::new(socket, server));
    }
    let config = Some(config);
    quinn::Endpoint::new_with_abstract_socket(endpoint_config(keys), config, socket, runtime)
}

fn endpoint_config(keys: &Keys) -> EndpointConfig {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &keys.reset);
    let connection_ids = keys.connection_ids;
    let mut config = EndpointConfig::new(Arc::new(key));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(connection_ids)))
        .min_reset_interval(RESET_INTERVAL)
        // Peers must not be told that the fixed bit may be cleared: it tells QUIC from STUN (RFC 9443).
        .grease_quic_bit(false);
    config
}

/// Bounds what packets that only look like ours can cause: each reset is shorter than the packet it
/// answers. A thousand in a second tell all legs of a full relay within seconds of its return.
const RESET_INTERVAL: Duration = Duration::from_millis(1);
