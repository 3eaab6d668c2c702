//! A native program: tokio, hyper, tonic.

mod dial;
mod grpc;
mod http;
mod proxy;

use std::time::Duration;

pub(crate) use self::dial::{Dialer, Speak, Stream};
pub(crate) use self::grpc::Calls;
pub(crate) use self::http::Http;
pub use self::proxy::Proxies;

/// What a future resolves to; nothing if that takes longer than `patience`.
pub(crate) async fn timeout<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(patience, future).await.ok()
}
