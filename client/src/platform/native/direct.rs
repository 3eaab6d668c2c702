//! Direct paths, which native programs do not have yet. The driver is ready for them.

use peersox_core::direct::Mode;
use peersox_core::endpoint::Action;
use peersox_core::frame::Frame;
use peersox_proto::v1::IceServer;

use crate::platform::DirectNews;

/// The connections of direct paths, each named by its attempt.
pub(crate) struct Direct;

impl Direct {
    /// The rules ask for no direct path.
    pub(crate) const MODE: Mode = Mode::Off;

    pub(crate) fn new() -> Self {
        Self
    }

    /// Does one of `Make`, `Offer`, `Accept`, `Answer`, `Add` and `Drop`.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a platform with direct paths takes descriptions out of it"
    )]
    pub(crate) fn obey(&mut self, action: Action, _servers: &[IceServer]) {
        tracing::warn!(?action, "there are no direct paths here");
    }

    /// The attempts whose connection takes frames.
    pub(crate) fn open(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Whether [`Direct::send`] may be called. If not, [`Direct::next`] tells when it may.
    pub(crate) fn has_room(&mut self, _attempt: u64) -> bool {
        false
    }

    /// Sends a frame; the caller has made sure that there is room.
    pub(crate) fn send(&mut self, _attempt: u64, _frame: Frame) {}

    /// Waits for news of any connection. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> (u64, DirectNews) {
        std::future::pending().await
    }
}
