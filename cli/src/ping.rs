//! `peersox ping`: how long it takes to the other device and back, through everything in between.

use std::time::Duration;

use serde_json::json;

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
        measured.round_trips.push(round_trip);
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
    round_trips: Vec<Duration>,
    as_json: bool,
}

impl Drop for Measured {
    fn drop(&mut self) {
        // Whoever does not read any more is told by the end of the command.
        let _ = self.summarise();
    }
}

impl Measured {
    fn summarise(&mut self) -> anyhow::Result<()> {
        let mut round_trips = std::mem::take(&mut self.round_trips);
        if round_trips.is_empty() {
            return Ok(());
        }
        round_trips.sort_unstable();
        let at = |percent| rank(&round_trips, percent);
        let count = u32::try_from(round_trips.len()).unwrap_or(u32::MAX);
        let mean = round_trips.iter().sum::<Duration>() / count.max(1);
        let (min, median, p99, max) = (at(0), at(50), at(99), at(100));
        if self.as_json {
            return out_json(&json!({
                "event": "summary", "count": count, "min_us": micros(min), "mean_us": micros(mean),
                "p50_us": micros(median), "p99_us": micros(p99), "max_us": micros(max),
            }));
        }
        out(&format!(
            "{count} round trips: min {:.3}, mean {:.3}, median {:.3}, p99 {:.3}, max {:.3} ms",
            millis(min),
            millis(mean),
            millis(median),
            millis(p99),
            millis(max)
        ))
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
}
