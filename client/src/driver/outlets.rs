//! Where a driver tells what happens.

use peersox_core::connect::Kind;
use peersox_core::direct::{Carrier, Why};
use tokio::sync::{broadcast, watch};

use super::Verdict;
use crate::event::{Event, Presence, Secured, Status};

/// See the module.
pub(crate) struct Outlets {
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) secured: watch::Sender<Option<Secured>>,
    pub(crate) end: watch::Sender<Option<Verdict>>,
    /// Whether there ever was a leg.
    pub(crate) attached: watch::Sender<bool>,
}

impl Outlets {
    /// Notes what this changes, then tells it.
    pub(super) fn tell(&self, event: Event) {
        tracing::debug!(?event, "peer");
        self.status.send_if_modified(|status| {
            let before = *status;
            note(status, &event);
            *status != before
        });
        if matches!(event, Event::Attached { .. }) {
            self.attached.send_replace(true);
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    /// Nothing is left but what does not change any more.
    pub(super) fn over(&self) {
        self.status.send_modify(|status| {
            *status = Status {
                code_used: status.code_used,
                ..Status::default()
            };
        });
    }

    /// Notes what carries the direct path that messages take, or why they take none.
    pub(super) fn path(&self, kind: Option<Kind>, why: Why, carrier: Option<Carrier>) {
        let why = (kind == Some(Kind::Relay)).then_some(why);
        self.status.send_if_modified(|status| {
            let before = (status.why_relayed, status.carrier);
            (status.why_relayed, status.carrier) = (why, carrier);
            before != (why, carrier)
        });
    }

    /// Notes where the other peer is.
    pub(super) fn presence(&self, presence: Presence) {
        self.status.send_if_modified(|status| {
            std::mem::replace(&mut status.presence, presence) != presence
        });
    }
}

fn note(status: &mut Status, event: &Event) {
    match event {
        Event::Attached { transport, .. } => status.leg = Some(*transport),
        Event::LegLost { .. } => {
            status.leg = None;
            status.presence = Presence::Absent;
        }
        Event::PeerOnline => status.presence = Presence::Online,
        Event::PeerAway { .. } => status.presence = Presence::Away,
        Event::Path(kind) => {
            status.path = *kind;
            status.connected &= kind.is_some();
        }
        Event::Connected => status.connected = true,
        Event::CodeUsed => status.code_used = true,
        Event::AttemptFailed { .. }
        | Event::Secured { .. }
        | Event::PeerRestarted
        | Event::Draining
        | Event::DirectFailed(_)
        | Event::DatagramsDropped(_) => {}
    }
}
