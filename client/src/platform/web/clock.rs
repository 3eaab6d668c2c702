//! Time, by the page's clock, and what the page tells of sleep.

use std::time::Duration;

use peersox_core::time::Moment;
use peersox_web::time::{self, sleep};

/// The clock of the page: it begins at zero when the page does, and never goes back.
pub(crate) struct Clock;

impl Clock {
    pub(crate) fn start() -> Self {
        Self
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::from_origin(Duration::from_secs_f64(time::now() / 1e3))
    }

    /// Waits until then. Cancelling it loses nothing.
    pub(crate) fn sleep_until(&self, moment: Moment) -> impl Future<Output = ()> + use<> {
        let left = moment.since_origin();
        let left = left.saturating_sub(self.now().since_origin());
        async move {
            match moment {
                Moment::NEVER => std::future::pending().await,
                _ => sleep(left).await,
            }
        }
    }
}

/// Tells that the page was asleep, is visible again, or has another network.
pub(crate) struct Wakes(peersox_web::wake::Wakes);

impl Wakes {
    pub(crate) fn watch() -> Self {
        Self(peersox_web::wake::Wakes::new())
    }

    /// The next time that the page wakes up: for how long its clock stood still. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Duration {
        self.0.next().await
    }
}
