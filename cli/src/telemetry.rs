//! The log: to standard error, so that standard output stays data.

use std::fmt;
use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

use crate::plain;
use crate::terminal::Look;

/// Starts logging with the filter given, or `info` for a server and errors for a peer.
pub(crate) fn start(filter: Option<&str>, server: bool) -> Filter {
    let filter = filter.unwrap_or(if server { "info" } else { "error" });
    let (filter, fault) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Log)
        .fmt_fields(Harmless)
        // A log that cannot be written would be reported by `eprintln!`, which panics for the same reason.
        .log_internal_errors(false)
        .with_ansi(Look::of_stderr().colours)
        .with_target(false)
        .with_filter_reloading();
    let reload = log.reload_handle();
    log.init();
    if let Some(error) = fault {
        tracing::warn!(%error, "the log filter cannot be used; logging at info");
    }
    let now = reload.clone();
    Filter {
        text: Box::new(move || now.with_current(EnvFilter::to_string).unwrap_or_default()),
        set: Box::new(move |filter| reload.reload(filter).map_err(|error| error.to_string())),
    }
}

/// The filter of the log, which may be changed while the process runs.
pub(crate) struct Filter {
    text: Box<dyn Fn() -> String + Send + Sync>,
    set: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

impl Filter {
    /// What it is now, in the form that [`Filter::set`] takes.
    pub(crate) fn text(&self) -> String {
        (self.text)()
    }

    /// Replaces it, or says why not.
    pub(crate) fn set(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(filter)
            .map_err(|error| format!("`{filter}` is no log filter: {error}"))?;
        (self.set)(filter)
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

/// Writes the fields of events and spans so that nothing in them is more than text: their values come from
/// peers, proxies and pages.
struct Harmless;

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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_field_forges_no_line_and_moves_no_cursor() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(Harmless)
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(log, || {
            let origin = "a\u{1b}[2J\u{202e}b\n2026 INFO forged";
            let span = tracing::info_span!("session", name = %origin);
            let _inside = span.enter();
            tracing::info!(%origin, "refused");
        });
        let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said.lines().count(), 1, "{said:?}");
        assert!(
            said.contains("refused") && said.contains("forged"),
            "{said:?}"
        );
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
    }
}
