//! What a server counts, as OpenMetrics text: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
//!
//! docs/operations.md explains each metric. Labels have few values, all known beforehand, but for the names
//! of relays.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use peersox_core::close::CloseReason;
use peersox_core::frame::Lane;
use peersox_relay::{DropReason, Relay, Stun};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// All that a server counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Registry>);

impl Metrics {
    /// Of the parts that `register` adds.
    pub(crate) fn new(register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("peersox");
        register(&mut registry);
        Self(Arc::new(registry))
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0
    }

    /// The counters as they are now.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.0).expect("a string takes all, and no collector fails by itself");
        text
    }

    /// Answers `GET /metrics`, and nothing else.
    pub(crate) fn router(self) -> Router {
        let answer = move || async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], self.text()) };
        Router::new().route("/metrics", get(answer))
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a relay counts between its streams to control.
#[derive(Clone, Debug)]
pub(crate) struct BridgeMetrics {
    open: Gauge,
    opened: Counter,
    ended: Family<Because, Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    cause: &'static str,
}

/// Why there is no stream to a node of control any more, or none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The node cannot be connected to, or does not answer.
    Unreachable,
    /// It does not want this relay, because of its token for instance.
    Refused,
    /// Another stream announces a relay of the same name.
    Replaced,
    /// There was one, and it was lost, or the node ended it.
    Lost,
}

impl Cause {
    const fn label(self) -> Because {
        let cause = match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Lost => "lost",
        };
        Because { cause }
    }
}

impl Default for BridgeMetrics {
    /// What has not happened yet is 0, and not absent.
    fn default() -> Self {
        let ended = Family::<Because, Counter>::default();
        for cause in [
            Cause::Unreachable,
            Cause::Refused,
            Cause::Replaced,
            Cause::Lost,
        ] {
            let _ = ended.get_or_create(&cause.label());
        }
        Self {
            open: Gauge::default(),
            opened: Counter::default(),
            ended,
        }
    }
}

impl BridgeMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let open = "Streams to nodes of control that are open";
        registry.register("bridge_streams", open, self.open.clone());
        let opened = "Streams to nodes of control that were opened";
        registry.register("bridge_opened", opened, self.opened.clone());
        let ended = "Streams to nodes of control that ended or did not begin, by cause";
        registry.register("bridge_ended", ended, self.ended.clone());
    }

    /// A stream is open until what this returns is dropped.
    pub(crate) fn opened(&self) -> Open {
        self.opened.inc();
        self.open.inc();
        Open(self.open.clone())
    }

    pub(crate) fn ended(&self, cause: Cause) {
        self.ended.get_or_create(&cause.label()).inc();
    }
}

/// An open stream.
pub(crate) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The counters that a relay keeps itself.
pub(crate) struct OfRelay(pub(crate) Relay);

impl fmt::Debug for OfRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OfRelay").finish_non_exhaustive()
    }
}

impl Collector for OfRelay {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let now = self.0.snapshot();
        let mut gauge = |name, help, value: u64| {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let one = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            value.encode(one)
        };
        gauge(
            "sessions",
            "Pairs of which a peer is attached or waited for",
            now.sessions,
        )?;
        gauge("legs", "Connections of peers", now.legs)?;
        gauge(
            "relay_memory_bytes",
            "Memory that waiting frames take",
            now.memory,
        )?;
        gauge(
            "relay_draining",
            "1 once the relay is stopping",
            self.0.is_draining().into(),
        )?;
        let mut counter = |name, help, values: &[(Option<(&str, &str)>, u64)]| {
            let mut all = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for &(label, value) in values {
                let value = ConstCounter::new(value);
                match label {
                    Some(label) => value.encode(all.encode_family(&[label])?)?,
                    None => return value.encode(all),
                }
            }
            Ok(())
        };
        let admitted = "Peers whose ticket was good";
        counter("legs_admitted", admitted, &[(None, now.admitted)])?;
        let refused = "Connections turned away before a leg began";
        counter("connections_refused", refused, &[(None, now.refused)])?;
        let cut_off = "Peers hung up because they had not gone elsewhere in time";
        counter("legs_cut_off", cut_off, &[(None, now.cut_off)])?;
        let lost = "Comings and goings of which control was not told in time";
        counter("presence_lost", lost, &[(None, now.presence_lost)])?;
        let by_lane = |counts: [u64; 4]| {
            let named = |(lane, count): (Lane, u64)| (Some(("lane", lane_name(lane))), count);
            Lane::ALL
                .into_iter()
                .zip(counts)
                .map(named)
                .collect::<Vec<_>>()
        };
        counter("frames", "Frames forwarded, by lane", &by_lane(now.frames))?;
        counter("bytes", "Bytes forwarded, by lane", &by_lane(now.bytes))?;
        let dropped = DropReason::ALL.map(|it| (Some(("reason", it.as_str())), now.dropped(it)));
        counter("frames_dropped", "Frames dropped, by reason", &dropped)?;
        let numbers: Vec<_> = CloseReason::ALL
            .iter()
            .map(|it| it.number().to_string())
            .collect();
        let hung_up = CloseReason::ALL.iter().zip(&numbers);
        let hung_up: Vec<_> = hung_up
            .map(|(it, number)| (Some(("code", number.as_str())), now.hung_up(*it)))
            .collect();
        counter("legs_hung_up", "Legs hung up, by close number", &hung_up)?;
        let stun = Stun::ALL.map(|it| (Some(("outcome", stun_name(it))), now.stun(it)));
        counter(
            "stun_requests",
            "Datagrams of STUN, by what became of them",
            &stun,
        )
    }
}

const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Notice => "notice",
        Lane::Reliable => "reliable",
        Lane::Datagram => "datagram",
        Lane::Signal => "signal",
    }
}

const fn stun_name(what: Stun) -> &'static str {
    match what {
        Stun::Answered => "answered",
        Stun::Malformed => "malformed",
        Stun::OverBudget => "over_budget",
    }
}
