//! What control counts, for the operator: calls of the store, and where pairings meet.
//!
//! Labels have few values, all known beforehand, but for the names of relays and of keys, which an operator
//! chooses. docs/operations.md explains each metric.

use std::time::Duration;

use peersox_core::pairing::Account;
use peersox_core::placement::RelayName;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::access::{BadToken, Refusal};
use crate::accounts::{Holding, Over};

/// The counters of one control. A clone counts into the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    store: Family<StoreCall, Histogram, fn() -> Histogram>,
    placements: Family<At, Counter>,
    moves: Family<Because, Counter>,
    creations: Family<Outcome, Counter>,
    created: Family<By, Counter>,
    over_quota: Family<Quota, Counter>,
    key_pairings: Family<By, Gauge>,
    key_sessions: Family<By, Gauge>,
    key_bytes: Family<By, Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreCall {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct At {
    relay: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    cause: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct By {
    key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Quota {
    quota: &'static str,
}

/// Why no pairing was created that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotCreated {
    /// Neither a key nor a token was shown.
    Missing,
    /// What was shown is not known, or not taken.
    Unknown,
    /// The token has expired.
    Expired,
    /// The keys of the issuer of tokens are not known yet.
    KeysAway,
}

impl NotCreated {
    const ALL: [Self; 4] = [Self::Missing, Self::Unknown, Self::Expired, Self::KeysAway];

    const fn label(self) -> Outcome {
        let outcome = match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::KeysAway => "keys_away",
        };
        Outcome { outcome }
    }
}

impl From<&Refusal> for NotCreated {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Missing(_) => Self::Missing,
            Refusal::Token(BadToken::Expired) => Self::Expired,
            Refusal::UnknownKey | Refusal::Token(_) => Self::Unknown,
            Refusal::KeysAway => Self::KeysAway,
        }
    }
}

const CREATED: Outcome = Outcome { outcome: "ok" };

/// A call of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Load,
    Find,
    Commit,
    Watch,
    Sweep,
    List,
    Census,
    Charge,
}

impl Call {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Find => "find",
            Self::Commit => "commit",
            Self::Watch => "watch",
            Self::Sweep => "sweep",
            Self::List => "list",
            Self::Census => "census",
            Self::Charge => "charge",
        }
    }
}

/// How a call of the store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As it should.
    Ok,
    /// Something else was stored than what was loaded: it is decided again.
    Conflict,
    /// There was no room, or no budget.
    Refused,
    /// The store failed, or was away.
    Failed,
    /// Whoever called did not wait for the end.
    Abandoned,
}

impl Ended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why a pairing meets at another relay than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its relay is not there any more.
    Gone,
    /// Its relay is stopping.
    Draining,
    /// A peer could not reach its relay, or found it full.
    Unreached,
}

impl Cause {
    const fn label(self) -> Because {
        let cause = match self {
            Self::Gone => "gone",
            Self::Draining => "draining",
            Self::Unreached => "unreached",
        };
        Because { cause }
    }
}

impl Default for Metrics {
    /// What has not happened yet is 0, and not absent.
    fn default() -> Self {
        let moves = Family::<Because, Counter>::default();
        for cause in [Cause::Gone, Cause::Draining, Cause::Unreached] {
            let _ = moves.get_or_create(&cause.label());
        }
        let creations = Family::<Outcome, Counter>::default();
        for outcome in NotCreated::ALL
            .map(NotCreated::label)
            .iter()
            .chain([&CREATED])
        {
            let _ = creations.get_or_create(outcome);
        }
        let over_quota = Family::<Quota, Counter>::default();
        for over in Over::ALL {
            let quota = over.as_str();
            let _ = over_quota.get_or_create(&Quota { quota });
        }
        Self {
            store: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            placements: Family::default(),
            moves,
            creations,
            created: Family::default(),
            over_quota,
            key_pairings: Family::default(),
            key_sessions: Family::default(),
            key_bytes: Family::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "store_call_duration",
            "Calls of the store by how they ended",
            Unit::Seconds,
            self.store.clone(),
        );
        registry.register(
            "placements",
            "Pairings that were given a relay to meet at, by relay",
            self.placements.clone(),
        );
        registry.register(
            "moves",
            "Pairings that were given another relay to meet at, by cause",
            self.moves.clone(),
        );
        registry.register(
            "creations",
            "Calls to create a pairing that were within the budget of their address, by outcome",
            self.creations.clone(),
        );
        registry.register(
            "pairings_created",
            "Pairings that were created, by key",
            self.created.clone(),
        );
        registry.register(
            "over_quota",
            "Calls that were refused, and reports of sessions to be ended, by quota",
            self.over_quota.clone(),
        );
        let pairings = "Pairings that live, by key, as counted last";
        registry.register("key_pairings", pairings, self.key_pairings.clone());
        let sessions = "Sessions, by key, as counted last";
        registry.register("key_sessions", sessions, self.key_sessions.clone());
        let bytes = "Bytes that relays forwarded, by key";
        registry.register("key_bytes", bytes, self.key_bytes.clone());
    }

    /// A pairing was created, with the key of this name if one was asked for.
    pub(crate) fn created(&self, key: Option<&Account>) {
        self.creations.get_or_create(&CREATED).inc();
        if let Some(key) = key {
            let key = key.to_string();
            self.created.get_or_create(&By { key }).inc();
        }
    }

    /// There is a key of this name. What has not happened yet is 0, and not absent.
    pub(crate) fn knows(&self, key: &Account) {
        let by = By {
            key: key.to_string(),
        };
        for family in [&self.created, &self.key_bytes] {
            let _ = family.get_or_create(&by);
        }
        for family in [&self.key_pairings, &self.key_sessions] {
            let _ = family.get_or_create(&by);
        }
    }

    /// An account has asked for more than it may have, or has used more.
    pub(crate) fn over_quota(&self, over: Over) {
        let quota = over.as_str();
        self.over_quota.get_or_create(&Quota { quota }).inc();
    }

    /// What the account of a key holds.
    pub(crate) fn holds(&self, key: Option<&Account>, holding: Holding) {
        if let Some(key) = key {
            let key = key.to_string();
            let set = |family: &Family<By, Gauge>, value: u64| {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                family.get_or_create(&By { key: key.clone() }).set(value);
            };
            set(&self.key_pairings, holding.pairings);
            set(&self.key_sessions, holding.sessions);
        }
    }

    /// A relay has forwarded bytes for the account of a key.
    pub(crate) fn carried(&self, key: Option<&Account>, bytes: u64) {
        if let Some(key) = key {
            let key = key.to_string();
            self.key_bytes.get_or_create(&By { key }).inc_by(bytes);
        }
    }

    pub(crate) fn not_created(&self, why: NotCreated) {
        self.creations.get_or_create(&why.label()).inc();
    }

    pub(crate) fn store_called(&self, call: Call, ended: Ended, took: Duration) {
        let call = StoreCall {
            call: call.as_str(),
            outcome: ended.as_str(),
        };
        self.store.get_or_create(&call).observe(took.as_secs_f64());
    }

    pub(crate) fn placed(&self, relay: &RelayName, moved: Option<Cause>) {
        let at = At {
            relay: relay.to_string(),
        };
        self.placements.get_or_create(&at).inc();
        if let Some(cause) = moved {
            self.moves.get_or_create(&cause.label()).inc();
        }
    }
}

/// From a look into memory to the deadline of a call of Redis.
const SECONDS: [f64; 9] = [
    0.000_01, 0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.5,
];
