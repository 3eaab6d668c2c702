//! `peersox ping`: how long it takes to the other device and back, through everything in between.

use std::time::Duration;

use serde_json::json;

use crate::args::Ping;
use crate::meet::{self, Way};
use crate::terminal::{Voice, path};

pub(crate) async fn run(args: Ping) -> anyhow::Result<()> {
    let voice = Voice::new(args.partner.remote.json);
    let way = Way::with(&args.partner);
    // Whoever shows the code answers. Of two saved devices each measures, and answers beside.
    let answers = matches!(way, Way::Show(_));
    let peer = meet::meet(&args.partner.remote, way, "ping", voice)
        .await?
        .peer;
    if answers {
        // The channel layer answers by itself.
        return Ok(peer.ended().await?);
    }
    let status = peer.status();
    let mut round_trips = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_millis(args.interval.max(1)));
    for number in 1..=args.count {
        pace.tick().await;
        let round_trip = peer.ping().await?;
        let leg = status.borrow().leg;
        round_trips.push(round_trip);
        if args.partner.remote.json {
            println!(
                "{}",
                json!({"event": "pong", "seq": number, "rtt_us": micros(round_trip)})
            );
        } else {
            println!("{number}: {:.3} ms over {}", millis(round_trip), path(leg));
        }
    }
    summarise(&mut round_trips, args.partner.remote.json);
    peer.close().await?;
    Ok(())
}

fn summarise(round_trips: &mut [Duration], as_json: bool) {
    round_trips.sort_unstable();
    let at = |percent: usize| round_trips[(round_trips.len() - 1) * percent / 100];
    let count = u32::try_from(round_trips.len()).unwrap_or(u32::MAX);
    let mean = round_trips.iter().sum::<Duration>() / count;
    let (min, median, p99, max) = (at(0), at(50), at(99), at(100));
    if as_json {
        println!(
            "{}",
            json!({"event": "summary", "count": count, "min_us": micros(min), "mean_us": micros(mean),
                   "p50_us": micros(median), "p99_us": micros(p99), "max_us": micros(max)})
        );
    } else {
        println!(
            "{count} round trips: min {:.3}, mean {:.3}, median {:.3}, p99 {:.3}, max {:.3} ms",
            millis(min),
            millis(mean),
            millis(median),
            millis(p99),
            millis(max)
        );
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn micros(duration: Duration) -> u128 {
    duration.as_micros()
}
