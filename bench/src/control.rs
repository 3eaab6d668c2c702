//! Calls to a node of control: the generated client over one HTTP/2 connection, which is kept.
//!
//! The client stands directly on hyper. tonic's `Channel` puts a queue and a task in between, so that many
//! callers can share a connection; a device has one of its own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use tonic::Status;
use tonic::body::Body;
use tonic_types::StatusExt as _;
use tower::Service;

use crate::dial::dial;
use crate::failure::{At as _, Failure};

/// The calls that a device makes.
pub(crate) type Calls = PairingServiceClient<Connection>;

/// A device's connection to control.
pub(crate) struct Control {
    uri: Uri,
    connection: Connection,
    calls: Calls,
}

impl Control {
    pub(crate) async fn connect(uri: &Uri) -> Result<Self, Failure> {
        let stream = dial(uri, b"h2").await.at("connect")?;
        let http2 = Builder::new(TokioExecutor::new());
        let (sender, driver) = http2.handshake(TokioIo::new(stream)).await.at("connect")?;
        // It ends with the connection, and that ends when nobody holds its sender.
        tokio::spawn(driver);
        let connection = Connection(sender);
        let calls = Calls::with_origin(connection.clone(), uri.clone());
        let uri = uri.clone();
        Ok(Self {
            uri,
            connection,
            calls,
        })
    }

    /// The calls, over another connection if the last one has ended.
    pub(crate) async fn calls(&mut self) -> Result<&mut Calls, Failure> {
        if self.connection.0.is_closed() {
            *self = Self::connect(&self.uri).await?;
        }
        Ok(&mut self.calls)
    }
}

/// What a call that failed is counted as: by the reason that the server names, or else by the status.
pub(crate) fn refused(call: &str, status: &Status) -> Failure {
    match status.get_details_error_info() {
        Some(info) => Failure::new(call, info.reason),
        None => Failure::new(call, format_args!("{:?}", status.code())),
    }
}

/// An HTTP/2 connection as tonic wants it.
#[derive(Clone, Debug)]
pub(crate) struct Connection(SendRequest<Body>);

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
