//! The relay over real sockets: WebSocket, QUIC and gRPC on 127.0.0.1.

// The lint knows tests by their attribute and would forbid it in their helpers.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod amplification;
mod bad_input;
mod calls;
mod documented;
mod fair;
mod forward;
mod guards;
mod limits;
mod parking;
mod reset;
mod runs;
mod stun;
mod support;
mod webtransport;
mod windows;
