//! Who watches which pairing, in this process.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use peersox_core::id::PairingId;
use peersox_core::pairing::Event;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{Notice, Version};

/// At most one entry per pairing that is or, since the last [`Watchers::tidy`], was there.
#[derive(Debug, Default)]
pub(super) struct Watchers(HashMap<PairingId, broadcast::Sender<Notice>>);

impl Watchers {
    /// What happens to a pairing from now on.
    pub(super) fn watch(&mut self, id: PairingId) -> BoxStream<'static, Notice> {
        let sender = self
            .0
            .entry(id)
            .or_insert_with(|| broadcast::Sender::new(BACKLOG));
        let notices = BroadcastStream::new(sender.subscribe());
        // The only error is that some were missed.
        notices
            .map(|notice| notice.unwrap_or(Notice::Resync))
            .boxed()
    }

    /// Tells what happened. After a revocation nothing more can.
    pub(super) fn tell(&mut self, id: PairingId, version: Version, event: Event) {
        let notice = Notice::Happened(version, event);
        // It fails if nobody listens.
        let heard = self.0.get(&id).map(|sender| sender.send(notice));
        if matches!(heard, Some(Err(_))) || event == Event::Revoked {
            self.0.remove(&id);
        }
    }

    /// Makes those who watch a pairing look for themselves that its time is over.
    pub(super) fn over(&mut self, id: PairingId) {
        if let Some(sender) = self.0.remove(&id) {
            let _ = sender.send(Notice::Resync);
        }
    }

    /// Makes those who watch a pairing look for themselves what has happened.
    pub(super) fn missed(&self, id: PairingId) {
        // It fails if nobody listens.
        let _ = self.0.get(&id).map(|sender| sender.send(Notice::Resync));
    }

    /// Makes all who watch look for themselves what has happened.
    pub(super) fn all_missed(&self) {
        for id in self.0.keys() {
            self.missed(*id);
        }
    }

    /// Whether somebody may watch a pairing.
    pub(super) fn has(&self, id: PairingId) -> bool {
        self.0.contains_key(&id)
    }

    /// Forgets pairings that nobody watches.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|_, sender| sender.receiver_count() > 0);
    }
}

/// A pairing changes a few times in its life and presence now and then; who is this far behind has
/// stalled, and is told to resync.
const BACKLOG: usize = 16;
