//! A leg over QUIC: length-prefixed frames on one stream, datagram frames as QUIC datagrams.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use peersox_core::close::CloseReason;
use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1::RelayEndpoint;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, SendDatagramError, TransportConfig, VarInt};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use url::{Host, Url};

use super::{End, Leg, MAX_FRAME_BYTES};
use crate::platform::native::eyeballs;
use crate::platform::native::tls::{self, Trust};

pub(crate) struct Source {
    frames: FramedRead<quinn::RecvStream, LengthDelimitedCodec>,
    connection: quinn::Connection,
    /// The connection has ended; the stream may still hold frames.
    is_over: bool,
    /// Dropping the endpoint would abandon the connection.
    _endpoint: quinn::Endpoint,
}

pub(crate) struct Sink {
    stream: quinn::SendStream,
    connection: quinn::Connection,
    endpoint: quinn::Endpoint,
    /// See [`leg`].
    queue: Option<u64>,
    /// What may wait at present, where it follows the path.
    window: u64,
}

pub(super) async fn connect(endpoint: &RelayEndpoint, trust: &Trust) -> Result<Leg, End> {
    let lost = |why: String| End::Lost(format!("QUIC to {}: {why}", endpoint.url));
    let (name, addresses) = resolve(&endpoint.url).await.map_err(lost)?;
    let config = config(endpoint, trust).map_err(lost)?;

    let connected = eyeballs::race(addresses, |address| {
        handshake(address, &name, config.clone())
    });
    let failure = |why: Option<String>| why.unwrap_or_else(|| "the name has no address".into());
    connected.await.map_err(|why| lost(failure(why)))
}

async fn handshake(
    address: SocketAddr,
    name: &str,
    config: quinn::ClientConfig,
) -> Result<Leg, String> {
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = quinn::Endpoint::client(local).map_err(|error| error.to_string())?;
    let connecting = socket
        .connect_with(config, address, name)
        .map_err(|error| error.to_string())?;
    let connection = connecting.await.map_err(|error| error.to_string())?;
    let streams = connection.open_bi().await;
    let streams = streams.map_err(|error| error.to_string())?;
    Ok(leg(socket, connection, streams, None))
}

/// Frames on this stream, and as datagrams of its connection. With `queue` what waits to be sent follows the
/// path, and is at least so many bytes; else it is as much as a stream may hold.
pub(crate) fn leg(
    endpoint: quinn::Endpoint,
    connection: quinn::Connection,
    (stream, receive): (quinn::SendStream, quinn::RecvStream),
    queue: Option<u64>,
) -> Leg {
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME_BYTES)
        .new_codec();
    Leg {
        source: super::Source::Quic(Box::new(Source {
            frames: FramedRead::new(receive, codec),
            connection: connection.clone(),
            is_over: false,
            _endpoint: endpoint.clone(),
        })),
        sink: super::Sink::Quic(Sink {
            stream,
            connection,
            endpoint,
            queue,
            window: 0,
        }),
    }
}

impl Source {
    pub(super) async fn next(&mut self) -> Result<Bytes, End> {
        loop {
            tokio::select! {
                frame = self.frames.next() => return match frame {
                    Some(Ok(bytes)) => Ok(bytes.freeze()),
                    Some(Err(error)) => Err(self.end(&error.to_string()).await),
                    None => Err(self.end("the stream ended").await),
                },
                datagram = self.connection.read_datagram(), if !self.is_over => match datagram {
                    Ok(bytes) => return Ok(bytes),
                    // The last words may still wait in the stream, which gives them and then this end.
                    Err(_) => self.is_over = true,
                },
            }
        }
    }

    pub(super) fn measured(&self) -> (Duration, u16) {
        let path = self.connection.stats().path;
        (path.rtt, path.current_mtu)
    }

    /// The reason the connection gives, which the stream's error hides. It follows the end of the
    /// stream at once, if it comes at all.
    async fn end(&self, otherwise: &str) -> End {
        match tokio::time::timeout(Duration::from_millis(100), self.connection.closed()).await {
            Ok(error) => end(&error),
            Err(_) => End::Lost(otherwise.to_owned()),
        }
    }
}

