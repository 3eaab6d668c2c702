//! Programs on an operating system: tokio's sockets, quinn, tungstenite, hyper, tonic and rustls.

mod dial;
mod grpc;
mod http;
mod leg;
mod proxy;
mod tls;

use std::time::Duration;

use self::dial::{Speak, Stream};

pub(crate) use self::dial::Dialer;
pub(crate) use self::grpc::Calls;
pub(crate) use self::http::Http;
pub(crate) use self::leg::{End, Leg, Sink, Source};
pub use self::proxy::Proxies;
pub use self::tls::Trust;

/// What a future resolves to; nothing if that takes longer than `patience`.
pub(crate) async fn timeout<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(patience, future).await.ok()
}
