//! What control counts, for the operator: calls, budgets, the store, and where pairings meet.
//!
//! Labels have few values, all known beforehand, but for the names of relays and of keys, which an operator
//! chooses. docs/operations.md explains each metric.

mod creators;

use std::time::Duration;

use peersox_core::placement::RelayName;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tonic::Code;

pub(crate) use creators::Creators;

use crate::service::Control;
use crate::store::Store;

/// The counters of one control. A clone counts into the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) creators: Creators,
    calls: Family<Called, Histogram, fn() -> Histogram>,
    store: Family<StoreCall, Histogram, fn() -> Histogram>,
    placements: Family<At, Counter>,
    moves: Family<Because, Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Called {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    budget: &'static str,
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

/// A call of `peersox.v1.PairingService`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    GetConfig,
    CreatePairing,
    JoinPairing,
    GetPairing,
    WatchPairing,
    OpenSession,
    ConfirmJoin,
    DeletePairing,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::GetConfig => "GetConfig",
            Self::CreatePairing => "CreatePairing",
            Self::JoinPairing => "JoinPairing",
            Self::GetPairing => "GetPairing",
            Self::WatchPairing => "WatchPairing",
            Self::OpenSession => "OpenSession",
            Self::ConfirmJoin => "ConfirmJoin",
            Self::DeletePairing => "DeletePairing",
        }
    }
}

/// The codes of gRPC that calls of ours end with; all others are mistakes.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::InvalidArgument => "invalid_argument",
        Code::NotFound => "not_found",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Unavailable => "unavailable",
        Code::Unauthenticated => "unauthenticated",
        _ => "other",
    }
}

/// What an address, a network or all together may have so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// New pairings in a time.
    Creates,
    /// Joins that fail in a time.
    Joins,
    /// Tries at codes of one length in a time, by all.
    Lengths,
    /// Pairings that live.
    Pairings,
    /// Streams that are open.
    Watches,
    /// Calls that are being answered.
    Calls,
}

impl Budget {
    const ALL: [Self; 6] = [
        Self::Creates,
        Self::Joins,
        Self::Lengths,
        Self::Pairings,
        Self::Watches,
        Self::Calls,
    ];

    const fn label(self) -> Of {
        let budget = match self {
            Self::Creates => "creates",
            Self::Joins => "joins",
            Self::Lengths => "lengths",
            Self::Pairings => "pairings",
            Self::Watches => "watches",
            Self::Calls => "calls",
        };
        Of { budget }
    }
}

/// How often something was refused because a budget was spent.
#[derive(Clone, Debug)]
pub(crate) struct Refusals(Family<Of, Counter>);

impl Default for Refusals {
    /// What has not happened yet is 0, and not absent.
    fn default() -> Self {
        let refusals = Family::<Of, Counter>::default();
        for budget in Budget::ALL {
            let _ = refusals.get_or_create(&budget.label());
        }
        Self(refusals)
    }
}

impl Refusals {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Calls that were refused because a budget was spent, by budget";
        registry.register("budget_refusals", help, self.0.clone());
    }

    pub(crate) fn count(&self, budget: Budget) {
        self.0.get_or_create(&budget.label()).inc();
    }
}

/// Where control stands at the moment it is asked.
pub(crate) struct Standing<S>(pub(crate) Control<S>);

impl<S> std::fmt::Debug for Standing<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Standing").finish_non_exhaustive()
    }
}

impl<S: Store> Collector for Standing<S> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let mut gauge = |name, help, value: usize| {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let one = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            value.encode(one)
        };
        let control = &self.0;
        gauge(
            "watches",
            "Streams of WatchPairing that are open",
            control.watches(),
        )?;
        let ready = "1 while the store can be expected to answer";
        gauge("store_ready", ready, control.is_ready().into())?;
        let draining = "1 once control is stopping";
        gauge("control_draining", draining, control.is_stopping().into())?;
        match control.relays() {
            Some(relays) => gauge("relays", "Relays that run apart and are there", relays),
            None => Ok(()),
        }
    }
}

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
        Self {
            creators: Creators::default(),
            calls: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            store: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            placements: Family::default(),
            moves,
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.creators.register(registry);
        registry.register_with_unit(
            "rpc_duration",
            "Calls of PairingService by method and code; streams until they begin",
            Unit::Seconds,
            self.calls.clone(),
        );
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
    }

    pub(crate) fn called(&self, method: Method, code: Code, took: Duration) {
        let called = Called {
            method: method.as_str(),
            code: code_name(code),
        };
        self.calls
            .get_or_create(&called)
            .observe(took.as_secs_f64());
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

/// From an answer out of memory to a call that waits for a person.
const CALL_SECONDS: [f64; 9] = [0.000_1, 0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 25.0];

/// From a look into memory to the deadline of a call of Redis.
const SECONDS: [f64; 9] = [
    0.000_01, 0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.5,
];
