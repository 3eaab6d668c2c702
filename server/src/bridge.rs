//! Between relays and control, where they run apart: reports go up, orders go down.
//!
//! ```text
//!                       ┌─ stream ─▶ one node of control ─┐
//! relay ─▶ Mirror ──────┼─ stream ─▶ another ─────────────┼─▶ orders ─▶ relay
//! who is attached       └─ …                              ┘   keys, by all of them together
//! ```
//!
//! A relay opens a stream to every address of control. Each stream begins with who the relay is and who is
//! attached, so that a node that was away, or is new, knows as much as the others. A relay that loses all
//! of them goes on with the keys that it has.

mod mirror;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use peersox_control::Token;
use peersox_core::origin::{Allowed, Origin};
use peersox_core::placement::RelayName;
use peersox_core::ticket::Verifier;
use peersox_proto::v1;
use peersox_relay::{PresenceEvent, Relay};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::BridgeMetrics;
use crate::role::ControlUrl;
use mirror::Mirror;
use stream::Stream;

/// What a relay needs to find control, and to be known there.
pub(crate) struct Bridge {
    pub(crate) controls: Vec<ControlUrl>,
    pub(crate) token: Token,
    pub(crate) name: RelayName,
    pub(crate) tls: TlsConnector,
    /// Who the relay is, whenever that changes.
    pub(crate) hello: watch::Receiver<v1::RelayHello>,
    pub(crate) relay: Relay,
    /// Whether some node of control has said whose tickets are good.
    pub(crate) trusted: watch::Sender<bool>,
    pub(crate) metrics: BridgeMetrics,
}

impl Bridge {
    /// Keeps the streams until `stop`.
    pub(crate) async fn run(
        self,
        presence: mpsc::Receiver<PresenceEvent>,
        stop: CancellationToken,
    ) {
        let mirror = Mirror::default();
        let shared = Arc::new(Shared {
            trust: Mutex::default(),
            nodes: Mutex::default(),
            mirror: mirror.clone(),
            bridge: self,
        });
        let tasks = TaskTracker::new();
        tasks.spawn(
            stop.clone()
                .run_until_cancelled_owned(mirror.keep(presence)),
        );
        for control in shared.bridge.controls.clone() {
            let following = follow(Arc::clone(&shared), control, stop.clone());
            tasks.spawn(stop.clone().run_until_cancelled_owned(following));
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// What the streams have in common.
pub(crate) struct Shared {
    bridge: Bridge,
    mirror: Mirror,
    trust: Mutex<BTreeMap<SocketAddr, Trust>>,
    /// Which address leads to which node of control, while there is a stream.
    nodes: Mutex<BTreeMap<Bytes, SocketAddr>>,
}

/// What one node of control says of whom to admit.
#[derive(Debug, Default)]
struct Trust {
    keys: BTreeSet<[u8; 32]>,
    origins: Vec<Origin>,
}

impl Shared {
    /// Takes in what a node says. What another one said stands until that says something else: a relay
    /// refuses nobody whose ticket some node of control believes.
    fn trust(&self, address: SocketAddr, hello: &v1::ControlHello) {
        let keys = hello.ticket_keys.iter();
        let keys: BTreeSet<_> = keys.filter_map(|key| key[..].try_into().ok()).collect();
        if keys.is_empty() {
            tracing::warn!(%address, "this node of control names no key that tickets are signed with");
            return;
        }
        let origins = hello.allowed_origins.iter();
        let origins = origins.filter_map(|origin| origin.parse().ok()).collect();
        self.change(|trust| drop(trust.insert(address, Trust { keys, origins })));
        lock(&self.nodes).insert(hello.node.clone(), address);
    }

    /// An address is not one of control's any more.
    fn forget(&self, address: SocketAddr) {
        self.change(|trust| {
            // The last word stands, whoever said it.
            if trust.len() > 1 {
                trust.remove(&address);
            }
        });
    }

    /// The stream to an address has ended.
    fn left(&self, address: SocketAddr) {
        lock(&self.nodes).retain(|_, at| *at != address);
    }

    /// Whether there is a stream to this node by another address.
    fn is_reached_elsewhere(&self, node: &Bytes, address: SocketAddr) -> bool {
        lock(&self.nodes).get(node).is_some_and(|at| *at != address)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<SocketAddr, Trust>)) {
        let mut trust = lock(&self.trust);
        change(&mut trust);
        let keys: BTreeSet<_> = trust
            .values()
            .flat_map(|said| &said.keys)
            .copied()
            .collect();
        let keys: Vec<_> = keys.into_iter().collect();
        let origins: Allowed = trust
            .values()
            .flat_map(|said| &said.origins)
            .cloned()
            .collect();
        let Bridge {
            relay,
            name,
            trusted,
            ..
        } = &self.bridge;
        match Verifier::new(&keys) {
            Ok(verifier) if !keys.is_empty() => {
                relay.trust(verifier.at(name));
                relay.also_allow(origins);
                trusted.send_replace(true);
            }
            Ok(_) | Err(_) => tracing::warn!(
                "control names a key that is none; tickets are judged by the former ones"
            ),
        }
    }
}

/// No critical section leaves half a change behind, so a poisoned lock is as good as new.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a stream to every address of one name.
async fn follow(shared: Arc<Shared>, control: ControlUrl, stop: CancellationToken) {
    let mut streams = BTreeMap::<SocketAddr, CancellationToken>::new();
    let tasks = TaskTracker::new();
    loop {
        match control.resolve().await {
            Ok(addresses) if !addresses.is_empty() => {
                streams.retain(|address, end| {
                    let stays = addresses.contains(address);
                    if !stays {
                        end.cancel();
                        shared.forget(*address);
                    }
                    stays
                });
                for address in addresses {
                    streams.entry(address).or_insert_with(|| {
                        let end = stop.child_token();
                        let stream = Stream::new(Arc::clone(&shared), control.clone(), address);
                        tasks.spawn(end.clone().run_until_cancelled_owned(stream.keep()));
                        end
                    });
                }
            }
            Ok(_) => tracing::warn!(%control, "control has no address"),
            Err(error) => tracing::warn!(%control, %error, "control cannot be resolved"),
        }
        tokio::time::sleep(RESOLVE).await;
    }
}

/// How often the addresses of control are looked up.
const RESOLVE: Duration = Duration::from_secs(5);
