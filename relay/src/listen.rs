//! How connections come in, one module per transport.

pub(crate) mod grpc;
pub mod quic;
pub mod stun;
pub(crate) mod webtransport;
pub(crate) mod ws;
