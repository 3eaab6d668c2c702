//! How connections come in, one module per transport.

pub mod quic;
pub(crate) mod ws;
