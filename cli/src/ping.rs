//! `peersox ping`: how long it takes to the other device and back, through everything in between.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Ping;
use crate::fit::Command;
use crate::meet::{self, Way};
use crate::terminal::{Voice, out, out_json, path};

pub(crate) async fn run(args: Ping) -> anyhow::Result<()> {
    let voice = Voice::new(args.partner.remote.json);
    let way = Way::with(&args.partner);
    // Whoever shows the code answers. Of two saved devices each measures, and answers beside.
    let answers = matches!(way, Way::Show(_));
    let peer = meet::meet(&args.partner.remote, way, Command::Ping, voice)
        .await?
        .peer;
    if answers {
        // The channel layer answers by itself.
        return Ok(peer.ended().await?);
    }
    let status = peer.status();
    let mut measured = Measured {
        round_trips: Vec::new(),
        as_json: args.partner.remote.json,
    };
    let mut pace = tokio::time::interval(Duration::from_millis(args.interval.max(1)));
    for number in 1..=args.count {
        pace.tick().await;
        let round_trip = peer.ping().await?;
        let path = path(&status.borrow());
        measured.round_trips.push((path.clone(), round_trip));
        if args.partner.remote.json {
            let rtt = micros(round_trip);
            out_json(&json!({"event": "pong", "seq": number, "rtt_us": rtt, "path": path}))?;
        } else {
            out(&format!(
                "{number}: {:.3} ms over {path}",
                millis(round_trip)
            ))?;
        }
    }
    measured.summarise()?;
    peer.close().await?;
    Ok(())
}

/// What was measured so far. Its summary is also said if the command ends early, by Ctrl-C or with the
/// connection.
struct Measured {
    /// Each with the path that was in use when it was over.
    round_trips: Vec<(String, Duration)>,
    as_json: bool,
}

impl Drop for Measured {
    fn drop(&mut self) {
        // Whoever does not read any more is told by the end of the command.
        let _ = self.summarise();
    }
}

impl Measured {
    /// Sums up all round trips, and those of each path if there were several.
    fn summarise(&mut self) -> anyhow::Result<()> {
        let measured = std::mem::take(&mut self.round_trips);
        let mut paths: Vec<&str> = Vec::new();
        for (path, _) in &measured {
            if !paths.contains(&path.as_str()) {
                paths.push(path);
            }
        }
        let of = |path: Option<&str>| {
            let of_path = measured
                .iter()
                .filter(|(it, _)| path.is_none_or(|path| it == path));
            Summary::of(of_path.map(|(_, round_trip)| *round_trip).collect())
        };
        let Some(all) = of(None) else {
            return Ok(());
        };
        let each = paths
            .iter()
            .filter_map(|path| Some((*path, of(Some(path))?)));
        if self.as_json {
            let mut event = all.json();
            event["event"] = "summary".into();
            event["paths"] = each
                .map(|(path, it)| (path.to_owned(), it.json()))
                .collect();
            return out_json(&event);
        }
        if paths.len() > 1 {
            for (path, summary) in each {
                out(&format!("over {path}: {summary}"))?;
            }
        }
        out(&all.to_string())
    }
}

/// The distribution of some round trips.
struct Summary {
    count: usize,
    min: Duration,
    mean: Duration,
    median: Duration,
    p99: Duration,
    max: Duration,
}

impl Summary {
    fn of(mut round_trips: Vec<Duration>) -> Option<Self> {
        round_trips.sort_unstable();
        let count = u32::try_from(round_trips.len()).unwrap_or(u32::MAX);
        let mean = round_trips.iter().sum::<Duration>().checked_div(count)?;
        let at = |percent| rank(&round_trips, percent);
        Some(Self {
            count: round_trips.len(),
            min: at(0),
            mean,
            median: at(50),
            p99: at(99),
            max: at(100),
        })
    }

    fn json(&self) -> Value {
        json!({
            "count": self.count, "min_us": micros(self.min), "mean_us": micros(self.mean),
            "p50_us": micros(self.median), "p99_us": micros(self.p99), "max_us": micros(self.max),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: min {:.3}, mean {:.3}, median {:.3}, p99 {:.3}, max {:.3} ms",
            self.count,
            if self.count == 1 {
                "round trip"
            } else {
                "round trips"
            },
            millis(self.min),
            millis(self.mean),
            millis(self.median),
            millis(self.p99),
            millis(self.max)
        )
    }
}

/// The smallest value that at least `percent` of all values do not exceed: the nearest rank. Of a few values
/// the 99th percentile is the largest.
fn rank(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn micros(duration: Duration) -> u128 {
    duration.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_of_a_few_values_is_no_smaller_value() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        for (len, percent, expected) in [
            (4, 99, 4),
            (4, 50, 2),
            (4, 0, 1),
            (1, 50, 1),
            (100, 99, 99),
            (200, 99, 198),
            (200, 100, 200),
        ] {
            let found = rank(&sorted[..len], percent);
            assert_eq!(found.as_millis(), expected, "{percent} % of {len}");
        }
        assert_eq!(rank(&[], 50), Duration::ZERO);
    }

    #[test]
    fn nothing_measured_has_no_summary() {
        assert!(Summary::of(Vec::new()).is_none());
        let one = Summary::of(vec![Duration::from_millis(3)]).unwrap();
        assert_eq!((one.count, one.min, one.max), (1, one.mean, one.median));
        assert!(
            one.to_string().starts_with("1 round trip: min 3.000, "),
            "{one}"
        );
    }
}
