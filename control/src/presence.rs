//! Who is attached to a relay now.
//!
//! Relays say it, and it is kept in memory only: it ends with the relay that said it, and a store that
//! outlives both would go on claiming it.
//!
//! ```text
//! relay ─▶ set ─┬─▶ watches that are open
//!               ├─▶ online, for who asks
//!               └─▶ Verdict: whether a relay has legs of a pairing that has moved on
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use peersox_core::id::PairingId;
use peersox_core::placement::RelayName;
use peersox_core::role::Role;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// Who is attached, by [`Role::index`].
pub(crate) type Online = [bool; 2];

/// The peers that are attached. A clone is another handle on the same ones. Holds an entry for each pairing
/// of which a peer is attached, or, since the last [`Presence::tidy`], was attached or watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence(Arc<Mutex<HashMap<PairingId, Entry>>>);

/// Which relay says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Nothing for the relay beside control.
    pub(crate) relay: Option<RelayName>,
    /// That of the ticket by which the peer attached.
    pub(crate) epoch: u32,
}

#[derive(Debug, Default)]
struct Entry {
    at: [Option<Source>; 2],
    /// There since somebody watched, until nobody does.
    changes: Option<broadcast::Sender<Change>>,
}

/// What a watch is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The peer with this role attached, or left.
    Is(Role, bool),
    /// Some changes were missed: [`Presence::online`] says how things stand.
    Missed,
}

/// What a report says of where a pairing meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Fine,
    /// A peer is attached where the pairing met before: that relay has to let it go.
    Stale(RelayName),
}

impl Presence {
    /// A peer attached or left.
    pub(crate) fn set(
        &self,
        pairing: PairingId,
        role: Role,
        online: bool,
        source: &Source,
    ) -> Verdict {
        let mut inner = self.lock();
        let entry = inner.entry(pairing).or_default();
        let verdict = entry.set(role, online, source);
        if !entry.is_used() {
            inner.remove(&pairing);
        }
        verdict
    }

    /// Who is attached.
    pub(crate) fn online(&self, pairing: PairingId) -> Online {
        let entries = self.lock();
        entries.get(&pairing).map_or([false; 2], Entry::online)
    }

    /// Who is attached, and each change from then on.
    pub(crate) fn watch(&self, pairing: PairingId) -> (Online, BoxStream<'static, Change>) {
        let mut inner = self.lock();
        let entry = inner.entry(pairing).or_default();
        let sender = entry
            .changes
            .get_or_insert_with(|| broadcast::Sender::new(BACKLOG));
        let changes = BroadcastStream::new(sender.subscribe());
        // The only error is that some were missed.
        let changes = changes.map(|change| change.unwrap_or(Change::Missed));
        (entry.online(), changes.boxed())
    }

    /// A relay has named all who are attached to it; or it is gone, and these are none. Names those who were
    /// believed to be.
    pub(crate) fn only(
        &self,
        relay: &RelayName,
        attached: &HashSet<(PairingId, Role)>,
    ) -> Vec<(PairingId, Role)> {
        let mut gone = Vec::new();
        self.lock().retain(|pairing, entry| {
            for role in Role::BOTH {
                let at = &mut entry.at[role.index()];
                let is_there = at
                    .as_ref()
                    .is_some_and(|at| at.relay.as_ref() == Some(relay));
                if is_there && !attached.contains(&(*pairing, role)) {
                    *at = None;
                    entry.tell(role, false);
                    gone.push((*pairing, role));
                }
            }
            entry.is_used()
        });
        gone
    }

    /// Forgets pairings that nobody watches and nobody is attached to.
    pub(crate) fn tidy(&self) {
        self.lock().retain(|_, entry| {
            if !entry.is_watched() {
                entry.changes = None;
            }
            entry.is_used()
        });
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, HashMap<PairingId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn set(&mut self, role: Role, online: bool, source: &Source) -> Verdict {
        let newest = self.at.iter().flatten().max_by_key(|at| at.epoch).cloned();
        let elsewhere = newest.filter(|at| at.relay != source.relay);
        let at = &mut self.at[role.index()];
        if !online {
            // It may have attached to another relay before this one noticed that it left.
            if at.as_ref().is_some_and(|at| at.relay == source.relay) {
                *at = None;
                self.tell(role, false);
            }
            return Verdict::Fine;
        }
        if let Some(newer) = elsewhere.as_ref().filter(|at| at.epoch > source.epoch) {
            tracing::debug!(
                ?source,
                ?newer,
                "a peer is attached where its pairing met before"
            );
            return source.relay.clone().map_or(Verdict::Fine, Verdict::Stale);
        }
        if at.replace(source.clone()).is_none() {
            self.tell(role, true);
        }
        match elsewhere.filter(|at| at.epoch < source.epoch) {
            Some(Source {
                relay: Some(older), ..
            }) => Verdict::Stale(older),
            _ => Verdict::Fine,
        }
    }

    fn tell(&self, role: Role, online: bool) {
        if let Some(changes) = &self.changes {
            // It fails if nobody watches any more.
            let _ = changes.send(Change::Is(role, online));
        }
    }

    fn online(&self) -> Online {
        [self.at[0].is_some(), self.at[1].is_some()]
    }

    fn is_used(&self) -> bool {
        self.online() != [false; 2] || self.is_watched()
    }

    fn is_watched(&self) -> bool {
        let changes = self.changes.as_ref();
        changes.is_some_and(|changes| changes.receiver_count() > 0)
    }
}

/// Peers come and go now and then; who is this far behind has stalled.
const BACKLOG: usize = 16;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const ID: PairingId = PairingId::from_bytes([7; 16]);
    const BESIDE: Source = Source {
        relay: None,
        epoch: 0,
    };

