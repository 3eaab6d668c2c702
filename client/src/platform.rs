//! What differs between targets: sockets, TLS and name resolution. Nothing outside this folder names
//! a socket, a QUIC, WebSocket or TLS library.

mod native;

pub(crate) use native::{Calls, Dialer, End, Http, Leg, Sink, Source, timeout};
pub use native::{Proxies, Trust};
