//! What asks a server and tells it something while somebody else owns it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use peersox_control::store::Stored;
use peersox_control::{Control, Store, StoreError};
use peersox_core::id::PairingId;
use peersox_core::origin::Origin;
#[cfg(doc)]
use peersox_core::role::Role;
use peersox_core::ticket::{Keyring, Signer};
use peersox_proto::v1::Transport;
use peersox_relay::Relay;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};

use crate::metrics::Metrics;
use crate::parts;
use crate::state::Secret;

/// A handle on a running server. It works on while the server shuts down and after; clones are handles on the
/// same one. It keeps the store open, a file too, until the last one is dropped.
#[derive(Clone)]
pub struct Handle {
    url: String,
    relay: Option<Relay>,
    control: Option<Arc<dyn Plane>>,
    metrics: Metrics,
    /// Held from reading the keys until others are used, so that no key is lost.
    keys: Arc<Mutex<()>>,
    /// Has the certificate read again, if it is one that can be.
    reload: Option<Arc<Notify>>,
    /// The same for the list of those who may create pairings.
    relist: Option<Arc<Notify>>,
    settled: Option<watch::Receiver<bool>>,
}

impl Handle {
    pub(crate) fn new(
        url: String,
        relay: Option<Relay>,
        control: Option<Arc<dyn Plane>>,
        metrics: Metrics,
        reload: Option<Arc<Notify>>,
        relist: Option<Arc<Notify>>,
        settled: Option<watch::Receiver<bool>>,
    ) -> Self {
        Self {
            url,
            relay,
            control,
            metrics,
            keys: Arc::default(),
            reload,
            relist,
            settled,
        }
    }