    fn at(relay: &str, epoch: u32) -> Source {
        let relay = Some(relay.parse().unwrap());
        Source { relay, epoch }
    }

    fn stale(relay: &str) -> Verdict {
        Verdict::Stale(relay.parse().unwrap())
    }

    #[test]
    fn what_changes_is_told_once_and_nothing_is_kept_of_those_who_left() {
        let presence = Presence::default();
        let set = |role, online| presence.set(ID, role, online, &BESIDE);
        set(Role::Joiner, true);
        let (online, mut changes) = presence.watch(ID);
        assert_eq!(online, [false, true]);
        set(Role::Joiner, true);
        set(Role::Initiator, true);
        set(Role::Joiner, false);
        for expected in [
            Change::Is(Role::Initiator, true),
            Change::Is(Role::Joiner, false),
        ] {
            assert_eq!(changes.next().now_or_never(), Some(Some(expected)));
        }
        assert_eq!(changes.next().now_or_never(), None);
        assert_eq!(presence.online(ID), [true, false]);
        set(Role::Initiator, false);
        assert_eq!(presence.lock().len(), 1, "somebody watches");
        drop(changes);
        presence.tidy();
        assert_eq!(presence.lock().len(), 0);
        set(Role::Joiner, true);
        set(Role::Joiner, false);
        assert_eq!(presence.lock().len(), 0);
    }

    #[test]
    fn who_falls_behind_is_told_so() {
        let presence = Presence::default();
        let (_, mut changes) = presence.watch(ID);
        for at in 0..40 {
            presence.set(ID, Role::Joiner, at % 2 == 0, &BESIDE);
        }
        assert_eq!(changes.next().now_or_never(), Some(Some(Change::Missed)));
    }

    /// A pairing moved from one relay to another: reports come in any order.
    #[test]
    fn a_relay_where_the_pairing_met_before_is_found_out() {
        let presence = Presence::default();
        for role in Role::BOTH {
            assert_eq!(presence.set(ID, role, true, &at("one", 1)), Verdict::Fine);
        }
        let (_, mut changes) = presence.watch(ID);
        let moved = presence.set(ID, Role::Joiner, true, &at("two", 2));
        assert_eq!(moved, stale("one"), "the other peer is still there");
        // That it left the first relay is not news: it is at the second.
        let left = presence.set(ID, Role::Joiner, false, &at("one", 1));
        assert_eq!(left, Verdict::Fine);
        assert_eq!(presence.online(ID), [true, true]);
        assert_eq!(changes.next().now_or_never(), None);
        // Back there by an old ticket.
        let back = presence.set(ID, Role::Joiner, true, &at("one", 1));
        assert_eq!(back, stale("one"));
        presence.set(ID, Role::Initiator, true, &at("two", 2));
        assert_eq!(presence.only(&"one".parse().unwrap(), &HashSet::new()), []);
        assert_eq!(presence.online(ID), [true, true]);
    }

    #[test]
    fn a_relay_that_names_all_denies_the_others() {
        let presence = Presence::default();
        let other = PairingId::from_bytes([8; 16]);
        for pairing in [ID, other] {
            for role in Role::BOTH {
                presence.set(pairing, role, true, &at("one", 1));
            }
        }
        let (_, mut changes) = presence.watch(ID);
        let named = HashSet::from([(ID, Role::Initiator)]);
        let mut gone = presence.only(&"one".parse().unwrap(), &named);
        gone.sort_by_key(|(pairing, role)| (*pairing, role.index()));
        let expected = [
            (ID, Role::Joiner),
            (other, Role::Initiator),
            (other, Role::Joiner),
        ];
        assert_eq!(gone, expected);
        assert_eq!(presence.online(ID), [true, false]);
        let told = changes.next().now_or_never();
        assert_eq!(told, Some(Some(Change::Is(Role::Joiner, false))));
    }
}
