//! A relay, a node of control and the master of Redis are killed while pairs talk: no message is lost,
//! doubled or out of order, and whoever comes afterwards is served. Then all nodes are restarted one after
//! the other.
//!
//! `PEERSOX_PAIRS=300 cargo test --workspace --test e2e noon -- --nocapture --test-threads 1` does it with
//! more pairs, and prints the longest silence of each kind. More than a hundred pairs send less often, for a
//! debug build on two processors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peersox_client::{Choice, Message, Peer, Priority, Receiver, Sender, Transport};
use peersox_test_redis::{Cluster, Redis, Watched};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::try_pair;
use crate::harness::{quiet_port, soon};
use crate::nodes::{Nodes, knows};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_what_dies_around_a_single_redis() {
    let redis = Redis::start();
    let url = redis.url();
    noon(&url, redis, |redis| redis.restart()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_what_dies_around_sentinels() {
    let watched = Watched::start();
    let url = watched.url();
    noon(&url, watched, |watched| watched.servers[0].kill()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_what_dies_around_a_cluster() {
    let cluster = Cluster::start();
    let url = cluster.url();
    noon(&url, cluster, |cluster| {
        let master = cluster.masters().next().expect("a Cluster has masters");
        cluster.servers[master].kill();
    })
    .await;
}

/// What happens at noon.
async fn noon<R>(url: &str, mut redis: R, strike: impl FnOnce(&mut R)) {
    let nodes = Nodes::new(url);
    let mut controls = Vec::new();
    for _ in 0..3 {
        controls.push(nodes.control_with(0, QUIET).await);
    }
    let balancer = Balancer::start(controls.iter().map(|it| it.port)).await;
    let mut relays = Vec::new();
    for name in ["one", "two", "three"] {
        let relay = nodes.relay_with(quiet_port(), name, &controls, RELAY).await;
        for control in &controls {
            knows(control, &relay, true).await;
        }
        relays.push(relay);
    }
    let load = Load::start(&balancer.url()).await;
    load.beats(2).await;

    // Noon.
    let (relay, control) = (relays.remove(0), controls.remove(0));
    let (relay_port, control_port) = (relay.port, control.port);
    strike(&mut redis);
    relay.kill().await;
    control.kill().await;
    controls.insert(0, nodes.control_with(control_port, QUIET).await);
    relays.insert(
        0,
        nodes.relay_with(relay_port, "one", &controls, RELAY).await,
    );
    load.beats(2).await;
    load.report("a relay, a control and a master of Redis were killed");
    soon(async { while !load.newcomer().await {} }).await;
    for control in &controls {
        knows(control, &relays[0], true).await;
    }

    // Everything is restarted, one after the other.
    for at in 0..3 {
        let control = controls.remove(at);
        let port = control.port;
        assert!(control.stop().await.success());
        controls.insert(at, nodes.control_with(port, QUIET).await);
        for relay in &relays {
            knows(&controls[at], relay, true).await;
        }
    }
    for (at, name) in ["one", "two", "three"].into_iter().enumerate() {
        let relay = relays.remove(at);
        let port = relay.port;
        assert!(relay.stop().await.success());
        let relay = nodes.relay_with(port, name, &controls, RELAY).await;
        for control in &controls {
            knows(control, &relay, true).await;
        }
        relays.insert(at, relay);
    }
    load.beats(2).await;
    load.report("all nodes were restarted");
    load.end().await;
}

/// Pairs that talk both ways without end.
struct Load {
    url: String,
    peers: Vec<(Peer, Peer)>,
    stop: watch::Sender<bool>,
    directions: JoinSet<()>,
    heard: Vec<Arc<Heard>>,
    /// Between two messages of one direction.
    each: Duration,
}

/// What one direction has brought.
struct Heard {
    transport: Transport,
    /// How many messages.
    count: AtomicU64,
    /// The longest silence, in milliseconds, since it was asked for.
    silence: AtomicU64,
}

impl Load {
    async fn start(url: &str) -> Self {
        let pairs = std::env::var("PEERSOX_PAIRS").ok();
        let pairs = pairs.map_or(20, |pairs| pairs.parse::<u32>().expect("a number of pairs"));
        let each = EACH * pairs.div_ceil(100);
        let (stop, stops) = watch::channel(false);
        let mut load = Self {
            each,
            url: url.to_owned(),
            peers: Vec::new(),
            stop,
            directions: JoinSet::new(),
            heard: Vec::new(),
        };
        for at in 0..pairs {
            let transport = [Transport::WebSocket, Transport::Quic][at as usize % 2];
            let pair = soon(try_pair(url, Choice::Only(transport))).await;
            let (_, here, mut there, _) = pair.expect("they meet");
            let one = here
                .open("load", Priority::Interactive)
                .await
                .expect("it opens");
            let two = soon(there.accept()).await.expect("it arrives");
            let (one, two) = (one.split(), two.split());
            for (sender, receiver) in [(one.0, two.1), (two.0, one.1)] {
                let heard = Arc::new(Heard {
                    transport,
                    count: AtomicU64::new(0),
                    silence: AtomicU64::new(0),
                });
                load.heard.push(Arc::clone(&heard));
                load.directions.spawn(say(sender, each, stops.clone()));
                load.directions.spawn(hear(receiver, heard));
            }
            load.peers.push((here, there));
        }
        load
    }

    /// Waits until each direction has brought as many more messages as it says in so many seconds: those that
    /// were said since are among them.
    async fn beats(&self, seconds: u64) {
        let more = seconds * 1_000 / u64::try_from(self.each.as_millis()).expect("not that long");
        let count = |heard: &Arc<Heard>| heard.count.load(Ordering::Relaxed) + more;
        let enough: Vec<_> = self.heard.iter().map(count).collect();
        for (heard, enough) in self.heard.iter().zip(enough) {
            let come = async {
                while heard.count.load(Ordering::Relaxed) < enough {
                    tokio::time::sleep(self.each).await;
                }
            };
            soon(come).await;
        }
    }

    /// Prints the longest silences since the last time, and fails if one was three times as long as
    /// promised: as a failover of Redis takes, or QUIC's idle timeout.
    fn report(&self, what: &str) {
        let promised = [
            (Transport::WebSocket, Duration::from_secs(5)),
            (Transport::Quic, Duration::from_secs(14)),
        ];
        for (transport, promised) in promised {
            let of = self
                .heard
                .iter()
                .filter(|heard| heard.transport == transport);
            let mut silences: Vec<_> = of.map(|it| it.silence.swap(0, Ordering::Relaxed)).collect();
            silences.sort_unstable();
            let (median, worst) = (silences[silences.len() / 2], silences[silences.len() - 1]);
            println!("{what}: {transport:?}: silence of {median} ms, {worst} ms at worst");
            assert!(
                u128::from(worst) < 3 * promised.as_millis(),
                "{transport:?}: {worst} ms"
            );
        }
    }

    /// Whether somebody who comes now is served.
    async fn newcomer(&self) -> bool {
        match try_pair(&self.url, Choice::Auto).await {
            Ok((_, here, there, _)) => {
                let (here, there) = tokio::join!(here.close(), there.ended());
                here.is_ok() && there.is_ok()
            }
            Err(_) => false,
        }
    }

    async fn end(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = soon(self.directions.join_next()).await {
            ended.expect("every message arrives, once and in order");
        }
        for (here, there) in self.peers {
            let (here, there) = soon(async { tokio::join!(here.close(), there.ended()) }).await;
            here.expect("a good end");
            there.expect("a good end");
        }
    }
}

/// Numbers, one after the other.
async fn say(sender: Sender, each: Duration, stops: watch::Receiver<bool>) {
    for number in 0u64.. {
        let message = Bytes::copy_from_slice(&number.to_be_bytes());
        sender
            .send(Message::Binary(message))
            .await
            .expect("it is taken");
        if *stops.borrow() {
            break;
        }
        tokio::time::sleep(each).await;
    }
    sender.finish().await.expect("it is taken");
}

async fn hear(mut receiver: Receiver, heard: Arc<Heard>) {
    let mut last = Instant::now();
    let mut expected = 0u64;
    while let Some(message) = receiver.recv().await.expect("nothing ends it") {
        let silence = u64::try_from(last.elapsed().as_millis()).expect("not that long");
        heard.silence.fetch_max(silence, Ordering::Relaxed);
        heard.count.fetch_add(1, Ordering::Relaxed);
        last = Instant::now();
        let number = Bytes::copy_from_slice(&expected.to_be_bytes());
        assert_eq!(message, Message::Binary(number));
        expected += 1;
    }
}

/// What stands in front of control: connections go to one node after the other, and to the next if one is
/// gone.
struct Balancer {
    port: u16,
    _task: tokio::task::JoinHandle<()>,
}

impl Balancer {
    async fn start(ports: impl Iterator<Item = u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let ports: Arc<Vec<u16>> = Arc::new(ports.collect());
        let next = AtomicUsize::new(0);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let first = next.fetch_add(1, Ordering::Relaxed);
                let ports = Arc::clone(&ports);
                tokio::spawn(async move {
                    for at in 0..ports.len() {
                        let port = ports[(first + at) % ports.len()];
                        if let Ok(mut node) = TcpStream::connect(("127.0.0.1", port)).await {
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
                            return;
                        }
                    }
                });
            }
        });
        Self { port, _task: task }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Nobody reads what the nodes log here: a pipe that is full would stop them.
const QUIET: &[&str] = &["--log", "warn"];

/// The same, and the time that hundreds of peers of a debug build need to go elsewhere.
const RELAY: &[&str] = &["--log", "warn", "--drain-grace", "30"];

/// Between two messages of one direction, of a hundred pairs at most.
const EACH: Duration = Duration::from_millis(50);
