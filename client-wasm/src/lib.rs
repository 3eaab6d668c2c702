//! The browser peer: `core::peer` behind WebSocket, gRPC-Web and WebRTC.
//!
//! ```text
//!   facade (TypeScript)          this crate                            browser
//!   PeerSoxClient ──calls──►  Peer ─► Shell ─► core::peer::Peer
//!                 ◄─events──           │  ├──── leg     ◄─────────►  WebSocket      to the relay
//!                                      │  ├──── direct  ◄─────────►  RTCPeerConnection
//!                                      │  └──── clock   ◄─────────►  setTimeout, performance.now
//!                 ──calls──►  Server ──┴──────── grpc   ◄─────────►  fetch          to control
//! ```
//!
//! What is exported is meant for the facade in `js/src` and changes with it; people use the facade.
//! Everything runs on one thread. The shell lends its machine to one call at a time and tells the
//! facade what happened after that call, so that a listener may call back.
//!
//! On other targets than wasm32 the crate is empty.
#![cfg(target_arch = "wasm32")]

mod code;
mod desk;
mod direct;
mod emit;
mod failure;
mod grpc;
mod leg;
mod links;
mod meter;
mod peer;
mod platform;
mod server;
mod shell;
