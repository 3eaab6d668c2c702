//! Sessions of WebTransport over HTTP/3 (draft-ietf-webtrans-http3-07) on the port of QUIC.
//!
//! ```text
//!   ALPN h3 ──► SETTINGS, both ways ──► CONNECT /v1/relay, with an Origin ──► 200 ──► the leg's stream
//! ```
//!
//! A connection carries one session, and a session one leg: whatever else a client asks HTTP/3 for is not
//! here.

use http::StatusCode;
use http::header::ORIGIN;
use quinn::{ConnectionError, RecvStream, SendStream};
use tracing::debug;
use web_transport_proto::{ConnectRequest, ConnectResponse, Frame, Settings, VarInt};

use crate::leg::webtransport::Session;
use crate::metrics::{Refusal, Transport};
use crate::relay::Inner;

/// The ALPN of HTTP/3 (RFC 9114, section 3.1).
pub(crate) const ALPN: &[u8] = b"h3";

/// Where a session is asked for.
const PATH: &str = "/v1/relay";

/// Uni-directional streams that a client may open: its control stream, and two of QPACK (RFC 9114,
/// section 6.2).
pub(crate) const STREAMS: u32 = 3;

/// Takes the session that the client asks for, and the stream that it opens for its leg.
pub(crate) async fn accept(
    relay: &Inner,
    connection: &quinn::Connection,
) -> Result<(Session, (SendStream, RecvStream)), NoSession> {
    let mut control = connection.open_uni().await?;
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    settings.write(&mut control).await.map_err(no_http3)?;
    let theirs = control_stream(connection).await?;

    let (mut send, mut recv) = connection.accept_bi().await?;
    let request = ConnectRequest::read(&mut recv).await.map_err(no_http3)?;
    if let Some(status) = refusal(relay, &request) {
        let why = match status {
            StatusCode::FORBIDDEN => Refusal::Origin,
            _ => Refusal::Malformed,
        };
        relay.metrics.refused(Transport::WebTransport, why);
        let refused = ConnectResponse::new(status).write(&mut send).await;
        if refused.is_ok() && send.finish().is_ok() {
            let _ = send.stopped().await;
        }
        return Err(NoSession::Refused(status));
    }
    let answered = ConnectResponse::OK.write(&mut send).await;
    answered.map_err(no_http3)?;

    let session = Session::new((send, recv), (control, theirs));
    let (send, mut recv) = connection.accept_bi().await?;
    let mut next = async || VarInt::read(&mut recv).await.map_err(no_http3);
    if (Frame(next().await?), next().await?.into_inner()) != (Frame::WEBTRANSPORT, session.id()) {
        return Err(NoSession::NoHttp3("a stream is of no session".to_owned()));
    }
    Ok((session, (send, recv)))
}

/// Waits for the client's control stream; gives all streams that came until then, which have to be kept.
async fn control_stream(connection: &quinn::Connection) -> Result<Vec<RecvStream>, NoSession> {
    let mut streams = Vec::new();
    let mut why = None;
    for _ in 0..STREAMS {
        let mut stream = connection.accept_uni().await?;
        let settings = Settings::read(&mut stream).await;
        streams.push(stream);
        match settings {
            Ok(settings) if settings.supports_webtransport() > 0 => return Ok(streams),
            Ok(_) => why = Some("the client does not speak WebTransport".to_owned()),
            // The streams of QPACK may come first.
            Err(error) => why = why.or(Some(error.to_string())),
        }
    }
    Err(NoSession::NoHttp3(why.unwrap_or_default()))
}

/// With what a request is refused, if it is.
fn refusal(relay: &Inner, request: &ConnectRequest) -> Option<StatusCode> {
    if request.url.path() != PATH {
        return Some(StatusCode::NOT_FOUND);
    }
    let own = request.url.authority().parse().ok();
    let permitted = relay.admits_page(request.headers.get_all(ORIGIN), own.as_ref());
    (!permitted).then_some(StatusCode::FORBIDDEN)
}

impl NoSession {
    /// How it is still to be counted: what carries the connection, and why it carries no leg.
    pub(crate) fn counted(&self) -> Option<(Transport, Refusal)> {
        match self {
            Self::Lost(_) => Some((Transport::Quic, Refusal::Gone)),
            Self::NoHttp3(_) => Some((Transport::WebTransport, Refusal::Handshake)),
            Self::Refused(_) => None,
        }
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSession {
    #[error(transparent)]
    Lost(#[from] ConnectionError),
    #[error("no WebTransport: {0}")]
    NoHttp3(String),
    #[error("the request was refused: {0}")]
    Refused(StatusCode),
}

fn no_http3(error: impl std::fmt::Display) -> NoSession {
    debug!(%error, "not a client of WebTransport");
    NoSession::NoHttp3(error.to_string())
}
