//! The span of a leg, for exporters of traces: from its Hello until its socket is closed.

use std::fmt::Display;

use peersox_core::close::CloseReason;
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::trace::{TARGET, TraceContext};
use peersox_proto::v1;
use tracing::field::{Empty, display};
use tracing::{Level, Span};

use crate::leg::Ending;

/// What a leg has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl Taken {
    pub(crate) fn add(&mut self, frames: usize, bytes: usize) {
        self.frames += frames as u64;
        self.bytes += bytes as u64;
    }
}

/// The span of a leg that has said Hello. Its trace is for correlation only, so one that is none is ignored.
pub(crate) fn begin(hello: &v1::Hello, transport: &'static str) -> Span {
    if !tracing::span_enabled!(target: TARGET, Level::TRACE) {
        return Span::none();
    }
    let trace = TraceContext::parse(&hello.traceparent, &hello.tracestate).ok();
    tracing::trace_span!(
        target: TARGET,
        "leg",
        otel.kind = "server",
        peersox.transport = transport,
        peersox.session = Empty,
        peersox.role = Empty,
        peersox.resumed = Empty,
        peersox.close = Empty,
        peersox.frames = Empty,
        peersox.bytes = Empty,
        traceparent = trace.as_ref().map(|it| display(it.parent())),
        tracestate = trace.as_ref().map(|it| display(it.state())),
    )
}

/// The leg has its place.
pub(crate) fn admitted(span: &Span, session: PairingId, role: Role, resumed: bool) {
    span.record("peersox.session", display(session));
    span.record("peersox.role", display(role));
    span.record("peersox.resumed", resumed);
}

/// The peer ended the leg, or it was lost.
pub(crate) fn ended(span: &Span, taken: Taken, ending: Ending) {
    match ending {
        Ending::Gone => closed(span, taken, "the leg was lost"),
        Ending::Done => closed(span, taken, CloseReason::Done),
        Ending::Moved => closed(span, taken, CloseReason::Moved),
        Ending::Fault(reason) => closed(span, taken, reason),
    }
}

/// The leg is over, and this is why.
pub(crate) fn closed(span: &Span, taken: Taken, why: impl Display) {
    span.record("peersox.close", display(why));
    // OpenTelemetry knows numbers with a sign only.
    let number = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    span.record("peersox.frames", number(taken.frames));
    span.record("peersox.bytes", number(taken.bytes));
}
