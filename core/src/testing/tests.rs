use super::*;

/// Seeds that once found a mistake.
const REGRESSIONS: &[u64] = &[24, 31, 37, 96, 116, 129, 172, 216, 253, 306, 518];

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
