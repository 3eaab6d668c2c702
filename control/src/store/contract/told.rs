//! What is told of a pairing to somebody who looks for himself when the store asks for that, which a store
//! may do at any time.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use peersox_core::id::PairingId;
use peersox_core::pairing::Event;

use super::START;
use crate::store::{Notice, Store};

/// See the module.
pub(crate) struct Told<'a, S> {
    store: &'a S,
    id: PairingId,
    notices: BoxStream<'static, Notice>,
    /// What is told after this was known before.
    looked: bool,
}

impl<'a, S: Store> Told<'a, S> {
    pub(crate) async fn watch(store: &'a S, id: PairingId) -> Self {
        let notices = store.watch(id).await.unwrap();
        Self {
            store,
            id,
            notices,
            looked: false,
        }
    }

    /// Waits until this event was told, or the record shows that it has happened.
    pub(crate) async fn expect(&mut self, number: u64, event: Event) {
        loop {
            match self.notices.next().await {
                Some(Notice::Happened(version, happened)) => {
                    if (version.number, happened) == (number, event) {
                        return;
                    }
                    let is_known = self.looked && version.number < number;
                    assert!(is_known, "{happened:?} is told instead of {event:?}");
                }
                Some(Notice::Resync) => {
                    self.looked = true;
                    let stored = self.store.load(self.id, START).await.unwrap();
                    if stored.is_none_or(|it| it.version.number >= number) {
                        return;
                    }
                }
                None => panic!("{event:?} is told"),
            }
        }
    }
}
