//! Programs in a page: the browser's sockets, timers and randomness, by the crate `client-wasm/web`.
//!
//! A page has one thread. Futures of this platform stay on it and need not be `Send`.

mod clock;
mod direct;
mod http;
mod legs;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use peersox_proto::v1::GetConfigRequest;

use crate::Error;
use crate::rpc::{Status, Web};

/// A browser speaks gRPC-Web and nothing else.
pub(crate) use crate::rpc::Web as Calls;
pub(crate) use clock::{Clock, Wakes};
pub(crate) use direct::Direct;
pub(crate) use http::Http;
pub(crate) use legs::Legs;
pub(crate) use peersox_web::{Url, spawn};
pub(crate) use rand_core::OsRng as Random;

/// A future that stays in the page.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Which servers to trust. A browser decides that by itself, so there is nothing to choose.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Trust {}

/// How connections are opened. A browser decides that by itself, proxies included.
#[derive(Clone, Debug)]
pub(crate) struct Dialer;

impl Dialer {
    /// # Errors
    /// Never: only programs on an operating system have an environment.
    pub(crate) fn from_env(_: &Trust) -> Result<Self, Error> {
        Ok(Self)
    }

    /// Whether a proxy that is known here is used towards this address.
    pub(crate) fn is_proxied(&self, _: &Url, _: &str) -> bool {
        false
    }
}

impl Web {
    /// Calls the server at `url` once, which says whether there is one.
    ///
    /// # Errors
    /// The status of the server, or of the way to it.
    pub(crate) async fn connect(_: &Dialer, url: &Url) -> Result<Self, Status> {
        let web = Web::new(Http, url.as_str());
        web.unary(GetConfigRequest {}).await?;
        Ok(web)
    }
}

/// What a future resolves to; nothing if that takes longer than `patience`.
pub(crate) async fn timeout<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut late = pin!(peersox_web::time::sleep(patience));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => late.as_mut().poll(context).map(|()| None),
    })
    .await
}
