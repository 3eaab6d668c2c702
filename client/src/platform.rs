//! What differs between targets: sockets, TLS and name resolution. Nothing outside this folder names
//! a socket, a QUIC, WebSocket or TLS library.

mod native;

pub use native::Trust;
pub(crate) use native::{End, Leg, Sink, Source};
