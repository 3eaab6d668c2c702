//! Which packets are lost, and when the others go on.

use std::time::Duration;

use fastrand::Rng;

/// Decides about packets in the order in which they come.
pub(super) struct Judge {
    delay: Duration,
    /// Of one.
    loss: f64,
    rng: Rng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Lost,
    PassAt(Duration),
}

impl Judge {
    pub(super) fn new(delay: Duration, loss: f64, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        Self { delay, loss, rng }
    }

    pub(super) fn judge(&mut self, now: Duration) -> Verdict {
        match self.rng.f64() < self.loss {
            true => Verdict::Lost,
            false => Verdict::PassAt(now + self.delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(loss: f64, seed: u64) -> Vec<Verdict> {
        let mut judge = Judge::new(Duration::from_millis(50), loss, seed);
        (0..100_000)
            .map(|micros| judge.judge(Duration::from_micros(micros)))
            .collect()
    }

    #[test]
    fn so_many_are_lost_and_the_same_ones_again() {
        let all = judged(0.01, 7);
        let lost = all.iter().filter(|it| **it == Verdict::Lost).count();
        assert!((800..1_200).contains(&lost), "{lost}");
        assert_eq!(all, judged(0.01, 7));
        assert_ne!(all, judged(0.01, 8));
        assert!(!judged(0.0, 7).contains(&Verdict::Lost));
    }

    #[test]
    fn nobody_overtakes() {
        let due = |verdict: Verdict| match verdict {
            Verdict::Lost => None,
            Verdict::PassAt(due) => Some(due),
        };
        let dues: Vec<_> = judged(0.01, 7).into_iter().filter_map(due).collect();
        assert!(dues.is_sorted());
        assert_eq!(dues[0], Duration::from_millis(50));
    }
}
