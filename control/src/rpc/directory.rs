//! `peersox.v1.DirectoryService`: relays that run apart.
//!
//! ```text
//! reports ─▶ Listener ─┬─▶ roster, presence        at once, in memory
//!                      └─▶ note ─▶ store           one after the other: a store that is slow or away keeps
//!                            │                     nobody from hearing who is attached
//! orders  ◀── Outgoing ◀─────┴── roster
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use peersox_core::id::PairingId;
use peersox_core::placement::RelayName;
use peersox_core::role::Role;
use peersox_core::ticket::Keyring;
use peersox_core::time::Timestamp;
use peersox_proto::v1;
use peersox_proto::v1::announce_request::Report;
use peersox_proto::v1::announce_response::Order as Said;
use peersox_proto::v1::directory_service_server::DirectoryService;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::status;
use crate::access::bearer;
use crate::http::ClientAddr;
use crate::presence::{Source, Verdict};
use crate::roster::{Announced, LOST_AFTER, Load, Member, Order, Roster};
use crate::service::Shared;
use crate::sessions::SessionReport;
use crate::store::Store;
use crate::token::Token;

/// The service behind the calls.
pub(crate) struct Directory<S> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) roster: Roster,
    pub(crate) token: Token,
}

#[tonic::async_trait]
impl<S: Store> DirectoryService for Directory<S> {
    type AnnounceStream = BoxStream<'static, Result<v1::AnnounceResponse, Status>>;

