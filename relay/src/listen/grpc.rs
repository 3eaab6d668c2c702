//! Calls of `peersox.v1.RelayService/Attach`, over HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::Body;
use tokio::time::Instant;
use tracing::debug;

use super::ws::{HTTP2_WINDOW, authority};
use crate::leg::Wire;
use crate::leg::grpc::{Answer, GRPC_MESSAGE, GRPC_STATUS, Grpc, UNIMPLEMENTED, refusal};
use crate::metrics::{self, Transport};
use crate::relay::Relay;

/// The path of the call.
pub const ATTACH: &str = "/peersox.v1.RelayService/Attach";

/// Why a request is no call that becomes a leg. Its text is for the person who wrote the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("calls are made by POST")]
    Method,
    #[error("this is a call of gRPC; send it with a content type of application/grpc")]
    ContentType,
    #[error(
        "pages of this origin may not connect here; the operator lists origins with --allow-origin"
    )]
    Origin,
    #[error("gRPC-Web has no streams in both directions; attach by WebSocket")]
    Web,
    #[error(
        "this call needs HTTP/2 all the way; a proxy in between has to speak it to this server, too"
    )]
    Http1,
}

impl Relay {
    /// Answers a call of [`ATTACH`]; the leg then lives in tasks of the relay.
    ///
    /// `remote` is the peer's address, for limits. The server must speak HTTP/2 with a window of
    /// [`HTTP2_WINDOW`] for each stream and more for the connection, because a leg that is not read fills its
    /// own. Route every method here. A request that is no good is answered with one sentence.
    pub fn attach_grpc<B>(
        &self,
        request: Request<B>,
        remote: SocketAddr,
    ) -> Response<Either<Answer, Full<Bytes>>>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let deadline = Instant::now() + self.0.config.hello_timeout;
        if let Err(refusal) = self.judge_call(&request) {
            let why = match refusal {
                Refusal::Origin => metrics::Refusal::Origin,
                _ => metrics::Refusal::Malformed,
            };
            self.0.metrics.refused(Transport::Grpc, why);
            debug!(%refusal, "call refused");
            return refuse(refusal).map(Either::Right);
        }
        let seat = match self.0.seat(remote.ip(), Transport::Grpc) {
            Ok(seat) => seat,
            Err(reason) => return call(refusal(reason)).map(Either::Left),
        };
        let max_frame = self.0.config.limits.frame_bytes;
        let (grpc, answer) = Grpc::new(request.into_body(), max_frame, HTTP2_WINDOW as usize);
        let relay = Arc::clone(&self.0);
        self.0.spawn(async move {
            relay
                .welcome(Wire::Grpc(Box::new(grpc)), seat, deadline)
                .await;
        });
        call(answer).map(Either::Left)
    }

    fn judge_call<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let (origins, own) = (request.headers().get_all(ORIGIN), authority(request));
        if !self.0.admits_page(origins, own.as_ref()) {
            return Err(Refusal::Origin);
        }
        let mut kinds = request.headers().get_all(CONTENT_TYPE).iter();
        let Some(kind) = kinds.next().filter(|_| kinds.next().is_none()) else {
            return Err(Refusal::ContentType);
        };
        let kind = kind.as_bytes().to_ascii_lowercase();
        match kind.strip_prefix(GRPC.as_bytes()) {
            Some(rest) if rest.starts_with(b"-web") => Err(Refusal::Web),
            Some([] | [b';' | b' ', ..]) => Ok(()),
            Some(rest) if rest == b"+proto" || rest.starts_with(b"+proto;") => Ok(()),
            Some(_) | None => Err(Refusal::ContentType),
        }?;
        match request.version() {
            Version::HTTP_2 => Ok(()),
            _ => Err(Refusal::Http1),
        }
    }
}

/// An answer of gRPC, whatever becomes of the call.
fn call<T>(body: T) -> Response<T> {
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static(GRPC);
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    let text = refusal.to_string();
    if matches!(refusal, Refusal::Web | Refusal::Http1) {
        // What such a client understands: an answer that is its own trailers.
        let mut response = call(Full::default());
        let headers = response.headers_mut();
        if refusal == Refusal::Web {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/grpc-web+proto"),
            );
        }
        headers.insert(GRPC_STATUS, HeaderValue::from(UNIMPLEMENTED));
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert(GRPC_MESSAGE, text);
        }
        return response;
    }
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = match refusal {
        Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::Origin => StatusCode::FORBIDDEN,
        Refusal::ContentType | Refusal::Web | Refusal::Http1 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    if refusal == Refusal::Method {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

const GRPC: &str = "application/grpc";
