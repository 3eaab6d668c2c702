use super::*;

/// Seeds that once found a mistake.
const REGRESSIONS: &[u64] = &[
    17, 38, 123, 205, 2146, 3855, 21_151, 40_808, 44_463, 9047, 19_647,
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
        let mut sum = [0; 6];
        for seed in seeds {
            let outcome = World::new(seed).run();
            let outcome = outcome.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
            let stats = outcome.stats;
            let counts = [
                outcome.steps,
                stats.replayed,
                stats.duplicates,
                stats.gaps,
                outcome.refused,
                outcome.given_up,
            ];
            for (total, count) in sum.iter_mut().zip(counts) {
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
    let [steps, replayed, duplicates, gaps, refused, given_up] =
        std::array::from_fn(|index| even[index] + odd[index]);
    println!(
        "{runs} worlds: {steps} steps, {replayed} items replayed, {duplicates} duplicates dropped, \
         {gaps} gaps healed, {refused} frames refused, {given_up} paths given up"
    );
    assert!(
        replayed.min(refused).min(given_up) > 0 || runs < 100,
        "the network was too kind to prove anything"
    );
}
