//! What machines ask a server: whether it lives, whether it takes new peers, and how much it carries.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use peersox_relay::Relay;
use serde_json::json;

use crate::handle::Status;

/// `/status.json` for pages and people, `/healthz` and `/readyz` for load balancers.
pub(crate) fn router(relay: &Relay, quic: bool) -> Router {
    let (status_of, ready_of) = (relay.clone(), relay.clone());
    let status = move || async move { status(Status::of(&status_of), quic) };
    let ready = move || async move {
        match ready_of.is_draining() {
            false => (StatusCode::OK, "ready\n"),
            true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    };
    Router::new()
        .route("/status.json", get(status))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
}

fn status(now: Status, quic: bool) -> Response {
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
        "draining": now.draining,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(status)).into_response()
}
