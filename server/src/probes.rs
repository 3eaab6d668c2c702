//! What machines ask a server: whether it lives, whether it takes new peers, and how much it carries.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::handle::Status;

/// Whether a server takes new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    Draining,
    StoreAway,
    ControlAway,
}

/// `/status.json` for pages and people, `/healthz` and `/readyz` for load balancers.
///
/// That the store is away makes the process neither die nor restart: it lives, and is ready again once the
/// store is.
pub(crate) fn router(
    readiness: impl Fn() -> Readiness + Clone + Send + Sync + 'static,
    status_now: impl Fn() -> Status + Clone + Send + Sync + 'static,
    quic: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Router {
    let ready = move || async move {
        match readiness() {
            Readiness::Ready => (StatusCode::OK, "ready\n"),
            Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            Readiness::StoreAway => (StatusCode::SERVICE_UNAVAILABLE, "the store is away\n"),
            Readiness::ControlAway => (
                StatusCode::SERVICE_UNAVAILABLE,
                "no control has answered yet\n",
            ),
        }
    };
    let status = move || async move { status(status_now(), quic()) };
    Router::new()
        .route("/status.json", get(status))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
}

fn status(now: Status, quic: bool) -> Response {
    let transports: &[&str] = if quic {
        &["websocket", "quic", "webtransport", "grpc"]
    } else {
        &["websocket", "grpc"]
    };
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "sessions": now.sessions,
        "legs": now.legs,
        "transports": transports,
        "draining": now.draining,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(status)).into_response()
}
