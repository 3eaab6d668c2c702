use super::*;

/// Seeds that once found a mistake, or that turn red when a rule is broken: Replaced by one's own leg, also
/// late; keepalive as asked; RetryInfo forgotten, or for some calls; handshakes that cross; a due record
/// without room; the last word forgotten while there was no path.
const REGRESSIONS: &[u64] = &[
    2, 3, 5, 7, 8, 9, 11, 12, 16, 20, 24, 31, 37, 96, 116, 129, 141, 152, 172, 206, 215, 216, 252,
    253, 302, 306, 307, 518, 549, 614, 618, 623, 671, 5463, 7998, 8936,
];

#[test]
fn nothing_is_lost_doubled_or_reordered_whatever_the_network_does() {
    let runs = std::env::var("PEERSOX_SIM_RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok());
    let runs: u64 = runs.unwrap_or(10_000);
    let first: u64 = std::env::var("PEERSOX_SIM_SEED")
        .ok()
        .map_or(0, |seed| seed.parse().unwrap());
    let lives = |seeds: &mut dyn Iterator<Item = u64>| {
        let mut sum = [0; 10];
        for seed in seeds {
            let outcome = World::new(seed).run();
            let outcome = outcome.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
            for (total, count) in sum.iter_mut().zip(counts(&outcome)) {
                *total += count;
            }
        }
        sum
    };
    lives(&mut REGRESSIONS.iter().copied());
    let halves = std::thread::scope(|scope| {
        let half = |odd: u64| {
            scope.spawn(move || lives(&mut (first..first + runs).filter(|seed| seed % 2 == odd)))
        };
        [half(0), half(1)].map(|half| {
            half.join()
                .unwrap_or_else(|wrong| std::panic::resume_unwind(wrong))
        })
    });
    let [even, odd] = halves;
    let sums: [u64; 10] = std::array::from_fn(|index| even[index] + odd[index]);
    let named: Vec<_> = NAMES.iter().zip(sums).collect();
    println!("{runs} worlds: {named:?}");
    for (name, sum) in named {
        assert!(sum > 0 || runs < 100, "no world had {name}: too kind");
    }
}

#[test]
fn a_pair_whose_relay_is_drained_is_never_without_a_path() {
    let (mut drained, runs) = (0, 2_000);
    for seed in 0..runs {
        let outcome = World::moving(seed).run();
        let outcome = outcome.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        assert_eq!(
            (outcome.gaps, outcome.lost),
            (0, 0),
            "seed {seed}: {outcome:?}"
        );
        drained += outcome.drains;
    }
    assert!(drained > runs / 2, "{drained} of {runs} moved");
}

/// Altered ones are found out by their seal: the worlds above forge.
#[test]
fn a_relay_that_loses_doubles_and_reorders_signals_costs_a_direct_path_and_nothing_else() {
    let (runs, mut direct, mut kinder) = (400, 0, 0);
    for seed in 0..runs {
        let outcome = World::meddling(seed).run();
        let outcome = outcome.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        direct += outcome.direct;
        kinder += World::new(seed).run().unwrap().direct;
    }
    assert!(direct > 0 && direct < kinder, "{direct} of {kinder}");
}

const NAMES: [&str; 10] = [
    "steps",
    "items replayed",
    "duplicates dropped",
    "gaps healed",
    "frames refused",
    "legs lost",
    "direct connections",
    "drains",
    "requests to wait",
    "first attempts repeated",
];

fn counts(outcome: &Outcome) -> [u64; 10] {
    [
        outcome.steps,
        outcome.stats.replayed,
        outcome.stats.duplicates,
        outcome.stats.gaps,
        outcome.refused,
        outcome.lost,
        outcome.direct,
        outcome.drains,
        outcome.retries,
        outcome.again,
    ]
}

#[test]
fn the_vectors_of_the_endpoint_are_what_the_worlds_give() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/vectors/endpoint.json"
    );
    let written = std::fs::read_to_string(path).expect("tests/vectors/endpoint.json is there");
    let fresh = replay::file().unwrap();
    let differs = written.lines().zip(fresh.lines()).find(|(a, b)| a != b);
    assert_eq!(differs, None, "write it anew: see CONTRIBUTING.md");
    assert_eq!(written.len(), fresh.len());
    assert!(
        written.len() < 600_000,
        "the file is {} bytes",
        written.len()
    );
}

#[test]
fn the_vectors_of_the_endpoint_give_the_same_again() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/vectors/endpoint.json"
    );
    let written = std::fs::read_to_string(path).expect("tests/vectors/endpoint.json is there");
    let file: serde_json::Value = serde_json::from_str(&written).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 8);
    for vector in vectors {
        replay::replay(vector).unwrap_or_else(|wrong| panic!("seed {}: {wrong}", vector["seed"]));
    }
}
