//! What stands around the gRPC services.
//!
//! ```text
//! request ─▶ CORS ─▶ gRPC-Web ─▶ deadline, authority ─▶ tonic
//! ```
//!
//! Only the routes of the services are wrapped: [`router`] can be merged with other routes, and
//! answers nothing that it does not serve.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use ::http::request::Parts;
use ::http::{HeaderMap, HeaderValue, Method, Request, Uri, header, uri};
use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use peersox_core::origin::{Allowed, Authority, Refused};
use tokio::time::Instant;
use tonic::Status;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tracing::info;

use crate::config::Config;

/// The address a request comes from: an extension that the binary's accept loop inserts into each
/// request. Requests without one share the budgets of one unknown address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// The authority the caller asked for: `:authority` in HTTP/2, `Host` in HTTP/1.1. Not checked.
#[derive(Clone, Debug)]
pub(crate) struct Asked(pub(crate) String);

/// When the caller stops waiting, if it said so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

/// Wraps the services.
pub(crate) fn router(services: Routes, config: &Config) -> Router {
    let deadline = config.deadline;
    let bounded = move |request, next| bounded(request, next, deadline);
    services
        .into_axum_router()
        // Else the layers would answer for everything that is merged with this router.
        .reset_fallback()
        .route_layer(from_fn(bounded))
        .route_layer(GrpcWebLayer::new())
        .route_layer(cors(config))
}

/// Lets pages of the listed origins call. Without a list no page of another origin can: browsers ask
/// before sending `application/grpc-web`, and are not told yes.
fn cors(config: &Config) -> CorsLayer {
    // Browsers remember the answer for two hours at most.
    const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);
    let (allowed, refused) = (config.allowed_origins.clone(), Mutex::default());
    let permits = move |value: &HeaderValue, request: &Parts| {
        let own = asked(&request.uri, &request.headers);
        let own = own.and_then(|own| own.parse().ok());
        permits(&allowed, &refused, value, own.as_ref())
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(permits))
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.map(header::HeaderName::from_static))
        .max_age(MAX_AGE)
}

/// Judges the value of an `Origin` header. Browsers send one for pages of the server itself, too.
fn permits(
    allowed: &Allowed,
    refused: &Mutex<Refused>,
    value: &HeaderValue,
    own: Option<&Authority>,
) -> bool {
    let Some(origin) = value.to_str().ok().and_then(|text| text.parse().ok()) else {
        return false;
    };
    let permitted = allowed.permits(&origin, own);
    if !permitted
        && refused
            .lock()
            .is_ok_and(|mut refused| refused.is_news(&origin))
    {
        info!(%origin, "pages of this origin may not call; it is not on the list");
    }
    permitted
}

/// `:authority` in HTTP/2, `Host` in HTTP/1.1.
fn asked<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let authority = uri.authority().map(uri::Authority::as_str);
    authority.or_else(|| headers.get(header::HOST)?.to_str().ok())
}

const EXPOSED: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

/// Ends a call that has no reply in time. A stream has to begin in time; how long it goes on is the
/// service's to bound, with [`Deadline`].
async fn bounded(mut request: Request<Body>, next: Next, most: Duration) -> Response {
    let asked = asked(request.uri(), request.headers()).map(str::to_owned);
    if let Some(asked) = asked {
        request.extensions_mut().insert(Asked(asked));
    }
    let patience = patience(request.headers());
    if let Some(end) = patience.and_then(|patience| Instant::now().checked_add(patience)) {
        request.extensions_mut().insert(Deadline(end));
    }
    let patience = patience.map_or(most, |patience| patience.min(most));
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Status::deadline_exceeded("the call took too long").into_http(),
    }
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
