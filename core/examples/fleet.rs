//! What becomes of a service with many relays when one of them dies: how its pairs spread over the others,
//! and how often control is asked meanwhile. Placement and peers are the real rules; relays and control are a
//! few lines here.
//!
//! `cargo run --release -p peersox-core --features testing --example fleet [RELAYS [PAIRS]]`
//!
//! ```text
//!   0 s     one relay dies; every peer of it learns so at once, as over WebSocket when a process dies
//!   0–1 s   control misses the relay: OpenSession is refused, to be asked again after 0.5 s
//!   1 s     the relay is gone: OpenSession places the pair at another one, with the next epoch
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use peersox_core::attach::{Action, Attach, Config, Ended, LegId, Session, Transport, Transports};
use peersox_core::id::PairingId;
use peersox_core::notice;
use peersox_core::placement::{Candidate, RelayName, choose};
use peersox_core::testing::Dice;
use peersox_core::time::Moment;
use peersox_proto::v1::{Role, Welcome, notice::Kind};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|it| it.parse());
    let mut number = |default| match arguments.next() {
        Some(number) => number.expect("RELAYS and PAIRS are numbers"),
        None => default,
    };
    let (relays, pairs): (u32, u32) = (number(20), number(100_000));
    let mut fleet = Fleet::new(relays, pairs);
    fleet.report("placed, by the load of one second before");
    fleet.one_dies();
    fleet.report("after one has died");
}

struct Fleet {
    dice: Dice,
    relays: Vec<Candidate>,
    /// Legs of each relay.
    legs: Vec<u32>,
    capacity: u32,
    /// Each pair, where it meets, and the epoch of that.
    pairs: Vec<(PairingId, usize, u32)>,
}

impl Fleet {
    /// Pairs come at an even rate, a hundredth of them in each second. Relays tell their load once a second.
    fn new(relays: u32, pairs: u32) -> Self {
        let capacity = (4 * pairs).div_ceil(relays);
        let name = |at| format!("r{at}").parse::<RelayName>();
        let name = |at| name(at).expect("a letter and digits are a name");
        let mut fleet = Self {
            dice: Dice::new(7),
            relays: (0..relays)
                .map(|at| Candidate::with_room(name(at), capacity, 0))
                .collect(),
            legs: vec![0; relays as usize],
            capacity,
            pairs: Vec::new(),
        };
        for at in 0..pairs {
            if at % (pairs / 100).max(1) == 0 {
                fleet.hear_loads();
            }
            let pairing = PairingId::from_bytes(fleet.dice.bytes());
            let relay = fleet.place(pairing, 1);
            fleet.pairs.push((pairing, relay, 1));
            fleet.legs[relay] += 2;
        }
        fleet
    }

    fn hear_loads(&mut self) {
        for (relay, legs) in self.relays.iter_mut().zip(&self.legs) {
            *relay = Candidate::with_room(relay.name.clone(), self.capacity, *legs);
        }
    }

    fn place(&self, pairing: PairingId, epoch: u32) -> usize {
        let chosen = choose(pairing, epoch, &self.relays).expect("there are relays");
        let mut names = self.relays.iter().map(|it| &it.name);
        names.position(|name| name == chosen).expect("one of them")
    }

