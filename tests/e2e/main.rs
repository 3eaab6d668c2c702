//! What needs more than one crate: the real binary over real sockets, and the laws of the house.

#![allow(clippy::unwrap_used)]

mod admin;
mod architecture;
mod bench;
mod client;
mod confirm;
mod connect;
mod consent;
mod embed;
mod ends;
mod errors;
mod examples;
mod fit;
mod flaps;
mod folders;
mod forward;
mod gate;
mod guards;
mod harness;
mod hostile;
mod joins;
mod leases;
mod look;
mod meeting;
mod metrics;
mod moves;
mod nobody;
mod nodes;
mod noon;
mod origins;
mod proxies;
mod proxy;
mod redis;
mod restart;
mod rotate;
mod rules;
mod saved;
mod secrets;
mod shared;
mod signals;
mod stubs;
mod stun;
mod terminal;
mod tls;
mod transfer;
