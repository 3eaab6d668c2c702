//! The connections of TCP, before anybody knows what they carry.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What a port counts. A clone counts into the same.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    open: Gauge,
    failed: Family<Because, Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

/// Why a connection carried nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// As many are open as may be.
    Full,
    /// Its address or network has as many as it may have.
    Share,
    /// The handshake of TLS failed.
    Tls,
    /// What a proxy has to say first was missing, or somebody else said it.
    Proxy,
    /// No request came in time.
    Silent,
}

impl Failed {
    const ALL: [Self; 5] = [
        Self::Full,
        Self::Share,
        Self::Tls,
        Self::Proxy,
        Self::Silent,
    ];

    const fn label(self) -> Because {
        let reason = match self {
            Self::Full => "full",
            Self::Share => "share",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Silent => "silent",
        };
        Because { reason }
    }
}

impl Default for Connections {
    /// What has not happened yet is 0, and not absent.
    fn default() -> Self {
        let failed = Family::<Because, Counter>::default();
        for why in Failed::ALL {
            let _ = failed.get_or_create(&why.label());
        }
        Self {
            open: Gauge::default(),
            failed,
        }
    }
}

impl Connections {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let open = "Connections of TCP that are open";
        registry.register("connections", open, self.open.clone());
        let failed = "Connections of TCP that carried nothing, by reason";
        registry.register("connections_failed", failed, self.failed.clone());
    }

    /// A connection is open until what this returns is dropped.
    pub(crate) fn opened(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }

    pub(crate) fn failed(&self, why: Failed) {
        self.failed.get_or_create(&why.label()).inc();
    }
}

/// An open connection.
pub(crate) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
