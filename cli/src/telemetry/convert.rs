//! From the data model of Prometheus to that of OTLP, as OpenTelemetry describes it:
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.
//!
//! ```text
//! counter    ── sum, monotonic, cumulative since the start of the process
//! gauge      ── gauge
//! histogram  ── histogram with explicit bounds, cumulative
//! ```
//!
//! Names, labels and values are those that `/metrics` shows.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1 as proto;
use opentelemetry_sdk::Resource;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as counted;

/// What this process is.
pub(super) fn resource(resource: &Resource) -> proto::Resource {
    let attributes = resource.iter();
    let attributes = attributes.map(|(key, value)| text(key.as_str(), &value.as_str()));
    proto::Resource {
        attributes: attributes.collect(),
        ..proto::Resource::default()
    }
}

/// The metrics of this process.
pub(super) fn of(resource: proto::Resource, metrics: Vec<Metric>) -> ResourceMetrics {
    let scope = InstrumentationScope {
        name: "peersox".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope),
            metrics,
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    }
}

/// All that was counted since the process started.
pub(super) fn metrics(
    families: Vec<counted::MetricFamily>,
    since: SystemTime,
    now: SystemTime,
) -> Vec<Metric> {
    let time = Time {
        since: nanos(since),
        now: nanos(now),
    };
    let metrics = families.into_iter().filter_map(|it| time.metric(it));
    metrics.collect()
}

/// From when to when something was counted, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Time {
    since: u64,
    now: u64,
}

