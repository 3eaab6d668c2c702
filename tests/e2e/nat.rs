//! A laboratory of networks: devices behind real routers, and a server on an internet of their own.
//!
//! ```text
//! server ─── internet ─┬─ device                        Open
//!  .10 .11             ├─ router ─── device             FullCone, PortRestricted, Symmetric, …
//!                      ├─ router ─┬─ device             Lan
//!                      │          └─ device
//!                      └─ router ─┬─ router ─── device  Hairpin; Double has one home of this
//!                       provider  └─ router ─── device
//! ```
//!
//! Each box is a network namespace, each line a pair of virtual Ethernet devices, each router a ruleset of
//! nftables. The machine's own networks are neither used nor changed. All homes have the same addresses
//! inside, as real ones do. Where the kernel or the rights do not allow for this, tests say so, and are
//! skipped.

mod carried;
mod device;
mod doctor;
mod kinds;
mod lab;
mod lasting;
mod moves;
mod namespace;
mod network;
mod pairs;
mod prober;
mod wires;

pub use device::Device;
pub use lab::Lab;
pub use network::Network;
