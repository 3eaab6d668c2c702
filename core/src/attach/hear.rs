//! What comes over legs: Welcome, what the relay tells, and the frames of the other peer.

use std::time::Duration;

use bytes::Bytes;
use rand_core::RngCore;

use super::held::Held;
use super::patience::SPREAD_AT_MOST;
use super::seek::{Seek, Why};
use super::up::Up;
use super::{Action, Attach, Cause, Event, LegId};
use crate::close::CloseReason;
use crate::frame::{Frame, Lane};
use crate::notice::{self, Kind};
use crate::time::Moment;

impl Attach {
    /// A frame came over a leg. Gives back what is not the leg's own business: a frame of the other peer.
    pub fn handle_frame(
        &mut self,
        leg: LegId,
        bytes: Bytes,
        now: Moment,
        rng: &mut impl RngCore,
    ) -> Option<Frame> {
        let frame = Frame::parse(bytes);
        if self.seek.as_ref().is_some_and(|it| it.stage.greets(leg)) {
            self.welcome(leg, frame.ok(), now, rng);
            return None;
        }
        let is_held = self.is_held(leg);
        let up = self.leg_mut(leg)?;
        let Ok(frame) = frame else {
            self.give_up(leg, Cause::Malformed, now, rng);
            return None;
        };
        up.heard(now);
        if frame.lane() != Lane::Notice {
            if is_held {
                // The other peer is there; the notice that says so came by another stream.
                self.take_over(true, now, rng);
            }
            return Some(frame);
        }
        // What cannot be read, or is of no known kind, may be of a later version.
        if let Ok(Some(kind)) = notice::decode(frame.payload()) {
            match is_held {
                true => self.notice_held(&kind, now, rng),
                false => self.notice(&kind, now, rng),
            }
        }
        None
    }

    fn welcome(&mut self, leg: LegId, frame: Option<Frame>, now: Moment, rng: &mut impl RngCore) {
        let Some(seek) = self.seek.take() else { return };
        let notice = frame
            .filter(|frame| frame.lane() == Lane::Notice)
            .and_then(|frame| notice::decode(frame.payload()).ok()?);
        let (Some(Kind::Welcome(welcome)), Some(transport)) = (notice, seek.stage.transport())
        else {
            self.note_stray(&seek, now);
            self.actions.push(Action::HangUp(leg, None));
            return self.failed(seek, Cause::NoWelcome, false, now, rng);
        };
        let up = Up::new(leg, &welcome, self.ping_within, now);
        (self.proven, self.unreached) = (true, 0);
        // A session that this side has been in is that of the old leg, which has been replaced there.
        let moves = seek.why == Why::Draining && !welcome.resumed;
        let carries = self.up.as_ref().is_some_and(|up| up.peer_online);
        self.held = Some(Held {
            up,
            transport,
            resumed: welcome.resumed,
            moves,
        });
        if welcome.peer_online || !(moves && carries) {
            self.take_over(welcome.peer_online, now, rng);
        }
    }

    fn notice(&mut self, kind: &Kind, now: Moment, rng: &mut impl RngCore) {
        let millis = |millis: u32| Duration::from_millis(millis.into());
        if let (Some(up), Kind::PeerOnline(_) | Kind::PeerAway(_)) = (&mut self.up, kind) {
            up.peer_online = matches!(kind, Kind::PeerOnline(_));
        }
        let event = match kind {
            Kind::PeerOnline(_) => Event::PeerOnline,
            Kind::PeerAway(away) => Event::PeerAway(millis(away.grace_millis)),
            Kind::DatagramsDropped(dropped) => Event::DatagramsDropped(dropped.count),
            Kind::Draining(draining) => {
                self.drain(millis(draining.spread_millis), now, rng);
                Event::Draining(millis(draining.grace_millis))
            }
            Kind::Pong(pong) => match self.up.as_mut().and_then(|up| up.pong(pong.nonce, now)) {
                Some(rtt) => Event::Rtt(rtt),
                None => return,
            },
            Kind::Hello(_) | Kind::Welcome(_) | Kind::Ping(_) => return,
        };
        self.actions.push(Action::Tell(event));
        if matches!(kind, Kind::PeerAway(_)) && self.held.is_some() {
            // The old leg carries nothing any more.
            self.take_over(false, now, rng);
        }
    }

    /// Another leg is sought while this one lasts. The relay that stops is not asked again.
    fn drain(&mut self, spread: Duration, now: Moment, rng: &mut impl RngCore) {
        let is_sought = self.seek.as_ref().is_some_and(|it| it.why != Why::Upgrade);
        if is_sought || self.held.is_some() {
            return;
        }
        if let Some(seek) = self.seek.take() {
            self.note_stray(&seek, now);
            self.cancel(&seek, None);
        }
        self.session = None;
        let mut seek = Seek::new(Why::Draining, Moment::NEVER);
        seek.spread = spread.min(SPREAD_AT_MOST);
        self.pause(&mut seek, now, rng);
        self.seek = Some(seek);
    }

    /// The next relay tells something before the leg there carries.
    pub(super) fn notice_held(&mut self, kind: &Kind, now: Moment, rng: &mut impl RngCore) {
        let Some(held) = &mut self.held else { return };
        match kind {
            Kind::PeerOnline(_) => self.take_over(true, now, rng),
            Kind::Pong(pong) => {
                held.up.pong(pong.nonce, now);
            }
            Kind::Draining(_) => {
                let hang_up = Action::HangUp(held.up.leg, Some(CloseReason::Moved));
                self.actions.push(hang_up);
                self.seek_on(now, rng);
            }
            _ => {}
        }
    }
}
