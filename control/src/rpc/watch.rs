//! `WatchPairing`: one peer's view of what happens to its pairing.
//!
//! ```text
//! subscribe ─▶ load: present state ─▶ events newer than it ─▶ REVOKED or EXPIRED, end
//!                 ▲                      │
//!                 └── something missed ──┘
//! ```
//!
//! The store tells what happens to the pairing, and relays who is attached. Subscribing before loading
//! leaves no gap; numbered states let events that the loaded state already contains be skipped. The
//! client's flow control is the bound: nothing is produced that nobody takes, and who falls too far behind
//! starts again from the present state.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use peersox_core::id::PairingId;
use peersox_core::pairing::{Event, Label, Pairing, Reject, View};
use peersox_core::role::Role;
use peersox_core::time::Timestamp;
use peersox_proto::v1::{PairingEvent, WatchPairingResponse};
use tokio::time::Instant;
use tonic::Status;

use super::{convert, status};
use crate::guard::WatchPlace;
use crate::presence::{Change, Online};
use crate::service::Shared;
use crate::store::{Notice, Store, Stored, Version};
use crate::vigil::Sign;

/// Opens the stream of a peer that has shown its credential; until `end`, if the caller set one.
pub(crate) async fn open<S: Store>(
    shared: Arc<Shared<S>>,
    peer: &View,
    from: IpAddr,
    end: Option<Instant>,
) -> Result<BoxStream<'static, Result<WatchPairingResponse, Status>>, Status> {
    let place = shared.guard.watch(peer.id, from);
    let place = place.ok_or_else(status::too_many_watches)?;
    let failed = |error| status::store(&error);
    let sign = shared.vigil.watch(peer.id, peer.role);
    let notices = shared.store.watch(peer.id).await.map_err(failed)?;
    let (online, presence) = shared.presence.watch(peer.id);
    let loaded = shared.store.load(peer.id, (shared.clock)()).await;
    let loaded = loaded.map_err(failed)?;
    // Gone since the credential was shown.
    let loaded = loaded.ok_or_else(|| status::rejected(Reject::CredentialInvalid))?;
    let mut watch = Watch {
        shared,
        id: peer.id,
        role: peer.role,
        notices,
        presence,
        seen: loaded.version,
        told: Told::Nothing,
        expires_at: loaded.pairing.expires_at(),
        end,
        queue: VecDeque::new(),
        ended: false,
        _place: place,
        _sign: sign,
    };
    watch.begin(&loaded.pairing, online);
    let next = |mut watch: Watch<S>| async move { Some((watch.next().await?, watch)) };
    Ok(stream::unfold(watch, next).boxed())
}

struct Watch<S> {
    shared: Arc<Shared<S>>,
    id: PairingId,
    role: Role,
    notices: BoxStream<'static, Notice>,
    presence: BoxStream<'static, Change>,
    /// Events up to this state are known to the client.
    seen: Version,
    /// What the client knows of the joiner.
    told: Told,
    /// When the pairing expires, unless it is used before.
    expires_at: Timestamp,
    end: Option<Instant>,
    /// What the client is still to be told: no more than three, and what presence held back.
    queue: VecDeque<Result<WatchPairingResponse, Status>>,
    ended: bool,
    _place: WatchPlace,
    /// Keeps the pairing alive.
    _sign: Sign,
}

/// What a client knows of the joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// Nothing, or that there is none.
    Nothing,
    /// It waits to be let in.
    Asked,
    /// It may come.
    Joined,
}

impl<S: Store> Watch<S> {
    async fn next(&mut self) -> Option<Result<WatchPairingResponse, Status>> {
        loop {
            if let Some(item) = self.queue.pop_front() {
                return Some(item);
            }
            if self.ended {
                return None;
            }
            self.wait().await;
        }
    }

