//! How long nameplates are, and how many may be tried, so that guessing stays hopeless.
//!
//! Two things can happen to a code by guesses at nameplates. It is *burnt* if a stranger joins it:
//! then the right device is told that there is no such code. It is *opened* if the stranger knows
//! the secret words, too. Each try hits a given code of `d` digits once in `10^d`, and opens it
//! once in `10^d * 2^bits`. With `life` for the longest life of a code:
//!
//! ```text
//! burnt   tries at d digits in a life / 10^d                        <= 0.9 %    a given code, in its life
//! opened  sum over tries of (sum over waiting codes of 2^-bits) / 10^d <= 10^-4    any code at all, in a day
//! ```
//!
//! Two rules see to it. The *hard* one is a budget of failed tries for each length: a try costs the
//! larger of its two shares, and what a length may spend flows back steadily. Its last quarter is
//! for addresses that have not failed before. The *soft* one keeps the budget from being needed:
//! a new code is so long that the tries to be expected, those of late or a usual number, leave most
//! of its budget. Where codes are guessed at, new ones are longer, and the leases of those whose
//! budget is spent are not renewed, so that their creators show longer ones.
//!
//! Who waits is told now and then by a [`Census`]; what is created in between is added at once, so
//! that the risk is overrated rather than underrated.

use std::time::Duration;

use super::Digits;
use crate::time::Timestamp;

/// What is known of the codes that wait and the guesses at them.
#[derive(Clone, Debug)]
pub struct Odds {
    minimum: Digits,
    life: Duration,
    waiting: Census,
    /// What was created since the present census began.
    fresh: Census,
    spent: [Spent; LENGTHS],
    /// Failed tries of late, at all lengths.
    recent: Recent,
}

impl Odds {
    /// Nothing waits, and nobody has guessed. Codes have at least `minimum` digits and live `life`
    /// at most.
    #[must_use]
    pub fn new(minimum: Digits, life: Duration) -> Self {
        Self {
            minimum,
            life: life.max(Duration::from_secs(1)),
            waiting: Census::default(),
            fresh: Census::default(),
            spent: [Spent::default(); LENGTHS],
            recent: Recent::default(),
        }
    }

    /// How many digits a new code gets whose words are so hard to guess, in bits.
    ///
    /// Nothing if there are too many codes without words already: even with the most digits, the
    /// tries of a usual day could open one of them.
    #[must_use]
    pub fn digits(&self, secret_bits: u32, now: Timestamp) -> Option<Digits> {
        let usual = USUAL_TRIES * self.lives_per_day().recip();
        let tries = usual.max(2.0 * self.recent.per_second(now) * self.life.as_secs_f64());
        let fits = |digits: Digits, tries: f64| {
            let [count, weight] = self.waiting.of(digits);
            let room = (count + 1.0) * CROWD <= numbers(digits);
            let cost = self.cost(digits, weight + weight_of(secret_bits));
            room && tries * cost <= FLOW
        };
        let calm = |digits: Digits| self.spent_at(digits, now) <= BURST / 2.0;
        let fit = Digits::all()
            .filter(|digits| *digits >= self.minimum)
            .find(|digits| calm(*digits) && fits(*digits, tries));
        fit.or_else(|| Some(Digits::MAX).filter(|most| fits(*most, usual)))
    }

    /// A code begins to wait.
    pub fn created(&mut self, digits: Digits, secret_bits: u32) {
        self.waiting.add(digits, secret_bits);
        self.fresh.add(digits, secret_bits);
    }

    /// Somebody begins to count who waits.
    pub fn begin_census(&mut self) {
        self.fresh = Census::default();
    }

    /// Who was found to wait, since [`Odds::begin_census`].
    pub fn census(&mut self, mut found: Census) {
        found.merge(&self.fresh);
        self.waiting = found;
    }