    async fn announce(
        &self,
        request: Request<Streaming<v1::AnnounceRequest>>,
    ) -> Result<Response<Self::AnnounceStream>, Status> {
        let from = ClientAddr::of(request.extensions().get());
        if !bearer(request.metadata()).is_some_and(|token| self.token.is(token)) {
            // Anybody can ask, and often.
            tracing::debug!(%from, "a relay showed no token, or one that is not ours");
            return Err(status::token_invalid());
        }
        if self.shared.stop.is_cancelled() {
            return Err(status::draining());
        }
        let mut reports = request.into_inner();
        let first = timeout(SILENCE, reports.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no RelayHello arrived"))??;
        let Some(Report::Hello(hello)) = first.and_then(|first| first.report) else {
            return Err(status::hello_invalid(
                "the first message has to be a RelayHello",
            ));
        };
        let announced = announced(hello).map_err(status::hello_invalid)?;
        tracing::info!(relay = %announced.name, %from, "a relay is here");
        let Member {
            name,
            number,
            orders,
            replaced,
        } = self.roster.join(announced, Instant::now());
        let (write, notes) = mpsc::channel(NOTES);
        let (told, sessions) = mpsc::channel(NOTES);
        let listener = Listener {
            shared: Arc::clone(&self.shared),
            roster: self.roster.clone(),
            name: name.clone(),
            number,
            attached: Some(HashSet::new()),
            write,
            sessions: told,
        };
        let hearing = hear_sessions(
            Arc::clone(&self.shared),
            self.roster.clone(),
            name.clone(),
            sessions,
        );
        tokio::spawn(hearing);
        let (shared, roster) = (Arc::clone(&self.shared), self.roster.clone());
        tokio::spawn(note(shared, roster, name, notes));
        tokio::spawn(listener.listen(reports, replaced.clone()));
        let mut keys = self.shared.keys.subscribe();
        // The first message to the relay is a `ControlHello` with the present keys.
        keys.mark_changed();
        let outgoing = Outgoing {
            shared: Arc::clone(&self.shared),
            keys,
            orders,
            replaced,
            ended: false,
        };
        let next =
            |mut outgoing: Outgoing<S>| async move { Some((outgoing.next().await?, outgoing)) };
        Ok(Response::new(stream::unfold(outgoing, next).boxed()))
    }
}

/// Takes in what one relay reports.
struct Listener<S> {
    shared: Arc<Shared<S>>,
    roster: Roster,
    name: RelayName,
    number: u64,
    /// Who was reported so far, until all have been.
    attached: Option<HashSet<(PairingId, Role)>>,
    /// Of whom it is to be written whether they are attached.
    write: mpsc::Sender<(PairingId, Role)>,
    /// Sessions that were told of.
    sessions: mpsc::Sender<SessionReport>,
}

impl<S: Store> Listener<S> {
    /// Until the relay is silent, gone or replaced. Then it is missing, and those who are attached to it
    /// are not any more, unless it comes back soon.
    async fn listen(
        mut self,
        mut reports: Streaming<v1::AnnounceRequest>,
        replaced: CancellationToken,
    ) {
        let stop = self.shared.stop.clone();
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // By a newer stream of the same name, or because it does not take its orders.
                () = replaced.cancelled() => break,
                next = timeout(SILENCE, reports.message()) => next,
            };
            match next {
                Ok(Ok(Some(v1::AnnounceRequest { report }))) => {
                    if let Some(report) = report {
                        self.report(report);
                    }
                }
                Ok(Ok(None) | Err(_)) | Err(_) => break,
            }
        }
        tracing::warn!(relay = %self.name, "a relay is missing");
        self.roster.leave(&self.name, self.number, Instant::now());
        tokio::time::sleep(LOST_AFTER * 3).await;
        if self.roster.is_missing(&self.name) {
            self.only(&HashSet::new());
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Hello(hello) => match announced(hello) {
                Ok(announced) if announced.name == self.name => {
                    self.roster.announce(&self.name, self.number, announced);
                }
                Ok(_) | Err(_) => tracing::warn!(relay = %self.name, "it announces something else"),
            },
            Report::Presence(report) => self.presence(&report),
            Report::Complete(v1::PresenceComplete {}) => {
                if let Some(attached) = self.attached.take() {
                    self.only(&attached);
                }
            }
            Report::Load(v1::LoadReport {
                legs,
                sessions,
                draining,
            }) => {
                let load = Load {
                    legs,
                    sessions,
                    draining,
                };
                self.roster.load(&self.name, self.number, load);
            }
            Report::Session(report) => {
                if let Some(report) = session(&report) {
                    // One that does not fit is made up for by the next one.
                    let _ = self.sessions.try_send(report);
                }
            }
        }
    }

    fn presence(&mut self, report: &v1::PresenceReport) {
        let pairing = PairingId::try_from(&report.pairing_id[..]);
        let (Ok(pairing), Ok(role)) = (pairing, Role::try_from(report.role())) else {
            return;
        };
        let online = report.online;
        if let Some(attached) = &mut self.attached {
            match online {
                true => attached.insert((pairing, role)),
                false => attached.remove(&(pairing, role)),
            };
        }
        let source = Source {
            relay: Some(self.name.clone()),
            epoch: report.epoch,
        };
        let verdict = self.shared.presence.set(pairing, role, online, &source);
        // It may have left this relay because it is attached to another.
        let is_online = self.shared.presence.online(pairing)[role.index()];
        self.shared.vigil.leg(pairing, role, is_online);
        if let Verdict::Stale(relay) = verdict {
            self.roster.order(&relay, Order::Move(pairing));
        }
        self.note(pairing, role);
    }

    /// Nobody but these is attached to the relay.
    fn only(&self, attached: &HashSet<(PairingId, Role)>) {
        for (pairing, role) in self.shared.presence.only(&self.name, attached) {
            self.shared.vigil.leg(pairing, role, false);
            self.note(pairing, role);
        }
    }

    fn note(&self, pairing: PairingId, role: Role) {
        // What does not fit is noted later, by house keeping.
        let _ = self.write.try_send((pairing, role));
    }
}

/// Writes who is attached by now, and has the relay hang up what was revoked while it was away. What has
/// expired while control was away is left alone.
async fn note<S: Store>(
    shared: Arc<Shared<S>>,
    roster: Roster,
    relay: RelayName,
    mut notes: mpsc::Receiver<(PairingId, Role)>,
) {
    while let Some((pairing, role)) = notes.recv().await {
        match shared.note_presence(pairing, role).await {
            Ok(true) => {}
            Ok(false) if shared.was_revoked(pairing).await => {
                roster.order(&relay, Order::Revoke(pairing));
            }
            Ok(false) => tracing::debug!(%pairing, "a session goes on whose pairing has expired"),
            Err(error) => tracing::debug!(%error, "presence could not be noted"),
        }
    }
}

