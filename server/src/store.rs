//! Where pairings are kept: the trait, the two stores that come with the server, and every type that a store
//! of one's own names.
//!
//! A store decides nothing. It writes a pairing, its nameplate and the event of a [`Commit`] together or not
//! at all. A store that outlives the process goes with a [`Secret`](crate::state::Secret) that does, too.

pub use futures_util::stream::BoxStream;
pub use peersox_control::store::{
    AnyStore, Commit, File, Memory, Notice, Outcome, Store, StoreError, Stored, Version,
};
pub use peersox_core::code::{Census, Nameplate};
pub use peersox_core::id::PairingId;
pub use peersox_core::pairing::{Event, Pairing, Worth, Write};
pub use peersox_core::time::Timestamp;
