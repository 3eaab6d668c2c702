//! What `/metrics` serves, pushed by OTLP: once in a while, and when the server ends.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::resource::v1 as proto;
use opentelemetry_sdk::Resource;
use peersox_server::Handle;
use prometheus_client::encoding::prometheus_protobuf;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Extensions, Request};

use super::convert;
use super::target::{Failures, Signal, Target};
use super::traces::FLUSH;

/// What is ready to send metrics.
pub(crate) struct Metrics {
    client: MetricsServiceClient<Channel>,
    headers: MetadataMap,
    timeout: Duration,
    resource: proto::Resource,
    interval: Duration,
    since: SystemTime,
    failures: Failures,
}

impl Metrics {
    /// Prepares to send to a collector. It needs a runtime around it.
    ///
    /// # Errors
    /// A sentence that says what cannot be used.
    pub(super) fn to(target: &Target, resource: &Resource) -> Result<Self, String> {
        Ok(Self {
            client: MetricsServiceClient::new(target.channel()?),
            headers: MetadataMap::from_headers(target.headers.clone()),
            timeout: target.timeout,
            resource: convert::resource(resource),
            interval: interval(std::env::var("OTEL_METRIC_EXPORT_INTERVAL").ok())?,
            since: SystemTime::now(),
            failures: Failures::new(Signal::Metrics),
        })
    }

    /// Begins to send what a server counts.
    pub(crate) fn push(self, server: Handle) -> Pushing {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.run(server, stop.clone()));
        Pushing { stop, task }
    }

    async fn run(self, server: Handle, stop: CancellationToken) {
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let often = async {
            loop {
                ticks.tick().await;
                self.send(&server).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = often => {}
        }
        self.send(&server).await;
    }

    /// Sends what there is now. What the collector does not take is not kept: the next one holds it, too.
    async fn send(&self, server: &Handle) {
        let sent = async {
            let registries = server.registries().iter();
            let counted: Result<Vec<_>, _> = registries.map(prometheus_protobuf::encode).collect();
            let counted = counted.map_err(|error| error.to_string())?.concat();
            let metrics = convert::metrics(counted, self.since, SystemTime::now());
            let request = ExportMetricsServiceRequest {
                resource_metrics: vec![convert::of(self.resource.clone(), metrics)],
            };
            let mut request =
                Request::from_parts(self.headers.clone(), Extensions::default(), request);
            request.set_timeout(self.timeout);
            let mut client = self.client.clone();
            let sent = timeout(self.timeout, client.export(request)).await;
            let sent = sent.map_err(|_| "it did not answer in time".to_owned())?;
            sent.map_err(|status| format!("{}: {}", status.code(), status.message()))
        };
        if let Err(error) = sent.await {
            self.failures.add(&error);
        }
    }
}

/// Metrics that are being sent.
pub(crate) struct Pushing {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Pushing {
    /// Sends them once more, and waits for that, for [`FLUSH`] at most.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        if timeout(FLUSH, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn interval(said: Option<String>) -> Result<Duration, String> {
    let Some(said) = said.filter(|said| !said.is_empty()) else {
        return Ok(INTERVAL);
    };
    let millis = said.parse().ok().filter(|&millis| millis > 0);
    let millis = millis.ok_or("OTEL_METRIC_EXPORT_INTERVAL has to be a number of milliseconds")?;
    Ok(Duration::from_millis(millis))
}

/// As OpenTelemetry's SDKs have it.
const INTERVAL: Duration = Duration::from_secs(60);
