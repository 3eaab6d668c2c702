//! How far a transfer has come: a bar for people, lines of JSON for scripts, nothing for neither.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use peersox_client::Status;
use peersox_core::transfer;
use serde_json::json;
use tokio::sync::watch;

use crate::plain;
use crate::terminal::{Look, Voice, path, shown, stay_above};

/// Shows progress on standard error.
pub(crate) struct Progress {
    voice: Voice,
    bar: Option<ProgressBar>,
    look: Look,
    status: watch::Receiver<Status>,
    began: Instant,
    told: Option<Instant>,
}

impl Progress {
    /// Begins. The total in bytes is unknown for a pipe.
    pub(crate) fn begin(voice: Voice, total: Option<u64>, status: watch::Receiver<Status>) -> Self {
        let look = Look::of_stderr();
        let bar = (voice.has_terminal() && look.cursor).then(|| bar(total, look));
        stay_above(bar.clone());
        Self {
            voice,
            bar,
            look,
            status,
            began: Instant::now(),
            told: None,
        }
    }

    /// Shows where the transfer stands; `name` is the file at work.
    pub(crate) fn show(&mut self, at: &transfer::Progress, name: &str) {
        let now = Instant::now();
        if self.told.is_some_and(|told| now - told < EVERY) {
            return;
        }
        self.told = Some(now);
        let path = path(self.status.borrow().leg);
        if let Some(bar) = &self.bar {
            bar.set_position(at.bytes_done);
            bar.set_message(format!(
                "{}  {}",
                shown(&path, self.look),
                plain::text(name)
            ));
        } else if self.voice.is_json() {
            self.voice.say(
                "",
                &json!({"event": "progress", "bytes": at.bytes_done, "total": at.bytes_total,
                        "files": at.files_done, "files_total": at.files_total,
                        "resumed": at.bytes_resumed, "path": path, "name": name}),
            );
        }
    }

    /// Ends: says how much went how fast.
    pub(crate) fn end(self, at: &transfer::Progress, verb: &str) {
        self.abandon();
        let took = self.began.elapsed();
        let moved = at.bytes_done.saturating_sub(at.bytes_resumed);
        let rate = rate(moved, took);
        let files = if at.files_total == 1 {
            "1 file".into()
        } else {
            format!("{} files", at.files_total)
        };
        let again = match at.bytes_resumed {
            0 => String::new(),
            bytes => format!(", {} of it were there before", indicatif::HumanBytes(bytes)),
        };
        let size = indicatif::HumanBytes(at.bytes_done);
        let speed = indicatif::HumanBytes(rate);
        let path = path(self.status.borrow().leg);
        self.voice.say(
            &format!(
                "{verb} {files}, {size}{again}, in {:.1} s ({speed}/s over {path}); BLAKE3 verified",
                took.as_secs_f64()
            ),
            &json!({"event": "done", "bytes": at.bytes_done, "resumed": at.bytes_resumed,
                    "files": at.files_total, "seconds": took.as_secs_f64(),
                    "bytes_per_second": rate, "path": path}),
        );
    }

    /// Breaks off: takes the bar away, so that the error stands alone.
    pub(crate) fn abandon(&self) {
        if let Some(bar) = self.bar.as_ref().filter(|bar| !bar.is_finished()) {
            bar.finish_and_clear();
        }
    }
}

/// A command that is interrupted leaves no bar behind.
impl Drop for Progress {
    fn drop(&mut self) {
        self.abandon();
        stay_above(None);
    }
}

/// A bar in one line of the terminal, however narrow that is; what does not fit of the path and name is cut.
fn bar(total: Option<u64>, look: Look) -> ProgressBar {
    let template = match (total, look.columns) {
        (Some(_), 100..) => {
            "{bar:24} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {wide_msg}"
        }
        (Some(_), 72..) => {
            "{bar:10} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {eta}  {wide_msg}"
        }
        (Some(_), 28..) => "{percent:>3} %  {bytes_per_sec}  {eta}  {wide_msg}",
        (Some(_), _) => "{percent:>3} %",
        (None, 28..) => "{bytes}  {bytes_per_sec}  {wide_msg}",
        (None, _) => "{bytes}",
    };
    let chars = if look.utf8 { "██▌ " } else { "## " };
    let style = ProgressStyle::with_template(template)
        .expect("the template is correct")
        .progress_chars(chars);
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    // The ticks begin with a drawing, so the style is set before.
    let bar = bar.with_style(style);
    // The rate has to fall while nothing comes.
    bar.enable_steady_tick(TICK);
    bar
}

fn rate(bytes: u64, took: Duration) -> u64 {
    let nanos = took.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// How often the bar is drawn although nothing has come.
const TICK: Duration = Duration::from_secs(1);

/// Often enough for an eye, seldom enough for a script.
const EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_do_not_overflow() {
        assert_eq!(rate(10, Duration::from_secs(2)), 5);
        assert_eq!(rate(u64::MAX, Duration::from_secs(1)), u64::MAX);
        assert_eq!(rate(0, Duration::ZERO), 0);
    }

    #[test]
    fn all_templates_parse() {
        for columns in [0, 27, 28, 40, 72, 99, 100, 300] {
            for (total, utf8) in [(Some(1), true), (None, false)] {
                let look = Look {
                    utf8,
                    colours: true,
                    cursor: true,
                    columns,
                    rows: 24,
                };
                bar(total, look).finish_and_clear();
            }
        }
    }
}
