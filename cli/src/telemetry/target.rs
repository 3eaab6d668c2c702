//! Where traces and metrics are sent, as OpenTelemetry lets operators say it: by variables of the
//! environment, <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>. Nothing is sent unless one
//! names an endpoint.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use rand_core::{OsRng, RngCore as _};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn variable(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    endpoint: String,
    /// The file of `OTEL_EXPORTER_OTLP_CERTIFICATE`.
    certificate: Option<String>,
    pub(super) timeout: Duration,
    /// They may hold a secret.
    pub(super) headers: HeaderMap,
}

impl Target {
    /// Reads the variables. Gives nothing where nothing is to be sent.
    ///
    /// # Errors
    /// A sentence that names the variable that cannot be used.
    pub(super) fn read(
        signal: Signal,
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        // What is said for one signal goes before what is said for all.
        let of = |what: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.variable());
            let all = format!("OTEL_EXPORTER_OTLP_{what}");
            let found = |name: String| get(&name).map(|value| (name, value));
            found(own).or_else(|| found(all))
        };
        let Some((name, endpoint)) = of("ENDPOINT") else {
            return Ok(None);
        };
        if get("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let exporter = format!("OTEL_{}_EXPORTER", signal.variable());
        match get(&exporter).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(_) => return Err(format!("{exporter} has to be otlp or none")),
        }
        if let Some((name, _)) = of("PROTOCOL").filter(|(_, protocol)| protocol != "grpc") {
            return Err(format!(
                "{name} has to be grpc, for which collectors listen on port 4317; no other is spoken"
            ));
        }
        if !["http://", "https://"]
            .iter()
            .any(|it| endpoint.starts_with(it))
        {
            return Err(format!(
                "{name} has to be a URL, as in http://localhost:4317"
            ));
        }
        let timeout = of("TIMEOUT").map_or(Ok(TIMEOUT), |(name, millis)| {
            let millis = millis.parse().ok().filter(|&millis| millis > 0);
            let millis = millis.ok_or_else(|| format!("{name} has to be a number of milliseconds"));
            millis.map(Duration::from_millis)
        })?;
        let headers = of("HEADERS").map_or(Ok(HeaderMap::new()), |(name, list)| {
            // The list is not repeated: it may hold a secret.
            headers(&list)
                .ok_or_else(|| format!("{name} has to be a list, as in name=value,name=value"))
        })?;
        Ok(Some(Self {
            endpoint,
            certificate: of("CERTIFICATE").map(|(_, file)| file),
            timeout,
            headers,
        }))
    }

    /// Connects when the first call is made, and again when the connection is lost. It needs a runtime around
    /// it.
    ///
    /// # Errors
    /// A sentence that says what cannot be used.
    pub(super) fn channel(&self) -> Result<Channel, String> {
        let unusable = |error: tonic::transport::Error| {
            format!(
                "{} cannot be used as an endpoint of OTLP: {error}",
                self.endpoint
            )
        };
        let mut endpoint = Endpoint::from_shared(self.endpoint.clone())
            .map_err(unusable)?
            .connect_timeout(self.timeout)
            .timeout(self.timeout);
        if self.endpoint.starts_with("https://") {
            let tls = match &self.certificate {
                None => ClientTlsConfig::new().with_native_roots(),
                Some(file) => {
                    let pem = std::fs::read(file);
                    let pem = pem.map_err(|error| format!("cannot read {file}: {error}"))?;
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
                }
            };
            endpoint = endpoint.tls_config(tls).map_err(unusable)?;
        }
        Ok(endpoint.connect_lazy())
    }
}

