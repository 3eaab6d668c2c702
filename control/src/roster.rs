//! The relays that announce themselves, where relays and control run apart.
//!
//! ```text
//! Announce ── join ──▶ here ── stream ends ──▶ missing ── LOST_AFTER ──▶ forgotten
//!                       ▲                         │
//!                       └─────── join ────────────┘
//! ```
//!
//! A relay that is missing may be back in a moment: as long as one is, no pairing moves away from a relay
//! that is not here. The same holds until control has listened for a while. A relay that said that it
//! stops, or was here and did not come back, is known to be gone even then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peersox_core::id::PairingId;
use peersox_core::origin::Origin;
use peersox_core::placement::{Candidate, RelayName};
use peersox_proto::v1::{RelayEndpoint, Transport};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::directory::webtransport_origin;

/// The relays. A clone is another handle on the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Roster(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    relays: BTreeMap<RelayName, Entry>,
    /// Since when relays can announce themselves.
    since: Instant,
    joined: u64,
}

#[derive(Debug)]
struct Entry {
    /// Which of all that ever joined.
    number: u64,
    announced: Announced,
    load: Load,
    orders: mpsc::Sender<Order>,
    replaced: CancellationToken,
    /// Since when it is missing.
    missing: Option<Instant>,
}

/// What a relay says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Announced {
    pub(crate) name: RelayName,
    pub(crate) endpoints: Vec<RelayEndpoint>,
    pub(crate) stun_urls: Vec<String>,
    pub(crate) region: String,
    pub(crate) capacity: u32,
    pub(crate) origin: Option<Origin>,
}

/// What a relay carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) legs: u32,
    pub(crate) sessions: u32,
    pub(crate) draining: bool,
}

/// Where pairings may be placed.
#[derive(Debug)]
pub(crate) struct Choice {
    /// The relays that take new legs.
    pub(crate) candidates: Vec<Candidate>,
    /// The relays that are known to be gone, or about to go.
    pub(crate) gone: Vec<RelayName>,
    /// Whether a relay that is neither here nor missing is gone.
    pub(crate) knows_all: bool,
}

/// What a relay is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Hang up the legs of a pairing for good.
    Revoke(PairingId),
    /// Have the peers of a pairing seek the relay where it meets now.
    Move(PairingId),
}

/// A relay that is here, seen by the stream that announces it.
pub(crate) struct Member {
    pub(crate) name: RelayName,
    /// Which of all that ever joined.
    pub(crate) number: u64,
    pub(crate) orders: mpsc::Receiver<Order>,
    /// Another stream announces the same name.
    pub(crate) replaced: CancellationToken,
}

