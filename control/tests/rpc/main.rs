//! The service on a real socket, called as peers call it.

// Clippy knows only test functions as tests, not the helpers beside them.
#![allow(clippy::unwrap_used)]

mod confirm;
mod documented;
mod guards;
mod harness;
mod keys;
mod lives;
mod pairing;
mod watch;
mod web;
