//! The store of many nodes: everything in Redis 7, outside of every process of ours.
//!
//! ```text
//! load, find, list ── HMGET ──┐
//! commit ── claim, commit.lua ├── link ── one connection ── Redis
//! watch ── SUBSCRIBE ─────────┘              │
//!    ▲                                       │
//!    └───────────── bell ◀── rings ──────────┘
//! ```
//!
//! `keys` says what Redis holds, and what of it is the truth; the scripts change it; `link` is the way there;
//! `bell` are those who watch; `address` is how an operator names it.
//!
//! A commit is answered when the master has it, or, if the operator wants that, so many of its replicas. A
//! master that fails may take with it what it answered in
//! its last moments: a pairing can then be in an earlier state, or gone, and whoever comes with a later
//! credential is refused. It cannot be in two states: a version carries a stamp that no other write has.
//!
//! A code that waits has a claim on its nameplate, which is a key of its own, in another slot. It is
//! claimed first, and checked against the record whenever it is found. A claim whose pairing does not
//! exist, or does not wait any more, means nothing, and the next one takes it over; but not while its
//! pairing may be about to be written.

mod address;
mod bell;
mod claims;
mod connection;
mod keys;
mod link;
mod record;
mod scripts;
#[cfg(test)]
mod tests;
mod writers;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use peersox_core::code::{Census, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::pairing::{Pairing, Write};
use peersox_core::time::Timestamp;
use rand_core::{OsRng, RngCore as _};
use redis::RedisError;
use tokio::sync::RwLock;

use super::{Charge, Charged, Commit, Notice, Outcome, Store, StoreError, Stored, Version};
use bell::Bell;
use connection::Connection;
use keys::{Bucket, Buckets};
use link::Link;
use record::{decoded, text};
use scripts::Scripts;

pub use address::{BadRedisUrl, RedisUrl};

/// Keeps up to a fixed number of pairings in Redis. Several processes may share one.
pub struct Redis {
    link: Link,
    bell: Arc<Bell>,
    buckets: Buckets,
    /// Pairings in each bucket.
    room: usize,
    scripts: Box<Scripts>,
    /// Written while channels are given up, so that none of them is subscribed to meanwhile.
    giving_up: RwLock<()>,
}

impl Redis {
    /// How many pairings [`Redis::connect`] makes room for: at about 1.2 KB each, 1.2 GB. In a Cluster,
    /// each of its 64 buckets has a 64th of it.
    pub const DEFAULT_MAX: usize = 1_000_000;

    /// Connects to a Redis, which has to be there now, and reconnects whenever the connection is lost.
    ///
    /// # Errors
    /// [`ConnectError`] if it cannot be reached, or refuses us.
    pub async fn connect(url: RedisUrl) -> Result<Self, ConnectError> {
        Self::with_room(url, Self::DEFAULT_MAX).await
    }

    async fn with_room(url: RedisUrl, max: usize) -> Result<Self, ConnectError> {
        let buckets = match url.kind {
            address::Kind::Single | address::Kind::Sentinel { .. } => Buckets::ONE,
            address::Kind::Cluster => Buckets::CLUSTER,
        };
        let (bell, named) = (Arc::new(Bell::new(buckets)), url.to_string());
        let link = Link::open(url, Arc::clone(&bell)).await;
        Ok(Self {
            link: link.map_err(|error| ConnectError { url: named, error })?,
            bell,
            buckets,
            room: max.div_ceil(buckets.0.into()),
            scripts: Box::new(Scripts::new()),
            giving_up: RwLock::default(),
        })
    }

    /// The pairing with this name, unless its time is over.
    async fn living(&self, id: PairingId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        let stored = self.stored(id).await?;
        Ok(stored.filter(|stored| now < stored.pairing.expires_at()))
    }

    /// The same as long as Redis has it, which is a little longer.
    async fn stored(&self, id: PairingId) -> Result<Option<Stored>, StoreError> {
        let record = self.record(id).await?;
        let decoded = record.map(|(version, record)| decoded(&version, &record));
        let stored = decoded.transpose()?;
        match &stored {
            Some(stored) if stored.pairing.id() != id => {
                Err(StoreError("Redis answered another pairing".to_owned()))
            }
            Some(_) | None => Ok(stored),
        }
    }

    /// What Redis has under this name: its version, and its JSON.
    async fn record(&self, id: PairingId) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        let key = self.buckets.of(id).record(id);
        let mut get = redis::cmd("HMGET");
        get.arg(key).arg("v").arg("r");
        let read = self.link.call(async |redis| get.query_async(redis).await);
        let read: (Option<String>, Option<Vec<u8>>) = read.await?;
        let (version, record) = read;
        Ok(version.zip(record))
    }

