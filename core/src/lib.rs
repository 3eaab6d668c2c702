//! Every rule of PeerSox.
//!
//! Nothing in this crate opens a socket, reads a clock or draws a random number: time and
//! randomness are arguments, bytes come in and decisions go out. The server, the native client and
//! the browser run the very same code, and tests run it faster than time.
//!
//! Who talks to whom is decided by [`pairing`], with a [`code`] that people carry across. The right
//! to attach to a relay is a [`ticket`]. A relay keeps one [`session`] per pair and moves a
//! [`frame`] from one leg to the other until a [`close`] reason ends it, within the budgets of
//! [`limit`]; by [`stun`] a server tells peers under which address it sees them. Between the peers,
//! opaque to the relay, [`secure`] agrees on keys and seals, a [`channel`] carries messages without
//! loss over the path that [`connect`] chooses, and a [`transfer`] carries files over a channel. A
//! [`peer`] is the first three in one machine: what the native client and the browser drive. What a
//! [`network`] allows for direct paths is judged from what servers of STUN see.

pub mod attach;
pub mod channel;
pub mod close;
pub mod code;
pub mod connect;
pub mod direct;
pub mod endpoint;
mod fields;
pub mod frame;
pub mod id;
pub mod invite;
pub mod limit;
pub mod network;
pub mod notice;
pub mod origin;
pub mod pairing;
pub mod peer;
pub mod placement;
pub mod role;
pub mod secure;
pub mod session;
mod short;
pub mod stun;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod ticket;
pub mod time;
pub mod trace;
pub mod transfer;