    /// Somebody tries a nameplate of so many digits. It counts as failed unless it is
    /// [forgiven](Odds::forgive). `is_clean`: nobody near that address has failed before.
    ///
    /// # Errors
    /// How long to wait, if the budget of this length is spent.
    pub fn attempt(
        &mut self,
        digits: Digits,
        is_clean: bool,
        now: Timestamp,
    ) -> Result<Attempt, Duration> {
        let [_, weight] = self.waiting.of(digits);
        let cost = self.cost(digits, weight);
        let most = if is_clean { BURST } else { BURST - RESERVED };
        let per_second = FLOW / self.life.as_secs_f64();
        let spent = self.spent_at(digits, now);
        let over = spent + cost - most;
        // Sums of fractions come out a little large; without this, a caller who waits exactly as long
        // as told could be refused again.
        if over > 1e-9 {
            let wait = Duration::try_from_secs_f64(over / per_second);
            // The calendar counts whole milliseconds.
            let millisecond = Duration::from_millis(1);
            return Err(wait.map_or(Duration::MAX, |it| it.saturating_add(millisecond)));
        }
        let slot = &mut self.spent[index(digits)];
        slot.share = spent + cost;
        slot.at = slot.at.max(now);
        self.recent.add(1.0, now);
        Ok(Attempt {
            digits,
            cost,
            is_clean,
            now,
        })
    }

    /// What a try costs, and how much may be spent at once, both as the time in which so much flows back:
    /// for a budget that several servers share.
    #[must_use]
    pub fn price(&self, attempt: &Attempt) -> Price {
        let per_second = FLOW / self.life.as_secs_f64();
        let time = |share: f64| Duration::try_from_secs_f64(share / per_second);
        let most = if attempt.is_clean {
            BURST
        } else {
            BURST - RESERVED
        };
        Price {
            cost: time(attempt.cost).unwrap_or(Duration::MAX),
            most: time(most).unwrap_or(Duration::MAX),
        }
    }

    /// All servers together have spent so much of a length, as the time in which it flows back.
    pub fn all_spent(&mut self, digits: Digits, spent: Duration, now: Timestamp) {
        let share = spent.as_secs_f64() * FLOW / self.life.as_secs_f64();
        let mine = self.spent_at(digits, now);
        let slot = &mut self.spent[index(digits)];
        slot.share = mine.max(share);
        slot.at = slot.at.max(now);
    }

    /// A try was no failed guess: it found a code, or could not be carried out.
    // By value, since it is forgiven once.
    #[allow(clippy::needless_pass_by_value)]
    pub fn forgive(&mut self, attempt: Attempt) {
        let slot = &mut self.spent[index(attempt.digits)];
        slot.share = (slot.share - attempt.cost).max(0.0);
        self.recent.add(-1.0, attempt.now);
    }

    /// The lengths whose codes are guessed at so much that only clean addresses can join them. Their
    /// leases are not to be renewed.
    #[must_use]
    pub fn worn_out(&self, now: Timestamp) -> Lengths {
        let worn = |digits: &Digits| self.spent_at(*digits, now) > 0.95 * (BURST - RESERVED);
        let worn = Digits::all().filter(worn);
        Lengths(worn.fold(0, |set, digits| set | 1 << index(digits)))
    }

    /// Which share of what a length may spend one try costs, if the words of those who wait there
    /// weigh so much.
    fn cost(&self, digits: Digits, weight: f64) -> f64 {
        let burnt = 1.0 / (BURNT * numbers(digits));
        let opened = weight / (OPENED / self.lives_per_day().max(1.0) * numbers(digits));
        burnt.max(opened)
    }

    fn spent_at(&self, digits: Digits, now: Timestamp) -> f64 {
        let spent = self.spent[index(digits)];
        let since = now.saturating_since(spent.at).as_secs_f64();
        (spent.share - since * FLOW / self.life.as_secs_f64()).max(0.0)
    }

