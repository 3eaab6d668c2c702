//! A seeded world for tests: two peers, a network that misbehaves, and a model of what must hold.
//!
//! ```text
//!   App ⇄ Peer ⇄ ┌ relay:  slow, legs break, forgets, delivers late, twice, back or altered ┐ ⇄ Peer ⇄ App
//!                 └ direct: fast, falls silent, comes back, alters                           ┘
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
