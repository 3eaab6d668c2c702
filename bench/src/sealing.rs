//! What sealing a record costs on one processor: what natively stands between a message and the wire.

use std::time::{Duration, Instant};

use peersox_core::frame::Lane;
use peersox_core::id::PairingId;
use peersox_core::secure::{HEADROOM, Handshake, MAX_PLAINTEXT, PairingSecret, Transport};
use rand_core::OsRng;
use serde_json::json;

use crate::args::time;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each length has its turn.
    #[arg(long, default_value_t = 9, value_name = "N")]
    rounds: usize,

    /// How long a turn is measured, as in `500ms`.
    #[arg(long, default_value = "500ms", value_name = "TIME", value_parser = time)]
    turn: Duration,
}

/// Seals, and prints a line of JSON for each turn.
///
/// # Errors
/// If two peers with one secret do not come to keys.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    for round in 0..options.rounds {
        for (load, len) in [("64 B", 64), ("largest", MAX_PLAINTEXT)] {
            let each = seal(len, options.turn)?;
            let micros = each * 1e6;
            let rate = len as f64 / each / f64::from(1 << 30);
            let told = json!({"load": load, "round": round, "target": "seal", "us": micros, "gib_s": rate});
            println!("{told}");
        }
    }
    Ok(())
}

/// Seconds for a record.
fn seal(len: usize, turn: Duration) -> anyhow::Result<f64> {
    let mut transport = secured()?;
    let mut record = Vec::new();
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < turn {
        // To look at the clock costs as much as a short record.
        for _ in 0..BATCH {
            // Writing the plaintext is not sealing: the bytes of the last record are sealed again.
            record.resize(HEADROOM + len, 0);
            transport.seal(Lane::Reliable, &mut record)?;
        }
        count += BATCH;
    }
    Ok(begin.elapsed().as_secs_f64() / f64::from(count))
}

fn secured() -> anyhow::Result<Transport> {
    let pairing = PairingId::from_bytes([1; 16]);
    let secret = PairingSecret::from_bytes([2; 32]);
    let first = Handshake::initiate(&pairing, &secret, b"", &mut OsRng);
    let (_, _, second) = Handshake::respond(&first.first(), &pairing, &secret, b"", &mut OsRng)?;
    let (transport, _) = first.finish(&second)?;
    Ok(transport)
}

const BATCH: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_take_time() {
        let each = seal(64, Duration::from_millis(1)).unwrap();
        assert!((1e-8..1e-2).contains(&each), "{each}");
    }
}
