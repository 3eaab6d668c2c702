//! The control plane of PeerSox: who may talk to whom, over gRPC and gRPC-Web.
//!
//! [`Control`] is the service. It decides nothing itself: a call is converted, what it is about is
//! loaded from the [`store`], the rules of `peersox_core::pairing` decide, the decision is committed
//! if nothing has changed meanwhile, and the reply is converted back.
//!
//! ```text
//! request ─ http (CORS, gRPC-Web, deadline) ─ rpc ─┬─ guard      may this address try?
//!                                                  ├─ access     may this caller create a pairing?
//!                                                  ├─ store      load ─ decide ─ commit
//!                                                  └─ directory  where to attach, servers for ICE
//! relay ─ report_presence ─▶ Control ─ revocations ─▶ relay       (the binary carries both)
//! ```
//!
//! Where relays run apart, they announce themselves by `DirectoryService`, which takes the place of the
//! last line.
//!
//! Control knows no relay and opens no socket: the binary serves [`Control::router`], inserts a
//! [`ClientAddr`] into each request, and carries presence and revocations between relay and control.

pub mod access;
mod accounts;
pub mod config;
pub mod directory;
mod execute;
pub mod guard;
mod house;
mod http;
pub mod ice;
mod ledger;
mod living;
mod metrics;
mod presence;
mod revoked;
mod roster;
mod rpc;
mod service;
mod sessions;
pub mod store;
mod token;
mod vigil;

pub use config::Config;
pub use directory::Directory;
pub use http::ClientAddr;
pub use service::{Clock, Control};
pub use sessions::{Happened, SessionReport, What};
pub use store::{AnyStore, File, Memory, Redis, Store, StoreError};
pub use token::Token;
