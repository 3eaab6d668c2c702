//! Connections for writes that replicas have to have.
//!
//! `WAIT` blocks the connection that it comes on, and counts what was written on that one before. So each
//! such write has a connection to itself, and everything else goes on over the one that all share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use tokio::sync::Semaphore;

use super::connection::Connection;
use super::link::DEADLINE;

/// Some connections to one master.
pub(super) struct Writers {
    replicas: u32,
    free: Mutex<Vec<MultiplexedConnection>>,
    /// As many as there are connections.
    places: Semaphore,
}

/// What became of a write.
pub(super) struct Written<T> {
    pub(super) answer: T,
    /// How many replicas have it, if they are too few.
    pub(super) too_few: Option<u32>,
}

impl Writers {
    /// Connects to the master that a client leads to.
    ///
    /// # Errors
    /// What Redis, or the way to it, says against it.
    pub(super) async fn open(client: &Client, replicas: u32) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        let mut free = Vec::new();
        for _ in 0..CONNECTIONS {
            let connection = client.get_multiplexed_async_connection_with_config(&config);
            free.push(connection.await?);
        }
        // That the access list forbids it is found now.
        if let Some(first) = free.first_mut() {
            let reached: u32 = redis::cmd("WAIT").arg(0).arg(1).query_async(first).await?;
            tracing::debug!(replicas = reached, "replicas of Redis");
        }
        Ok(Self {
            replicas,
            places: Semaphore::new(free.len()),
            free: Mutex::new(free),
        })
    }

    /// Writes something, and waits until so many replicas have it, or [`WAITING`] is over.
    pub(super) async fn write<T>(
        &self,
        write: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<Written<T>> {
        // It is never closed.
        let _place = self.places.acquire().await.ok();
        let taken = self.lock().pop();
        let Some(connection) = taken else {
            unreachable!("there is a connection for each place");
        };
        let mut lent = Lent {
            of: self,
            connection: Connection::Node(connection),
        };
        let answer = write(&mut lent.connection).await?;
        let millis = u64::try_from(WAITING.as_millis()).unwrap_or(u64::MAX);
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.replicas).arg(millis);
        let have: u32 = wait.query_async(&mut lent.connection).await?;
        let too_few = (have < self.replicas).then_some(have);
        Ok(Written { answer, too_few })
    }

    /// How many replicas a write waits for.
    pub(super) const fn replicas(&self) -> u32 {
        self.replicas
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that goes back, however its use ends.
struct Lent<'a> {
    of: &'a Writers,
    connection: Connection,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Connection::Node(connection) = &self.connection {
            self.of.lock().push(connection.clone());
        }
    }
}

/// For how long replicas are waited for: less than a call may take.
pub(super) const WAITING: Duration = Duration::from_millis(1_000);
/// Writes that wait at once; a replica in the same building answers within a millisecond.
const CONNECTIONS: usize = 16;
