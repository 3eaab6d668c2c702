//! Nobody in between: keys agreed from a short code, and sealing of everything the peers exchange.
//!
//! ```text
//! initiator                                                     joiner
//!   |  0x01 1  commitment to X                                    |   once per pairing, from the
//!   |------------------------------------------------------------>|   code (SPAKE2): pake.rs
//!   |                                           0x01 2  element Y |
//!   |<------------------------------------------------------------|
//!   |  0x01 3  element X                                          |
//!   |------------------------------------------------------------>|
//!   |                               0x01 4  joiner's confirmation |
//!   |<------------------------------------------------------------|   the joiner confirms first
//!   |  0x01 5  initiator's confirmation                           |
//!   |------------------------------------------------------------>|   both hold a PairingSecret
//!   |                                                             |
//!   |  0x02 1  attempt, Noise message 1 (psk, e)                  |   on every path that comes up
//!   |------------------------------------------------------------>|   (Noise NNpsk0): handshake.rs
//!   |                       0x02 2  attempt, Noise message 2 (ee) |
//!   |<------------------------------------------------------------|
//!   |  0x03    an empty record                                    |   both hold traffic keys
//!   |------------------------------------------------------------>|
//!   |  0x03    sealed records on lanes reliable, datagram, signal |   seal.rs
//!   |<----------------------------------------------------------->|
//! ```
//!
//! The first byte of a payload says what it is. PAKE and handshake travel on the reliable lane only.
//! [`Association`] composes the three for a shell: frames in, frames out, and a [`State`]. The
//! normative description is `docs/protocol.md`; what this protects, and what not, `docs/security.md`.

mod association;
mod failure;
mod handshake;
mod keys;
mod noise;
mod pake;
mod replay;
mod seal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wire;

pub use association::{Association, Event, State};
pub use failure::{Burnt, Failure, SealError, Violation};
pub use handshake::{Handshake, MAX_HELLO_LEN};
pub use keys::{NotASecret, PairingSecret, Sas};
pub use pake::{Pake, Progress};
pub use seal::{HEADROOM, MAX_PLAINTEXT, OVERHEAD, TAG_LEN, Transport};
