//! The browser's sockets, timers and randomness for Rust programs in pages.
//!
//! ```text
//!   a Rust program in a page ─► peersox-client ─► this crate ─► web-sys ─► the browser
//!                                                  http           fetch
//!                                                  socket         WebSocket
//!                                                  rtc            RTCPeerConnection, RTCDataChannel
//!                                                  time, wake     setTimeout, performance, the page's events
//!                                                  random, Url    crypto.getRandomValues, URL
//! ```
//!
//! The crate knows no rule of PeerSox. It moves bytes and reports what the browser says; `peersox-core`
//! decides what to do about that.
//!
//! A page runs Rust on one thread. Nothing here is `Send`, and every future runs where `spawn` puts it.
//! A browser delivers what arrives whether or not the program is ready for it: the queues between a
//! socket and its reader have no bound, and whoever reads must be faster than the network in the long
//! run. Dropping the reader ends the queue.
//!
//! On other targets than wasm32 the crate is empty.
#![cfg(target_arch = "wasm32")]

mod failure;
pub mod http;
mod notify;
mod queue;
pub mod random;
pub mod rtc;
pub mod socket;
pub mod time;
mod url;
pub mod wake;

pub use failure::Failure;
pub use url::Url;

/// Runs a future to its end on the page's thread.
///
/// The future is first polled in a microtask, after the caller returns to the browser. Nothing cancels it.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    js_sys::futures::spawn_local(future);
}
