//! What a server counts, as [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) text, or in
//! the older format of Prometheus.
//!
//! docs/operations.md explains each metric. Labels have few values, all known beforehand, but for the names
//! of relays and keys.

mod bridge;
mod certificate;
mod connections;
mod process;
mod relay;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text::{self, CONTENT_TYPE};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub(crate) use bridge::{BridgeMetrics, Cause};
pub(crate) use certificate::OfCertificate;
pub(crate) use connections::{Connections, Failed, Open};
use process::Process;
pub(crate) use relay::OfRelay;

/// All that a server counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<[Registry; 2]>);

impl Metrics {
    /// An empty registry, but for what the server is. `role` is `all`, `control` or `relay`.
    pub(crate) fn registry(role: &'static str) -> Registry {
        let mut registry = Registry::with_prefix("peersox");
        let version = env!("CARGO_PKG_VERSION");
        let build = Info::new([("version", version), ("role", role)]);
        registry.register("build", "What runs here", build);
        registry
    }

    /// What is registered there, and what the system says of this process.
    pub(crate) fn new(registry: Registry) -> Self {
        let mut process = Registry::default();
        process.register_collector(Box::new(Process::new()));
        Self(Arc::new([registry, process]))
    }

    /// What is registered: by the server, and by the system.
    pub(crate) fn registries(&self) -> &[Registry] {
        self.0.as_slice()
    }

    /// The counters as they are now, as OpenMetrics.
    pub(crate) fn text(&self) -> String {
        self.encode(encode_registry, encode_eof)
    }

    /// The same in version 0.0.4 of the format of Prometheus.
    fn older_text(&self) -> String {
        self.encode(prometheus_text::encode, |_| Ok(()))
    }

    fn encode(
        &self,
        one: impl Fn(&mut String, &Registry) -> fmt::Result,
        end: impl Fn(&mut String) -> fmt::Result,
    ) -> String {
        let mut text = String::new();
        let mut all = self.0.iter().map(|registry| one(&mut text, registry));
        let encoded = all.try_for_each(|it| it).and_then(|()| end(&mut text));
        encoded.expect("a string takes all, and no collector fails by itself");
        text
    }

    /// Answers `GET /metrics`, and `/` with a page that plots it. Whoever asks for OpenMetrics gets it.
    pub(crate) fn router(self) -> Router {
        let answer = move |headers: HeaderMap| async move {
            let mut accepted = headers.get_all(header::ACCEPT).iter();
            let asks = |value: &HeaderValue| value.to_str().is_ok_and(|it| it.contains(ASKED_FOR));
            match accepted.any(asks) {
                true => ([(header::CONTENT_TYPE, OPEN_METRICS)], self.text()),
                false => ([(header::CONTENT_TYPE, CONTENT_TYPE)], self.older_text()),
            }
        };
        let part = |kind, body| get(move || async move { (page_headers(kind), body) });
        Router::new()
            .route("/metrics", get(answer))
            .route("/", part("text/html", include_str!("metrics/page.html")))
            .route(
                "/page.css",
                part("text/css", include_str!("metrics/page.css")),
            )
            .route(
                "/page.js",
                part("text/javascript", include_str!("metrics/page.js")),
            )
    }
}

fn page_headers(kind: &'static str) -> [(HeaderName, &'static str); 5] {
    [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ]
}

/// The page gets what is beside it, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const ASKED_FOR: &str = "application/openmetrics-text";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
