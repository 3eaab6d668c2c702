//! Streams of QUIC, spliced: chunks go from one to the other without a copy.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, ServerConfig};

use super::{MET, TOKEN_BYTES, ready, tls_config};

type Half = (Connection, SendStream, RecvStream);
type Waiting = Arc<Mutex<HashMap<[u8; TOKEN_BYTES], Half>>>;

/// The application protocol of the reference.
pub(crate) const ALPN: &[u8] = b"reference";

/// Relays for ever.
pub(super) async fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let crypto = QuicServerConfig::try_from(tls_config(ALPN)?)?;
    let endpoint = Endpoint::server(ServerConfig::with_crypto(Arc::new(crypto)), listen)?;
    ready(endpoint.local_addr())?;
    let waiting = Waiting::default();
    while let Some(incoming) = endpoint.accept().await {
        let waiting = waiting.clone();
        // A connection that fails concerns its two peers only.
        tokio::spawn(async move { connection(incoming, waiting).await.ok() });
    }
    Ok(())
}

async fn connection(incoming: Incoming, waiting: Waiting) -> anyhow::Result<()> {
    let connection = incoming.await?;
    let (mut to_one, mut from_one) = connection.accept_bi().await?;
    let mut token = [0; TOKEN_BYTES];
    from_one.read_exact(&mut token).await?;
    let (two, mut to_two, from_two) = {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(peer) = waiting.remove(&token) else {
            waiting.insert(token, (connection, to_one, from_one));
            return Ok(());
        };
        peer
    };
    to_one.write_all(&[MET]).await?;
    to_two.write_all(&[MET]).await?;
    tokio::spawn(async move { pass(from_one, to_two).await.ok() });
    let passed = pass(from_two, to_one).await;
    // A connection ends with its last handle.
    drop((connection, two));
    passed
}

async fn pass(mut from: RecvStream, mut to: SendStream) -> anyhow::Result<()> {
    let mut chunks: [Bytes; 32] = Default::default();
    while let Some(count) = from.read_chunks(&mut chunks).await? {
        to.write_all_chunks(&mut chunks[..count]).await?;
    }
    to.finish()?;
    Ok(())
}
