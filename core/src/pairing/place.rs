//! Where the peers of a pairing meet, decided when one of them opens a session.

use std::time::Duration;

use rand_core::CryptoRngCore;

use super::command::authenticate;
use super::{Command, Config, Credential, Decision, Find, Pairing, Reject, View, Write};
use crate::placement::{self, Candidate, Placement, RelayName};
use crate::time::Timestamp;

/// Recognises a peer by its credential, as [`Open`](super::Open) does,
/// and says at which relay it meets the other one.
#[derive(Clone, Debug)]
pub struct Place {
    /// What the peer showed.
    pub credential: Credential,
    /// The relays that take new legs.
    pub candidates: Vec<Candidate>,
    /// The relays that are known to be gone, or about to go.
    pub gone: Vec<RelayName>,
    /// The epoch at which the peer could not reach the relay, though control said that it is there; zero for
    /// none.
    pub unreached: u32,
    /// Whether any other relay that is not among the candidates is gone, too. Whoever has just begun to
    /// listen to relays does not know it yet.
    pub knows_all: bool,
}

/// A peer that was recognised, and where it meets the other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The pairing, seen by the peer.
    pub view: View,
    /// Nothing if no relay can be named yet.
    pub placement: Option<Placement>,
    /// What this call has changed of it.
    pub change: Change,
}

/// What a call changes of where peers meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Stays,
    /// They have a relay for the first time.
    Placed,
    /// They have another one than before.
    Moved {
        /// The former one.
        from: RelayName,
        /// Whether the former relay still takes new legs: then it was left because a peer could not reach it.
        stood: bool,
    },
}

impl Command for Place {
    type Reply = Placed;

    fn find(&self) -> Find<'_> {
        Find::ById(self.credential.pairing())
    }

    fn decide(
        &self,
        config: &Config,
        current: Option<&Pairing>,
        now: Timestamp,
        _: &mut impl CryptoRngCore,
    ) -> Result<Decision<Placed>, Reject> {
        let (pairing, role) = authenticate(current, &self.credential)?;
        let admitted = pairing.open(config, role, now)?;
        let reply = |placement, change| Placed {
            view: admitted.reply,
            placement,
            change,
        };
        let stands = |placement: &Placement| {
            let mut names = self.candidates.iter().map(|it| &it.name);
            names.any(|name| *name == placement.relay)
        };
        let placed = pairing.placement.as_ref();
        let is_unreached = |placed: &Placement| {
            placed.epoch == self.unreached && now >= placed.since + MOVES_AFTER
        };
        let unreached = placed.filter(|placed| is_unreached(placed));
        let mut candidates = self.candidates.clone();
        candidates.retain(|it| unreached.is_none_or(|placed| placed.relay != it.name));
        let moves = unreached.is_some() && !candidates.is_empty();
        if let Some(placed) = placed.filter(|placed| stands(placed) && !moves) {
            let reply = reply(Some(placed.clone()), Change::Stays);
            return Ok(Decision {
                write: admitted.write,
                event: None,
                reply,
            });
        }
        let epoch = placed.map_or(0, |placed| placed.epoch).saturating_add(1);
        let chosen = placement::choose(pairing.id, epoch, &candidates);
        let is_gone = |placed: &Placement| self.knows_all || self.gone.contains(&placed.relay);
        let chosen = chosen.filter(|_| moves || placed.is_none_or(is_gone));
        let Some(relay) = chosen.cloned() else {
            return Ok(Decision {
                write: Write::Nothing,
                event: None,
                reply: reply(None, Change::Stays),
            });
        };
        let placement = Placement {
            relay,
            epoch,
            since: now,
        };
        let change = match placed {
            None => Change::Placed,
            Some(former) => Change::Moved {
                from: former.relay.clone(),
                stood: stands(former),
            },
        };
        let mut moved = pairing.clone();
        moved.alive(config, role, now);
        moved.placement = Some(placement.clone());
        Ok(Decision {
            write: Write::Put(moved),
            event: None,
            reply: reply(Some(placement), change),
        })
    }
}