impl Time {
    /// A family without values, or of a kind that the server has none of, gives nothing.
    fn metric(self, family: counted::MetricFamily) -> Option<Metric> {
        if family.metric.is_empty() {
            return None;
        }
        let numbers = |value: fn(&counted::Metric) -> Option<f64>| {
            let points = family.metric.iter();
            let points = points.filter_map(|it| Some(self.number(labels(it), value(it)?)));
            points.collect()
        };
        let data = match family.r#type() {
            counted::MetricType::Counter => metric::Data::Sum(Sum {
                data_points: numbers(|it| Some(it.counter.as_ref()?.value)),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            }),
            counted::MetricType::Gauge => metric::Data::Gauge(Gauge {
                data_points: numbers(|it| Some(it.gauge.as_ref()?.value)),
            }),
            counted::MetricType::Untyped => metric::Data::Gauge(Gauge {
                data_points: numbers(|it| Some(it.untyped.as_ref()?.value)),
            }),
            counted::MetricType::Histogram => {
                let points = family.metric.iter();
                let points = points
                    .filter_map(|it| Some(self.histogram(labels(it), it.histogram.as_ref()?)));
                metric::Data::Histogram(Histogram {
                    data_points: points.collect(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                })
            }
            counted::MetricType::Summary | counted::MetricType::GaugeHistogram => return None,
        };
        Some(Metric {
            name: family.name,
            description: family.help,
            unit: unit(&family.unit).to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }

    fn number(self, attributes: Vec<KeyValue>, value: f64) -> NumberDataPoint {
        NumberDataPoint {
            attributes,
            start_time_unix_nano: self.since,
            time_unix_nano: self.now,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        }
    }

    fn histogram(self, attributes: Vec<KeyValue>, it: &counted::Histogram) -> HistogramDataPoint {
        // The last bucket has no bound: prometheus-client writes the largest number there.
        let bounds = it.bucket.iter().map(|bucket| bucket.upper_bound);
        // Prometheus counts all below a bound, OTLP those of each bucket.
        let mut below = 0;
        let counts = it.bucket.iter().map(|bucket| {
            let count = bucket.cumulative_count - below;
            below = bucket.cumulative_count;
            count
        });
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.since,
            time_unix_nano: self.now,
            count: it.sample_count,
            sum: Some(it.sample_sum),
            bucket_counts: counts.collect(),
            explicit_bounds: bounds.filter(|&bound| bound < f64::MAX).collect(),
            ..HistogramDataPoint::default()
        }
    }
}

fn labels(metric: &counted::Metric) -> Vec<KeyValue> {
    let labels = metric.label.iter().map(|it| text(&it.name, &it.value));
    labels.collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// How UCUM writes a unit, <https://ucum.org/>.
fn unit(name: &str) -> &str {
    match name {
        "seconds" => "s",
        "bytes" => "By",
        other => other,
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use number_data_point::Value::AsDouble;
    use prometheus_client::encoding::prometheus_protobuf::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::{Registry, Unit};

    use super::*;

    fn converted(register: impl FnOnce(&mut Registry)) -> Vec<Metric> {
        let mut registry = Registry::with_prefix("test");
        register(&mut registry);
        let since = UNIX_EPOCH + Duration::from_nanos(5);
        let now = UNIX_EPOCH + Duration::from_nanos(9);
        metrics(encode(&registry).unwrap(), since, now)
    }

    #[test]
    fn a_counter_is_a_monotonic_sum_since_the_start() {
        type Labelled = Family<Vec<(&'static str, &'static str)>, Counter>;
        let family = Labelled::default();
        let never = Labelled::default();
        family.get_or_create(&vec![("cause", "lost")]).inc_by(3);
        let mut metrics = converted(|registry| {
            registry.register("ended", "What ended", family.clone());
            registry.register("never", "Nothing", never);
        });
        assert_eq!(metrics.len(), 1, "{metrics:?}");
        let metric = metrics.remove(0);
        assert_eq!(metric.name, "test_ended_total");
        assert_eq!(metric.description, "What ended.");
        let Some(metric::Data::Sum(sum)) = metric.data else {
            panic!("{metric:?}");
        };
        assert!(sum.is_monotonic);
        assert_eq!(
            sum.aggregation_temporality(),
            AggregationTemporality::Cumulative
        );
        let [point] = &sum.data_points[..] else {
            panic!("{sum:?}");
        };
        assert_eq!(point.value, Some(AsDouble(3.0)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 9));
        assert_eq!(point.attributes, [text("cause", "lost")]);
    }

    #[test]
    fn gauges_and_infos_keep_their_values() {
        let level = Gauge::<i64>::default();
        let share = Gauge::<f64, AtomicU64>::default();
        level.set(-4);
        share.set(0.25);
        let metrics = converted(|registry| {
            registry.register_with_unit("level", "A level", Unit::Bytes, level.clone());
            registry.register("share", "A share", share.clone());
            registry.register("build", "A build", Info::new([("version", "1")]));
        });
        let [level, share, build] = &metrics[..] else {
            panic!("{metrics:?}");
        };
        let value = |metric: &Metric| match metric.data.clone() {
            Some(metric::Data::Gauge(it)) => it.data_points[0].value,
            _ => None,
        };
        assert_eq!(
            (level.name.as_str(), level.unit.as_str()),
            ("test_level_bytes", "By")
        );
        assert_eq!(value(level), Some(AsDouble(-4.0)));
        assert_eq!(value(share), Some(AsDouble(0.25)));
        assert_eq!(build.name, "test_build_info");
        let Some(metric::Data::Gauge(build)) = &build.data else {
            panic!("{build:?}");
        };
        assert_eq!(build.data_points[0].value, Some(AsDouble(1.0)));
        assert_eq!(build.data_points[0].attributes, [text("version", "1")]);
    }

    #[test]
    fn a_histogram_has_a_bucket_more_than_bounds() {
        let taken = Histogram::new([0.1, 1.0]);
        for seconds in [0.05, 0.5, 0.6, 20.0] {
            taken.observe(seconds);
        }
        let metrics = converted(|registry| {
            registry.register_with_unit("taken", "How long", Unit::Seconds, taken.clone());
        });
        assert_eq!(metrics[0].unit, "s");
        let Some(metric::Data::Histogram(histogram)) = &metrics[0].data else {
            panic!("{metrics:?}");
        };
        assert_eq!(
            histogram.aggregation_temporality(),
            AggregationTemporality::Cumulative
        );
        let point = &histogram.data_points[0];
        assert_eq!(point.explicit_bounds, [0.1, 1.0]);
        assert_eq!(point.bucket_counts, [1, 2, 1]);
        assert_eq!((point.count, point.sum), (4, Some(21.15)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 9));
    }
}
