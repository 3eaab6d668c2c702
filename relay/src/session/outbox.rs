//! What the relay itself has to say on a leg: few notices, each bounded by its kind.

use std::collections::VecDeque;
use std::time::Duration;

use peersox_core::frame::Frame;
use peersox_core::notice::{self, Kind};
use peersox_core::session::{Drain, Notice};
use peersox_proto::v1;
use tokio::time::Instant;

use crate::config::clamp;

/// The notices that wait for one leg, its Welcome first.
#[derive(Debug)]
pub(crate) struct Outbox {
    welcome: Option<v1::Welcome>,
    /// Alternating news about the other peer, at most three.
    presence: VecDeque<Notice>,
    draining: Option<Drain>,
    /// The newest Ping that has no answer yet.
    pong: Option<u64>,
    dropped: u64,
    dropped_not_before: Instant,
}

impl Outbox {
    pub(crate) fn new(welcome: v1::Welcome, now: Instant) -> Self {
        Self {
            welcome: Some(welcome),
            presence: VecDeque::new(),
            draining: None,
            pong: None,
            dropped: 0,
            dropped_not_before: now,
        }
    }

    pub(crate) fn push(&mut self, notice: Notice) {
        match notice {
            Notice::Draining(drain) => self.draining = Some(drain),
            Notice::PeerOnline | Notice::PeerAway(_) => {
                // Away and online again, unsent, says all that another round would say.
                let repeats = self.presence.len() == 3
                    || (self.presence.len() == 2 && self.presence[1] == Notice::PeerOnline);
                if repeats && notice != Notice::PeerOnline {
                    self.presence.pop_back();
                } else {
                    self.presence.push_back(notice);
                }
            }
        }
    }

    pub(crate) fn pong(&mut self, nonce: u64) {
        self.pong = Some(nonce);
    }

    pub(crate) fn dropped(&mut self, count: u64) {
        self.dropped += count;
    }

    /// Whether a notice waits that frames of the other peer must not overtake.
    pub(crate) fn has_news(&self) -> bool {
        self.welcome.is_some() || !self.presence.is_empty() || self.draining.is_some()
    }

    /// When the next notice that is held back is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.dropped > 0).then_some(self.dropped_not_before)
    }

    /// The next notice to send, if any is due.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Frame> {
        let kind = if let Some(welcome) = self.welcome.take() {
            Kind::Welcome(welcome)
        } else if let Some(notice) = self.presence.pop_front() {
            if self.presence.is_empty() {
                // An idle leg holds no memory.
                self.presence = VecDeque::new();
            }
            kind(notice)
        } else if let Some(drain) = self.draining.take() {
            kind(Notice::Draining(drain))
        } else if let Some(nonce) = self.pong.take() {
            Kind::Pong(v1::Pong { nonce })
        } else if self.due().is_some_and(|due| due <= now) {
            let count = std::mem::take(&mut self.dropped);
            self.dropped_not_before = now + DROPPED_INTERVAL;
            Kind::DatagramsDropped(v1::DatagramsDropped { count })
        } else {
            return None;
        };
        Some(notice::encode(kind))
    }
}

fn kind(notice: Notice) -> Kind {
    match notice {
        Notice::PeerOnline => Kind::PeerOnline(v1::PeerOnline {}),
        Notice::PeerAway(grace) => Kind::PeerAway(v1::PeerAway {
            grace_millis: clamp(grace.as_millis()),
        }),
        Notice::Draining(Drain { grace, spread }) => Kind::Draining(v1::Draining {
            grace_millis: clamp(grace.as_millis()),
            spread_millis: clamp(spread.as_millis()),
        }),
    }
}

/// At least this long between two DatagramsDropped notices.
const DROPPED_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn say(outbox: &mut Outbox, now: Instant) -> Vec<Kind> {
        std::iter::from_fn(|| outbox.next(now))
            .map(|frame| notice::decode(frame.payload()).unwrap().unwrap())
            .collect()
    }

    #[test]
    fn news_that_nobody_read_stays_bounded_and_alternates() {
        let away = Notice::PeerAway(Duration::from_secs(30));
        for first_online in [true, false] {
            let now = Instant::now();
            let mut outbox = Outbox::new(v1::Welcome::default(), now);
            let mut online = !first_online;
            for _ in 0..101 {
                online = !online;
                outbox.push(if online { Notice::PeerOnline } else { away });
                assert!(outbox.presence.len() <= 3);
            }
            let said = say(&mut outbox, now);
            let news: Vec<bool> = said[1..]
                .iter()
                .map(|kind| matches!(kind, Kind::PeerOnline(_)))
                .collect();
            assert_eq!(news.first(), Some(&first_online));
            assert_eq!(news.last(), Some(&online));
            assert!(news.windows(2).all(|two| two[0] != two[1]), "{news:?}");
        }
    }

    #[test]
    fn drops_are_told_together_and_not_too_often() {
        let now = Instant::now();
        let mut outbox = Outbox::new(v1::Welcome::default(), now);
        outbox.dropped(2);
        outbox.dropped(3);
        assert_eq!(say(&mut outbox, now).len(), 2);
        outbox.dropped(1);
        assert_eq!(say(&mut outbox, now), []);
        let due = outbox.due().unwrap();
        assert_eq!(due, now + DROPPED_INTERVAL);
        let kind = Kind::DatagramsDropped(v1::DatagramsDropped { count: 1 });
        assert_eq!(say(&mut outbox, due), [kind]);
    }

    #[test]
    fn only_the_newest_ping_is_answered() {
        let now = Instant::now();
        let mut outbox = Outbox::new(v1::Welcome::default(), now);
        outbox.pong(1);
        outbox.pong(2);
        let said = say(&mut outbox, now);
        assert_eq!(said[1..], [Kind::Pong(v1::Pong { nonce: 2 })]);
    }
}
