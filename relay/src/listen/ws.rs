//! WebSocket requests: HTTP/1.1 upgrades (RFC 6455) and HTTP/2 extended CONNECT (RFC 8441).

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::ext::Protocol;
use peersox_core::origin::Authority;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use crate::leg::Wire;
use crate::leg::ws::{SUBPROTOCOL, Ws};
use crate::metrics::{self, Transport};
use crate::relay::Relay;

/// Why a request does not become a leg. Its text is for the person who wrote the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error(
        "this is a WebSocket endpoint; send an upgrade request (RFC 6455 or RFC 8441); a proxy in \
         between has to pass on the headers Upgrade and Connection"
    )]
    NotAnUpgrade,
    #[error(
        "the proxy in between speaks HTTP/1.0 to this server, which carries no WebSocket; it has to speak \
         HTTP/1.1 and to pass on the headers Upgrade and Connection"
    )]
    Http10,
    #[error("only WebSocket version 13 is spoken here")]
    Version,
    #[error("the header Sec-WebSocket-Key is missing")]
    NoKey,
    #[error("offer the subprotocol peersox.v1 in Sec-WebSocket-Protocol")]
    NoSubprotocol,
    #[error(
        "pages of this origin may not connect here; the operator lists origins with --allow-origin"
    )]
    Origin,
    #[error("the relay has no room for another leg; come back later")]
    Full,
}

/// A request that may become a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted<'a> {
    /// Over HTTP/1.1, with the key to answer.
    Http1(&'a HeaderValue),
    Http2,
}

impl Relay {
    /// Answers a WebSocket request; the leg then lives in tasks of the relay.
    ///
    /// `remote` is the peer's address, for limits. The body is not read. The server must allow
    /// upgrades and, for HTTP/2, the extended CONNECT protocol. Route every method here: HTTP/2
    /// uses CONNECT. A request that is no good is answered with a status and one sentence.
    pub fn attach_websocket<B>(
        &self,
        mut request: Request<B>,
        remote: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let deadline = Instant::now() + self.0.config.hello_timeout;
        let version = request.version();
        let response = match self.judge(&request) {
            Ok(accepted) => accept(accepted),
            Err(refusal) => {
                let why = match refusal {
                    Refusal::Origin => metrics::Refusal::Origin,
                    _ => metrics::Refusal::Malformed,
                };
                self.0.metrics.refused(Transport::WebSocket, why);
                debug!(%refusal, "WebSocket request refused");
                return refuse(refusal);
            }
        };
        // A stream of HTTP/2 has a window; an upgraded socket of HTTP/1.1 has none.
        let window = match version {
            Version::HTTP_2 => HTTP2_WINDOW as usize,
            _ => 0,
        };
        let Ok((mut seat, pending)) = self.0.seat(remote.ip(), Transport::WebSocket) else {
            return refuse(Refusal::Full);
        };
        seat.keep(request.extensions_mut().remove());
        let upgrade = hyper::upgrade::on(&mut request);
        let relay = Arc::clone(&self.0);
        self.0.spawn(async move {
            match timeout_at(deadline, upgrade).await {
                Ok(Ok(upgraded)) => {
                    let ws = Ws::new(upgraded, relay.config.limits.frame_bytes, window);
                    let seat = (seat, pending);
                    relay.welcome(Wire::Ws(Box::new(ws)), seat, deadline).await;
                }
                Ok(Err(error)) => {
                    debug!(%error, "upgrade failed");
                    let why = metrics::Refusal::Handshake;
                    relay.metrics.refused(Transport::WebSocket, why);
                }
                Err(_) => {
                    debug!("upgrade took too long");
                    let why = metrics::Refusal::Timeout;
                    relay.metrics.refused(Transport::WebSocket, why);
                }
            }
        });
        response
    }

    fn judge<'a, B>(&self, request: &'a Request<B>) -> Result<Accepted<'a>, Refusal> {
        let headers = request.headers();
        let accepted = if request.version() == Version::HTTP_2 {
            let protocol = request.extensions().get::<Protocol>();
            let is_websocket = protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
            if request.method() != Method::CONNECT || !is_websocket {
                return Err(Refusal::NotAnUpgrade);
            }
            Accepted::Http2
        } else {
            let is_upgrade = request.method() == Method::GET
                && lists(headers, &CONNECTION, "upgrade")
                && lists(headers, &UPGRADE, "websocket");
            if request.version() == Version::HTTP_10 {
                return Err(Refusal::Http10);
            }
            if !is_upgrade {
                return Err(Refusal::NotAnUpgrade);
            }
            Accepted::Http1(headers.get(SEC_WEBSOCKET_KEY).ok_or(Refusal::NoKey)?)
        };
        if !lists(headers, &SEC_WEBSOCKET_VERSION, "13") {
            return Err(Refusal::Version);
        }
        if !lists(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
            return Err(Refusal::NoSubprotocol);
        }
        let own = authority(request);
        if !self.0.admits_page(headers.get_all(ORIGIN), own.as_ref()) {
            return Err(Refusal::Origin);
        }
        Ok(accepted)
    }
}

/// What this request calls the server: `:authority` of HTTP/2, or `Host`.
pub(super) fn authority<B>(request: &Request<B>) -> Option<Authority> {
    let asked = request.uri().authority().map(|asked| asked.as_str());
    let host = || request.headers().get(HOST)?.to_str().ok();
    asked.or_else(host)?.parse().ok()
}

fn accept(accepted: Accepted<'_>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    // Over HTTP/2 the answer to CONNECT is a plain 200 (RFC 8441, section 5).
    let Accepted::Http1(key) = accepted else {
        return response;
    };
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{refusal}\n")));
    *response.status_mut() = match refusal {
        Refusal::NotAnUpgrade | Refusal::Http10 | Refusal::NoKey | Refusal::NoSubprotocol => {
            StatusCode::BAD_REQUEST
        }
        Refusal::Version => StatusCode::UPGRADE_REQUIRED,
        Refusal::Origin => StatusCode::FORBIDDEN,
        Refusal::Full => StatusCode::SERVICE_UNAVAILABLE,
    };
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    if refusal == Refusal::Version {
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    if refusal == Refusal::Full {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// How many bytes of one HTTP/2 stream may wait, each way: a server that attaches WebSockets over HTTP/2 sets
/// this window, because the relay counts such a leg with it.
pub const HTTP2_WINDOW: u32 = 256 * 1024;

/// Whether a header that lists values, in one line or several, names this one.
fn lists(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(value))
}
