//! Servers for tests: one that lies, for command lines and browsers, and the pieces that others are made of.

#![allow(clippy::unwrap_used)]

pub mod liar;

use std::sync::Arc;

use futures_util::StreamExt as _;
use peersox_proto::v1::pairing_service_server::{PairingService, PairingServiceServer};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tonic_web::GrpcWebLayer;

/// Answers calls, gRPC and gRPC-Web, on a socket until the runtime ends.
pub fn serve<S: PairingService>(calls: TcpListener, service: Arc<S>) {
    let incoming = futures_util::stream::unfold(calls, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let server = tonic::transport::Server::builder()
        .accept_http1(true)
        .layer(GrpcWebLayer::new())
        .add_service(PairingServiceServer::from_arc(service))
        .serve_with_incoming(incoming.boxed());
    tokio::spawn(server);
}

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
