//! Programs on an operating system: tokio's tasks, timers and sockets, quinn, tungstenite, hyper, tonic and
//! rustls.

mod clock;
mod dial;
mod direct;
mod eyeballs;
mod grpc;
mod http;
mod leg;
mod legs;
mod proxy;
mod survey;
mod tls;

use std::pin::Pin;
use std::time::Duration;

use self::dial::{Speak, Stream};

pub(crate) use self::clock::{Clock, Wakes};
pub(crate) use self::dial::Dialer;
pub(crate) use self::direct::{Direct, stun_server};
pub(crate) use self::grpc::Calls;
pub(crate) use self::http::Http;
pub(crate) use self::legs::Legs;
pub use self::proxy::Proxies;
pub use self::survey::Relayed;
pub(crate) use self::survey::{ask, relayed};
pub use self::tls::Trust;
pub(crate) use rand_core::OsRng as Random;
pub(crate) use url::Url;

/// A future that another thread may go on with.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs a future until it is done, or the runtime is shut down.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}

/// What a future resolves to; nothing if that takes longer than `patience`.
pub(crate) async fn timeout<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(patience, future).await.ok()
}
