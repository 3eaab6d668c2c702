//! The two forms of a line of the log. What a field holds may come from peers, proxies and pages: in neither
//! form does it begin a line of its own, or reach the terminal as anything but text.

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt as _, TraceId};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, Layer, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::plain;

/// Writes the fields of events and spans so that nothing in them is more than text.
pub(super) struct Harmless;

impl<'writer> FormatFields<'writer> for Harmless {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut raw = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut raw), fields)?;
        writer.write_str(&plain::text(&raw))
    }
}

/// Writes each event as one object of JSON in one line, in which everything that is no visible character is
/// escaped. One that belongs to a trace that is sent names it first.
pub(super) struct Lines(Format<Json>);

impl Lines {
    /// The layer of a log in this form. Its fields stand beside `timestamp`, `level`, `target` and `message`.
    pub(super) fn of<S, W>(log: Layer<S, DefaultFields, Format, W>) -> Layer<S, JsonFields, Self, W>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
        W: for<'writer> MakeWriter<'writer> + 'static,
    {
        let log = log.json().flatten_event(true).with_current_span(false);
        log.with_ansi(false).map_event_format(Lines)
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        let line = plain::json_text(line.trim_end());
        match (trace(), line.strip_prefix('{')) {
            (Some((trace, span)), Some(rest)) => {
                write!(
                    writer,
                    r#"{{"trace_id":"{trace}","span_id":"{span}",{rest}"#
                )?;
            }
            _ => writer.write_str(&line)?,
        }
        writer.write_char('\n')
    }
}

/// The trace and the span that are sent while this thread does what it does.
fn trace() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| (span.trace_id(), span.span_id()))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Registry, fmt};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const ORIGIN: &str = "a\u{1b}[2J\u{202e}b\u{9b}2J\u{2028}\n2026 INFO forged";

    fn refuse(log: impl Subscriber + Send + Sync) {
        tracing::subscriber::with_default(log, || {
            let origin = ORIGIN;
            let span = tracing::info_span!("session", name = %origin);
            let _inside = span.enter();
            tracing::info!(%origin, "refused");
        });
    }

    fn is_harmless(said: &str) {
        assert_eq!(said.lines().count(), 1, "{said:?}");
        assert!(
            said.contains("refused") && said.contains("forged"),
            "{said:?}"
        );
        assert!(
            !said.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{2028}']),
            "{said:?}"
        );
    }

    #[test]
    fn a_field_forges_no_line_and_moves_no_cursor() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(Harmless)
            .with_ansi(false)
            .finish();
        refuse(log);
        is_harmless(&kept.text());
    }

    #[test]
    fn a_line_of_json_does_neither_and_a_parser_takes_the_field_back() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = fmt::layer::<Registry>().with_writer(move || writer.clone());
        refuse(tracing_subscriber::registry().with(Lines::of(log)));
        let said = kept.text();
        is_harmless(&said);
        let line: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(line["origin"], ORIGIN);
        assert_eq!(line["message"], "refused");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["spans"][0]["name"], "session");
    }
}
