//! What stands around the gRPC services.
//!
//! ```text
//! request ─▶ CORS ─▶ gate: origin, content type ─▶ gRPC-Web ─▶ span ─▶ share, deadline, authority ─▶ tonic
//! ```
//!
//! Only the routes of the services are wrapped: [`router`] can be merged with other routes, and
//! answers nothing that it does not serve.

mod gate;
mod span;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, Request, Uri, header, uri};
use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http_body_util::BodyExt as _;
use peersox_core::limit::UNKNOWN;
use tokio::time::Instant;
use tonic::Status;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::Config;
use crate::guard::Guard;
use crate::rpc::{busy, too_many_watches};
use gate::Gate;

/// The address a request comes from: an extension that the binary's accept loop inserts into each
/// request. Requests without one share the budgets of one unknown address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

impl ClientAddr {
    /// The address that a request is charged to.
    pub(crate) fn of(extension: Option<&Self>) -> IpAddr {
        extension.map_or(UNKNOWN, |Self(address)| *address)
    }
}

/// The authority the caller asked for: `:authority` in HTTP/2, `Host` in HTTP/1.1. Not checked.
#[derive(Clone, Debug)]
pub(crate) struct Asked(pub(crate) String);

/// When the caller stops waiting, if it said so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

/// Wraps the services.
pub(crate) fn router(services: Routes, config: &Config, guard: Arc<Guard>) -> Router {
    let deadline = config.deadline;
    let bounded = move |request, next| bounded(request, next, Arc::clone(&guard), deadline);
    let gate = Arc::new(Gate::new(config.allowed_origins.clone()));
    let cors = cors(Arc::clone(&gate));
    let admit = move |request, next| gate::admit(request, next, Arc::clone(&gate));
    services
        .into_axum_router()
        // Else the layers would answer for everything that is merged with this router.
        .reset_fallback()
        .route_layer(from_fn(bounded))
        .route_layer(from_fn(span::trace))
        .route_layer(GrpcWebLayer::new())
        .route_layer(from_fn(admit))
        .route_layer(cors)
}

/// Tells browsers whether pages of an origin may call.
fn cors(gate: Arc<Gate>) -> CorsLayer {
    // Browsers remember the answer for two hours at most.
    const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);
    let permits = AllowOrigin::predicate(move |value, request| {
        gate.permits(value, asked(&request.uri, &request.headers))
    });
    CorsLayer::new()
        .allow_origin(permits)
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.map(header::HeaderName::from_static))
        .max_age(MAX_AGE)
}

/// `:authority` in HTTP/2, `Host` in HTTP/1.1.
fn asked<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let authority = uri.authority().map(uri::Authority::as_str);
    authority.or_else(|| headers.get(header::HOST)?.to_str().ok())
}

const EXPOSED: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

/// Holds a caller to its share of the calls in progress, and ends a call that has no reply in time. A stream
/// has to begin in time; how long it goes on is the service's to bound, with [`Deadline`].
async fn bounded(
    mut request: Request<Body>,
    next: Next,
    guard: Arc<Guard>,
    most: Duration,
) -> Response {
    let address = ClientAddr::of(request.extensions().get());
    let Some(_place) = guard.call(address) else {
        return busy().into_http();
    };
    let stream = if is_foreign_stream(request.uri().path()) {
        let Some(place) = guard.stream(address) else {
            return too_many_watches().into_http();
        };
        Some(place)
    } else {
        None
    };
    let asked = asked(request.uri(), request.headers()).map(str::to_owned);
    if let Some(asked) = asked {
        request.extensions_mut().insert(Asked(asked));
    }
    let patience = patience(request.headers());
    if let Some(end) = patience.and_then(|patience| Instant::now().checked_add(patience)) {
        request.extensions_mut().insert(Deadline(end));
    }
    let patience = patience.map_or(most, |patience| patience.min(most));
    let Ok(response) = tokio::time::timeout(patience, next.run(request)).await else {
        return Status::deadline_exceeded("the call took too long").into_http();
    };
    match stream {
        None => response,
        // The place is held until the stream is over.
        Some(place) => response.map(|body| {
            Body::new(body.map_err(move |error| {
                let _held = &place;
                error
            }))
        }),
    }
}

/// Streams of services that are not ours and know no bound: health and reflection.
fn is_foreign_stream(path: &str) -> bool {
    path == "/grpc.health.v1.Health/Watch" || path.starts_with("/grpc.reflection.")
}

/// Reads `grpc-timeout`: up to eight digits and a unit. Junk there is ignored, as if it were absent.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse::<u64>().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    #[test]
    fn grpc_timeout_is_read() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("50m", Some(Duration::from_millis(50))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("123456789S", None),
            ("5é", None),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            headers.insert("grpc-timeout", value);
            assert_eq!(patience(&headers), expected, "{text}");
        }
    }
}
