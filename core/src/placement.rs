//! Which relay the peers of a pairing meet at, where there are several.
//!
//! ```text
//! nobody attached yet ── choose ──▶ relay, epoch 1 ── relay gone, or draining ──▶ another, epoch 2 ──▶ …
//! ```
//!
//! One pairing has one relay. It is chosen once and stored with the pairing, so that both peers are sent to
//! the same one, whichever node of control they ask. It moves only if its relay is gone or about to go:
//! that more relays come, or that loads change, moves nobody. The epoch tells an older placement from a
//! newer one.
//!
//! The choice is rendezvous hashing with weights: of `n` relays of equal weight each gets a share of 1/n,
//! and if one goes, its pairings spread over all others.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::PairingId;
use crate::time::Timestamp;

/// The name of a relay: 1 to 64 of `a-z`, `0-9`, `-` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayName(String);

impl RelayName {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RelayName {
    type Err = BadRelayName;

    fn from_str(text: &str) -> Result<Self, BadRelayName> {
        let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        match (1..=64).contains(&text.len()) && text.bytes().all(is_part) {
            true => Ok(Self(text.to_owned())),
            false => Err(BadRelayName),
        }
    }
}

impl TryFrom<String> for RelayName {
    type Error = BadRelayName;

    fn try_from(text: String) -> Result<Self, BadRelayName> {
        text.parse()
    }
}

impl From<RelayName> for String {
    fn from(name: RelayName) -> Self {
        name.0
    }
}

impl fmt::Display for RelayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text cannot be the name of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a relay is 1 to 64 of a-z, 0-9, `-` and `.`")]
pub struct BadRelayName;

/// Where the peers of a pairing meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The relay.
    pub relay: RelayName,
    /// Counts the placements of the pairing, from 1.
    pub epoch: u32,
    /// Since when.
    #[serde(default)]
    pub since: Timestamp,
}

/// A relay that takes new legs.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub name: RelayName,
    /// Its share of new pairings, in proportion to the others. One without a weight above zero is chosen if
    /// there is no other.
    pub weight: f64,
}

impl Candidate {
    /// A relay that carries so many legs and has room for so many: its weight is the room that is left.
    #[must_use]
    pub fn with_room(name: RelayName, capacity: u32, legs: u32) -> Self {
        let weight = f64::from(capacity.saturating_sub(legs));
        Self { name, weight }
    }
}

/// Chooses a relay for a pairing at this epoch; nothing if there is none. The next epoch draws anew, so that
/// a pairing that had to move does not go to and fro between two relays.
#[must_use]
pub fn choose(pairing: PairingId, epoch: u32, candidates: &[Candidate]) -> Option<&RelayName> {
    let score = |candidate: &Candidate| score(pairing, epoch, candidate);
    let best = candidates
        .iter()
        .max_by(|one, other| score(one).total_cmp(&score(other)));
    best.map(|best| &best.name)
}

/// What a candidate is worth for a pairing: the larger the better, and a fair lot in proportion to the
/// weights.
fn score(pairing: PairingId, epoch: u32, candidate: &Candidate) -> f64 {
    let mut hash = Sha256::new();
    hash.update(pairing.as_bytes());
    hash.update(epoch.to_be_bytes());
    hash.update(candidate.name.as_str());
    let hash = hash.finalize();
    let (first, _) = hash.split_first_chunk().unwrap_or((&[0; 8], &[]));
    // 52 bits are exact in a double, and the half keeps it from 0 and 1.
    let lot = ((u64::from_be_bytes(*first) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -candidate.weight.max(f64::MIN_POSITIVE) / lot.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RelayName {
        text.parse().unwrap()
    }

    fn candidates(weights: &[(&str, f64)]) -> Vec<Candidate> {
        let candidate = |(text, weight): &(&str, f64)| Candidate {
            name: name(text),
            weight: *weight,
        };
        weights.iter().map(candidate).collect()
    }

    fn pairings() -> impl Iterator<Item = PairingId> {
        (0u32..20_000).map(|at| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&at.to_be_bytes());
            PairingId::from_bytes(bytes)
        })
    }

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["a", "relay-1.fra.example", &"x".repeat(64)] {
            assert_eq!(name(good).as_str(), good);
        }
        for bad in ["", "A", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(bad.parse::<RelayName>(), Err(BadRelayName), "{bad}");
        }
    }

    #[test]
    fn shares_are_in_proportion_to_weights() {
        let relays = candidates(&[("a", 1.0), ("b", 2.0), ("c", 1.0), ("full", 0.0)]);
        let mut counts = [0u32; 4];
        for pairing in pairings() {
            let chosen = choose(pairing, 1, &relays).unwrap();
            counts[relays.iter().position(|it| it.name == *chosen).unwrap()] += 1;
        }
        for (count, expected) in counts.into_iter().zip([5_000, 10_000, 5_000, 0]) {
            assert!(count.abs_diff(expected) <= expected / 10, "{counts:?}");
        }
        assert_eq!(
            choose(pairings().next().unwrap(), 1, &relays[3..]),
            Some(&name("full"))
        );
        assert_eq!(choose(pairings().next().unwrap(), 1, &[]), None);
    }

    #[test]
    fn if_one_goes_only_its_pairings_are_chosen_for_anew() {
        let all = candidates(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]);
        let left = candidates(&[("a", 1.0), ("c", 1.0)]);
        let mut inherited = [0u32; 2];
        for pairing in pairings() {
            let before = choose(pairing, 1, &all).unwrap();
            let after = choose(pairing, 1, &left).unwrap();
            match before.as_str() {
                "b" => inherited[usize::from(after.as_str() == "c")] += 1,
                _ => assert_eq!(before, after),
            }
        }
        let [one, other] = inherited;
        assert!(one.abs_diff(other) < (one + other) / 10, "{inherited:?}");
    }

    #[test]
    fn a_relay_gets_as_much_as_it_has_room_for() {
        let weight = |capacity, legs| Candidate::with_room(name("a"), capacity, legs).weight;
        assert_eq!(
            [weight(10, 4), weight(10, 10), weight(10, 11)],
            [6.0, 0.0, 0.0]
        );
    }
}