    /// Waits until something happens. What the store tells goes before what relays tell: nobody attaches
    /// to a pairing before it exists. Events go before timers: a pairing that was revoked in its last moment
    /// was revoked.
    async fn wait(&mut self) {
        let left = self.expires_at.saturating_since((self.shared.clock)());
        let end = self.end;
        let late = async move {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => self.finish(Err(status::draining())),
            notice = self.notices.next() => match notice {
                Some(Notice::Happened(version, event)) => self.happened(version, event).await,
                Some(Notice::Resync) => self.resync().await,
                // The store went away.
                None => self.finish(Err(status::draining())),
            },
            Some(change) = self.presence.next() => self.presence(change).await,
            () = late => {
                let late = Status::deadline_exceeded("the time set by the caller is over");
                self.finish(Err(late));
            }
            () = tokio::time::sleep(left.clamp(SHORTEST, LONGEST)) => self.look_again().await,
        }
    }

    async fn happened(&mut self, version: Version, event: Event) {
        if !version.is_news_to(self.seen) {
            return;
        }
        self.seen = version;
        match event {
            Event::Joined | Event::Asked => {
                // Only the pairing knows the label. What is gone by now was joined all the same.
                let now = (self.shared.clock)();
                match self.shared.store.load(self.id, now).await {
                    Ok(Some(loaded)) => self.found(&loaded.pairing),
                    Ok(None) => self.tell_joined(None, event == Event::Asked),
                    Err(error) => self.finish(Err(status::store(&error))),
                }
            }
            Event::Confirmed => self.tell_joined(None, false),
            Event::Revoked => {
                while let Some(Some(change)) = self.presence.next().now_or_never() {
                    self.changed(change);
                }
                self.finish(Ok(PairingEvent::Revoked));
            }
        }
    }

    async fn presence(&mut self, change: Change) {
        // Another server may have redeemed the code, or heard the initiator's answer, and the store's word of
        // it be still on its way.
        if self.told != Told::Joined {
            let Some(loaded) = self.load(PairingEvent::Revoked).await else {
                return;
            };
            self.found(&loaded.pairing);
        }
        self.changed(change);
    }

    fn changed(&mut self, change: Change) {
        match change {
            Change::Is(role, online) if role == self.role.other() => self.tell_online(online),
            Change::Is(..) => {}
            Change::Missed => {
                let online = self.shared.presence.online(self.id);
                self.tell_online(online[self.role.other().index()]);
            }
        }
    }

    /// Says how things stand at the start.
    fn begin(&mut self, pairing: &Pairing, online: Online) {
        match pairing.is_joined() {
            true => self.found(pairing),
            false => self.tell(PairingEvent::Waiting),
        }
        if online[self.role.other().index()] {
            self.tell_online(true);
        }
    }

    /// Looks for what the store could not tell.
    async fn resync(&mut self) {
        let Some(loaded) = self.load(PairingEvent::Revoked).await else {
            return;
        };
        self.found(&loaded.pairing);
        self.seen = loaded.version;
    }

    /// The time to expire has come, unless the pairing was used.
    async fn look_again(&mut self) {
        // What it finds has been told, or is about to be.
        drop(self.load(PairingEvent::Expired).await);
    }

    /// Loads the present state. If there is none, the stream ends, and with `otherwise` unless the
    /// pairing's time is over.
    async fn load(&mut self, otherwise: PairingEvent) -> Option<Stored> {
        let now = (self.shared.clock)();
        match self.shared.store.load(self.id, now).await {
            Ok(Some(loaded)) => {
                self.expires_at = loaded.pairing.expires_at();
                Some(loaded)
            }
            Ok(None) if now >= self.expires_at => {
                self.finish(Ok(PairingEvent::Expired));
                None
            }
            Ok(None) => {
                self.finish(Ok(otherwise));
                None
            }
            Err(error) => {
                self.finish(Err(status::store(&error)));
                None
            }
        }
    }

    /// Tells of the joiner what is news.
    fn found(&mut self, pairing: &Pairing) {
        self.expires_at = pairing.expires_at();
        if pairing.is_joined() {
            self.tell_joined(pairing.label(), pairing.is_unconfirmed());
        }
    }