/// Reads `name=value,name=value` with values as in URLs.
fn headers(list: &str) -> Option<HeaderMap> {
    let entries = list.split(',').map(str::trim);
    let entries = entries.filter(|entry| !entry.is_empty());
    let read = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let name = name
            .trim()
            .to_ascii_lowercase()
            .parse::<HeaderName>()
            .ok()?;
        let value = percent_encoding::percent_decode_str(value.trim());
        let mut value = HeaderValue::from_bytes(&value.collect::<Vec<u8>>()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    entries.map(read).collect()
}

/// What this process is, on all that it sends: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, or
/// `peersox`, its version, and a name drawn for this run.
pub(super) fn resource() -> Resource {
    let said = Resource::builder().build();
    let is_unknown = said
        .get(&Key::from_static_str("service.name"))
        .is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let mut instance = [0; 16];
    OsRng.fill_bytes(&mut instance);
    let defaults = [
        ("service.name", "peersox".to_owned(), is_unknown),
        (
            "service.version",
            env!("CARGO_PKG_VERSION").to_owned(),
            false,
        ),
        (
            "service.instance.id",
            data_encoding::HEXLOWER.encode(&instance),
            false,
        ),
    ];
    let missing = defaults
        .into_iter()
        .filter(|(name, _, replaces)| *replaces || said.get(&Key::from_static_str(name)).is_none());
    let missing = missing.map(|(name, value, _)| KeyValue::new(name, value));
    Resource::builder().with_attributes(missing).build()
}

/// Failures to send, of which one a minute is logged.
#[derive(Debug)]
pub(super) struct Failures {
    signal: Signal,
    told: Mutex<Option<Instant>>,
}

impl Failures {
    pub(super) fn new(signal: Signal) -> Self {
        Self {
            signal,
            told: Mutex::default(),
        }
    }

    /// Notes one.
    pub(super) fn add(&self, error: &dyn std::fmt::Display) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| told.elapsed() < SILENCE) {
            return;
        }
        *told = Some(Instant::now());
        drop(told);
        let signal = self.signal.name();
        tracing::warn!(signal, %error, "the collector did not take what was sent by OTLP; it is lost");
    }
}

/// How long a collector may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest time between two failures that are logged.
const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(signal: Signal, variables: &[(&str, &str)]) -> Result<Option<Target>, String> {
        Target::read(signal, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c.example:4317");

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_named() {
        let for_metrics = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m.example:1");
        for (variables, traces, metrics) in [
            (&[] as &[_], None, None),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], None, None),
            (&[("OTEL_SERVICE_NAME", "x")], None, None),
            (&[ENDPOINT], Some(ENDPOINT.1), Some(ENDPOINT.1)),
            (&[for_metrics], None, Some(for_metrics.1)),
            (
                &[ENDPOINT, for_metrics],
                Some(ENDPOINT.1),
                Some(for_metrics.1),
            ),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "True")], None, None),
            (
                &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
                None,
                Some(ENDPOINT.1),
            ),
            (
                &[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                Some(ENDPOINT.1),
                Some(ENDPOINT.1),
            ),
        ] {
            for (signal, expected) in [(Signal::Traces, traces), (Signal::Metrics, metrics)] {
                let target = read(signal, variables).unwrap();
                let endpoint = target.map(|target| target.endpoint);
                assert_eq!(endpoint.as_deref(), expected, "{signal:?} {variables:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_value() {
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "c.example:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=s3cret"),
        ] {
            let error = read(Signal::Traces, &[ENDPOINT, (variable, value)]).unwrap_err();
            assert!(error.contains(variable), "{variable}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn headers_and_timeouts_are_read() {
        let variables = [
            ENDPOINT,
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "Authorization=Basic%20eDp5, x-team = a ",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "20"),
        ];
        let target = read(Signal::Metrics, &variables).unwrap().unwrap();
        assert_eq!(target.timeout, Duration::from_millis(20));
        assert_eq!(target.headers["authorization"], "Basic eDp5");
        assert_eq!(target.headers["x-team"], "a");
        assert!(!format!("{target:?}").contains("eDp5"), "{target:?}");
        let target = read(Signal::Traces, &variables).unwrap().unwrap();
        assert_eq!(target.timeout, Duration::from_millis(1500));
    }
}