    /// What the server has counted so far, as OpenMetrics text; docs/operations.md lists it. For embedders
    /// who serve it themselves; with [`ServerConfig::metrics_listen`](crate::ServerConfig::metrics_listen)
    /// the server does.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.metrics.text()
    }

    /// The same as values, for embedders who send them elsewhere.
    #[must_use]
    pub fn registries(&self) -> &[Registry] {
        self.metrics.registries()
    }

    /// As [`Server::url`](crate::Server::url).
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As [`Server::status`](crate::Server::status).
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(self.relay.as_ref(), self.control.as_deref())
    }

    /// The pairings there are, in the order of their names, beginning with the first one behind `after`;
    /// `most` of them at most. All are listed once a piece has fewer than `most`.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or this is a relay alone.
    pub async fn pairings(
        &self,
        after: Option<PairingId>,
        most: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        self.plane()?.pairings(after, most).await
    }

    /// Who of a pairing is attached to a relay, by [`Role::index`].
    #[must_use]
    pub fn online(&self, pairing: PairingId) -> [bool; 2] {
        let control = self.control.as_ref();
        control.map_or([false; 2], |control| control.online(pairing))
    }

    /// Revokes a pairing, as if one of its peers had: its credentials and tickets stop working, and its legs
    /// are hung up. Tells whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be stored, or this is a relay alone.
    pub async fn revoke(&self, pairing: PairingId) -> Result<bool, StoreError> {
        self.plane()?.revoke(pairing).await
    }

    /// The origins that pages have to be permitted to connect to: those of relays that run apart, and that of
    /// WebTransport where it has a port of its own.
    #[must_use]
    pub fn relay_origins(&self) -> Vec<Origin> {
        let control = self.control.as_ref();
        control
            .map(|control| control.relay_origins())
            .unwrap_or_default()
    }

    /// Signs tickets with the first of these secrets from now on, and believes those of all, and no others.
    /// Relays that run apart are told at once. Where several nodes sign, all have to believe a secret before
    /// one signs with it. Answers how many keys are believed.
    ///
    /// # Errors
    /// [`StoreError`] if there is no secret, or this is a relay alone, which signs nothing.
    pub fn sign_with(&self, secrets: &[Secret]) -> Result<usize, StoreError> {
        let (first, others) = secrets
            .split_first()
            .ok_or_else(|| StoreError("there is no secret to sign with".to_owned()))?;
        let _alone = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        self.use_keys(parts::keyring(first, others))
    }

    /// Signs tickets with this secret from now on. What was signed before stays good as long as it lives.
    /// Answers how many keys are believed.
    ///
    /// # Errors
    /// [`StoreError`] if this is a relay alone, which signs nothing.
    pub fn renew_secret(&self, secret: &Secret) -> Result<usize, StoreError> {
        let _alone = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        self.use_keys(self.plane()?.renewed_keys(secret.signer()))
    }

    /// Has the server read the files of its certificate again now, changed or not, or order one by ACME at
    /// once that it was not given before; the log says what came of it. Answers whether there is such a
    /// certificate: nothing happens if not.
    pub fn reload_certificate(&self) -> bool {
        if let Some(reload) = &self.reload {
            reload.notify_one();
        }
        self.reload.is_some()
    }

    /// Has the server read again now who may create pairings, changed or not; the log says what came of it.
    /// Answers whether that stands in a file: nothing happens if not.
    pub fn reload_creators(&self) -> bool {
        if let Some(relist) = &self.relist {
            relist.notify_one();
        }
        self.relist.is_some()
    }

    /// Waits until there is a certificate to present, or the first attempt to order one has failed, which
    /// the log tells. Returns at once unless one is ordered by ACME.
    pub async fn certificate_settled(&self) {
        if let Some(settled) = &self.settled {
            // The server has ended if nobody can say so any more.
            let _ = settled.clone().wait_for(|it| *it).await;
        }
    }

    fn use_keys(&self, keys: Keyring) -> Result<usize, StoreError> {
        let plane = self.plane()?;
        let believed = keys.public_keys().len();
        // Nobody comes to this relay with a ticket that it does not believe yet.
        if let Some(relay) = &self.relay {
            relay.trust(parts::verifier(&keys));
        }
        plane.use_keys(keys);
        Ok(believed)
    }

    fn plane(&self) -> Result<&dyn Plane, StoreError> {
        let control = self.control.as_deref();
        control.ok_or_else(|| StoreError("a relay alone keeps no pairings; ask control".to_owned()))
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
    /// Of the relay here, or else of all that run apart.
    pub(crate) fn of(relay: Option<&Relay>, control: Option<&dyn Plane>) -> Self {
        if let Some(relay) = relay {
            let now = relay.snapshot();
            return Self {
                sessions: now.all_sessions(),
                legs: now.legs,
                draining: relay.is_draining(),
            };
        }
        let (sessions, legs) = control.map(Plane::relayed).unwrap_or_default();
        Self {
            sessions,
            legs,
            draining: control.is_some_and(Plane::is_stopping),
        }
    }
}

/// Control, whatever its store is.
pub(crate) trait Plane: Send + Sync {
    fn pairings(&self, after: Option<PairingId>, most: usize) -> Reply<'_, Vec<Stored>>;
    fn revoke(&self, pairing: PairingId) -> Reply<'_, bool>;
    fn renewed_keys(&self, signer: Signer) -> Keyring;
    fn use_keys(&self, keys: Keyring);
    fn online(&self, pairing: PairingId) -> [bool; 2];
    fn relay_origins(&self) -> Vec<Origin>;
    fn relayed(&self) -> (u64, u64);
    fn has_quic(&self) -> bool;
    fn is_ready(&self) -> bool;
    fn is_stopping(&self) -> bool;
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

    fn renewed_keys(&self, signer: Signer) -> Keyring {
        Self::renewed_keys(self, signer)
    }

    fn use_keys(&self, keys: Keyring) {
        Self::use_keys(self, keys);
    }

    fn online(&self, pairing: PairingId) -> [bool; 2] {
        Self::online(self, pairing)
    }

    fn relay_origins(&self) -> Vec<Origin> {
        Self::relay_origins(self)
    }

    fn relayed(&self) -> (u64, u64) {
        Self::relayed(self)
    }

    fn has_quic(&self) -> bool {
        self.transports().contains(&Transport::Quic)
    }

    fn is_ready(&self) -> bool {
        Self::is_ready(self)
    }

    fn is_stopping(&self) -> bool {
        Self::is_stopping(self)
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.set_serving(false).await;
            self.stop();
        })
    }
}
