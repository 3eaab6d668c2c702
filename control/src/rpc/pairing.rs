//! `peersox.v1.PairingService`.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use peersox_core::limit::Full;
use peersox_core::pairing::{
    Admit, Change, Create, Join, Keep, LetIn, Open, Place, Placed, Refuse, Revoke, View,
};
use peersox_core::placement::Placement;
use peersox_core::ticket::Claims;
use peersox_core::time::Timestamp;
use peersox_proto::v1;
use peersox_proto::v1::pairing_service_server::PairingService;
use rand_core::OsRng;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::entrance::{self, NotYet};
use super::{convert, status, watch};
use crate::access::Grant;
use crate::accounts::Over;
use crate::execute::Failure;
use crate::http::{Asked, ClientAddr, Deadline};
use crate::ledger::{self, Unpaid};
use crate::metrics::{Budget, Cause};
use crate::roster::{Choice, Roster};
use crate::service::{Shared, odds_charge};
use crate::store::Store;

/// The service behind the calls.
pub(crate) struct Pairing<S>(pub(crate) Arc<Shared<S>>);

#[tonic::async_trait]
impl<S: Store> PairingService for Pairing<S> {
    type WatchPairingStream = BoxStream<'static, Result<v1::WatchPairingResponse, Status>>;

    async fn get_config(
        &self,
        _: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        let config = &self.0.config;
        let transports = self.0.transports();
        Ok(Response::new(v1::GetConfigResponse {
            server_version: config.server_version.clone(),
            nameplate_digits: config.pairing.digits.count().into(),
            code_ttl_seconds: seconds(config.pairing.code_ttl),
            restore_ttl_seconds: seconds(config.pairing.restore_ttl),
            relay_limits: Some(config.relay_limits),
            transports: transports.into_iter().map(Into::into).collect(),
            code_max_seconds: seconds(config.pairing.code_life()),
            unkept_ttl_seconds: seconds(config.pairing.unkept_ttl),
            confirm_seconds: seconds(config.pairing.confirm_life()),
        }))
    }

    async fn create_pairing(
        &self,
        request: Request<v1::CreatePairingRequest>,
    ) -> Result<Response<v1::CreatePairingResponse>, Status> {
        let now = (self.0.clock)();
        let budget = self.0.guard.create(address(&request), now);
        budget.map_err(status::rate_limited)?;
        let grant = self.admit_creator(&request, now).await?;
        let begun = grant
            .as_ref()
            .map(|grant| self.0.accounts.create(grant, now));
        let begun = begun
            .transpose()
            .map_err(|over| self.over_quota(over, now))?;
        let charges = self.0.guard.create_charges(address(&request));
        let charged = ledger::charge(&self.0.store, charges).await;
        charged.map_err(|unpaid| self.unpaid(&unpaid, Budget::Creates))?;
        let place = self.0.guard.pairing(address(&request));
        let place = match place {
            Ok(place) => Some(place),
            Err(Full::Share) => return Err(Failure::Full.into()),
            // Some of those that held a place had to make room; the store knows whether there is more.
            Err(Full::Cap) => None,
        };
        let asked = request.get_ref();
        let secret_bits = asked.secret_bits;
        let digits = self.0.odds().digits(secret_bits, now);
        let create = Create {
            digits: digits.ok_or(Failure::NoNameplate)?,
            secret_bits,
            ephemeral: asked.ephemeral,
            confirm: asked.confirm,
            account: grant.map(|grant| grant.account),
        };
        let created = self.0.execute(&create).await?;
        if let Some(begun) = begun {
            begun.done(created.view.id);
        }
        let key = self.0.counted_key(create.account.as_ref());
        self.0.metrics.creators.created(key);
        self.0.odds().created(create.digits, secret_bits);
        if let Some(place) = place {
            let end = created.code_expires_at;
            self.0.living.hold(created.view.id, place, end);
        }
        tracing::debug!(pairing = %created.view.id, "created");
        Ok(Response::new(convert::created(&created, create.confirm)))
    }