    /// Writes the record, and says which nameplates are free now, with the pairings that had them.
    async fn write(
        &self,
        id: PairingId,
        next: Option<&Pairing>,
        commit: &Commit,
        now: Timestamp,
    ) -> Result<(Outcome, Vec<(String, String)>), StoreError> {
        let bucket = self.buckets.of(id);
        let version = Version {
            number: commit.expected.map_or(0, |expected| expected.number) + 1,
            stamp: OsRng.next_u64(),
        };
        let record = next.map(serde_json::to_string).transpose();
        let record =
            record.map_err(|error| StoreError(format!("a pairing cannot be encoded: {error}")))?;
        let end = next.map_or(now, Pairing::expires_at);
        let mut script = self.scripts.commit.key(bucket.record(id));
        for index in INDEXES {
            script.key(bucket.index(index));
        }
        script
            .arg(bucket.prefix())
            .arg(id.to_string())
            .arg(now.as_millis())
            .arg(self.room)
            .arg(commit.expected.map(text).unwrap_or_default())
            .arg(text(version))
            .arg(record.unwrap_or_default())
            .arg(end.as_millis())
            .arg(millis(kept(end, now)))
            .arg(
                next.and_then(keys::spare)
                    .map(|it| it.to_string())
                    .unwrap_or_default(),
            )
            .arg(next.and_then(keys::class).unwrap_or_default())
            .arg(
                next.and_then(Pairing::nameplate)
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            )
            .arg(match self.buckets {
                Buckets::ONE => "PUBLISH",
                _ => "SPUBLISH",
            })
            .arg(bucket.channel(id))
            .arg(
                commit
                    .event
                    .map(|event| bell::write(version, event))
                    .unwrap_or_default(),
            );
        let write = async |redis: &mut Connection| script.invoke_async(redis).await;
        let written: Vec<String> = match commit.write {
            // One that is lost was in time to be made again.
            Write::Prolong(_) => self.link.call(write).await?,
            Write::Nothing | Write::Put(_) | Write::Remove(_) => self.link.write(write).await?,
        };
        let mut written = written.into_iter();
        let outcome = match written.next().as_deref() {
            Some("committed") => Outcome::Committed,
            Some("conflict") => Outcome::Conflict,
            Some("full") => Outcome::Full,
            other => return Err(StoreError(format!("Redis answered {other:?} to a commit"))),
        };
        let mut part = || written.next().unwrap_or_default();
        let (own, freed, evicted) = (part(), part(), part());
        let mut free = vec![(own, id.to_string()), (freed, evicted)];
        free.retain(|(nameplate, _)| !nameplate.is_empty());
        Ok((outcome, free))
    }

    /// Takes out of a bucket what is over, and counts what waits there. True if there may be more of the
    /// first.
    async fn tend(
        &self,
        bucket: Bucket,
        now: Timestamp,
        census: &mut Census,
    ) -> Result<bool, StoreError> {
        let mut script = self.scripts.sweep.prepare_invoke();
        for index in INDEXES {
            script.key(bucket.index(index));
        }
        script.arg(bucket.prefix()).arg(now.as_millis());
        let found = self
            .link
            .call(async |redis| script.invoke_async(redis).await);
        let found: Vec<redis::Value> = found.await?;
        let mut found = found.into_iter();
        let over: usize = found
            .next()
            .map_or(Ok(0), redis::from_redis_value)
            .map_err(|error| unreadable(&error))?;
        while let (Some(class), Some(count)) = (found.next(), found.next()) {
            let class: String =
                redis::from_redis_value(class).map_err(|error| unreadable(&error))?;
            let count: u32 = redis::from_redis_value(count).map_err(|error| unreadable(&error))?;
            if let Some((digits, bits)) = keys::of_class(&class) {
                census.add_many(digits, bits, count);
            }
        }
        Ok(over > 0)
    }
}

impl Store for Redis {
    async fn load(&self, id: PairingId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        self.living(id, now).await
    }

    async fn find(
        &self,
        nameplate: &Nameplate,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let key = keys::nameplate(nameplate);
        let get = redis::cmd("GET").arg(key).to_owned();
        let claim = self.link.call(async |redis| get.query_async(redis).await);
        let claim: Option<String> = claim.await?;
        let id = claim.as_deref().and_then(|claim| claim.split(' ').next());
        let Some(Ok(id)) = id.map(|id| PairingId::try_from(id.to_owned())) else {
            return Ok(None);
        };
        let stored = self.living(id, now).await?;
        Ok(stored.filter(|stored| stored.pairing.nameplate() == Some(nameplate)))
    }

    async fn commit(&self, commit: Commit, now: Timestamp) -> Result<Outcome, StoreError> {
        let (id, next) = match &commit.write {
            Write::Nothing => return Ok(Outcome::Committed),
            Write::Put(pairing) | Write::Prolong(pairing) => (pairing.id(), Some(pairing)),
            Write::Remove(id) => (*id, None),
        };
        if let Some(next) = next
            && let Some(nameplate) = next.nameplate()
        {
            let life = kept(next.expires_at(), now);
            if !self.claim(nameplate, id, life, now).await? {
                return Ok(Outcome::NameplateTaken);
            }
        }
        let (outcome, free) = self.write(id, next, &commit, now).await?;
        for (nameplate, id) in free {
            self.release(&nameplate, &id).await;
        }
        if let Some(nameplate) = next.and_then(Pairing::nameplate)
            && outcome != Outcome::Committed
            && commit.expected.is_none()
        {
            self.release(nameplate.as_str(), &id.to_string()).await;
        }
        Ok(outcome)
    }

