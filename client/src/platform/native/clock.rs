//! Time, by tokio's clock: tests may pause it.

use peersox_core::time::Moment;
use tokio::time::Instant;

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

/// Tells that the program was asleep. Nothing is noticed by itself here: a program that knows calls
/// [`Peer::wake`](crate::Peer::wake).
pub(crate) struct Wakes;

impl Wakes {
    pub(crate) fn watch() -> Self {
        Self
    }

    /// The next time that the program wakes up: for how long it slept. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> std::time::Duration {
        std::future::pending().await
    }
}