    fn tell_joined(&mut self, label: Option<&Label>, unconfirmed: bool) {
        let now = match unconfirmed {
            true => Told::Asked,
            false => Told::Joined,
        };
        if now <= self.told {
            // Nobody who was let in has to be let in again.
            return;
        }
        let before = std::mem::replace(&mut self.told, now);
        self.shared.vigil.joined(self.id);
        if before == Told::Nothing {
            self.queue.push_back(Ok(WatchPairingResponse {
                event: PairingEvent::Joined.into(),
                joiner_label: convert::told(label),
                unconfirmed,
            }));
            return;
        }
        self.tell(PairingEvent::Confirmed);
        let online = self.shared.presence.online(self.id);
        if self.role == Role::Joiner && online[self.role.other().index()] {
            self.tell_online(true);
        }
    }

    /// Tells whether the other peer is attached, but not to a joiner that was not let in.
    fn tell_online(&mut self, online: bool) {
        if self.role == Role::Joiner && self.told != Told::Joined {
            return;
        }
        self.tell(match online {
            true => PairingEvent::PeerOnline,
            false => PairingEvent::PeerOffline,
        });
    }

    fn tell(&mut self, event: PairingEvent) {
        self.queue.push_back(Ok(only(event)));
    }

    fn finish(&mut self, last: Result<PairingEvent, Status>) {
        self.queue.push_back(last.map(only));
        self.ended = true;
    }
}

fn only(event: PairingEvent) -> WatchPairingResponse {
    WatchPairingResponse {
        event: event.into(),
        ..WatchPairingResponse::default()
    }
}

/// A timer may fire a little early; this keeps it from spinning.
const SHORTEST: Duration = Duration::from_millis(1);
/// The calendar may jump, and the pairing may be used; looking once an hour costs nothing.
const LONGEST: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Control, Directory, Memory, directory};
    use peersox_core::code::Digits;
    use peersox_core::limit::UNKNOWN;
    use peersox_core::pairing::{Admit, Create};
    use peersox_core::ticket::Signer;

    /// A control plane whose clock stands still, and a peer that waits in it.
    async fn waiting() -> (Control<Memory>, View) {
        let (_, certificates) = tokio::sync::watch::channel(Vec::new());
        let directory = Directory::new(directory::Config::default(), certificates);
        let clock: crate::Clock = Arc::new(|| Timestamp::from_millis(1_790_000_000_000));
        let signer = Signer::from_seed(&[1; 32]);
        let config = Config::default();
        let (control, _) = Control::new(config, Memory::default(), signer, directory, clock);
        let create = Create {
            digits: Digits::default(),
            secret_bits: 20,
            ephemeral: true,
            confirm: false,
            account: None,
        };
        let credential = control.0.execute(&create).await.unwrap().credential;
        let view = control.0.execute(&Admit { credential }).await.unwrap();
        (control, view)
    }

    #[tokio::test]
    async fn who_falls_behind_starts_again_from_the_present_state() {
        for (changes, last) in [
            (40, PairingEvent::PeerOffline),
            (41, PairingEvent::PeerOnline),
        ] {
            let (control, view) = waiting().await;
            let watch = open(Arc::clone(&control.0), &view, UNKNOWN, None)
                .await
                .unwrap();
            for at in 0..changes {
                let online = at % 2 == 0;
                control
                    .report_presence(view.id, Role::Joiner, online)
                    .await
                    .unwrap();
            }
            let mut told = watch.map(|item| item.unwrap().event());
            assert_eq!(told.next().await, Some(PairingEvent::Waiting));
            // The changes that are still in the backlog are told, too, and end in the same state.
            let rest: Vec<_> =
                std::iter::from_fn(|| told.next().now_or_never().flatten()).collect();
            assert!(rest.len() <= 17, "{rest:?}");
            assert_eq!(rest.first(), Some(&last));
            assert_eq!(rest.last(), Some(&last));
        }
    }
}
