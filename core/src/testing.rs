//! A seeded world for tests: two endpoints, a relay, control, a network that misbehaves, and a model of what must hold.
//!
//! ```text
//!                      control: answers late, is away, asks to wait
//!                        ▲                                   ▲
//!   App ⇄ Endpoint ⇄ ┌ legs ⇄ relay: drains, restarts ⇄ legs ┐ ⇄ Endpoint ⇄ App
//!                     └ direct: connects, falls silent, closes ┘
//! ```
//!
//! Legs break with or without anybody noticing. Frames are lost, late, twice, back, or altered. Peers sleep, and their
//! processes restart. Time is virtual: [`World::run`] jumps from event to event and never sleeps. Everything follows
//! from one seed, so a failure is a number.

mod app;
mod control;
mod dice;
mod direct;
mod fate;
mod legs;
mod manners;
mod network;
mod obey;
mod relay;
mod serve;
mod shell;
mod world;

pub use dice::Dice;
pub use world::{Outcome, World};

#[cfg(test)]
mod tests;
