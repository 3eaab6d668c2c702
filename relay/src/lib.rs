//! The relay of PeerSox: moves frames between the two peers of a session.
//!
//! ```text
//!   listen ──> admit ──> registry ──> session task ─┬─ pump initiator → joiner
//!   a socket   Hello     which task    two legs      └─ pump joiner → initiator
//! ```
//!
//! A socket becomes a leg when its Hello carries a good ticket; the leg then belongs to the task of
//! its session until it is hung up. Between the two legs of a session no lock is taken and no other
//! task is woken. The rules of a session live in [`peersox_core::session`].
//!
//! *Reliable waits, a datagram never does.* Per direction the relay holds at most
//! [`Config::hold_bytes`] of reliable frames; when they are full it stops reading from the sender. All
//! directions together hold no more than [`Config::memory`], the buffers of the transports included.
//!
//! [`Relay`] is the whole of it: [`Relay::attach_websocket`] and [`Relay::attach_grpc`] belong behind
//! routes of an HTTP server, [`listen::quic::serve`] in front of a QUIC endpoint, whose port may answer STUN
//! ([`listen::stun`]).

mod admit;
mod config;
mod leg;
pub mod listen;
mod metrics;
mod pump;
mod registry;
mod relay;
mod seat;
mod session;
mod span;

pub use config::{Bound, Config, Limits};
pub use leg::grpc::Answer;
pub use leg::quic::ALPN;
pub use leg::ws::SUBPROTOCOL;
pub use listen::grpc::ATTACH;
pub use listen::ws::HTTP2_WINDOW;
pub use metrics::{DropReason, Metrics, Refusal, Snapshot, Standing, Stun, Transport};
pub use relay::{PresenceEvent, Relay, SessionReport};
pub use seat::Companion;
