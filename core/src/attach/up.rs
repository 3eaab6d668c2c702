//! A leg that was admitted: its keepalive, and the judgement whether it lives.

use std::time::Duration;

use peersox_proto::v1;

use super::{BLOCKED, LegId};
use crate::frame::Frame;
use crate::notice::{self, Kind};
use crate::time::Moment;

pub(super) struct Up {
    pub(super) leg: LegId,
    pub(super) since: Moment,
    /// The other peer is attached there, too.
    pub(super) peer_online: bool,
    /// Frames that the leg took still wait in this process.
    pub(super) waits: bool,
    keepalive: Duration,
    ping_at: Moment,
    /// The newest Ping is still to be sent.
    ping_due: bool,
    nonce: u64,
    /// When the newest Ping left, until it is answered.
    sent_at: Option<Moment>,
    /// Without any frame by then the leg is lost.
    judge_at: Moment,
    heard_at: Moment,
}

impl Up {
    /// `at_most` is the longest time between two Pings, whatever the relay asks for.
    pub(super) fn new(leg: LegId, welcome: &v1::Welcome, at_most: Duration, now: Moment) -> Self {
        let asked = welcome.limits.map_or(0, |limits| limits.keepalive_millis);
        let keepalive = match asked {
            0 => KEEPALIVE,
            asked => Duration::from_millis(asked.into()).clamp(KEEPALIVE_MIN, KEEPALIVE_MAX),
        };
        let keepalive = keepalive.min(at_most);
        let mut up = Self {
            leg,
            since: now,
            peer_online: welcome.peer_online,
            waits: false,
            keepalive,
            ping_at: now,
            ping_due: false,
            nonce: 0,
            sent_at: None,
            judge_at: Moment::NEVER,
            heard_at: now,
        };
        up.want_ping(now);
        up
    }

    /// A frame came: the leg lives. Only a Pong measures it.
    pub(super) fn heard(&mut self, now: Moment) {
        self.heard_at = now;
        if self.judge_at < Moment::NEVER {
            self.judge_at = now + self.patience();
        }
    }

    /// How often the next leg has to ping, if this one breaks now: more often than this one was idle, if
    /// everything had been answered.
    pub(super) fn ping_within(&self, now: Moment) -> Duration {
        let idle = now - self.heard_at;
        let is_answered = self.sent_at.is_none() && !self.ping_due;
        match is_answered && idle >= IDLE_MIN {
            true => idle / 2,
            false => Duration::MAX,
        }
    }

    /// The time to the relay and back, if this answers the newest Ping.
    pub(super) fn pong(&mut self, nonce: u64, now: Moment) -> Option<Duration> {
        if nonce != self.nonce || self.ping_due {
            return None;
        }
        self.judge_at = Moment::NEVER;
        Some(now - self.sent_at.take()?)
    }

    /// The leg has to prove soon that it lives.
    pub(super) fn wake(&mut self, now: Moment) {
        // A program that wakes up often must not flood the relay.
        if self.ping_at > now + self.keepalive.saturating_sub(WAKE_EVERY) {
            return;
        }
        self.want_ping(now);
        self.judge_at = self.judge_at.min(now + IMPATIENCE);
    }

    /// The Ping that is due.
    pub(super) fn ping(&mut self, now: Moment) -> Option<Frame> {
        if !std::mem::take(&mut self.ping_due) {
            return None;
        }
        self.sent_at = Some(now);
        Some(notice::encode(Kind::Ping(v1::Ping { nonce: self.nonce })))
    }

    pub(super) fn timeout(&self) -> Moment {
        self.ping_at.min(self.judge_at)
    }

    /// Notes that time has passed; true if the leg is lost.
    pub(super) fn is_lost(&mut self, now: Moment) -> bool {
        if self.judge_at <= now {
            // A relay that waits for a slow reader reads nothing, and then nothing can leave.
            let is_blocked = self.waits || self.ping_due;
            if !is_blocked || self.heard_at + BLOCKED <= now {
                return true;
            }
            self.judge_at = (now + self.patience()).min(self.heard_at + BLOCKED);
        }
        if self.ping_at <= now {
            self.want_ping(now);
        }
        false
    }

    fn want_ping(&mut self, now: Moment) {
        if !std::mem::replace(&mut self.ping_due, true) {
            self.nonce += 1;
        }
        self.ping_at = now + self.keepalive;
        self.judge_at = self.judge_at.min(now + self.patience());
    }

    /// One and a half periods: the next Ping is under way before the leg is judged by this one.
    fn patience(&self) -> Duration {
        (self.keepalive * 3 / 2).max(PATIENCE_MIN)
    }
}

/// How often a Ping is sent if the relay does not say.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The shortest and the longest time between two Pings, whatever the relay asks for.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
const KEEPALIVE_MAX: Duration = Duration::from_secs(25);

/// A leg that breaks earlier after the last frame was not cut because it was idle.
const IDLE_MIN: Duration = Duration::from_secs(4);

/// A slow mobile network answers within this time.
const PATIENCE_MIN: Duration = Duration::from_secs(5);

/// The same after a wake-up, when a leg is likely to be dead: traffic flows again within three seconds of it.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// The shortest time between two Pings that wake-ups cause.
const WAKE_EVERY: Duration = Duration::from_secs(1);
