//! Who created pairings, and how much each key holds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peersox_core::pairing::Account;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::access::{BadToken, Refusal};
use crate::accounts::{Holding, Over};

/// What is counted of those who create pairings. A clone counts into the same.
#[derive(Clone, Debug)]
pub(crate) struct Creators {
    creations: Family<Outcome, Counter>,
    created: Family<By, Counter>,
    over_quota: Family<Quota, Counter>,
    key_pairings: Family<By, Gauge>,
    key_sessions: Family<By, Gauge>,
    key_bytes: Family<By, Counter>,
    /// The keys that there were since the start.
    known: Arc<Mutex<HashSet<Account>>>,
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

impl Default for Creators {
    /// What has not happened yet is 0, and not absent.
    fn default() -> Self {
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
            creations,
            created: Family::default(),
            over_quota,
            key_pairings: Family::default(),
            key_sessions: Family::default(),
            key_bytes: Family::default(),
            known: Arc::default(),
        }
    }
}

impl Creators {
    pub(super) fn register(&self, registry: &mut Registry) {
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
        if !self.lock().insert(key.clone()) {
            return;
        }
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

    /// Whether there is a key of this name, or was one since the start.
    pub(crate) fn is_known(&self, account: &Account) -> bool {
        self.lock().contains(account)
    }

    /// No critical section leaves half a change behind, so a poisoned lock is as good as new.
    fn lock(&self) -> MutexGuard<'_, HashSet<Account>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
}
