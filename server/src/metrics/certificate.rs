//! The certificate that is presented.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::certificate::Presented;

/// Until when the certificate is valid that handshakes present. It is absent while there is none.
#[derive(Debug)]
pub(crate) struct OfCertificate(pub(crate) Arc<Presented>);

impl Collector for OfCertificate {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(until) = self.0.until() else {
            return Ok(());
        };
        let seconds = until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(seconds.as_secs()).unwrap_or(i64::MAX);
        let name = "certificate_not_after_timestamp_seconds";
        let help = "Until when the certificate is valid, in seconds since 1970";
        let one = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(seconds).encode(one)
    }
}
