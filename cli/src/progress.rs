//! How far a transfer has come: a bar for people, lines of JSON for scripts, nothing for neither.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use peersox_client::Status;
use peersox_core::transfer;
use serde_json::json;
use tokio::sync::watch;

use crate::plain;
use crate::terminal::{Look, Voice, path, shown, stay_above, why_relayed};

/// Shows progress on standard error.
pub(crate) struct Progress {
    voice: Voice,
    bar: Option<ProgressBar>,
    look: Look,
    status: watch::Receiver<Status>,
    began: Instant,
    told: Option<Instant>,
    speed: Arc<Mutex<Speed>>,
}

/// How fast bytes move at present: those of the latest seconds, without what was there before the transfer
/// went on.
struct Speed {
    /// When how many had moved, in order; never empty.
    samples: VecDeque<(Instant, u64)>,
}

impl Speed {
    fn new(began: Instant) -> Self {
        let samples = VecDeque::from([(began, 0)]);
        Self { samples }
    }

    fn moved(&mut self, now: Instant, bytes: u64) {
        if self.samples.back().is_some_and(|it| it.1 == bytes) {
            return;
        }
        if self.is_still(now) {
            // The pause says nothing of the time that is left.
            self.samples.clear();
        }
        self.samples.push_back((now, bytes));
        let is_old = |it: &(Instant, u64)| now.saturating_duration_since(it.0) > WINDOW;
        // The oldest is the one from which the window begins.
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(is_old) {
            self.samples.pop_front();
        }
    }

    fn is_still(&self, now: Instant) -> bool {
        let last = self.samples.back();
        last.is_none_or(|it| now.saturating_duration_since(it.0) >= STILL)
    }

    /// In bytes per second; 0 while it is not known.
    fn rate(&self, now: Instant) -> u64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) if !self.is_still(now) => {
                let took = now.saturating_duration_since(first.0);
                rate(last.1.saturating_sub(first.1), took)
            }
            _ => 0,
        }
    }

    /// How long `bytes` take at the present rate, and `word` behind it.
    fn left(&self, now: Instant, bytes: u64, word: &str) -> String {
        if bytes > 0 && self.is_still(now) {
            return "stalled".into();
        }
        match self.rate(now) {
            0 if bytes > 0 => String::new(),
            rate => {
                let seconds = bytes / rate.max(1);
                format!("{:#}{word}", HumanDuration(Duration::from_secs(seconds)))
            }
        }
    }
}

/// Locks the speed: the command writes it, and the thread that draws the bar reads it.
fn with<T>(speed: &Mutex<Speed>, what: impl FnOnce(&mut Speed, Instant) -> T) -> T {
    let mut speed = speed.lock().unwrap_or_else(PoisonError::into_inner);
    what(&mut speed, Instant::now())
}

impl Progress {
    /// Begins. The total in bytes is unknown for a pipe.
    pub(crate) fn begin(voice: Voice, total: Option<u64>, status: watch::Receiver<Status>) -> Self {
        let look = Look::of_stderr();
        let began = Instant::now();
        let speed = Arc::new(Mutex::new(Speed::new(began)));
        let bar = (voice.has_terminal() && look.cursor).then(|| bar(total, look, &speed));
        stay_above(bar.clone());
        Self {
            voice,
            bar,
            look,
            status,
            began,
            told: None,
            speed,
        }
    }

