//! Where pairings are kept: the trait, the stores that come with the server, and every type that a store of
//! one's own names.
//!
//! A store decides nothing. It writes a pairing, its nameplate and the event of a [`Commit`] together or not
//! at all. A store that outlives the process goes with a [`Secret`](crate::state::Secret) that does, too.

use std::path::Path;

use zeroize::Zeroizing;

use crate::secret_file;

pub use crate::secret_file::SecretFileError;
pub use futures_util::stream::BoxStream;
pub use peersox_control::store::{
    AnyStore, BadRedisUrl, Commit, ConnectError, File, KeptSecret, Memory, Notice, Outcome, Redis,
    RedisUrl, Store, StoreError, Stored, Version,
};
pub use peersox_core::code::{Census, Nameplate};
pub use peersox_core::id::PairingId;
pub use peersox_core::pairing::{Event, Pairing, Worth, Write};
pub use peersox_core::time::Timestamp;

/// Reads the password of Redis, for [`RedisUrl::with_password`], from a file of one line to which nobody
/// but its owner has access.
///
/// # Errors
/// [`SecretFileError`] if it cannot be read, is open to others, or has another number of lines.
pub fn read_password(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let danger = "change and read what the server keeps";
    secret_file::read(path, "password", danger, secret_file::password)
}
