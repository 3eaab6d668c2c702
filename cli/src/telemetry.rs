//! The log, to standard error, so that standard output stays data; and what is sent to a collector, if one is
//! named.
//!
//! ```text
//! event ── --log ── text: a line for people      time LEVEL message field=value
//!                └─ json: a line for programs    {"timestamp":…,"level":…,"message":…,"field":…}
//! span of target peersox::trace ── traces  ─┐
//! what /metrics serves          ── metrics ─┴─ OTLP ── collector, if OTEL_EXPORTER_OTLP_ENDPOINT names one
//! ```

mod convert;
mod format;
mod metrics;
mod target;
mod traces;

use std::io::{self, Write};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::args::{Cli, Command, LogFormat};
use crate::terminal::Look;
use format::{Harmless, Lines};
use target::{Signal, Target, resource};

pub(crate) use metrics::Metrics;
pub(crate) use traces::{Traces, trace};

/// What tells about this process while it runs.
pub(crate) struct Telemetry {
    pub(crate) filter: Filter,
    /// A server's, if they are to be sent.
    pub(crate) metrics: Option<Metrics>,
    pub(crate) traces: Option<Traces>,
}

/// Starts logging, with the filter given, or `info` for a server and errors for a peer; and what is sent by
/// OTLP. It needs a runtime around it.
pub(crate) fn start(cli: &Cli) -> Telemetry {
    let server = matches!(cli.command, Command::Serve(_));
    let filter = cli.log.as_deref();
    let filter = filter.unwrap_or(if server { "info" } else { "error" });
    let (filter, fault) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let (filter, reload) = reload::Layer::new(filter);
    let log = fmt::layer()
        .with_writer(|| Log)
        // A log that cannot be written would be reported by `eprintln!`, which panics for the same reason.
        .log_internal_errors(false)
        .with_ansi(Look::of_stderr().colours);
    let log = match cli.command.log_format() {
        LogFormat::Text => log.with_target(false).fmt_fields(Harmless).boxed(),
        LogFormat::Json => Lines::of(log).boxed(),
    };
    let (traces, metrics) = (traces(&cli.command), metrics(server));
    let spans = traces.as_ref().ok().and_then(Option::as_ref);
    tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(spans.map(Traces::layer))
        .init();
    if let Some(error) = fault {
        tracing::warn!(%error, "the log filter cannot be used; logging at info");
    }
    Telemetry {
        filter: Filter(reload),
        metrics: sent(metrics, "metrics"),
        traces: sent(traces, "traces"),
    }
}

/// Of a server, and of a command that calls one.
fn traces(command: &Command) -> Result<Option<Traces>, String> {
    let run = command.calling();
    if run.is_none() && !matches!(command, Command::Serve(_)) {
        return Ok(None);
    }
    let Some(target) = Target::read(Signal::Traces, variable)? else {
        return Ok(None);
    };
    let mut traces = Traces::to(&target, resource())?;
    if let Some(run) = run {
        traces.run(run);
    }
    Ok(Some(traces))
}

fn metrics(server: bool) -> Result<Option<Metrics>, String> {
    let target = match server {
        true => Target::read(Signal::Metrics, variable)?,
        false => None,
    };
    let to = |target| Metrics::to(&target, &resource());
    target.map(to).transpose()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A process whose variables cannot be used does its work without sending.
fn sent<T>(wanted: Result<Option<T>, String>, signal: &'static str) -> Option<T> {
    wanted.unwrap_or_else(|error| {
        tracing::warn!(signal, error, "nothing is sent by OTLP");
        None
    })
}

/// The filter of the log, which may be changed while the process runs.
pub(crate) struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// What it is now, in the form that [`Filter::set`] takes.
    pub(crate) fn text(&self) -> String {
        self.0
            .with_current(EnvFilter::to_string)
            .unwrap_or_default()
    }

    /// Replaces it, or says why not.
    pub(crate) fn set(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(filter)
            .map_err(|error| format!("`{filter}` is no log filter: {error}"))?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Standard error. Whoever read it may be gone; the program goes on without its log.
struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().lock().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