impl Roster {
    /// Nobody is here yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            relays: BTreeMap::new(),
            since: now,
            joined: 0,
        })))
    }

    /// A relay announces itself. One of the same name that is here gives way: it is the same one, whose
    /// former stream has not ended yet.
    pub(crate) fn join(&self, announced: Announced, now: Instant) -> Member {
        let mut state = self.lock();
        state.forget_lost(now);
        if state.relays.is_empty() {
            state.since = now;
        }
        state.joined += 1;
        let (number, name) = (state.joined, announced.name.clone());
        let (orders, received) = mpsc::channel(ORDERS);
        let replaced = CancellationToken::new();
        let entry = Entry {
            number,
            announced,
            load: Load::default(),
            orders,
            replaced: replaced.clone(),
            missing: None,
        };
        if let Some(former) = state.relays.insert(name.clone(), entry) {
            former.replaced.cancel();
        }
        Member {
            name,
            number,
            orders: received,
            replaced,
        }
    }

    /// A relay that is here says something else of itself.
    pub(crate) fn announce(&self, name: &RelayName, number: u64, announced: Announced) {
        if let Some(entry) = self.lock().of(name, number) {
            entry.announced = announced;
        }
    }

    pub(crate) fn load(&self, name: &RelayName, number: u64, load: Load) {
        if let Some(entry) = self.lock().of(name, number) {
            entry.load = load;
        }
    }

    /// The stream of a relay has ended.
    pub(crate) fn leave(&self, name: &RelayName, number: u64, now: Instant) {
        if let Some(entry) = self.lock().of(name, number) {
            entry.missing = Some(now);
        }
    }

    /// Whether a relay that left has not come back.
    pub(crate) fn is_missing(&self, name: &RelayName) -> bool {
        let state = self.lock();
        state
            .relays
            .get(name)
            .is_none_or(|entry| entry.missing.is_some())
    }

    /// Whether a relay has said that it is stopping.
    pub(crate) fn is_draining(&self, name: &RelayName) -> bool {
        let state = self.lock();
        state.relays.get(name).is_some_and(|it| it.load.draining)
    }

    /// Where pairings may be placed, seen from this region.
    pub(crate) fn choice(&self, region: &str, now: Instant) -> Choice {
        let mut state = self.lock();
        state.forget_lost(now);
        let takes = |entry: &&Entry| entry.missing.is_none() && !entry.load.draining;
        let candidates = state.relays.values().filter(takes);
        let gone = state.relays.values().filter(|entry| entry.is_gone(now));
        Choice {
            candidates: candidates.map(|entry| entry.candidate(region)).collect(),
            gone: gone.map(|entry| entry.announced.name.clone()).collect(),
            knows_all: state.knows_all(now),
        }
    }

    /// Where a relay can be reached, and the STUN servers that it is.
    pub(crate) fn endpoints(&self, name: &RelayName) -> Option<(Vec<RelayEndpoint>, Vec<String>)> {
        let state = self.lock();
        let announced = &state.relays.get(name)?.announced;
        Some((announced.endpoints.clone(), announced.stun_urls.clone()))
    }

    /// The transports on which some relay can be reached, in the order of preference of the first.
    pub(crate) fn transports(&self) -> Vec<Transport> {
        let mut transports = Vec::new();
        for entry in self.lock().relays.values() {
            for endpoint in &entry.announced.endpoints {
                let transport = endpoint.transport();
                if !transports.contains(&transport) {
                    transports.push(transport);
                }
            }
        }
        transports
    }

    /// The origins that pages have to be permitted to connect to.
    pub(crate) fn origins(&self) -> Vec<Origin> {
        let state = self.lock();
        let mut origins = Vec::new();
        for Entry { announced, .. } in state.relays.values() {
            origins.extend(announced.origin.clone());
            let another = webtransport_origin(&announced.endpoints);
            // The policy of a page that permits `http://host:1` permits `https://host:1`.
            let is_new = |it: &Origin| {
                let known = announced.origin.as_ref();
                known.is_none_or(|known| !known.is_beside(it))
            };
            origins.extend(another.filter(is_new));
        }
        origins
    }

    /// How many are there.
    pub(crate) fn count(&self) -> usize {
        let state = self.lock();
        let here = state.relays.values();
        here.filter(|entry| entry.missing.is_none()).count()
    }

    /// What all of them carry.
    pub(crate) fn total(&self) -> (u64, u64) {
        let state = self.lock();
        let here = state
            .relays
            .values()
            .filter(|entry| entry.missing.is_none());
        here.fold((0, 0), |(sessions, legs), entry| {
            (
                sessions + u64::from(entry.load.sessions),
                legs + u64::from(entry.load.legs),
            )
        })
    }

    /// Orders a relay to do something. One that does not take its orders is cut off: it announces itself
    /// again and hears what it has missed by what it reports.
    pub(crate) fn order(&self, name: &RelayName, order: Order) {
        if let Some(entry) = self.lock().relays.get(name) {
            entry.order(order);
        }
    }

    pub(crate) fn order_all(&self, order: Order) {
        for entry in self.lock().relays.values() {
            entry.order(order);
        }
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets who is lost. While control does not know all relays yet, it remembers whom it lost.
    fn forget_lost(&mut self, now: Instant) {
        let is_any_here = self.relays.values().any(|entry| !entry.is_lost(now));
        if !is_any_here || now.duration_since(self.since) >= LISTENING {
            self.relays.retain(|_, entry| !entry.is_lost(now));
        }
    }

    /// Whether a relay that is not here is gone.
    fn knows_all(&self, now: Instant) -> bool {
        let may_be_back = |entry: &Entry| entry.missing.is_some() && !entry.is_gone(now);
        now.duration_since(self.since) >= LISTENING && !self.relays.values().any(may_be_back)
    }

    fn of(&mut self, name: &RelayName, number: u64) -> Option<&mut Entry> {
        self.relays
            .get_mut(name)
            .filter(|entry| entry.number == number)
    }
}

impl Entry {
    fn is_lost(&self, now: Instant) -> bool {
        let is_long_ago = |since: Instant| now.duration_since(since) >= LOST_AFTER;
        self.missing.is_some_and(is_long_ago)
    }

    /// Gone for good, or about to go.
    fn is_gone(&self, now: Instant) -> bool {
        self.load.draining || self.is_lost(now)
    }

    /// One of another region has next to no weight.
    fn candidate(&self, region: &str) -> Candidate {
        let Announced { name, capacity, .. } = &self.announced;
        let mut candidate = Candidate::with_room(name.clone(), *capacity, self.load.legs);
        if self.announced.region != region {
            candidate.weight /= FAR;
        }
        candidate
    }

    fn order(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.orders.try_send(order) {
            self.replaced.cancel();
        }
    }
}

