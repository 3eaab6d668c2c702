//! The odds, against a plain count of what was tried.

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn digits(count: u8) -> Digits {
    Digits::new(count).unwrap()
}

fn odds() -> Odds {
    Odds::new(Digits::default(), A_DAY)
}

/// Tries until the answer is no, and says how often.
fn exhaust(odds: &mut Odds, count: u8, is_clean: bool, now: Timestamp) -> u64 {
    let mut tried = 0;
    while odds.attempt(digits(count), is_clean, now).is_ok() {
        tried += 1;
    }
    tried
}

#[test]
fn a_calm_server_gives_short_codes() {
    let mut odds = odds();
    for (bits, count) in [(160, 6), (20, 6), (10, 6), (9, 7), (1, 9), (0, 9)] {
        assert_eq!(odds.digits(bits, START), Some(digits(count)), "{bits} bits");
    }
    for _ in 0..500 {
        let given = odds.digits(20, START).unwrap();
        assert_eq!(given, digits(6));
        odds.created(given, 20);
    }
}

#[test]
fn codes_grow_with_those_that_wait() {
    let mut odds = odds();
    let mut given = Vec::new();
    for _ in 0..20_000 {
        let length = odds.digits(20, START).unwrap();
        odds.created(length, 20);
        given.push(length.count());
    }
    assert_eq!((given[0], given[999], given[1_000]), (6, 6, 7));
    assert_eq!(given.last(), Some(&8));
    odds.begin_census();
    odds.census(Census::default());
    assert_eq!(odds.digits(20, START), Some(digits(6)), "and shrink again");
}

#[test]
fn what_is_created_during_a_census_is_counted() {
    let mut odds = odds();
    odds.begin_census();
    odds.created(digits(9), 0);
    odds.census(Census::default());
    assert_eq!(odds.digits(0, START), Some(digits(10)));
}

#[test]
fn codes_grow_with_guesses_before_a_budget_is_spent() {
    let mut odds = odds();
    let mut now = START;
    let mut longest = 0;
    // 50 tries a second for ten minutes, wherever there are codes.
    for _ in 0..600 {
        let length = odds.digits(20, now).unwrap();
        longest = longest.max(length.count());
        for _ in 0..50 {
            odds.attempt(length, false, now).map(drop).unwrap();
        }
        now = now + Duration::from_secs(1);
    }
    assert_eq!(longest, 9);
    assert!(!odds.worn_out(now).contains(digits(9)));
    now = now + A_DAY;
    assert_eq!(odds.digits(20, now), Some(digits(6)), "when it is over");
}

#[test]
fn a_shorter_life_allows_shorter_codes() {
    let minute = Duration::from_secs(130);
    let odds = Odds::new(digits(4), minute);
    assert_eq!(odds.digits(20, START), Some(digits(4)));
    assert_eq!(
        Odds::new(digits(4), A_DAY).digits(20, START),
        Some(digits(6))
    );
    assert_eq!(
        Odds::new(digits(8), minute).digits(20, START),
        Some(digits(8))
    );
}

#[test]
fn the_last_quarter_is_for_those_who_have_not_failed() {
    let mut odds = odds();
    assert_eq!(exhaust(&mut odds, 6, false, START), 1_500);
    assert!(odds.worn_out(START).contains(digits(6)));
    assert!(!odds.worn_out(START).contains(digits(7)));
    assert_eq!(exhaust(&mut odds, 6, true, START), 500);
    assert!(
        exhaust(&mut odds, 7, false, START) > 10_000,
        "another length"
    );
    let wait = odds.attempt(digits(6), true, START).unwrap_err();
    // 7,000 flow in each day.
    assert_eq!(wait.as_secs_f64().round(), 12.0);
    assert!(odds.attempt(digits(6), true, START + wait).is_ok());
}

#[test]
fn who_is_forgiven_has_spent_nothing() {
    let mut odds = odds();
    for _ in 0..10_000 {
        let attempt = odds.attempt(digits(6), false, START).unwrap();
        odds.forgive(attempt);
    }
    assert_eq!(odds.digits(20, START), Some(digits(6)));
}

#[test]
fn too_many_codes_without_words_are_refused_and_not_opened() {
    let mut odds = odds();
    let mut given = 0;
    while let Some(length) = odds.digits(0, START) {
        odds.created(length, 0);
        given += 1;
    }
    assert!((1_000..2_000).contains(&given), "{given}");
    assert_eq!(
        odds.digits(20, START),
        Some(digits(6)),
        "with words there is room"
    );
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// So many codes with so many bits.
    Create(u32, u32),
    /// So many tries at a length.
    Guess(u8, bool, u64),
    /// All codes are joined or expire.
    Empty,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let bits = prop::sample::select(vec![0u32, 1, 10, 20, 160]);
    prop_oneof![
        3 => (1u32..200, bits).prop_map(|(n, bits)| Step::Create(n, bits)),
        6 => (4u8..=12, any::<bool>(), 1u64..5_000).prop_map(|(at, clean, n)| Step::Guess(at, clean, n)),
        1 => Just(Step::Empty),
        3 => (0u64..200_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is created and tried, in whatever order: within any life of a code no length is tried
    /// more often than 0.9 % of its nameplates, and within any day what could have been opened is less
    /// than one code in ten thousand days.
    #[test]
    fn the_odds_hold(
        steps in prop::collection::vec(step(), 1..80),
        minimum in 4u8..=6,
        life in prop::sample::select(vec![130u64, 3_600, 86_400, 604_800]),
    ) {
        let mut odds = Odds::new(digits(minimum), Duration::from_secs(life));
        let mut clock = 0;
        // What waits, by length: the exact sum of the chances that a hit opens a code.
        let mut open = [0f64; 13];
        let mut tries: Vec<(u64, u8, f64, f64)> = Vec::new();
        for step in steps {
            let now = START + Duration::from_secs(clock);
            match step {
                Step::Create(count, bits) => for _ in 0..count {
                    let Some(length) = odds.digits(bits, now) else { break };
                    prop_assert!(length.count() >= minimum);
                    odds.created(length, bits);
                    open[usize::from(length.count())] += 0.5f64.powf(bits.into());
                }
                Step::Guess(length, is_clean, count) => {
                    let mut granted = 0u32;
                    for _ in 0..count {
                        if odds.attempt(digits(length), is_clean, now).is_err() { break }
                        granted += 1;
                    }
                    let hit = f64::from(granted) / 10f64.powi(length.into());
                    tries.push((clock, length, hit, hit * open[usize::from(length)]));
                }
                Step::Empty => {
                    odds.begin_census();
                    odds.census(Census::default());
                    open = [0.0; 13];
                }
                Step::Pass(seconds) => clock += seconds,
            }
        }
        for (start, ..) in &tries {
            for length in 4..=12u8 {
                let within = |it: &&(u64, u8, f64, f64)| {
                    (*start..start + life).contains(&it.0) && it.1 == length
                };
                let burnt: f64 = tries.iter().filter(within).map(|it| it.2).sum();
                prop_assert!(burnt <= 0.009 + 1e-9, "{burnt} at {length} digits");
            }
            let within = |it: &&(u64, u8, f64, f64)| (*start..start + 86_400).contains(&it.0);
            let opened: f64 = tries.iter().filter(within).map(|it| it.3).sum();
            prop_assert!(opened <= 1e-4, "{opened}");
        }
    }
}