/// For how long a pairing stays at a relay, whatever its peers say of it: whoever holds a credential could
/// move it to and fro.
const MOVES_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Digits;
    use crate::code::tests::Seeded;
    use crate::pairing::{Create, decide};

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    struct World {
        stored: Pairing,
        credential: Credential,
        rng: Seeded,
        now: Timestamp,
        unreached: u32,
        /// What the latest call has changed.
        change: Change,
    }

    impl World {
        fn new() -> Self {
            let mut rng = Seeded(7);
            let create = Create {
                digits: Digits::default(),
                secret_bits: 20,
                ephemeral: true,
                confirm: false,
                account: None,
            };
            let created = decide(&Config::default(), None, &create, NOW, &mut rng).unwrap();
            let Write::Put(stored) = created.write else {
                panic!("it is stored");
            };
            let credential = created.reply.credential;
            Self {
                stored,
                credential,
                rng,
                now: NOW,
                unreached: 0,
                change: Change::Stays,
            }
        }

        /// Places it among these relays, and says where, or that nobody can tell.
        fn place(&mut self, relays: &[&str], knows_all: bool) -> Option<(String, u32)> {
            self.place_without(&[], relays, knows_all)
        }

        fn place_without(
            &mut self,
            gone: &[&str],
            relays: &[&str],
            knows_all: bool,
        ) -> Option<(String, u32)> {
            let candidate = |name: &&str| Candidate {
                name: name.parse().unwrap(),
                weight: 1.0,
            };
            let place = Place {
                credential: self.credential.clone(),
                candidates: relays.iter().map(candidate).collect(),
                unreached: self.unreached,
                gone: gone.iter().map(|it| it.parse().unwrap()).collect(),
                knows_all,
            };
            let stored = Some(&self.stored);
            let decision =
                decide(&Config::default(), stored, &place, self.now, &mut self.rng).unwrap();
            if let Write::Put(pairing) | Write::Prolong(pairing) = decision.write {
                self.stored = pairing;
            }
            self.change = decision.reply.change;
            let placement = decision.reply.placement?;
            assert_eq!(self.stored.placement.as_ref(), Some(&placement));
            Some((placement.relay.to_string(), placement.epoch))
        }
    }

    #[test]
    fn a_pairing_stays_where_it_is_while_its_relay_does() {
        let mut world = World::new();
        let (first, epoch) = world.place(&["a", "b", "c"], true).unwrap();
        assert_eq!((epoch, &world.change), (1, &Change::Placed));
        let at = (first.clone(), 1);
        for others in [vec!["a", "b", "c", "d"], vec!["d", "e"], vec![]] {
            let mut relays = others;
            relays.push(&first);
            assert_eq!(world.place(&relays, true), Some(at.clone()));
            assert_eq!(world.change, Change::Stays);
        }
        // It is gone, or it is not known yet whether it is.
        let others: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .filter(|it| *it != first)
            .collect();
        assert_eq!(world.place(&others, false), None);
        assert_eq!(world.place(&[], true), None);
        let (second, epoch) = world.place(&others, true).unwrap();
        assert_ne!(second, first);
        assert_eq!(epoch, 2);
        // That the first is back moves nobody.
        assert_eq!(world.place(&["a", "b", "c"], true), Some((second, 2)));
    }

    /// Whoever has just begun to listen knows of a relay that says itself that it stops.
    #[test]
    fn a_relay_that_is_known_to_go_is_left_at_once() {
        let mut world = World::new();
        assert_eq!(world.place(&["a"], true), Some(("a".to_owned(), 1)));
        assert_eq!(world.place_without(&["c"], &["b"], false), None);
        let second = Some(("b".to_owned(), 2));
        assert_eq!(world.place_without(&["a"], &["b"], false), second);
        let from = "a".parse().unwrap();
        assert_eq!(world.change, Change::Moved { from, stood: false });
    }

    /// A relay that control sees may be out of the reach of a peer.
    #[test]
    fn a_pairing_moves_at_the_word_of_a_peer_and_not_to_and_fro() {
        let mut world = World::new();
        let relays = ["a", "b", "c"];
        let first = world.place(&relays, true);
        world.unreached = 1;
        assert_eq!(world.place(&relays, true), first, "it was placed just now");
        world.now = world.now + MOVES_AFTER;
        let (second, epoch) = world.place(&relays, true).unwrap();
        let (first, _) = first.unwrap();
        assert_eq!(epoch, 2);
        assert_ne!(second, first);
        // The other peer says the same later: the pairing is elsewhere by now.
        world.now = world.now + MOVES_AFTER;
        assert_eq!(world.place(&relays, true), Some((second.clone(), 2)));
        // It is moved although this node does not know whether the relay is gone, and stays where no other
        // is.
        world.unreached = 2;
        assert_eq!(world.place(&[&second], true), Some((second.clone(), 2)));
        let others: Vec<_> = relays.into_iter().filter(|it| *it != second).collect();
        let (third, epoch) = world.place(&others, false).unwrap();
        assert_eq!(epoch, 3);
        assert_ne!(third, second);
        // All are tried in the end.
        let mut tried = std::collections::BTreeSet::new();
        for epoch in 3..30 {
            world.unreached = epoch;
            world.now = world.now + MOVES_AFTER;
            tried.insert(world.place(&relays, true).unwrap().0);
        }
        assert_eq!(tried.len(), 3);
    }

    #[test]
    fn a_new_pairing_is_placed_by_whoever_knows_a_relay() {
        assert_eq!(World::new().place(&[], true), None);
        assert_eq!(World::new().place(&["a"], false), Some(("a".to_owned(), 1)));
    }

    #[test]
    fn where_it_is_survives_being_stored() {
        let mut world = World::new();
        let unplaced = serde_json::to_string(&world.stored).unwrap();
        assert!(!unplaced.contains("placement"));
        world.place(&["relay-1.example"], true).unwrap();
        let text = serde_json::to_string(&world.stored).unwrap();
        assert!(
            text.contains(r#""placement":{"relay":"relay-1.example","epoch":1,"#),
            "{text}"
        );
        let again: Pairing = serde_json::from_str(&text).unwrap();
        assert_eq!(again, world.stored);
    }
}
