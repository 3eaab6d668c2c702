//! Who is attached to the relay beside, for streams that begin later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_relay::PresenceEvent;
use tokio::sync::{broadcast, mpsc};

/// Those who are attached. A clone is another handle on the same ones.
#[derive(Clone)]
pub(crate) struct Mirror(Arc<Inner>);

struct Inner {
    /// The epoch of each ticket.
    attached: Mutex<HashMap<(PairingId, Role), u32>>,
    changes: broadcast::Sender<PresenceEvent>,
}

impl Default for Mirror {
    fn default() -> Self {
        Self(Arc::new(Inner {
            attached: Mutex::default(),
            changes: broadcast::Sender::new(BACKLOG),
        }))
    }
}

impl Mirror {
    /// Takes in what happens, as long as there is a relay.
    pub(crate) async fn keep(self, mut presence: mpsc::Receiver<PresenceEvent>) {
        while let Some(event) = presence.recv().await {
            self.note(event);
        }
    }

    fn note(&self, event: PresenceEvent) {
        let mut attached = self.lock();
        let key = (event.session, event.role);
        match event.online {
            true => attached.insert(key, event.epoch),
            false => attached.remove(&key),
        };
        // It fails if nobody listens.
        let _ = self.0.changes.send(event);
    }

    /// Who is attached, and each change from then on.
    pub(crate) fn watch(&self) -> (Vec<PresenceEvent>, broadcast::Receiver<PresenceEvent>) {
        let attached = self.lock();
        let changes = self.0.changes.subscribe();
        let event = |(&(session, role), &epoch): (&(PairingId, Role), &u32)| PresenceEvent {
            session,
            role,
            online: true,
            epoch,
        };
        (attached.iter().map(event).collect(), changes)
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, HashMap<(PairingId, Role), u32>> {
        self.0
            .attached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is this far behind begins anew.
const BACKLOG: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_late_knows_as_much_as_who_listened_always() {
        let mirror = Mirror::default();
        let event = |byte, online, epoch| PresenceEvent {
            session: PairingId::from_bytes([byte; 16]),
            role: Role::Joiner,
            online,
            epoch,
        };
        mirror.note(event(1, true, 1));
        mirror.note(event(2, true, 1));
        mirror.note(event(1, false, 1));
        mirror.note(event(2, true, 2));
        let (attached, mut changes) = mirror.watch();
        assert_eq!(attached, [event(2, true, 2)]);
        mirror.note(event(3, true, 1));
        assert_eq!(changes.try_recv(), Ok(event(3, true, 1)));
        assert!(changes.try_recv().is_err());
    }
}
