//! Strangers, and peers with malice, who send as much as they can: the server's process stays small, and a
//! pair beside them loses nothing.
//!
//! `PEERSOX_MUTATED` says how many mutated frames each transport gets; `PEERSOX_SEED` is the seed that they
//! begin with, which a failure prints.

pub mod legs;
mod mutated;
mod pieces;
mod quic;
mod slow;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use peersox_core::frame::{Frame, Lane};
use peersox_core::role::Role;

use crate::harness::{Record, Server, soon};
use legs::{Leg, Over, Session};

/// A server under attack, with a pair that talks all the while.
struct Attacked {
    server: Server,
    log: Record,
    stop: Arc<AtomicBool>,
    pair: tokio::task::JoinHandle<u64>,
    largest: Arc<AtomicU64>,
}

impl Attacked {
    async fn start(options: &[&str]) -> Self {
        // A long run outlives a pairing that nobody keeps.
        let lasting = ["--unkept-ttl", "604800", "--drain-grace", "0"];
        let mut server = Server::start(&[options, &lasting].concat()).await;
        let log = server.record();
        let stop = Arc::new(AtomicBool::new(false));
        let largest = Arc::new(AtomicU64::new(0));
        let session = Session::open(&server).await;
        let one = soon(session.attach(Over::WebSocket, Role::Initiator)).await;
        let two = soon(session.attach(Over::Quic, Role::Joiner)).await;
        let pair = tokio::spawn(talk(one, two, Arc::clone(&stop)));
        Self {
            server,
            log,
            stop,
            pair,
            largest,
        }
    }

    /// The memory of the server now, in bytes. [`Attacked::most`] takes it into account.
    fn memory(&self) -> u64 {
        let memory = self.server.memory();
        self.largest.fetch_max(memory, Relaxed);
        memory
    }

    /// The most that [`Attacked::memory`] has answered.
    fn most(&self) -> u64 {
        self.largest.load(Relaxed)
    }

    /// Waits until the pair has said one word more.
    async fn end(self) {
        self.stop.store(true, Relaxed);
        let words = soon(self.pair).await.expect("the pair lost nothing");
        assert!(words > 0);
        let log = self.log.end(self.server).await;
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Each side says a word and hears it come back; gives how many words there were.
async fn talk(mut one: Leg, mut two: Leg, stop: Arc<AtomicBool>) -> u64 {
    let mut words = 0_u64;
    while !stop.load(Relaxed) {
        let frame = Frame::new(Lane::Reliable, &words.to_be_bytes());
        one.send(&frame).await;
        assert_eq!(soon(two.next_but_notices()).await, Some(frame.clone()));
        two.send(&frame).await;
        assert_eq!(soon(one.next_but_notices()).await, Some(frame));
        words += 1;
        // The attack is to have the processor.
        tokio::time::sleep(PACE).await;
    }
    words
}

/// How fast the pair talks.
const PACE: Duration = Duration::from_millis(10);
/// 16 MiB: what an attack may cost beside what the same server needs anyway.
const ROOM: u64 = 16 << 20;
