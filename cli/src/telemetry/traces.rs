//! Spans, sent by OTLP.
//!
//! ```text
//! libraries ── span of target peersox::trace ── layer ─┐
//! this run of a command ───────────────────────────────┴─► queue of 2,048 ── a thread ── collector
//! ```
//!
//! A span that finds the queue full is dropped. Nobody waits for the collector but the end of the process,
//! for [`FLUSH`].

use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, ContextGuard};
use opentelemetry_otlp::{SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span, SpanData};
use peersox_client::TraceContext;
use peersox_core::trace::TARGET;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer;
use tracing_subscriber::registry::LookupSpan;

use super::target::{Failures, Signal, Target};

/// What makes spans and sends them.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    /// The span of a command that calls a server.
    run: Option<Span>,
}

impl Traces {
    /// Begins to send spans. It needs a runtime around it, which outlives it.
    ///
    /// # Errors
    /// A sentence that says what cannot be used.
    pub(super) fn to(target: &Target, resource: Resource) -> Result<Self, String> {
        let exporter = SpanExporter::builder().with_tonic();
        let exporter = exporter.with_channel(target.channel()?).build();
        let exporter = Stripped {
            exporter: exporter.map_err(|error| error.to_string())?,
            failures: Failures::new(Signal::Traces),
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        Ok(Self {
            provider,
            run: None,
        })
    }

    fn tracer(&self) -> SdkTracer {
        self.provider.tracer("peersox")
    }

    /// Makes spans of those that libraries begin for exporters. The log is not sent.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        // Where a line of the source is, and on which thread it runs, is of no use to an operator.
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.tracer())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        let around = Attach.and_then(spans).and_then(Detach);
        around.with_filter(filter_fn(|it| it.is_span() && it.target() == TARGET))
    }

    /// Begins the span of this run of a command. What it calls belongs to it from now on.
    pub(super) fn run(&mut self, command: &'static str) {
        let parent = trace().and_then(span_context);
        let parent = parent.map(|parent| Context::new().with_remote_span_context(parent));
        let tracer = self.tracer();
        let span = tracer
            .span_builder(format!("peersox {command}"))
            .with_kind(SpanKind::Client)
            .start_with_context(&tracer, &parent.unwrap_or_default());
        let context = trace_context(span.span_context());
        self.run = Some(span);
        if let Some(context) = context {
            // A command has one run.
            let _ = OWN.set(context);
        }
    }

    /// Ends the span of this run, and waits until all that was made is sent, for [`FLUSH`] at most.
    pub(crate) fn end(mut self, failed: bool) {
        if let Some(mut run) = self.run.take() {
            if failed {
                run.set_status(Status::error(""));
            }
            run.end();
        }
        // What is not sent by then is lost; each failure was told.
        let _ = self.provider.shutdown_with_timeout(FLUSH);
    }
}

/// The trace that this run belongs to: its own span, or what `TRACEPARENT` and `TRACESTATE` of the
/// environment say, as systems for continuous integration set them.
pub(crate) fn trace() -> Option<&'static TraceContext> {
    static GIVEN: OnceLock<Option<TraceContext>> = OnceLock::new();
    let given = || {
        let variable = |name| std::env::var(name).unwrap_or_default();
        TraceContext::parse(&variable("TRACEPARENT"), &variable("TRACESTATE")).ok()
    };
    OWN.get().or_else(|| GIVEN.get_or_init(given).as_ref())
}

/// The context of the span of this run.
static OWN: OnceLock<TraceContext> = OnceLock::new();

fn trace_context(span: &SpanContext) -> Option<TraceContext> {
    let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags().to_u8());
    let parent = format!("00-{trace}-{id}-{flags:02x}");
    TraceContext::parse(&parent, &span.trace_state().header()).ok()
}

fn span_context(trace: &TraceContext) -> Option<SpanContext> {
    let mut parts = trace.parent().split('-').skip(1);
    let mut part = || parts.next().unwrap_or_default();
    let trace_id = TraceId::from_hex(part()).ok()?;
    let span_id = SpanId::from_hex(part()).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(part(), 16).ok()?);
    let state = trace.state().parse::<TraceState>().unwrap_or_default();
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

/// Makes what a span says of its trace the parent of the span that the next layer begins. The layer of
/// OpenTelemetry takes as parent what is current, and libraries do not know it.
struct Attach;

/// Ends what [`Attach`] began.
struct Detach;

thread_local! {
    static PARENT: RefCell<Option<ContextGuard>> = const { RefCell::new(None) };
}

impl<S: Subscriber> Layer<S> for Attach {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: layer::Context<'_, S>) {
        let mut said = Said::default();
        attributes.record(&mut said);
        let trace = TraceContext::parse(&said.parent, &said.state).ok();
        if let Some(parent) = trace.as_ref().and_then(span_context) {
            let context = Context::new().with_remote_span_context(parent);
            PARENT.set(Some(context.attach()));
        }
    }
}

impl<S: Subscriber> Layer<S> for Detach {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: layer::Context<'_, S>) {
        PARENT.take();
    }
}

/// What a span says of its trace.
#[derive(Default)]
struct Said {
    parent: String,
    state: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            PARENT_FIELD => self.parent = format!("{value:?}"),
            STATE_FIELD => self.state = format!("{value:?}"),
            _ => {}
        }
    }
}

/// An exporter that leaves out what spans say of their trace, which the spans themselves have, and tells
/// failures.
#[derive(Debug)]
struct Stripped {
    exporter: SpanExporter,
    failures: Failures,
}

impl opentelemetry_sdk::trace::SpanExporter for Stripped {
    async fn export(&self, mut spans: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut spans {
            let is_own = |name: &str| name != PARENT_FIELD && name != STATE_FIELD;
            span.attributes.retain(|it| is_own(it.key.as_str()));
        }
        let sent = self.exporter.export(spans).await;
        sent.inspect_err(|error| self.failures.add(error))
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

const PARENT_FIELD: &str = "traceparent";
const STATE_FIELD: &str = "tracestate";
/// How long the end of a process waits for a collector, for spans and for metrics each.
pub(super) const FLUSH: Duration = Duration::from_millis(1_500);
