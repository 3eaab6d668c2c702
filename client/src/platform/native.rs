//! Programs on an operating system: tokio's tasks, timers and sockets, quinn, tungstenite and rustls.

mod clock;
mod direct;
mod leg;
mod legs;
mod tls;

use std::pin::Pin;

pub(crate) use clock::{Clock, Wakes};
pub(crate) use direct::Direct;
pub(crate) use legs::Legs;
pub(crate) use rand_core::OsRng as Random;
pub use tls::Trust;

/// A future that another thread may go on with.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs a future until it is done, or the runtime is shut down.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}
