//! Programs on an operating system: tokio's sockets, quinn, tungstenite and rustls.

mod leg;
mod tls;

pub(crate) use leg::{End, Leg, Sink, Source};
pub use tls::Trust;
