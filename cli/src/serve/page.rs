//! The status page and the probes for load balancers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use peersox_relay::Relay;
use serde_json::json;

/// `/` for people, `/status.json` for its script, `/healthz` and `/readyz` for machines.
pub(super) fn router(relay: Relay, quic: bool) -> Router {
    let (status_of, ready_of) = (relay.clone(), relay);
    let status = move || async move { status(&status_of, quic) };
    let ready = move || async move {
        match ready_of.is_draining() {
            false => (StatusCode::OK, "ready\n"),
            true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    };
    Router::new()
        .route(
            "/",
            get(|| async { asset("text/html; charset=utf-8", INDEX) }),
        )
        .route(
            "/page.css",
            get(|| async { asset("text/css; charset=utf-8", STYLE) }),
        )
        .route(
            "/page.js",
            get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }),
        )
        .route("/status.json", get(status))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async {
            (
                StatusCode::NOT_FOUND,
                "there is nothing here; / is the status page\n",
            )
        })
}

fn status(relay: &Relay, quic: bool) -> Response {
    let now = relay.snapshot();
    let transports: &[&str] = if quic {
        &["websocket", "quic"]
    } else {
        &["websocket"]
    };
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "sessions": now.sessions,
        "legs": now.legs,
        "transports": transports,
        "draining": relay.is_draining(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(status)).into_response()
}

fn asset(kind: &'static str, body: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const INDEX: &str = include_str!("../../assets/index.html");
const STYLE: &str = include_str!("../../assets/page.css");
const SCRIPT: &str = include_str!("../../assets/page.js");
