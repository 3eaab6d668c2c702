//! Calls of `PairingService`, by whichever protocol passes.
//!
//! ```text
//! Server ── unary, stream ──► platform::Calls ─┬─ HTTP/2 (gRPC)             natively, first
//!                                              └─ Web ── HTTP POST (gRPC-Web) natively if HTTP/2 fails;
//!                                                                          in a page always
//! ```
//!
//! This module knows what is called, what a status says and how gRPC-Web is spoken. The platform knows
//! how bytes travel: it offers one POST whose answer streams.

pub(crate) mod grpc_web;
mod status;
mod web;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, StatusCode};
use peersox_proto::v1;
use prost::Message;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use status::Details;
pub(crate) use status::{Code, Status};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use web::UNARY_TIMEOUT;
pub(crate) use web::Web;

/// A method of `peersox.v1.PairingService`, named by its request.
pub(crate) trait Method: Message + Clone + 'static {
    /// Its name in the `.proto` file.
    const NAME: &'static str;
    /// Whether a second call does no harm if the answer to the first was lost.
    #[cfg_attr(
        target_arch = "wasm32",
        allow(dead_code, reason = "pages call by one protocol only")
    )]
    const REPEATABLE: bool;
    /// What it answers.
    type Response: Message + Default + 'static;
}

macro_rules! methods {
    ($($name:literal $request:ident -> $response:ident, repeatable: $repeatable:literal;)*) => {
        $(impl Method for v1::$request {
            const NAME: &'static str = $name;
            const REPEATABLE: bool = $repeatable;
            type Response = v1::$response;
        })*
    };
}

methods! {
    "GetConfig" GetConfigRequest -> GetConfigResponse, repeatable: true;
    // A pairing that nobody hears of expires with its code.
    "CreatePairing" CreatePairingRequest -> CreatePairingResponse, repeatable: true;
    // A nameplate is redeemed once.
    "JoinPairing" JoinPairingRequest -> JoinPairingResponse, repeatable: false;
    "GetPairing" GetPairingRequest -> GetPairingResponse, repeatable: true;
    "WatchPairing" WatchPairingRequest -> WatchPairingResponse, repeatable: true;
    "OpenSession" OpenSessionRequest -> OpenSessionResponse, repeatable: true;
    // A yes may be said again; after a no there is nothing left.
    "ConfirmJoin" ConfirmJoinRequest -> ConfirmJoinResponse, repeatable: true;
    // The second call of two would say that the credential is invalid.
    "DeletePairing" DeletePairingRequest -> DeletePairingResponse, repeatable: false;
}

/// The path of a method below the server's own path.
pub(crate) fn path<M: Method>() -> String {
    format!("/peersox.v1.PairingService/{}", M::NAME)
}

/// What an HTTP request is answered with.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body as it arrives; an error is a sentence and the last item.
    pub(crate) body: Boxed<Result<Bytes, String>>,
}

/// The messages of a call that streams; the first error is the last item.
pub(crate) type Messages<T> = Boxed<Result<T, Status>>;

/// A stream on the heap, which other threads may take where there are threads.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Boxed<T> = Pin<Box<dyn Stream<Item = T> + Send>>;
/// A stream on the heap.
#[cfg(target_arch = "wasm32")]
pub(crate) type Boxed<T> = Pin<Box<dyn Stream<Item = T>>>;