    async fn join_pairing(
        &self,
        request: Request<v1::JoinPairingRequest>,
    ) -> Result<Response<v1::JoinPairingResponse>, Status> {
        let nameplate = convert::nameplate(request.get_ref()).map_err(status::malformed)?;
        let label = convert::label(request.get_ref()).map_err(status::bad_label)?;
        let now = (self.0.clock)();
        let attempt = self.0.guard.join(address(&request), now);
        let attempt = attempt.map_err(status::rate_limited)?;
        let (digits, is_clean) = (nameplate.digits(), attempt.is_clean());
        let tried = self.0.odds().attempt(digits, is_clean, now);
        let tried = match tried {
            Ok(tried) => tried,
            Err(wait) => {
                self.0.guard.refusals.count(Budget::Lengths);
                attempt.forgive();
                return Err(status::rate_limited(wait));
            }
        };
        let mut charges = self.0.guard.join_charges(address(&request));
        let price = self.0.odds().price(&tried);
        charges.push(odds_charge(digits, price));
        let bill = match ledger::charge(&self.0.store, charges).await {
            Ok((bill, spent)) => {
                if let Some(Some(all)) = spent.last() {
                    self.0.odds().all_spent(digits, *all, now);
                }
                bill
            }
            Err(unpaid) => {
                attempt.forgive();
                self.0.odds().forgive(tried);
                return Err(self.unpaid(&unpaid, Budget::Joins));
            }
        };
        let ephemeral = request.get_ref().ephemeral;
        let joined = self
            .0
            .execute(&Join {
                nameplate,
                ephemeral,
                label,
            })
            .await;
        match &joined {
            // A guess that found nothing is what the budgets are for.
            Err(Failure::Reject(_)) => {}
            Ok(_)
            | Err(Failure::NoNameplate | Failure::Full | Failure::Contended | Failure::Store(_)) => {
                attempt.forgive();
                self.0.odds().forgive(tried);
                bill.give_back(&self.0.store).await;
            }
        }
        let joined = joined?;
        tracing::debug!(pairing = %joined.view.id, "joined");
        if !joined.view.unconfirmed {
            self.0.paired(&joined.view);
        }
        Ok(Response::new(convert::joined(&joined)))
    }

    async fn get_pairing(
        &self,
        request: Request<v1::GetPairingRequest>,
    ) -> Result<Response<v1::GetPairingResponse>, Status> {
        let asked = request.get_ref();
        let view = if asked.keep {
            let credential = convert::credential(&asked.credential);
            let credential = credential.map_err(status::rejected)?;
            self.0.execute(&Keep { credential }).await?
        } else {
            self.admit(&asked.credential).await?
        };
        let online = self.0.presence.online(view.id);
        Ok(Response::new(convert::view(&view, online)))
    }

    async fn watch_pairing(
        &self,
        request: Request<v1::WatchPairingRequest>,
    ) -> Result<Response<Self::WatchPairingStream>, Status> {
        let view = self.admit(&request.get_ref().credential).await?;
        let from = address(&request);
        let end = request.extensions().get().map(|Deadline(end)| *end);
        let watch = watch::open(Arc::clone(&self.0), &view, from, end).await?;
        Ok(Response::new(watch))
    }

