//! Who watches which pairing, told by Redis.
//!
//! Servers tell each other by publishing. That is a doorbell and no more: Redis keeps nothing of it, so that
//! whoever may have missed a ring reads the pairing again. A ring is `NUMBER STAMP EVENT`, or `gone` for a
//! pairing that had to make room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::BoxStream;
use peersox_core::id::PairingId;
use peersox_core::pairing::Event;
use redis::{PushInfo, PushKind, Value};

use super::keys::{self, Buckets};
use crate::store::watchers::Watchers;
use crate::store::{Notice, Version};

pub(super) struct Bell {
    buckets: Buckets,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    watchers: Watchers,
    /// What Redis is to tell of; more than what is watched, until the next [`Bell::idle`].
    subscribed: BTreeSet<PairingId>,
}

impl Bell {
    pub(super) fn new(buckets: Buckets) -> Self {
        let inner = Mutex::default();
        Self { buckets, inner }
    }

    /// What happens to a pairing from when its channel is subscribed to, which is the caller's to do.
    pub(super) fn watch(&self, id: PairingId) -> BoxStream<'static, Notice> {
        let mut inner = self.lock();
        inner.subscribed.insert(id);
        inner.watchers.watch(id)
    }

    /// Takes in what Redis says unasked. False means that something may have been missed.
    pub(super) fn heard(&self, push: &PushInfo) -> bool {
        let channel = match push.data.first() {
            Some(Value::BulkString(channel)) => keys::of_channel(channel),
            _ => None,
        };
        match (&push.kind, channel) {
            (PushKind::Message | PushKind::SMessage, Some(id)) => {
                let said = match push.data.get(1) {
                    Some(Value::BulkString(said)) => std::str::from_utf8(said).ok(),
                    _ => None,
                };
                let mut inner = self.lock();
                match said.and_then(read) {
                    Some((version, event)) => inner.watchers.tell(id, version, event),
                    None => inner.watchers.missed(id),
                }
                true
            }
            // The slot has gone to another server of the Cluster, unless it was us who did not want it any
            // more.
            (PushKind::SUnsubscribe, Some(id)) => !self.lock().subscribed.contains(&id),
            (PushKind::Disconnection, _) => false,
            _ => true,
        }
    }

    /// All channels, in pieces of which each is of one bucket.
    pub(super) fn channels(&self) -> Vec<Vec<String>> {
        let mut by_bucket = BTreeMap::<_, Vec<String>>::new();
        for id in &self.lock().subscribed {
            let bucket = self.buckets.of(*id);
            by_bucket
                .entry(bucket)
                .or_default()
                .push(bucket.channel(*id));
        }
        let pieces = by_bucket
            .values()
            .flat_map(|channels| channels.chunks(PIECE));
        pieces.map(<[String]>::to_vec).collect()
    }

    /// Has all who watch look for what they have missed.
    pub(super) fn ring_all(&self) {
        self.lock().watchers.all_missed();
    }

    /// Channels of one bucket that nobody needs any more, not too many at once; they count as given up from
    /// now on. None if there are no others.
    pub(super) fn idle(&self) -> Vec<String> {
        let mut inner = self.lock();
        inner.watchers.tidy();
        let Inner {
            watchers,
            subscribed,
        } = &mut *inner;
        let idle = |id: &&PairingId| !watchers.has(**id);
        let bucket = subscribed.iter().find(idle).map(|id| self.buckets.of(*id));
        let of_bucket = |id: &&PairingId| Some(self.buckets.of(**id)) == bucket;
        let piece = subscribed.iter().filter(idle).filter(of_bucket).take(PIECE);
        let piece: BTreeSet<_> = piece.copied().collect();
        subscribed.retain(|id| !piece.contains(id));
        let channel = |id: &PairingId| self.buckets.of(*id).channel(*id);
        piece.iter().map(channel).collect()
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to say of an event.
pub(super) fn write(version: Version, event: Event) -> String {
    let event = match event {
        Event::Joined => JOINED,
        Event::Asked => ASKED,
        Event::Confirmed => CONFIRMED,
        Event::Revoked => REVOKED,
    };
    format!("{} {:x} {event}", version.number, version.stamp)
}

fn read(said: &str) -> Option<(Version, Event)> {
    let mut parts = said.split(' ');
    let number = parts.next()?.parse().ok()?;
    let stamp = u64::from_str_radix(parts.next()?, 16).ok()?;
    let event = match parts.next()? {
        JOINED => Event::Joined,
        ASKED => Event::Asked,
        CONFIRMED => Event::Confirmed,
        REVOKED => Event::Revoked,
        _ => return None,
    };
    Some((Version { number, stamp }, event))
}

const JOINED: &str = "joined";
const ASKED: &str = "asked";
const CONFIRMED: &str = "confirmed";
const REVOKED: &str = "revoked";
/// Channels that are subscribed to with one command.
const PIECE: usize = 500;

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn push(kind: PushKind, channel: &str, said: &str) -> PushInfo {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        PushInfo {
            kind,
            data: vec![text(channel), text(said)],
        }
    }

    #[test]
    fn a_ring_is_told_to_those_who_watch_and_nonsense_makes_them_look() {
        let bell = Bell::new(Buckets::CLUSTER);
        let id = PairingId::from_bytes([0xab; 16]);
        let mut notices = bell.watch(id);
        let [[channel]] = &bell
            .channels()
            .try_into()
            .map(|[it]: [Vec<String>; 1]| [it.try_into().unwrap()])
            .unwrap();
        let channel: &String = channel;
        let version = Version {
            number: 7,
            stamp: u64::MAX,
        };
        for (said, expected) in [
            (
                write(version, Event::Joined),
                Notice::Happened(version, Event::Joined),
            ),
            ("gone".to_owned(), Notice::Resync),
        ] {
            assert!(bell.heard(&push(PushKind::SMessage, channel, &said)));
            assert_eq!(notices.next().now_or_never(), Some(Some(expected)));
        }
        for nonsense in ["", "7", "7 x joined", "7 1 left", "-1 1 joined"] {
            let mut notices = bell.watch(id);
            assert!(bell.heard(&push(PushKind::Message, channel, nonsense)));
            assert_eq!(
                notices.next().now_or_never(),
                Some(Some(Notice::Resync)),
                "{nonsense}"
            );
        }
    }

    #[test]
    fn what_is_lost_is_a_doubt_and_what_was_given_up_is_none() {
        let bell = Bell::new(Buckets::ONE);
        let id = PairingId::from_bytes([1; 16]);
        let notices = bell.watch(id);
        let channel = bell.channels().concat().concat();
        let gone = push(PushKind::SUnsubscribe, &channel, "");
        assert!(!bell.heard(&gone), "somebody watches");
        let disconnection = PushInfo {
            kind: PushKind::Disconnection,
            data: Vec::new(),
        };
        assert!(!bell.heard(&disconnection));
        assert_eq!(bell.idle(), Vec::<String>::new());
        drop(notices);
        assert_eq!(bell.idle(), [channel]);
        assert!(bell.heard(&gone));
        assert_eq!(bell.channels(), Vec::<Vec<String>>::new());
    }
}
