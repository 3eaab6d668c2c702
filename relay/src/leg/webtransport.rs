//! What WebTransport over HTTP/3 (draft-ietf-webtrans-http3-07) adds to a leg over QUIC: a session that ends
//! by a capsule (RFC 9297), and its number before each datagram.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use peersox_core::close::CloseReason;
use quinn::{RecvStream, SendStream, VarInt};
use tokio::time::timeout;
use tokio_util::sync::ReusableBoxFuture;
use web_transport_proto::{Capsule, Http3CapsuleReader};

use super::Ending;

/// One session, and what has to live as long as it does.
pub(crate) struct Session {
    /// What stands before each datagram: a quarter of the session's number (RFC 9297, section 2.1).
    prefix: Bytes,
    /// Where the session was asked for; its end is told there.
    connect: SendStream,
    ended: ReusableBoxFuture<'static, Ending>,
    end: Option<Ending>,
    /// HTTP/3 ends with the connection if one of these does (RFC 9114, section 6.2.1).
    _critical: (SendStream, Vec<RecvStream>),
}

impl Session {
    /// The session that was asked for on `connect`. `critical` are the control streams, ours and the peer's.
    pub(crate) fn new(
        connect: (SendStream, RecvStream),
        critical: (SendStream, Vec<RecvStream>),
    ) -> Self {
        let (connect, capsules) = connect;
        let mut prefix = BytesMut::new();
        number(&connect, 4).encode(&mut prefix);
        Self {
            prefix: prefix.freeze(),
            connect,
            ended: ReusableBoxFuture::new(ended(capsules)),
            end: None,
            _critical: critical,
        }
    }

    /// The number of the session.
    pub(crate) fn id(&self) -> u64 {
        number(&self.connect, 1).into_inner()
    }

    /// How the peer ended the session, if it did.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Option<Ending> {
        if self.end.is_none()
            && let Poll::Ready(end) = self.ended.poll(cx)
        {
            self.end = Some(end);
        }
        self.end
    }

    /// The same, as far as it is known.
    pub(crate) fn end(&self) -> Option<Ending> {
        self.end
    }

    /// How much of a datagram is not its frame, in bytes.
    pub(crate) fn overhead(&self) -> usize {
        self.prefix.len()
    }

    /// A frame as a datagram of this session.
    pub(crate) fn wrap(&self, frame: &[u8]) -> Bytes {
        let mut datagram = BytesMut::with_capacity(self.prefix.len() + frame.len());
        datagram.put_slice(&self.prefix);
        datagram.put_slice(frame);
        datagram.freeze()
    }

    /// The frame in a datagram; none if it is of no session of ours.
    pub(crate) fn unwrap(&self, mut datagram: Bytes) -> Option<Bytes> {
        if !datagram.starts_with(&self.prefix) {
            return None;
        }
        Some(datagram.split_off(self.prefix.len()))
    }

    /// Tells the peer that the session is over and why, and waits until it knows, but not for long: who is
    /// gone never knows.
    pub(crate) async fn close(&mut self, reason: CloseReason) {
        let mut capsule = BytesMut::new();
        Capsule::CloseWebTransportSession {
            code: reason.number().into(),
            reason: reason.text().to_owned(),
        }
        .encode(&mut capsule);
        // Capsules travel in DATA frames of HTTP/3.
        let mut data = BytesMut::new();
        web_transport_proto::Frame::DATA.encode(&mut data);
        varint(capsule.len() as u64).encode(&mut data);
        data.put_slice(&capsule);
        if self.connect.write_all(&data).await.is_ok() && self.connect.finish().is_ok() {
            let _ = timeout(PATIENCE, self.connect.stopped()).await;
        }
    }
}

/// Waits for the capsule that ends the session. What the peer says besides is not for us.
async fn ended(capsules: RecvStream) -> Ending {
    let mut capsules = Http3CapsuleReader::new(capsules);
    loop {
        match capsules.read().await {
            Ok(Some(Capsule::CloseWebTransportSession { code, .. })) => {
                return Ending::of_peer(code.into());
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Ending::Gone,
        }
    }
}

/// The number of a stream, divided.
fn number(stream: &SendStream, by: u64) -> web_transport_proto::VarInt {
    varint(VarInt::from(stream.id()).into_inner() / by)
}

/// Numbers of streams and lengths of capsules are never too large for one.
fn varint(number: u64) -> web_transport_proto::VarInt {
    web_transport_proto::VarInt::from_u64(number).unwrap_or(web_transport_proto::VarInt::MAX)
}

/// How long a peer has to acknowledge the end of its session.
const PATIENCE: Duration = Duration::from_secs(3);

/// With what HTTP/3 closes a connection where nothing is wrong: H3_NO_ERROR (RFC 9114, section 8.1).
pub(crate) const NO_ERROR: VarInt = VarInt::from_u32(0x100);