    fn lives_per_day(&self) -> f64 {
        DAY / self.life.as_secs_f64()
    }
}

/// A try that has begun. Dropped, it counts as failed.
#[derive(Debug)]
#[must_use]
pub struct Attempt {
    digits: Digits,
    cost: f64,
    is_clean: bool,
    now: Timestamp,
}

/// What a try costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// What it adds to what is spent.
    pub cost: Duration,
    /// What may be spent.
    pub most: Duration,
}

impl Price {
    /// That of asking what is spent.
    pub const NOTHING: Self = Self {
        cost: Duration::ZERO,
        most: Duration::MAX,
    };
}

/// How many codes wait of each length, and how easily their words are guessed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census([[f64; 2]; LENGTHS]);

impl Census {
    /// One more waits, whose words are so hard to guess, in bits.
    pub fn add(&mut self, digits: Digits, secret_bits: u32) {
        self.add_many(digits, secret_bits, 1);
    }

    /// The same for so many.
    pub fn add_many(&mut self, digits: Digits, secret_bits: u32, many: u32) {
        let [count, weight] = &mut self.0[index(digits)];
        *count += f64::from(many);
        *weight += weight_of(secret_bits) * f64::from(many);
    }

    fn merge(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(&other.0) {
            mine[0] += others[0];
            mine[1] += others[1];
        }
    }

    fn of(&self, digits: Digits) -> [f64; 2] {
        self.0[index(digits)]
    }
}

/// A set of lengths of nameplates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths(u16);

impl Lengths {
    /// Whether a length is one of them.
    #[must_use]
    pub fn contains(self, digits: Digits) -> bool {
        self.0 >> index(digits) & 1 == 1
    }
}

/// Which share of its budget a length has spent, and when that was so.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    share: f64,
    at: Timestamp,
}

/// Counts events, and forgets them with a half-life of some minutes.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    count: f64,
    at: Timestamp,
}

impl Recent {
    fn add(&mut self, count: f64, now: Timestamp) {
        self.count = (self.count_at(now) + count).max(0.0);
        self.at = self.at.max(now);
    }

    fn count_at(&self, now: Timestamp) -> f64 {
        let age = now.saturating_since(self.at).as_secs_f64();
        self.count * (-age / MEMORY).exp()
    }

    fn per_second(&self, now: Timestamp) -> f64 {
        self.count_at(now) / MEMORY
    }
}

fn index(digits: Digits) -> usize {
    usize::from(digits.count() - Digits::MIN.count())
}

/// How many nameplates there are of a length.
fn numbers(digits: Digits) -> f64 {
    10f64.powi(digits.count().into())
}

fn weight_of(secret_bits: u32) -> f64 {
    0.5f64.powi(i32::try_from(secret_bits).unwrap_or(i32::MAX))
}

const LENGTHS: usize = (Digits::MAX.0 - Digits::MIN.0) as usize + 1;
const DAY: f64 = 24.0 * 60.0 * 60.0;
/// Seconds over which failed tries are averaged.
const MEMORY: f64 = 600.0;
/// Failed tries of all the world in a day when nobody guesses: slips of the finger.
const USUAL_TRIES: f64 = 5_000.0;
/// The chance of one given code to be burnt in its life, if its length's budget were spent once.
const BURNT: f64 = 0.01;
/// The chance of any code of one length to be opened in a day, likewise. Nine lengths together stay
/// below 10^-4.
const OPENED: f64 = 1e-5;
/// What may be spent at once, and what flows in during one life: together less than one budget.
const BURST: f64 = 0.2;
const FLOW: f64 = 0.7;
/// What of the burst is kept for addresses that have not failed before.
const RESERVED: f64 = BURST / 4.0;
/// How many nameplates there are for each one that waits, so that a slip of the finger rarely hits
/// somebody else's code.
const CROWD: f64 = 1_000.0;

#[cfg(test)]
mod tests;
