//! The streams of a relay to nodes of control.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

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
