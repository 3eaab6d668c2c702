//! What needs more than one crate: the real binary over real sockets, and the laws of the house.

#![allow(clippy::unwrap_used)]

mod architecture;
mod client;
mod connect;
mod errors;
mod gate;
mod harness;
mod tls;
mod transfer;
