//! What tests in Rust and tests in browsers share: a server that lies.

#![allow(clippy::unwrap_used)]

pub mod liar;

use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// Accepts a WebSocket as a relay does, whoever asks.
///
/// # Errors
/// None.
#[allow(
    clippy::result_large_err,
    reason = "the library wants it in this shape"
)]
pub fn upgrade(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let protocol = http::HeaderValue::from_static("peersox.v1");
    response
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    Ok(response)
}