    async fn open_session(
        &self,
        request: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        // The relay beside this service refuses legs by now; another server may have them.
        if self.0.stop.is_cancelled() {
            return Err(status::draining());
        }
        // A request that cannot be answered must not count as a use of the pairing.
        let asked = request
            .extensions()
            .get()
            .map(|Asked(asked)| asked.as_str());
        let meeting = match self.meet(request.get_ref(), asked).await {
            Err(NotYet::Unconfirmed(pairing)) => {
                let from = address(&request);
                let end = request.extensions().get().map(|Deadline(end)| *end);
                entrance::wait(&self.0, pairing, from, end).await?;
                self.meet(request.get_ref(), asked).await?
            }
            meeting => meeting?,
        };
        let Meeting {
            view, placement, ..
        } = meeting;
        self.count_session(&view)?;
        let claims = Claims {
            session: view.id,
            role: view.role,
            epoch: placement.as_ref().map_or(0, |placement| placement.epoch),
        };
        let relay = placement.as_ref().map(|placement| &placement.relay);
        let lifetime = self.0.config.ticket_lifetime;
        // Tickets count in whole seconds.
        let now = (self.0.clock)().as_millis() / 1000 * 1000;
        let now = Timestamp::from_millis(now);
        let ice_servers = self.0.directory.ice_servers(asked, now, &mut OsRng);
        let mut ice_servers = ice_servers.map_err(status::bad_authority)?;
        // An operator who names servers names all of them.
        if !meeting.stun_urls.is_empty() && !self.0.directory.has_ice_servers() {
            ice_servers.push(v1::IceServer {
                urls: meeting.stun_urls,
                ..v1::IceServer::default()
            });
        }
        Ok(Response::new(v1::OpenSessionResponse {
            ticket: self
                .0
                .keys
                .borrow()
                .signer()
                .sign(claims, relay, now, lifetime),
            ticket_expires_at_millis: (now + lifetime).as_proto(),
            refresh_at_millis: (now + lifetime.mul_f64(0.8)).as_proto(),
            endpoints: meeting.endpoints,
            ice_servers,
            role: v1::Role::from(view.role).into(),
            epoch: claims.epoch,
        }))
    }

    async fn confirm_join(
        &self,
        request: Request<v1::ConfirmJoinRequest>,
    ) -> Result<Response<v1::ConfirmJoinResponse>, Status> {
        let credential = convert::credential(&request.get_ref().credential);
        let credential = credential.map_err(status::rejected)?;
        let pairing = credential.pairing();
        let let_in = request.get_ref().let_in;
        match let_in {
            true => self.0.paired(&self.0.execute(&LetIn { credential }).await?),
            false => drop(self.0.revoke(pairing, &Refuse { credential }).await?),
        }
        tracing::debug!(%pairing, let_in, "answered who asked to come in");
        Ok(Response::new(v1::ConfirmJoinResponse {}))
    }

    async fn delete_pairing(
        &self,
        request: Request<v1::DeletePairingRequest>,
    ) -> Result<Response<v1::DeletePairingResponse>, Status> {
        let credential = convert::credential(&request.get_ref().credential);
        let credential = credential.map_err(status::rejected)?;
        let pairing = credential.pairing();
        self.0.revoke(pairing, &Revoke { credential }).await?;
        tracing::debug!(%pairing, "revoked");
        Ok(Response::new(v1::DeletePairingResponse {}))
    }
}

/// Where a peer meets the other one.
struct Meeting {
    view: View,
    placement: Option<Placement>,
    endpoints: Vec<v1::RelayEndpoint>,
    stun_urls: Vec<String>,
}

impl<S: Store> Pairing<S> {
    /// A budget of all nodes together was not charged.
    fn unpaid(&self, unpaid: &Unpaid, budget: Budget) -> Status {
        if let Unpaid::Spent(_) = unpaid {
            self.0.guard.refusals.count(budget);
        }
        status::unpaid(unpaid)
    }

