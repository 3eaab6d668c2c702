//! QUIC on the pair of addresses that ICE has picked.
//!
//! ```text
//! the side that offered ─► handshake, each shows its certificate ─► one stream, length-prefixed frames
//! ```
//!
//! Each side accepts the certificate whose digest came sealed, and no other: whoever sits in between, or at
//! one of the addresses, gets no connection. Frames and datagrams are those of a leg to the relay.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::{Certificate, NAME};
use super::socket::{PEER, Sockets};
use crate::platform::native::leg::{Leg, quic};
use crate::platform::native::tls;

/// One side, before it is connected.
pub(super) struct Quic {
    endpoint: quinn::Endpoint,
    certificate: Certificate,
}

impl Quic {
    /// Begins to read the sockets, and makes a certificate that lives as long as this.
    ///
    /// # Errors
    /// What the system or the certificate's maker says.
    pub(super) fn new(sockets: Arc<Sockets>) -> Result<Self, String> {
        let mut config = EndpointConfig::default();
        // Otherwise the first byte would not tell QUIC from STUN (RFC 9287, section 3).
        config.grease_quic_bit(false);
        let runtime = Arc::new(TokioRuntime);
        let endpoint = quinn::Endpoint::new_with_abstract_socket(config, None, sockets, runtime);
        Ok(Self {
            endpoint: endpoint.map_err(|error| error.to_string())?,
            certificate: Certificate::make()?,
        })
    }

    /// SHA-256 of the certificate.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        self.certificate.fingerprint()
    }

    /// Connects to the side with this certificate, once ICE has picked a pair.
    pub(super) fn call(
        &self,
        theirs: [u8; 32],
    ) -> impl Future<Output = Result<Leg, String>> + use<> {
        let config = self.client(theirs);
        let endpoint = self.endpoint.clone();
        async move {
            let connecting = endpoint
                .connect_with(config?, PEER, NAME)
                .map_err(|error| error.to_string())?;
            let connection = connecting.await.map_err(|error| error.to_string())?;
            let streams = connection.open_bi().await;
            let streams = streams.map_err(|error| error.to_string())?;
            Ok(quic::leg(endpoint, connection, streams, Some(QUEUE)))
        }
    }

    /// Waits for the side with this certificate. Anybody else is refused.
    pub(super) fn answer(
        &self,
        theirs: [u8; 32],
    ) -> impl Future<Output = Result<Leg, String>> + use<> {
        let config = self.server(theirs);
        let endpoint = self.endpoint.clone();
        if let Ok(config) = &config {
            endpoint.set_server_config(Some(config.clone()));
        }
        async move {
            config?;
            while let Some(incoming) = endpoint.accept().await {
                let connection = match tokio::time::timeout(HANDSHAKE, incoming).await {
                    Ok(Ok(connection)) => connection,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "somebody was refused on a direct path");
                        continue;
                    }
                    Err(_) => continue,
                };
                // Nobody else is expected.
                endpoint.set_server_config(None);
                let streams = connection.accept_bi().await;
                let streams = streams.map_err(|error| error.to_string())?;
                return Ok(quic::leg(endpoint, connection, streams, Some(QUEUE)));
            }
            Err("the sockets are gone".to_owned())
        }
    }

    fn client(&self, theirs: [u8; 32]) -> Result<quinn::ClientConfig, String> {
        let mut tls = tls::caller(self.shown(), theirs).map_err(|error| error.to_string())?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = QuicClientConfig::try_from(tls).map_err(|error| error.to_string())?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport()));
        Ok(config)
    }

    fn server(&self, theirs: [u8; 32]) -> Result<quinn::ServerConfig, String> {
        let mut tls = tls::callee(self.shown(), theirs).map_err(|error| error.to_string())?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = QuicServerConfig::try_from(tls).map_err(|error| error.to_string())?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(Arc::new(transport()));
        Ok(config)
    }

    fn shown(&self) -> tls::Shown {
        let Certificate { der, key } = &self.certificate;
        let key = PrivatePkcs8KeyDer::from(key.clone());
        (der.clone(), PrivateKeyDer::from(key))
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MILLIS).into()))
        .stream_receive_window(WINDOW)
        .receive_window(WINDOW)
        .send_window(QUEUE)
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(DATAGRAMS)
        .max_concurrent_bidi_streams(1u8.into())
        .max_concurrent_uni_streams(0u8.into());
    transport
}

/// See docs/protocol.md.
const ALPN: &[u8] = b"peersox.direct.v1";

/// A path that is silent is given up, or mended by ICE, long before: the connection has to live through that.
const IDLE_MILLIS: u32 = 60_000;

/// A handshake that takes longer is no obstacle to the next one: whoever forges an address may begin one.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Older datagrams are not worth sending, in bytes.
const DATAGRAMS: usize = 64 * 1024;

/// What may be under way: 200 ms at 300 Mbit/s.
const WINDOW: VarInt = VarInt::from_u32(8 << 20);

/// What waits to be sent, at least, in bytes. A probe waits behind it, and three seconds without an answer
/// end the path: at 1 Mbit/s this is two of them.
const QUEUE: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use peersox_core::frame::Frame;

    use super::*;

    fn pair() -> [Quic; 2] {
        Sockets::pair().map(|it| Quic::new(it).unwrap())
    }

    async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_secs(20), future)
            .await
            .ok()
    }

    fn frame(text: &'static str) -> Frame {
        let mut bytes = vec![1];
        bytes.extend(text.as_bytes());
        Frame::parse(Bytes::from(bytes)).unwrap()
    }

    #[tokio::test]
    async fn two_sides_that_know_each_other_exchange_frames() {
        let [caller, callee] = pair();
        let answering = callee.answer(caller.fingerprint());
        let calling = async {
            let mut leg = caller.call(callee.fingerprint()).await.unwrap();
            leg.sink.feed(frame("hello")).await.unwrap();
            leg
        };
        let (mut called, answered) = soon(async { tokio::join!(calling, answering) })
            .await
            .unwrap();
        let mut answered = answered.unwrap();
        let heard = soon(answered.source.next()).await.unwrap().unwrap();
        assert_eq!(&heard[1..], b"hello");
        answered.sink.feed(frame("you, too")).await.unwrap();
        let heard = soon(called.source.next()).await.unwrap().unwrap();
        assert_eq!(&heard[1..], b"you, too");
    }

    #[tokio::test]
    async fn whoever_shows_another_certificate_is_refused() {
        for the_caller_lies in [false, true] {
            let [caller, callee] = pair();
            let [mut theirs, mut ours] = [callee.fingerprint(), caller.fingerprint()];
            match the_caller_lies {
                true => ours[31] ^= 1,
                false => theirs[31] ^= 1,
            }
            let answering = callee.answer(ours);
            let calling = async {
                // A caller may think that it is connected before it hears that it is not.
                let mut leg = caller.call(theirs).await?;
                let sent = leg.sink.feed(frame("secret")).await;
                sent.map_err(|end| end.to_string())?;
                let heard = leg.source.next().await;
                heard.map(|_| ()).map_err(|end| end.to_string())
            };
            tokio::select! {
                _ = answering => panic!("somebody else was let in"),
                called = soon(calling) => assert!(called.unwrap().is_err()),
            }
        }
    }
}
