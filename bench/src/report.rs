//! What came out, as a line for people or as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::args::Task;
use crate::load::Work;

/// What came out of a measurement.
#[derive(Debug)]
pub(crate) struct Report {
    task: Task,
    /// How long it was measured.
    seconds: f64,
    made: usize,
    median_millis: f64,
    p99_millis: f64,
    errors: BTreeMap<String, u64>,
    taken_back: u64,
    /// Seconds of processor time, by the name of the process.
    cpu: BTreeMap<String, f64>,
}

impl Report {
    pub(crate) fn new(
        task: Task,
        seconds: f64,
        mut work: Work,
        taken_back: u64,
        cpu: BTreeMap<String, f64>,
    ) -> Self {
        work.took.sort_unstable();
        let failures = work.failures.iter();
        Self {
            task,
            seconds,
            made: work.took.len(),
            median_millis: quantile(&work.took, 50),
            p99_millis: quantile(&work.took, 99),
            errors: failures
                .map(|(it, count)| (it.to_string(), *count))
                .collect(),
            taken_back,
            cpu,
        }
    }

    /// Whether something was made, and nothing failed.
    pub(crate) fn is_clean(&self) -> bool {
        self.made > 0 && self.errors.is_empty()
    }

    pub(crate) fn json(&self) -> Value {
        let cpu = self.cpu.iter().map(|(name, seconds)| {
            let told = json!({
                "seconds": seconds,
                "micros_each": self.micros_each(*seconds),
                "per_core_second": self.per_core_second(*seconds),
            });
            (name.clone(), told)
        });
        json!({
            "task": self.task(),
            "made": self.made,
            "seconds": self.seconds,
            "per_second": self.per_second(),
            "median_ms": self.median_millis,
            "p99_ms": self.p99_millis,
            "errors": self.errors,
            "taken_back": self.taken_back,
            "cpu": cpu.collect::<serde_json::Map<_, _>>(),
        })
    }

    const fn task(&self) -> &'static str {
        match self.task {
            Task::Pairings => "pairings",
            Task::Setups(_) => "setups",
        }
    }

    fn per_second(&self) -> f64 {
        self.made as f64 / self.seconds
    }

    fn micros_each(&self, cpu: f64) -> f64 {
        cpu * 1e6 / self.made.max(1) as f64
    }

    /// How many a core makes that does nothing else; zero if the clock did not move.
    fn per_core_second(&self, cpu: f64) -> f64 {
        match cpu > 0.0 {
            true => self.made as f64 / cpu,
            false => 0.0,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} in {:.1} s: {:.0} per second, median {:.1} ms, 99 % within {:.1} ms",
            self.made,
            self.task(),
            self.seconds,
            self.per_second(),
            self.median_millis,
            self.p99_millis
        )?;
        for (name, seconds) in &self.cpu {
            write!(
                f,
                "; {name} {:.0} µs each, {:.0} per second and core, {:.0} % of a core",
                self.micros_each(*seconds),
                self.per_core_second(*seconds),
                100.0 * seconds / self.seconds
            )?;
        }
        for (error, count) in &self.errors {
            write!(f, "\n{count} failed: {error}")?;
        }
        Ok(())
    }
}

/// The value that so many percent do not exceed, in milliseconds.
fn quantile(sorted_micros: &[u64], percent: usize) -> f64 {
    let rank = (sorted_micros.len() * percent).div_ceil(100);
    let at = rank.saturating_sub(1);
    sorted_micros
        .get(at)
        .map_or(0.0, |micros| *micros as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let hundred: Vec<u64> = (1..=100).map(|it| it * 1_000).collect();
        for (sorted, percent, expected) in [
            (&hundred[..], 50, 50.0),
            (&hundred, 99, 99.0),
            (&hundred[..3], 50, 2.0),
            (&hundred[..1], 99, 1.0),
            (&[], 50, 0.0),
        ] {
            assert_eq!(quantile(sorted, percent), expected, "{percent} %");
        }
    }

    #[test]
    fn rates_follow_from_what_was_made() {
        let work = Work {
            took: vec![1_000; 4],
            failures: BTreeMap::new(),
        };
        let cpu = BTreeMap::from([("server".to_owned(), 0.5)]);
        let report = Report::new(Task::Pairings, 2.0, work, 4, cpu);
        let told = report.json();
        assert!(report.is_clean());
        assert_eq!(told["per_second"], 2.0);
        assert_eq!(told["cpu"]["server"]["micros_each"], 125_000.0);
        assert_eq!(told["cpu"]["server"]["per_core_second"], 8.0);
    }
}
