//! What stands around a frame on the wire, without a socket: bytes go in, frames come out.
//!
//! A frame is its own encoding (`peersox_core::frame`); a transport marks its end. Over a WebSocket it is one
//! binary message ([`websocket`]); on a stream of QUIC its length stands in front of it ([`length`]). Whole
//! frames that came together stay together as a [`Run`], which a leg of the same kind sends as it is.

pub mod length;
mod pieces;
mod run;
pub mod websocket;

pub use run::{Heads, Run};
