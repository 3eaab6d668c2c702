//! The way to Redis: one connection for everything, made anew whenever it breaks.
//!
//! ```text
//!           ┌──────── broken, or not the master any more ────────┐
//!           ▼                                                    │
//! connect ──▶ subscribe to all that is watched ──▶ open ──▶ a ping each second, and at each doubt
//!    ▲ 20 ms to 500 ms                              └──▶ who watches looks for what was missed
//!    └── refused
//! ```
//!
//! Whoever calls while there is no connection is told so at once. A call never waits for longer than
//! [`DEADLINE`], and a call that took that long makes the link doubt its connection. The library reconnects
//! by itself in a Cluster only; outside of one it knows nothing of masters that change, so that this does
//! it for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::AsyncPushSender;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, PushInfo, RedisError, RedisResult,
    ServerErrorKind, TlsMode,
};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::address::{Kind, RedisUrl};
use super::bell::Bell;
use super::connection::Connection;
use super::writers::{WAITING, Writers, Written};
use crate::store::StoreError;

/// A connection, and those for writes that replicas have to have, if they have to.
#[derive(Clone)]
struct Open {
    connection: Connection,
    writers: Option<Arc<Writers>>,
}

/// The link. Dropping it closes the connection.
pub(super) struct Link {
    connection: watch::Receiver<Option<Open>>,
    doubts: Arc<Doubts>,
    keeper: AbortHandle,
}