impl Sink {
    pub(super) async fn feed(&mut self, frame: Frame) -> Result<(), End> {
        let (lane, bytes) = (frame.lane(), frame.into_bytes());
        if lane != Lane::Datagram {
            return self.feed_stream(bytes).await;
        }
        match self.connection.send_datagram(bytes.clone()) {
            // A datagram that does not fit the path's MTU is late, not worth the stream.
            Ok(()) | Err(SendDatagramError::TooLarge) => Ok(()),
            Err(SendDatagramError::Disabled | SendDatagramError::UnsupportedByPeer) => {
                self.feed_stream(bytes).await
            }
            Err(SendDatagramError::ConnectionLost(error)) => Err(end(&error)),
        }
    }

    async fn feed_stream(&mut self, bytes: Bytes) -> Result<(), End> {
        if let Some(least) = self.queue {
            let flight = self.connection.stats().path.cwnd;
            let window = flight.saturating_mul(2).max(least);
            // Setting it wakes the connection.
            if std::mem::replace(&mut self.window, window) != window {
                self.connection.set_send_window(window);
            }
        }
        let length = u32::try_from(bytes.len()).map_err(|_| End::Lost("frame too long".into()))?;
        let mut pieces =
            VecDeque::from([BytesMut::from(&length.to_be_bytes()[..]).freeze(), bytes]);
        let written = self.stream.write_all_chunks(pieces.make_contiguous()).await;
        written.map_err(|error| match self.connection.close_reason() {
            Some(reason) => end(&reason),
            None => End::Lost(error.to_string()),
        })
    }

    pub(super) async fn hang_up(mut self, reason: CloseReason) {
        // Frames still under way must arrive before the connection is torn down.
        let _ = self.stream.finish();
        let _ = tokio::time::timeout(FAREWELL, self.stream.stopped()).await;
        self.connection.close(
            VarInt::from_u32(reason.number().into()),
            reason.text().as_bytes(),
        );
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }
}

/// The certificate digests of an endpoint; a digest of the wrong length can match nothing.
pub(super) fn hashes(endpoint: &RelayEndpoint) -> Vec<[u8; 32]> {
    endpoint
        .certificate_hashes
        .iter()
        .filter_map(|hash| hash.as_ref().try_into().ok())
        .collect()
}

fn config(endpoint: &RelayEndpoint, trust: &Trust) -> Result<quinn::ClientConfig, String> {
    let mut tls = match hashes(endpoint) {
        none if none.is_empty() && endpoint.certificate_hashes.is_empty() => trust.config(),
        hashes => tls::pinned(hashes),
    };
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| error.to_string())?;
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MILLIS).into()))
        .datagram_receive_buffer_size(Some(64 * 1024))
        .max_concurrent_bidi_streams(0u8.into())
        .max_concurrent_uni_streams(0u8.into());
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// The name to verify and the addresses to try.
async fn resolve(url: &str) -> Result<(String, Vec<SocketAddr>), String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    let port = parsed.port().ok_or("the endpoint has no port")?;
    let name = match parsed.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err("the endpoint has no host".into()),
    };
    let found = tokio::net::lookup_host((name.as_str(), port)).await;
    let addresses = found.map_err(|error| error.to_string())?.collect();
    Ok((name, addresses))
}

fn end(error: &ConnectionError) -> End {
    if let ConnectionError::ApplicationClosed(close) = error
        && let Ok(number) = u16::try_from(close.error_code.into_inner())
    {
        return End::Closed(number);
    }
    End::Lost(format!("the QUIC connection ended: {error}"))
}

const ALPN: &[u8] = b"peersox.v1";

/// Often enough to notice a dead path within [`IDLE_MILLIS`], seldom enough for a battery.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// A path that swallows everything is left after this time, for another transport if need be.
const IDLE_MILLIS: u32 = 12_000;

/// For how long a farewell may wait for the network.
const FAREWELL: Duration = Duration::from_secs(2);
