//! What needs more than one crate: the real binary over real sockets, and the laws of the house.

#![allow(clippy::unwrap_used)]

mod architecture;
mod client;
mod connect;
mod ends;
mod errors;
mod examples;
mod flaps;
mod forward;
mod gate;
mod guards;
mod harness;
mod leases;
mod nobody;
mod origins;
mod proxies;
mod proxy;
mod restart;
mod rules;
mod saved;
mod stubs;
mod tls;
mod transfer;