impl Link {
    /// Connects, and stays connected. A Redis that cannot be reached may be about to come, or to have another
    /// master: it is waited for, [`PATIENCE`] at most.
    ///
    /// # Errors
    /// What Redis, or the way to it, says against the first connection.
    pub(super) async fn open(url: RedisUrl, bell: Arc<Bell>) -> RedisResult<Self> {
        let doubts = Arc::new(Doubts::default());
        let route = Route {
            url,
            bell: Arc::clone(&bell),
            doubts: Arc::clone(&doubts),
        };
        let start = Instant::now();
        let mut is_told = false;
        let (first, master) = loop {
            match route.connect().await {
                Ok(connected) => break connected,
                Err(error) if may_pass(&error) && start.elapsed() < PATIENCE => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(redis = %route.url, %error, "cannot reach Redis yet");
                    }
                    tokio::time::sleep(LONGEST).await;
                }
                Err(error) => return Err(error),
            }
        };
        let (open, connection) = watch::channel(Some(first.clone()));
        let keeper = tokio::spawn(keep(route, first, master, open)).abort_handle();
        Ok(Self {
            connection,
            doubts,
            keeper,
        })
    }

    /// Whether there is a connection.
    pub(super) fn is_open(&self) -> bool {
        self.connection.borrow().is_some()
    }

    /// Calls Redis, in time or not at all. What has failed may nevertheless have been done.
    pub(super) async fn call<T>(
        &self,
        call: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let Open { mut connection, .. } = self.there()?;
        self.in_time(call(&mut connection)).await
    }

    /// The same for a write that has to outlive the master, if the operator wants that: it fails if too few
    /// replicas have it in time, and may nevertheless have been done.
    pub(super) async fn write<T>(
        &self,
        write: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let mut open = self.there()?;
        let Some(writers) = open.writers else {
            return self.in_time(write(&mut open.connection)).await;
        };
        let Written { answer, too_few } = self.in_time(writers.write(write)).await?;
        match too_few {
            None => Ok(answer),
            Some(have) => Err(StoreError(format!(
                "{have} of {} replicas had a write after {WAITING:?}",
                writers.replicas()
            ))),
        }
    }

    fn there(&self) -> Result<Open, StoreError> {
        let open = self.connection.borrow().clone();
        open.ok_or_else(|| StoreError("there is no connection to Redis".to_owned()))
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, StoreError> {
        let Ok(answer) = timeout(DEADLINE, call).await else {
            self.doubts.raise();
            return Err(StoreError(format!(
                "Redis did not answer within {DEADLINE:?}"
            )));
        };
        answer.map_err(|error| {
            self.doubts.weigh(&error);
            StoreError(format!("Redis: {error}"))
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// What speaks against the connection.
#[derive(Default)]
pub(super) struct Doubts {
    raised: Notify,
    /// The server is none that can be written to.
    demoted: AtomicBool,
    /// Numbers what takes in pushes.
    current: AtomicU64,
}

impl Doubts {
    /// Has the link look at its connection now.
    pub(super) fn raise(&self) {
        self.raised.notify_one();
    }

    fn weigh(&self, error: &RedisError) {
        if let ErrorKind::Server(kind) = error.kind() {
            let demoted = matches!(
                kind,
                ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown
            );
            if demoted {
                self.demoted.store(true, Ordering::Relaxed);
                self.raise();
            }
        } else if error.is_io_error() || error.is_unrecoverable_error() {
            self.raise();
        }
    }
}

/// Keeps the connection until the link is dropped.
async fn keep(
    route: Route,
    first: Open,
    master: Option<ConnectionAddr>,
    open: watch::Sender<Option<Open>>,
) {
    let mut connected = Some((first, master));
    let mut pause = SHORTEST;
    loop {
        if let Some((there, master)) = connected.take() {
            pause = SHORTEST;
            let why = route.stay(there, master, &open).await;
            open.send_replace(None);
            tracing::warn!(redis = %route.url, why, "lost the connection to Redis; connecting again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
        match route.connect().await {
            Ok(anew) => connected = Some(anew),
            Err(error) => tracing::debug!(%error, "cannot connect to Redis"),
        }
    }
}

/// How to get there.
struct Route {
    url: RedisUrl,
    bell: Arc<Bell>,
    doubts: Arc<Doubts>,
}

impl Route {
    /// Uses a connection as long as it is good, and says why it is not any more.
    async fn stay(
        &self,
        there: Open,
        master: Option<ConnectionAddr>,
        open: &watch::Sender<Option<Open>>,
    ) -> &'static str {
        let Open {
            mut connection,
            writers,
        } = there;
        let publish = |connection: &Connection| {
            open.send_replace(Some(Open {
                connection: connection.clone(),
                writers: writers.clone(),
            }))
        };
        self.doubts.demoted.store(false, Ordering::Relaxed);
        if self.subscribe_all(&mut connection).await.is_err() {
            return "it broke at once";
        }
        if publish(&connection).is_none() {
            tracing::info!(redis = %self.url, "connected to Redis");
        }
        // They read by this link: it has to be open.
        self.bell.ring_all();
        let mut asked = Instant::now();
        let mut behind = false;
        loop {
            behind |= timeout(PULSE, self.doubts.raised.notified()).await.is_ok();
            if self.doubts.demoted.load(Ordering::Relaxed) {
                return "it is not the master any more";
            }
            match timeout(DEADLINE, connection.ping()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return "it broke",
                Err(_) => return "it does not answer",
            }
            // Nothing is missed on one connection that lives. One of a Cluster's may be another by now.
            if let Connection::Cluster { rings, .. } = &mut connection
                && behind
                && let Ok(anew) = self.rings_anew().await
            {
                *rings = anew;
                if self.subscribe_all(&mut connection).await.is_ok() {
                    publish(&connection);
                    // Who began to watch meanwhile did so on the former connection.
                    behind = self.subscribe_all(&mut connection).await.is_err();
                    self.bell.ring_all();
                }
            }
            if master.is_some() && asked.elapsed() >= ASK_AGAIN {
                asked = Instant::now();
                // That no sentinel answers says nothing against the master.
                if matches!(self.master().await, Ok(now) if Some(now.addr()) != master.as_ref()) {
                    return "another one is the master now";
                }
            }
        }
    }

    /// Has Redis tell of all that is watched.
    async fn subscribe_all(&self, connection: &mut Connection) -> RedisResult<()> {
        for channels in self.bell.channels() {
            let subscribed = timeout(DEADLINE, connection.subscribe(channels)).await;
            subscribed.map_err(|_| late())??;
        }
        Ok(())
    }

    /// Another connection to a Cluster for what it says unasked.
    async fn rings_anew(&self) -> RedisResult<ClusterConnection> {
        let client = self.cluster(Some(self.pushed()))?;
        let connecting = timeout(DEADLINE, client.get_async_connection()).await;
        connecting.map_err(|_| late())?
    }

    fn cluster(&self, pushed: Option<impl AsyncPushSender>) -> RedisResult<ClusterClient> {
        let mut builder = ClusterClient::builder(self.url.nodes()?)
            .connection_timeout(DEADLINE)
            .response_timeout(DEADLINE)
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(20)
            .max_retry_wait(200)
            .use_protocol(self.url.login().protocol());
        if self.url.tls {
            builder = builder.tls(TlsMode::Secure);
        }
        if let Some(pushed) = pushed {
            builder = builder.push_sender(pushed);
        }
        builder.build()
    }

    /// A new connection, and the master that it leads to, where masters change.
    async fn connect(&self) -> RedisResult<(Open, Option<ConnectionAddr>)> {
        let connecting = async {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(DEADLINE))
                .set_response_timeout(Some(DEADLINE))
                .set_pipeline_buffer_size(IN_FLIGHT)
                .set_push_sender(self.pushed());
            match &self.url.kind {
                Kind::Cluster => {
                    let silent = None::<fn(PushInfo) -> Result<(), ()>>;
                    let calls = self.cluster(silent)?.get_async_connection().await?;
                    let rings = self.rings_anew().await?;
                    Ok((Connection::Cluster { calls, rings }, None, None))
                }
                Kind::Single => {
                    let [node] = &self.url.nodes()?[..] else {
                        return Err(RedisError::from((
                            ErrorKind::InvalidClientConfig,
                            "one server",
                        )));
                    };
                    let client = Client::open(node.clone())?;
                    let node = client.get_multiplexed_async_connection_with_config(&config);
                    let node = Connection::Node(node.await?);
                    Ok((node, self.writers(&client).await?, None))
                }
                Kind::Sentinel { .. } => {
                    let master = self.master().await?;
                    let client = Client::open(master.clone())?;
                    let node = client.get_multiplexed_async_connection_with_config(&config);
                    let node = Connection::Node(node.await?);
                    let writers = self.writers(&client).await?;
                    Ok((node, writers, Some(master.addr().clone())))
                }
            }
        };
        let connected = timeout(CONNECTING, connecting).await;
        let (mut connection, writers, master) = connected.map_err(|_| late())??;
        // What a password or an access list forbids is found now.
        timeout(DEADLINE, connection.ping())
            .await
            .map_err(|_| late())??;
        let open = Open {
            connection,
            writers,
        };
        Ok((open, master))
    }

    async fn writers(&self, client: &Client) -> RedisResult<Option<Arc<Writers>>> {
        match self.url.replicas {
            0 => Ok(None),
            some => Ok(Some(Arc::new(Writers::open(client, some).await?))),
        }
    }

    /// The master that the sentinels name.
    async fn master(&self) -> RedisResult<redis::ConnectionInfo> {
        let Kind::Sentinel { name } = &self.url.kind else {
            return Err(RedisError::from((
                ErrorKind::InvalidClientConfig,
                "no sentinels",
            )));
        };
        let sentinels = self.url.nodes.iter().map(|node| self.url.address(node));
        let mut node =
            SentinelNodeConnectionInfo::default().set_redis_connection_info(self.url.login());
        if self.url.tls {
            node = node.set_tls_mode(TlsMode::Secure);
        }
        let asking = async {
            let mut sentinels = Sentinel::build(sentinels.collect())?;
            let client = sentinels.async_master_for(name, Some(&node)).await?;
            Ok(client.get_connection_info().clone())
        };
        timeout(DEADLINE, asking).await.map_err(|_| late())?
    }

    /// What takes in what Redis says unasked, until another one is made: the end of a connection that was
    /// given up is no news.
    fn pushed(&self) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static + use<> {
        let (bell, doubts) = (Arc::clone(&self.bell), Arc::clone(&self.doubts));
        let mine = doubts.current.fetch_add(1, Ordering::Relaxed) + 1;
        move |push| {
            let is_current = doubts.current.load(Ordering::Relaxed) == mine;
            if !bell.heard(&push) && is_current {
                doubts.raise();
            }
            Ok(())
        }
    }
}

/// Whether the next try may succeed although nobody has changed anything here.
fn may_pass(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain
        ),
        ErrorKind::Io
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel => true,
        _ => false,
    }
}

fn late() -> RedisError {
    let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
    RedisError::from(late)
}

/// The longest that a call waits for Redis. Calls of peers have ten seconds, and make at most a few of these.
pub(super) const DEADLINE: Duration = Duration::from_millis(1_500);
/// A connection whose other end is gone without a word is found out after this and a deadline.
const PULSE: Duration = Duration::from_secs(1);
/// How often the sentinels are asked whether the master is still the master: a client that stays with an
/// old one writes what is thrown away.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// A failover takes less.
const PATIENCE: Duration = Duration::from_secs(8);
const CONNECTING: Duration = Duration::from_secs(4);
const SHORTEST: Duration = Duration::from_millis(20);
/// Redis is back for half a second at most before it is used again.
const LONGEST: Duration = Duration::from_millis(500);
/// Calls on their way at once; more wait for their turn, within their deadline.
const IN_FLIGHT: usize = 1_024;
/// A node that has lost its place says so, and the next try finds the right one.
const CLUSTER_RETRIES: u32 = 3;
