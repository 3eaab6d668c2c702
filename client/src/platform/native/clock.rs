//! Time, by tokio's clock: tests may pause it; and the notice of sleep, by the system's.

use std::time::Duration;

use peersox_core::time::Moment;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// A clock that begins at zero and never goes back.
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::from_origin(self.origin.elapsed())
    }

    /// Waits until then. Cancelling it loses nothing.
    pub(crate) fn sleep_until(&self, moment: Moment) -> impl Future<Output = ()> + use<> {
        let until = self.origin + moment.since_origin();
        async move {
            match moment {
                Moment::NEVER => std::future::pending().await,
                _ => tokio::time::sleep_until(until).await,
            }
        }
    }
}

/// Tells that the program was asleep: the machine was suspended, or the process was stopped. A program that
/// knows more calls [`Peer::wake`](crate::Peer::wake).
///
/// Timers stand still while the machine is suspended, so a look at the clock is due every second, and the
/// time between two looks is measured by a clock that goes on meanwhile.
pub(crate) struct Wakes {
    looks: Interval,
    looked: Duration,
}

impl Wakes {
    pub(crate) fn watch() -> Self {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            looks,
            looked: awake_or_not(),
        }
    }

    /// The next time that the program wakes up: for how long it slept. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Duration {
        loop {
            self.looks.tick().await;
            let now = awake_or_not();
            let before = std::mem::replace(&mut self.looked, now);
            let slept = now.saturating_sub(before).saturating_sub(LOOK);
            if slept >= ASLEEP {
                return slept;
            }
        }
    }
}

/// The time since the machine started, its sleep included.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn awake_or_not() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (secs, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(secs.unwrap_or(0), nanos.unwrap_or(0))
}

/// The time of day. A clock that is set forward looks like sleep, which costs one Ping; one that is set back
/// hides sleep until the next look.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn awake_or_not() -> Duration {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// The time between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);

/// A look that is so late was late because the program slept. A busy machine delays it less.
const ASLEEP: Duration = Duration::from_secs(2);