/// A stream that ended may be a connection that broke: its relay opens the next one in less time.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(1);
/// After its start, and after it was cut off from all relays, control takes a relay that it does not hear
/// of for gone once it has listened for this long: more than a relay needs to look up the name of control,
/// to find that an address does not answer, and to try again.
const LISTENING: Duration = Duration::from_secs(12);
/// Orders on their way to one relay.
const ORDERS: usize = 4_096;
/// How much less a relay of another region weighs.
const FAR: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(name: &str, region: &str) -> Announced {
        Announced {
            name: name.parse().unwrap(),
            endpoints: Vec::new(),
            stun_urls: Vec::new(),
            region: region.to_owned(),
            capacity: 100,
            origin: None,
        }
    }

    fn names(roster: &Roster, now: Instant) -> Vec<String> {
        let candidates = roster.choice("", now).candidates;
        candidates.iter().map(|it| it.name.to_string()).collect()
    }

    #[test]
    fn a_relay_is_gone_a_second_after_its_stream() {
        let start = Instant::now();
        let roster = Roster::new(start);
        let one = roster.join(relay("one", ""), start);
        let _two = roster.join(relay("two", ""), start);
        let knows_all = |now| roster.choice("", now).knows_all;
        assert!(!knows_all(start), "it has just begun to listen");
        let now = start + LISTENING;
        assert!(knows_all(now));
        roster.leave(&one.name, one.number, now);
        assert_eq!(names(&roster, now), ["two"]);
        assert!(!knows_all(now), "it may be back in a moment");
        assert!(roster.endpoints(&one.name).is_some());
        let again = roster.join(relay("one", ""), now);
        assert!(knows_all(now));
        // The former stream ends late.
        roster.leave(&one.name, one.number, now);
        assert_eq!(names(&roster, now), ["one", "two"]);
        roster.leave(&again.name, again.number, now);
        assert!(knows_all(now + LOST_AFTER));
        assert!(roster.endpoints(&again.name).is_none());
        // Cut off from all, it does not know who else comes back.
        let two = roster.join(relay("two", ""), now);
        roster.leave(&two.name, two.number, now);
        let later = now + LOST_AFTER * 2;
        let _back = roster.join(relay("one", ""), later);
        assert!(!knows_all(later));
    }

    #[test]
    fn who_drains_and_who_is_far_gets_nothing() {
        let now = Instant::now();
        let roster = Roster::new(now);
        let _here = roster.join(relay("here", ""), now);
        let far = roster.join(relay("far", "moon"), now);
        let full = roster.join(relay("full", ""), now);
        let load = Load {
            legs: 100,
            ..Load::default()
        };
        roster.load(&full.name, full.number, load);
        let weights = |region| {
            let candidates = roster.choice(region, now).candidates;
            candidates.iter().map(|it| it.weight).collect::<Vec<_>>()
        };
        assert_eq!(weights(""), [100.0 / FAR, 0.0, 100.0]);
        assert_eq!(weights("moon"), [100.0, 0.0, 100.0 / FAR]);
        let draining = Load {
            draining: true,
            ..Load::default()
        };
        roster.load(&far.name, far.number, draining);
        assert_eq!(names(&roster, now), ["full", "here"]);
    }

    #[test]
    fn a_relay_that_stops_or_was_lost_is_known_to_be_gone_even_to_new_control() {
        let start = Instant::now();
        let roster = Roster::new(start);
        let [one, two, _three] =
            ["one", "two", "three"].map(|name| roster.join(relay(name, ""), start));
        let draining = Load {
            draining: true,
            ..Load::default()
        };
        let gone = |now| {
            roster
                .choice("", now)
                .gone
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        roster.load(&one.name, one.number, draining);
        roster.leave(&two.name, two.number, start);
        assert_eq!(gone(start), ["one"]);
        let now = start + LOST_AFTER;
        assert_eq!(gone(now), ["one", "two"]);
        assert!(!roster.choice("", now).knows_all);
        // Its next process.
        let _again = roster.join(relay("two", ""), now);
        assert_eq!(gone(now), ["one"]);
        roster.leave(&one.name, one.number, now);
        assert_eq!(gone(start + LISTENING), Vec::<String>::new());
        assert!(roster.choice("", start + LISTENING).knows_all);
    }

    #[tokio::test]
    async fn a_newer_stream_of_one_name_takes_the_place_and_so_does_none_that_stalls() {
        let now = Instant::now();
        let roster = Roster::new(now);
        let one = roster.join(relay("one", ""), now);
        let mut again = roster.join(relay("one", ""), now);
        assert!(one.replaced.is_cancelled() && !again.replaced.is_cancelled());
        let id = PairingId::from_bytes([1; 16]);
        roster.order_all(Order::Revoke(id));
        assert_eq!(again.orders.recv().await, Some(Order::Revoke(id)));
        for _ in 0..=ORDERS {
            roster.order(&again.name, Order::Move(id));
        }
        assert!(again.replaced.is_cancelled());
    }
}