    async fn watch(&self, id: PairingId) -> Result<BoxStream<'static, Notice>, StoreError> {
        let _turn = self.giving_up.read().await;
        let notices = self.bell.watch(id);
        let channel = self.buckets.of(id).channel(id);
        let subscribed = self.link.call(async |redis| redis.subscribe(channel).await);
        subscribed.await?;
        Ok(notices)
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut uncounted = Census::default();
        for bucket in self.buckets.all() {
            while self.tend(bucket, now, &mut uncounted).await? {}
        }
        loop {
            // Whoever begins to watch waits for one piece, and no more.
            let _turn = self.giving_up.write().await;
            let idle = self.bell.idle();
            if idle.is_empty() {
                return Ok(());
            }
            // The link subscribes to none of them any more.
            let given_up = self.link.call(async |redis| redis.unsubscribe(idle).await);
            given_up.await?;
        }
    }

    async fn list(
        &self,
        after: Option<PairingId>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Stored>, StoreError> {
        let mut listed = Vec::new();
        let first = after.map_or(0, |after| self.buckets.of(after).place());
        for bucket in self.buckets.all().skip(first.into()) {
            let mut behind = after.map_or("-".to_owned(), |after| format!("({after}"));
            while listed.len() < most {
                let mut range = redis::cmd("ZRANGE");
                range
                    .arg(bucket.index("ids"))
                    .arg(&behind)
                    .arg("+")
                    .arg("BYLEX");
                range.arg("LIMIT").arg(0).arg(most - listed.len());
                let read = self.link.call(async |redis| range.query_async(redis).await);
                let ids: Vec<String> = read.await?;
                let Some(last) = ids.last() else {
                    break;
                };
                behind = format!("({last}");
                for id in ids {
                    let Ok(id) = PairingId::try_from(id) else {
                        continue;
                    };
                    // One damaged record must not hide the others.
                    let record = self.record(id).await?;
                    let stored =
                        record.and_then(|(version, record)| decoded(&version, &record).ok());
                    listed.extend(stored.filter(|stored| now < stored.pairing.expires_at()));
                }
            }
        }
        Ok(listed)
    }

    async fn census(&self) -> Result<Census, StoreError> {
        let mut census = Census::default();
        for bucket in self.buckets.all() {
            // At the beginning of time nothing is over.
            self.tend(bucket, Timestamp::from_millis(0), &mut census)
                .await?;
        }
        Ok(census)
    }

    async fn charge(&self, charge: &Charge) -> Result<Charged, StoreError> {
        let mut script = self.scripts.charge.key(keys::budget(&charge.budget));
        script.arg(fraction(charge.cost)).arg(fraction(charge.most));
        let charged = self
            .link
            .call(async |redis| script.invoke_async(redis).await);
        let (taken, micros): (bool, u64) = charged.await?;
        let time = Duration::from_micros(micros);
        Ok(match taken {
            true => Charged::Spent(time),
            false => Charged::Refused(time),
        })
    }

    async fn refund(&self, charge: &Charge) {
        let mut script = self.scripts.refund.key(keys::budget(&charge.budget));
        script.arg(fraction(charge.cost));
        let refunded = self
            .link
            .call(async |redis| script.invoke_async::<()>(redis).await);
        if let Err(error) = refunded.await {
            tracing::debug!(%error, "a budget could not be given back");
        }
    }

    async fn was_revoked(&self, id: PairingId) -> Result<bool, StoreError> {
        let key = self.buckets.of(id).index(&format!("x:{id}"));
        let exists = redis::cmd("EXISTS").arg(key).to_owned();
        let call = self
            .link
            .call(async |redis| exists.query_async(redis).await);
        call.await
    }

    fn is_ready(&self) -> bool {
        self.link.is_open()
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_ready = self.is_ready();
        f.debug_struct("Redis")
            .field("is_ready", &is_ready)
            .finish_non_exhaustive()
    }
}

/// Why Redis cannot be the store. The operator's to mend.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use {url} as the store: {error}; see that it runs there, and that it accepts the user \
     and the password"
)]
pub struct ConnectError {
    url: String,
    #[source]
    error: RedisError,
}

fn unreadable(error: &redis::ParsingError) -> StoreError {
    StoreError(format!(
        "Redis answered something else than was asked for: {error}"
    ))
}

/// For how long Redis keeps what is over then: a little longer, as clocks differ.
fn kept(end: Timestamp, now: Timestamp) -> Duration {
    end.saturating_since(now) + MARGIN
}

/// Milliseconds, with what is less than one.
fn fraction(duration: Duration) -> String {
    format!("{:.6}", duration.as_secs_f64() * 1e3)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The indexes that every script of a bucket takes as its keys.
const INDEXES: [&str; 4] = ["expiry", "ids", "spare", "classes"];
const MARGIN: Duration = Duration::from_secs(10);
