//! A span for each call, for exporters of traces. Its names are those that OpenTelemetry has for RPC:
//! <https://opentelemetry.io/docs/specs/semconv/rpc/>.
//!
//! A span holds the name of the method and the code of its answer, and nothing that the caller says but the
//! trace that the call belongs to.

use std::collections::HashSet;
use std::sync::LazyLock;

use ::http::{HeaderMap, Request};
use axum::body::Body;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use peersox_core::trace::{TARGET, TraceContext};
use peersox_proto::v1::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tracing::field::Empty;
use tracing::{Instrument as _, Level, Span};

/// Runs a call in its span, which ends with the answer's last message.
pub(super) async fn trace(request: Request<Body>, next: Next) -> Response {
    if !tracing::span_enabled!(target: TARGET, Level::TRACE) {
        return next.run(request).await;
    }
    let mut call = Call::of(&request);
    let span = call.span.clone();
    let response = next.run(request).instrument(span).await;
    let ended = code(response.headers());
    if ended.is_some() {
        call.ends(ended);
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            if let Some(trailers) = frame.trailers_ref() {
                call.ends(code(trailers));
            }
            frame
        }))
    })
}

/// A call that is being answered. Dropping it ends its span.
struct Call {
    span: Span,
    /// The code of the answer. Nobody waits for a call that ends without one.
    ended: Option<Code>,
}

impl Call {
    fn of(request: &Request<Body>) -> Self {
        let (name, service, method) = named(request.uri().path());
        let trace = trace_of(request.headers());
        let span = tracing::trace_span!(
            target: TARGET,
            "rpc",
            otel.name = name,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            rpc.grpc.status_code = Empty,
            traceparent = trace.as_ref().map(|it| display(it.parent())),
            tracestate = trace.as_ref().map(|it| display(it.state())),
        );
        Self { span, ended: None }
    }

    fn ends(&mut self, code: Option<Code>) {
        self.ended = code;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = self.ended.unwrap_or(Code::Cancelled);
        self.span.record("rpc.grpc.status_code", code as i32);
        if is_fault(code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// Whether a code says that the server failed, and not its caller.
const fn is_fault(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?;
    Some(Code::from_bytes(code.as_bytes()))
}

/// The method that a path names, as `service/method`, and both parts. What is no method of ours may hold
/// anything.
fn named(path: &str) -> (&str, &str, &str) {
    static METHODS: LazyLock<HashSet<String>> = LazyLock::new(methods);
    let name = path.strip_prefix('/').unwrap_or_default();
    match name.split_once('/') {
        Some((service, method)) if METHODS.contains(name) => (name, service, method),
        _ => (OTHER, OTHER, OTHER),
    }
}

/// The methods of the services that there may be.
fn methods() -> HashSet<String> {
    let mut methods = HashSet::new();
    for set in [FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET] {
        let set = FileDescriptorSet::decode(set);
        let set = set.expect("the descriptors compiled into this program are sound");
        for file in &set.file {
            for service in &file.service {
                let name = |method: &str| format!("{}.{}/{method}", file.package(), service.name());
                methods.extend(service.method.iter().map(|method| name(method.name())));
            }
        }
    }
    methods
}

/// The trace that a call belongs to.
fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else {
        return None;
    };
    // A list may come in pieces.
    let states = headers.get_all("tracestate").iter();
    let states: Vec<&str> = states.filter_map(|state| state.to_str().ok()).collect();
    TraceContext::parse(parent, &states.join(",")).ok()
}

/// What OpenTelemetry calls a method that is not known.
const OTHER: &str = "_OTHER";

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    #[test]
    fn only_methods_that_there_are_have_names() {
        let opens = "peersox.v1.PairingService/OpenSession";
        assert_eq!(
            named(&format!("/{opens}")),
            (opens, "peersox.v1.PairingService", "OpenSession")
        );
        let health = "grpc.health.v1.Health/Check";
        assert_eq!(named(&format!("/{health}")).0, health);
        for path in ["/peersox.v1.PairingService/481920-tulip", "/x", "x", ""] {
            assert_eq!(named(path), (OTHER, OTHER, OTHER), "{path}");
        }
    }

    #[test]
    fn a_trace_is_read_from_headers_that_say_one() {
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = |rows: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in rows {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let trace = trace_of(&headers)?;
            Some((trace.parent().to_owned(), trace.state().to_owned()))
        };
        let is = |state: &str| Some((PARENT.to_owned(), state.to_owned()));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("traceparent", PARENT)]), is(""));
        assert_eq!(
            read(&[("traceparent", PARENT), ("traceparent", PARENT)]),
            None
        );
        let pieces = [
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ];
        assert_eq!(read(&pieces), is("a=1,b=2"));
        assert_eq!(read(&[("tracestate", "a=1")]), None);
    }
}
