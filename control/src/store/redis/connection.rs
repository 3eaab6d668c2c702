//! What calls Redis: one server, or all of a Cluster.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, ToRedisArgs, Value};

/// A connection to the master, or to all of a Cluster. A clone is another handle on the same one.
///
/// Of a Cluster it is two. Redis takes subscriptions away there unasked when a slot moves, and the library
/// takes that for the answer to the oldest call: on a connection that calls nothing else, it does no harm.
#[derive(Clone)]
pub(super) enum Connection {
    Node(MultiplexedConnection),
    Cluster {
        calls: ClusterConnection,
        rings: ClusterConnection,
    },
}

impl Connection {
    /// What happens on these channels is pushed from now on. In a Cluster all of them are of one slot.
    pub(super) async fn subscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        match self {
            Self::Node(node) => node.subscribe(channels).await,
            Self::Cluster { rings, .. } => rings.ssubscribe(channels).await,
        }
    }

    pub(super) async fn unsubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        match self {
            Self::Node(node) => node.unsubscribe(channels).await,
            Self::Cluster { rings, .. } => rings.sunsubscribe(channels).await,
        }
    }

    pub(super) async fn ping(&mut self) -> RedisResult<()> {
        redis::cmd("PING").query_async(self).await
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(node) => node.req_packed_command(cmd),
            Self::Cluster { calls, .. } => calls.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(node) => node.req_packed_commands(cmd, offset, count),
            Self::Cluster { calls, .. } => calls.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(node) => node.get_db(),
            Self::Cluster { calls, .. } => calls.get_db(),
        }
    }
}
