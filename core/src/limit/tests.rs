//! The promises of buckets; those of shares and rates are in modules of their own.

mod rates;
mod shares;

use super::*;
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: f64) -> Moment {
    Moment::from_origin(Duration::from_secs_f64(seconds))
}

#[test]
fn a_bucket_empties_and_refills() {
    let mut bucket = Bucket::new(Limit::per(20, HOUR), at(0.0));
    for _ in 0..20 {
        assert_eq!(bucket.take(1, at(0.0)), Ok(()));
    }
    let wait = bucket.take(1, at(0.0)).unwrap_err();
    assert_eq!(wait.as_secs_f64().round(), 180.0);
    assert!(bucket.take(1, at(179.0)).is_err());
    assert_eq!(bucket.take(1, at(180.0)), Ok(()));
    assert!(bucket.take(1, at(180.0)).is_err());
    bucket.give_back(1);
    assert_eq!(bucket.take(1, at(180.0)), Ok(()));
}

#[test]
fn what_can_never_be_granted_says_so() {
    let mut bucket = Bucket::new(Limit::per(5, HOUR), at(0.0));
    assert_eq!(bucket.take(6, at(0.0)), Err(Duration::MAX));
    assert_eq!(bucket.take(5, at(0.0)), Ok(()));
    let dry = Limit {
        capacity: 1,
        per_second: 0.0,
    };
    let mut bucket = Bucket::new(dry, at(0.0));
    assert_eq!(bucket.take(1, at(0.0)), Ok(()));
    assert_eq!(bucket.take(1, at(1e9)), Err(Duration::MAX));
}

#[test]
fn a_debt_is_paid_before_anything_is_granted() {
    let mut bucket = Bucket::new(Limit::per(10, Duration::from_secs(10)), at(0.0));
    assert_eq!(bucket.spend(4, at(0.0)), Duration::ZERO);
    assert_eq!(bucket.spend(9, at(0.0)), Duration::from_secs(3));
    assert_eq!(bucket.take(1, at(3.0)), Err(Duration::from_secs(1)));
    assert_eq!(bucket.take(1, at(4.0)), Ok(()));
}

#[test]
fn a_clock_that_jumps_back_gives_nothing_away() {
    let mut bucket = Bucket::new(Limit::per(1, Duration::from_secs(10)), at(100.0));
    assert_eq!(bucket.take(1, at(100.0)), Ok(()));
    assert!(bucket.take(1, at(0.0)).is_err());
    assert!(bucket.take(1, at(105.0)).is_err());
    assert_eq!(bucket.take(1, at(110.0)), Ok(()));
}

#[test]
fn strangers_do_not_push_out_the_record_of_who_overdid_it() {
    let mut buckets = Buckets::new(Limit::per(3, HOUR), 64);
    for _ in 0..3 {
        buckets.take(&u32::MAX, 1, at(0.0)).unwrap();
    }
    for stranger in 0..10_000 {
        buckets.take(&stranger, 1, at(1.0)).unwrap();
        assert!(buckets.len() <= 64);
    }
    assert!(buckets.take(&u32::MAX, 1, at(1.0)).is_err());
}

proptest! {
    #[test]
    fn no_more_is_granted_than_capacity_and_refill(
        capacity in 1u64..100,
        period in 1u64..100,
        steps in prop::collection::vec((0u64..5_000, 1u64..20), 1..200),
    ) {
        let limit = Limit::per(capacity, Duration::from_secs(period));
        let mut bucket = Bucket::new(limit, Moment::default());
        let (mut now, mut granted) = (Moment::default(), 0);
        for (pause, count) in steps {
            now = now + Duration::from_millis(pause);
            match bucket.take(count, now) {
                Ok(()) => granted += count,
                Err(Duration::MAX) => prop_assert!(count > capacity),
                Err(wait) => {
                    prop_assert_eq!(bucket.clone().take(count, now + wait), Ok(()));
                }
            }
            let most = limit.per_second * now.since_origin().as_secs_f64() + capacity as f64;
            prop_assert!(granted as f64 <= most + 0.01, "{} > {}", granted, most);
        }
    }
}