    /// Where a peer meets the other one. `asked` is what it calls this server.
    async fn meet(
        &self,
        request: &v1::OpenSessionRequest,
        asked: Option<&str>,
    ) -> Result<Meeting, NotYet> {
        let credential = &request.credential;
        if let Some((roster, relays)) = self.0.roster.as_ref().zip(self.0.config.relays.as_ref()) {
            let unreached = request.unreached_epoch;
            return self
                .place(roster, &relays.region, credential, unreached)
                .await;
        }
        let endpoints = self.0.directory.endpoints(asked);
        let endpoints = endpoints.map_err(status::bad_authority)?;
        let credential = convert::credential(credential).map_err(status::rejected)?;
        let pairing = credential.pairing();
        let opened = self.0.execute(&Open { credential }).await;
        Ok(Meeting {
            endpoints,
            stun_urls: Vec::new(),
            view: opened.map_err(|failure| NotYet::of(failure, pairing))?,
            placement: None,
        })
    }

    /// Where a peer meets the other one, of relays that run apart.
    async fn place(
        &self,
        roster: &Roster,
        region: &str,
        credential: &bytes::Bytes,
        unreached: u32,
    ) -> Result<Meeting, NotYet> {
        let credential = convert::credential(credential).map_err(status::rejected)?;
        let pairing = credential.pairing();
        let Choice {
            candidates,
            gone,
            knows_all,
        } = roster.choice(region, Instant::now());
        let place = Place {
            credential,
            candidates,
            gone,
            unreached,
            knows_all,
        };
        let placed = self.0.execute(&place).await;
        let placed = placed.map_err(|failure| NotYet::of(failure, pairing))?;
        let Placed {
            view,
            placement,
            change,
        } = placed;
        let placement = placement.ok_or_else(status::no_relay)?;
        match &change {
            Change::Stays => {}
            Change::Placed => self.0.metrics.placed(&placement.relay, None),
            Change::Moved { from, stood } => {
                let cause = match stood {
                    true => Cause::Unreached,
                    false if roster.is_draining(from) => Cause::Draining,
                    false => Cause::Gone,
                };
                self.0.metrics.placed(&placement.relay, Some(cause));
            }
        }
        if unreached != 0 {
            let (pairing, relay) = (view.id, &placement.relay);
            let moved = placement.epoch != unreached;
            tracing::info!(%pairing, unreached, %relay, moved, "a peer cannot reach its relay");
        }
        let found = roster.endpoints(&placement.relay);
        let (endpoints, stun_urls) = found.ok_or_else(status::no_relay)?;
        Ok(Meeting {
            view,
            placement: Some(placement),
            endpoints,
            stun_urls,
        })
    }

    /// Counts a session for the account of its pairing, if it has one.
    fn count_session(&self, view: &View) -> Result<(), Status> {
        let shared = &self.0;
        let Some(account) = &view.account else {
            return Ok(());
        };
        let now = (shared.clock)();
        let quota = |granted| shared.config.access.quota(account, granted);
        let is_online = |pairing| shared.presence.online(pairing) != [false; 2];
        let opened = shared
            .accounts
            .open(view.id, account, quota, now, is_online);
        opened.map_err(|over| self.over_quota(over, now))
    }

    fn over_quota(&self, over: Over, now: Timestamp) -> Status {
        self.0.metrics.creators.over_quota(over);
        status::over_quota(over, now)
    }

    /// On whose account a pairing is to be created, if that is asked.
    async fn admit_creator(
        &self,
        request: &Request<v1::CreatePairingRequest>,
        now: Timestamp,
    ) -> Result<Option<Grant>, Status> {
        let access = &self.0.config.access;
        let admitted = access.admit(request.metadata(), now).await;
        admitted.map_err(|refusal| {
            tracing::debug!(from = %address(request), %refusal, "may not create a pairing");
            self.0.metrics.creators.not_created((&refusal).into());
            status::may_not_create(&refusal, access.wants())
        })
    }

    async fn admit(&self, credential: &bytes::Bytes) -> Result<View, Status> {
        let credential = convert::credential(credential).map_err(status::rejected)?;
        Ok(self.0.execute(&Admit { credential }).await?)
    }
}

fn address<T>(request: &Request<T>) -> IpAddr {
    ClientAddr::of(request.extensions().get())
}

fn seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
