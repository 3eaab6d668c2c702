//! The engine of the browser client: `core::endpoint` and pairing codes, callable from JavaScript.
//!
//! ```text
//!   js/src (TypeScript)                            this crate
//!   PeerSoxClient ─► Shell ─► Machine ── call ──►  door ─► Machine ─► core::endpoint::Endpoint
//!                     │                ◄─ reply ──
//!                     └─ WebSocket, RTCPeerConnection, fetch, setTimeout
//! ```
//!
//! Every rule that two peers must agree on is here; what a browser does by itself (sockets, timers,
//! requests) is called from TypeScript, where it costs nothing to call. A binding of those in Rust is
//! a third of the download. What is exported changes with `js/src`; people use that.
//!
//! On other targets than wasm32 the crate is empty.
#![cfg(target_arch = "wasm32")]

mod call;
mod code;
mod door;
mod failure;
mod machine;
mod op;
mod platform;
mod told;