/// Takes in what a relay says of sessions, one after the other; a session whose account has used its bytes is
/// moved away from the relay, and its peers are refused the next one.
async fn hear_sessions<S: Store>(
    shared: Arc<Shared<S>>,
    roster: Roster,
    relay: RelayName,
    mut sessions: mpsc::Receiver<SessionReport>,
) {
    while let Some(report) = sessions.recv().await {
        if shared.hear_session(report).await.is_err() && !report.ended {
            roster.order(&relay, Order::Move(report.pairing));
        }
    }
}

fn session(report: &v1::SessionReport) -> Option<SessionReport> {
    Some(SessionReport {
        pairing: PairingId::try_from(&report.pairing_id[..]).ok()?,
        began: Timestamp::from_millis(report.began_at_millis),
        lasted: Duration::from_millis(report.lasted_millis),
        bytes: report.bytes,
        ended: report.ended,
    })
}

/// What one relay is told.
struct Outgoing<S> {
    shared: Arc<Shared<S>>,
    keys: watch::Receiver<Keyring>,
    orders: mpsc::Receiver<Order>,
    replaced: CancellationToken,
    ended: bool,
}

impl<S: Store> Outgoing<S> {
    fn hello(&mut self) -> v1::ControlHello {
        let config = &self.shared.config;
        let keys = self.keys.borrow_and_update().public_keys();
        v1::ControlHello {
            ticket_keys: keys.iter().map(|key| Bytes::copy_from_slice(key)).collect(),
            allowed_origins: config
                .allowed_origins
                .iter()
                .map(ToString::to_string)
                .collect(),
            server_version: config.server_version.clone(),
            node: Bytes::copy_from_slice(&self.shared.node),
        }
    }

    async fn next(&mut self) -> Option<Result<v1::AnnounceResponse, Status>> {
        if self.ended {
            return None;
        }
        let order = tokio::select! {
            biased;
            // `shared` holds the sender, so `changed` never fails.
            Ok(()) = self.keys.changed() => return Some(Ok(said(Said::Hello(self.hello())))),
            // What was ordered before is told before the goodbye.
            () = self.shared.stop.cancelled() => self.orders.try_recv().map_err(|_| status::draining()),
            order = self.orders.recv() => order.ok_or_else(status::relay_replaced),
            () = self.replaced.cancelled() => Err(status::relay_replaced()),
        };
        self.ended = order.is_err();
        Some(order.map(|order| {
            said(match order {
                Order::Revoke(id) => Said::Revoke(v1::RevokeOrder {
                    pairing_id: bytes(id),
                }),
                Order::Move(id) => Said::Move(v1::MoveOrder {
                    pairing_id: bytes(id),
                }),
            })
        }))
    }
}

fn said(order: Said) -> v1::AnnounceResponse {
    v1::AnnounceResponse { order: Some(order) }
}

fn bytes(id: PairingId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// Reads what a relay says of itself; says what is wrong with it.
fn announced(hello: v1::RelayHello) -> Result<Announced, &'static str> {
    if hello.endpoints.is_empty() || hello.endpoints.len() > MOST_ADDRESSES {
        return Err("a relay has 1 to 16 endpoints");
    }
    if hello.stun_urls.len() > MOST_ADDRESSES || hello.region.len() > LONGEST_REGION {
        return Err("a relay has at most 16 STUN servers, and a region of at most 64 bytes");
    }
    let origin = match &hello.origin[..] {
        "" => None,
        text => Some(text.parse().map_err(|_| "the origin of a relay is none")?),
    };
    Ok(Announced {
        name: hello
            .name
            .parse()
            .map_err(|_| "the name of a relay is 1 to 64 of a-z, 0-9, `-` and `.`")?,
        endpoints: hello.endpoints,
        stun_urls: hello.stun_urls,
        region: hello.region,
        capacity: hello.capacity,
        origin,
    })
}

/// A relay reports its load every second; one that says nothing for so long is missing.
const SILENCE: Duration = Duration::from_secs(5);
/// Reports that wait to be written.
const NOTES: usize = 16_384;
const MOST_ADDRESSES: usize = 16;
const LONGEST_REGION: usize = 64;