    /// The first relay dies. Whoever was there attaches elsewhere, by the rules of a peer.
    fn one_dies(&mut self) {
        let survivors = self.relays.split_off(1);
        let moving: Vec<_> = (0..self.pairs.len())
            .filter(|at| self.pairs[*at].1 == 0)
            .collect();
        self.relays = survivors;
        self.legs.remove(0);
        let mut peers: Vec<Peer> = moving
            .iter()
            .flat_map(|pair| [*pair, *pair])
            .map(|pair| Peer::attached(pair, &mut self.dice))
            .collect();
        let mut due: BinaryHeap<_> = (0..peers.len()).map(|at| Reverse((DEATH, at))).collect();
        let (mut calls, mut back) = (Vec::new(), Vec::new());
        while let Some(Reverse((now, at))) = due.pop() {
            let peer = &mut peers[at];
            if now == DEATH {
                let leg = peer.attach.leg().expect("it was attached");
                peer.attach
                    .leg_ended(leg, Ended::Broken, now, &mut self.dice);
            } else {
                peer.attach.handle_timeout(now, &mut self.dice);
            }
            while let Some(action) = peer.attach.poll() {
                match action {
                    Action::OpenSession { .. } => {
                        calls.push(now);
                        if now.saturating_since(DEATH) >= LOST_AFTER {
                            self.moves(peer.pair);
                            peer.attach.session_opened(session(), now, &mut self.dice);
                        } else {
                            let again = Some(RETRY_AFTER);
                            peer.attach
                                .session_failed(false, again, now, &mut self.dice);
                        }
                    }
                    Action::Connect(leg, _) => {
                        peer.welcome(leg, now, &mut self.dice);
                        back.push(now);
                    }
                    Action::HangUp(..) | Action::Tell(_) | Action::End(_) => {}
                }
            }
            if peer.attach.leg().is_none() {
                due.push(Reverse((peer.attach.timeout(), at)));
            }
        }
        let since = |moment: &Moment| moment.saturating_since(DEATH).as_secs_f64();
        let late = back.iter().map(since).fold(0.0, f64::max);
        println!(
            "one of {} relays dies: {} pairs of {} move, {} peers are back within {late:.2} s",
            self.relays.len() + 1,
            moving.len(),
            self.pairs.len(),
            back.len()
        );
        let mut bins = vec![0_usize; 1 + calls.iter().map(|at| bin(*at)).max().unwrap_or(0)];
        calls.iter().for_each(|at| bins[bin(*at)] += 1);
        let each = calls.len() as f64 / back.len() as f64;
        println!("OpenSession: {each:.2} for each peer; per 100 ms: {bins:?}");
    }

    /// The first peer of a pair that asks moves it.
    fn moves(&mut self, pair: usize) {
        let (pairing, _, epoch) = self.pairs[pair];
        if epoch == 1 {
            let next = self.place(pairing, 2);
            self.pairs[pair] = (pairing, next, 2);
            self.legs[next] += 2;
        }
    }

    fn report(&self, when: &str) {
        let mean = self.legs.iter().sum::<u32>() as f64 / self.legs.len() as f64;
        let part = |legs: Option<&u32>| 100.0 * f64::from(*legs.unwrap_or(&0)) / mean;
        let (least, most) = (part(self.legs.iter().min()), part(self.legs.iter().max()));
        println!("{when}: {mean:.0} legs on average, {least:.1} % to {most:.1} % of that");
    }
}

/// A peer, and its pair.
struct Peer {
    attach: Attach,
    pair: usize,
}

impl Peer {
    /// One that has been attached for a while.
    fn attached(pair: usize, dice: &mut Dice) -> Self {
        let config = Config {
            transports: Transport::WebSocket.into(),
            ..Config::default()
        };
        let start = Moment::default();
        let attach = Attach::new(config, "fleet".to_owned(), start);
        let mut peer = Self { attach, pair };
        peer.attach.session_opened(session(), start, dice);
        while let Some(action) = peer.attach.poll() {
            if let Action::Connect(leg, _) = action {
                peer.welcome(leg, start, dice);
            }
        }
        peer
    }

    /// Connecting takes no time: it is the same for all, and control does not see it.
    fn welcome(&mut self, leg: LegId, now: Moment, dice: &mut Dice) {
        self.attach.leg_connected(leg, now, dice);
        let _hello = self.attach.poll_transmit(leg, now);
        let welcome = Welcome {
            role: Role::Joiner.into(),
            peer_online: true,
            ..Welcome::default()
        };
        let welcome = notice::encode(Kind::Welcome(welcome)).into_bytes();
        self.attach.handle_frame(leg, welcome, now, dice);
    }
}

fn session() -> Session {
    Session {
        offered: Transports::from(Transport::WebSocket),
        ticket: "a.b.c".to_owned(),
    }
}

fn bin(at: Moment) -> usize {
    usize::try_from(at.saturating_since(DEATH).as_millis() / 100).unwrap_or(usize::MAX)
}

/// Long after all had attached, so that pauses begin short.
const DEATH: Moment = Moment::from_origin(Duration::from_secs(1_000));

/// What control says in `RetryInfo` while it misses a relay, and after how long the relay is gone
/// (`control/src/roster.rs`).
const RETRY_AFTER: Duration = Duration::from_millis(500);
const LOST_AFTER: Duration = Duration::from_secs(1);
