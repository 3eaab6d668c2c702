//! What stands around a frame on the wire, without a socket: bytes go in, frames come out.
//!
//! A frame is its own encoding (`peersox_core::frame`); a transport marks its end. Over a WebSocket it is one
//! binary message ([`websocket`]); on a stream of QUIC its length stands in front of it ([`length`]); in a
//! call of gRPC it is a field of a message ([`grpc`]). Whole frames that came together over the first two
//! stay together as a [`Run`], which a leg of the same kind sends as it is.

pub mod grpc;
pub mod length;
mod pieces;
mod run;
pub mod websocket;

pub use run::{Heads, Run};
