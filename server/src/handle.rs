//! What asks a server and tells it something while somebody else owns it.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use peersox_control::store::Stored;
use peersox_control::{Control, Store, StoreError};
use peersox_core::id::PairingId;
use peersox_relay::Relay;

/// A handle on a running server. It works on while the server shuts down and after; clones are handles on the
/// same one. It keeps the store open, a file too, until the last one is dropped.
#[derive(Clone)]
pub struct Handle {
    url: String,
    relay: Relay,
    control: Arc<dyn Plane>,
}

impl Handle {
    pub(crate) const fn new(url: String, relay: Relay, control: Arc<dyn Plane>) -> Self {
        Self {
            url,
            relay,
            control,
        }
    }

    /// As [`Server::url`](crate::Server::url).
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As [`Server::status`](crate::Server::status).
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.relay)
    }

    /// The pairings there are, in the order of their names, beginning with the first one behind `after`;
    /// `most` of them at most. All are listed once a piece has fewer than `most`.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn pairings(
        &self,
        after: Option<PairingId>,
        most: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        self.control.pairings(after, most).await
    }

    /// Revokes a pairing, as if one of its peers had: its credentials and tickets stop working, and its legs
    /// are hung up. Tells whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be stored.
    pub async fn revoke(&self, pairing: PairingId) -> Result<bool, StoreError> {
        self.control.revoke(pairing).await
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        f.debug_struct("Handle")
            .field("url", url)
            .finish_non_exhaustive()
    }
}

/// What a server carries at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Living sessions: pairs of which at least one peer is attached or waited for.
    pub sessions: u64,
    /// Open connections of peers to the relay.
    pub legs: u64,
    /// Whether it is shutting down and takes no new peers.
    pub draining: bool,
}

impl Status {
    pub(crate) fn of(relay: &Relay) -> Self {
        let now = relay.snapshot();
        Self {
            sessions: now.sessions,
            legs: now.legs,
            draining: relay.is_draining(),
        }
    }
}

/// Control, whatever its store is.
pub(crate) trait Plane: Send + Sync {
    fn pairings(&self, after: Option<PairingId>, most: usize) -> Reply<'_, Vec<Stored>>;
    fn revoke(&self, pairing: PairingId) -> Reply<'_, bool>;
    fn end(&self) -> BoxFuture<'_, ()>;
}

pub(crate) type Reply<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl<S: Store> Plane for Control<S> {
    fn pairings(&self, after: Option<PairingId>, most: usize) -> Reply<'_, Vec<Stored>> {
        Box::pin(Self::pairings(self, after, most))
    }

    fn revoke(&self, pairing: PairingId) -> Reply<'_, bool> {
        Box::pin(Self::revoke(self, pairing))
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.set_serving(false).await;
            self.stop();
        })
    }
}
