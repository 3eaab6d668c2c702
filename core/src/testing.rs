//! A seeded world for tests: two peers, a network that misbehaves, and a model of what must hold.
//!
//! ```text
//!   App ⇄ Mux ⇄ Paths ⇄ ┌ relay:  slow, legs break, forgets or delivers late ┐ ⇄ Paths ⇄ Mux ⇄ App
//!                        └ direct: fast, falls silent, comes back             ┘
//! ```
//!
//! Time is virtual: [`World::run`] jumps from event to event and never sleeps. Everything follows
//! from one seed, so a failure is a number.

mod app;
mod dice;
mod network;
mod world;

pub use dice::Dice;
pub use world::{Outcome, World};

#[cfg(test)]
mod tests;