    /// Shows where the transfer stands; `name` is the file at work.
    pub(crate) fn show(&mut self, at: &transfer::Progress, name: &str) {
        let now = Instant::now();
        if self.told.is_some_and(|told| now - told < EVERY) {
            return;
        }
        self.told = Some(now);
        let path = path(&self.status.borrow());
        if let Some(bar) = &self.bar {
            let moved = at.bytes_done.saturating_sub(at.bytes_resumed);
            with(&self.speed, |speed, now| speed.moved(now, moved));
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
            bytes => format!(", {} of it were there before", HumanBytes(bytes)),
        };
        let size = HumanBytes(at.bytes_done);
        let speed = HumanBytes(rate);
        let (path, why) = {
            let status = self.status.borrow();
            (path(&status), why_relayed(&status))
        };
        let because = why.map_or_else(String::new, |why| format!(": {why}"));
        self.voice.say(
            &format!(
                "{verb} {files}, {size}{again}, in {:.1} s ({speed}/s over {path}{because}); BLAKE3 verified",
                took.as_secs_f64()
            ),
            &json!({"event": "done", "bytes": at.bytes_done, "resumed": at.bytes_resumed,
                    "files": at.files_total, "seconds": took.as_secs_f64(),
                    "bytes_per_second": rate, "path": path, "why_relayed": why}),
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
fn bar(total: Option<u64>, look: Look, speed: &Arc<Mutex<Speed>>) -> ProgressBar {
    let template = match (total, look.columns) {
        (Some(_), 100..) => {
            "{bar:24} {percent:>3} %  {bytes}/{total_bytes}  {rate}  {left}  {wide_msg}"
        }
        (Some(_), 72..) => {
            "{bar:10} {percent:>3} %  {bytes}/{total_bytes}  {rate}  {left}  {wide_msg}"
        }
        (Some(_), 32..) => "{percent:>3} %  {rate}  {left}  {wide_msg}",
        (Some(_), _) => "{percent:>3} %",
        (None, 28..) => "{bytes}  {rate}  {wide_msg}",
        (None, _) => "{bytes}",
    };
    let chars = if look.utf8 { "██▌ " } else { "## " };
    let word = if look.columns >= 100 { " left" } else { "" };
    let (at_rate, in_time) = (Arc::clone(speed), Arc::clone(speed));
    let style = ProgressStyle::with_template(template)
        .expect("the template is correct")
        .with_key(
            "rate",
            move |_: &ProgressState, out: &mut dyn fmt::Write| {
                let rate = HumanBytes(with(&at_rate, |speed, now| speed.rate(now)));
                let _ = write!(out, "{rate}/s");
            },
        )
        .with_key(
            "left",
            move |state: &ProgressState, out: &mut dyn fmt::Write| {
                let bytes = state.len().unwrap_or(0).saturating_sub(state.pos());
                let left = with(&in_time, |speed, now| speed.left(now, bytes, word));
                let _ = out.write_str(&left);
            },
        )
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

/// Over how long the rate is taken.
const WINDOW: Duration = Duration::from_secs(5);

/// After how long without a byte a transfer stands still, for an eye.
const STILL: Duration = Duration::from_secs(5);

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
    fn the_rate_is_that_of_the_latest_seconds_and_none_while_nothing_moves() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut speed = Speed::new(began);
        for quarter in 1..=80 {
            speed.moved(at(quarter * 250), quarter * 1_000);
            assert_eq!(speed.rate(at(quarter * 250)), 4_000);
        }
        // Ten times as fast: known as soon as the window is over, and falling while nothing comes.
        for quarter in 81..=101 {
            speed.moved(at(quarter * 250), 80_000 + (quarter - 80) * 10_000);
        }
        assert_eq!(speed.rate(at(25_250)), 40_000);
        assert_eq!(speed.left(at(25_250), 80_000, " left"), "2s left");
        assert!(speed.rate(at(28_000)) < 30_000);
        assert_eq!(speed.rate(at(30_250)), 0);
        assert_eq!(speed.left(at(30_250), 80_000, " left"), "stalled");
        // The pause does not count afterwards.
        speed.moved(at(90_000), 300_000);
        assert_eq!(speed.left(at(90_000), 80_000, " left"), "");
        speed.moved(at(90_250), 310_000);
        assert_eq!(speed.rate(at(90_250)), 40_000);
        assert_eq!(speed.left(at(90_250), 0, " left"), "0s left");
        assert!(speed.samples.len() < 30);
    }

    #[test]
    fn all_templates_parse() {
        for columns in [0, 27, 28, 31, 32, 40, 72, 99, 100, 300] {
            for (total, utf8) in [(Some(1), true), (None, false)] {
                let look = Look {
                    utf8,
                    colours: true,
                    cursor: true,
                    columns,
                    rows: 24,
                };
                bar(
                    total,
                    look,
                    &Arc::new(Mutex::new(Speed::new(Instant::now()))),
                )
                .finish_and_clear();
            }
        }
    }
}
