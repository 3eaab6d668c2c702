//! What differs between a native program and a page: how bytes travel and how time passes.

#[cfg(not(target_arch = "wasm32"))]
mod native;

#[cfg(not(target_arch = "wasm32"))]
pub use native::Proxies;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{Calls, Dialer, Http, Speak, Stream, timeout};
