//! What a shell does: it reports, obeys each action, and sends each frame.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::direct::Step;
use super::legs::Leg;
use super::network::{Parcel, Place};
use super::words;
use super::world::{Quic, World};
use crate::attach::{LegId, Transport};
use crate::close::CloseReason;
use crate::endpoint::{Action, End, Event, Input, Way};
use crate::frame::{Frame, Lane};
use crate::time::Moment;

impl World {
    /// A peer's shell reports something, and obeys.
    pub(super) fn input(&mut self, who: usize, input: Input) -> Result<(), String> {
        self.note(who, || (words::input(&input), Value::Null));
        let peer = &mut self.peers[who];
        peer.is_dirty = true;
        peer.manners.on_input(&input, self.now);
        peer.endpoint.handle(input, self.now, &mut peer.rng);
        self.obey_all(who)
    }

    pub(super) fn frame(&mut self, who: usize, way: Way, bytes: Bytes) -> Result<(), String> {
        self.note(who, || {
            let (way, bytes) = (words::way(way), HEXLOWER.encode(&bytes));
            (
                json!({ "do": "frame", "way": way, "bytes": bytes }),
                Value::Null,
            )
        });
        let peer = &mut self.peers[who];
        peer.is_dirty = true;
        if let Way::Leg(leg) = way {
            peer.manners.on_heard(leg);
        }
        let now = self.now;
        peer.endpoint.handle_frame(way, bytes, now, &mut peer.rng);
        self.obey_all(who)
    }

    pub(super) fn obey_all(&mut self, who: usize) -> Result<(), String> {
        for _ in 0..MOST_ACTIONS {
            let peer = &mut self.peers[who];
            let action = peer.endpoint.poll_action(self.now, &mut peer.rng);
            self.polled(who, || {
                (json!("action"), json!(action.as_ref().map(words::action)))
            });
            let Some(action) = action else {
                return Ok(());
            };
            let peer = &mut self.peers[who];
            let judged = peer.manners.on_action(&action, self.now);
            judged.map_err(|wrong| format!("{who}: {wrong}"))?;
            self.obey(who, action)?;
        }
        Err(format!("{who} asks for more and more"))
    }

    fn obey(&mut self, who: usize, action: Action) -> Result<(), String> {
        let now = self.now;
        match action {
            Action::OpenSession { call, .. } => {
                self.control.call(who, call, now, &mut self.dice);
            }
            Action::Connect(id, transport) => self.connect(who, id, transport),
            Action::HangUp(id, reason) => self.hang_up(who, id, reason)?,
            Action::Make(attempt, _) => self.direct.make(who, attempt)?,
            Action::Offer(attempt, restart) => {
                let step = Step::Offer { restart };
                let dice = &mut self.dice;
                self.direct.describe(who, attempt, step, now, dice)?;
            }
            Action::Answer(attempt) => {
                let dice = &mut self.dice;
                self.direct
                    .describe(who, attempt, Step::Answer, now, dice)?;
            }
            Action::Accept(attempt, description) => {
                let dice = &mut self.dice;
                self.direct.accept(who, attempt, &description, now, dice)?;
            }
            Action::Add(attempt, _) => self.direct.add(who, attempt)?,
            Action::Drop(attempt) => self.direct.close(who, attempt, now, &mut self.dice)?,
            Action::Tell(event) => self.told(who, event)?,
            Action::End(end) => self.ended(who, end)?,
        }
        Ok(())
    }

    fn connect(&mut self, who: usize, id: LegId, transport: Transport) {
        let soon = self.now + Duration::from_millis(1 + self.dice.below(150));
        let connecting = match (transport, self.quic) {
            (Transport::WebSocket, _) | (_, Quic::Passes) => (soon, true),
            (_, Quic::Fails) => (soon, false),
            (_, Quic::Vanishes) => (Moment::NEVER, false),
        };
        let number = self.next_leg;
        self.next_leg += 1;
        let leg = Leg::new(who, id, transport, connecting);
        self.legs.insert(number, leg);
        self.peers[who].legs.insert(id, number);
    }

    fn hang_up(
        &mut self,
        who: usize,
        id: LegId,
        reason: Option<CloseReason>,
    ) -> Result<(), String> {
        if reason.is_some() {
            self.flush(who, Way::Leg(id))?;
        }
        let number = self.peers[who].legs.remove(&id);
        if let Some(leg) = number.and_then(|number| self.legs.get_mut(&number)) {
            let number = reason.map(CloseReason::number);
            leg.hung_up(number, self.now, &mut self.dice);
        }
        Ok(())
    }

    fn told(&mut self, who: usize, event: Event) -> Result<(), String> {
        let is_busy = self.peers.iter().all(|peer| !peer.has_closed);
        let peer = &mut self.peers[who];
        match event {
            Event::Path(None) if is_busy => self.gaps += 1,
            Event::Channel(event) => peer.app.on_event(event)?,
            Event::Secured { .. } => peer.stored = peer.endpoint.secret().cloned(),
            Event::LegLost { .. } => self.lost += 1,
            Event::AttemptFailed { .. } if !peer.manners.proven => self.again += 1,
            Event::Attached { .. }
            | Event::AttemptFailed { .. }
            | Event::PeerOnline
            | Event::CodeUsed
            | Event::PeerAway(_)
            | Event::Draining(_)
            | Event::DatagramsDropped(_)
            | Event::RelayRtt(_)
            | Event::Path(_)
            | Event::DirectFailed(_) => {}
        }
        Ok(())
    }

    fn ended(&mut self, who: usize, end: End) -> Result<(), String> {
        self.peers[who].end = Some(end);
        let peer = &mut self.peers[who];
        if peer.manners.is_first_attempt(end) && !peer.has_closed {
            peer.again_at = self.now + Duration::from_millis(200);
            return Ok(());
        }
        let other_closed = self.peers[1 - who].has_closed;
        let peer = &mut self.peers[who];
        let as_expected = match end {
            End::Closed { flushed: true } => peer.has_closed,
            End::PeerClosed | End::HungUp(CloseReason::PeerLeft) => other_closed,
            _ => false,
        };
        if !as_expected || !peer.app.is_done() {
            return Err(format!("{who} ends: {end:?}, {peer:?}"));
        }
        Ok(())
    }

    /// Sends what there is, and does what comes of it, until there is nothing.
    pub(super) fn flush_all(&mut self, who: usize) -> Result<(), String> {
        loop {
            let legs = self.peers[who].legs.keys().map(|id| Way::Leg(*id));
            let direct = self.direct.open(who).map(Way::Direct);
            let ways: Vec<_> = legs.chain(direct).collect();
            let mut sent = 0;
            for way in ways {
                sent += self.flush(who, way)?;
            }
            self.obey_all(who)?;
            if sent == 0 {
                return Ok(());
            }
        }
    }

    /// Sends what an endpoint has for this way, while there is room.
    fn flush(&mut self, who: usize, way: Way) -> Result<u64, String> {
        let mut sent = 0;
        while self.has_room(who, way) {
            let peer = &mut self.peers[who];
            let frame = peer.endpoint.poll_transmit(way, self.now);
            self.polled(who, || {
                let bytes = frame
                    .clone()
                    .map(|frame| HEXLOWER.encode(&frame.into_bytes()));
                (words::way(way), json!(bytes))
            });
            let Some(frame) = frame else {
                return Ok(sent);
            };
            let peer = &mut self.peers[who];
            if let Way::Leg(leg) = way {
                let judged = peer.manners.on_sent(leg, &frame, self.now);
                judged.map_err(|wrong| format!("{who}: {wrong}"))?;
            }
            sent += 1;
            self.send(who, way, frame);
        }
        // It has to be asked again when there is room.
        self.peers[who].is_dirty = true;
        Ok(sent)
    }

    fn polled(&mut self, who: usize, poll: impl FnOnce() -> (Value, Value)) {
        if let Some(record) = &mut self.record
            && record.who == who
        {
            let (what, result) = poll();
            record.poll(self.now, &what, &result);
        }
    }

    fn has_room(&self, who: usize, way: Way) -> bool {
        match way {
            Way::Leg(id) => {
                let leg = self.peers[who].legs.get(&id);
                let leg = leg.and_then(|number| self.legs.get(number));
                leg.is_some_and(Leg::has_room)
            }
            Way::Direct(attempt) => self.direct.open(who) == Some(attempt),
        }
    }

    fn send(&mut self, who: usize, way: Way, frame: Frame) {
        let (now, lane, bytes) = (self.now, frame.lane(), frame.into_bytes());
        let is_datagram = lane == Lane::Datagram;
        if matches!(lane, Lane::Reliable | Lane::Signal) {
            if self.past.len() == 64 {
                self.past.pop_front();
            }
            self.past.push_back((1 - who, bytes.clone()));
            if self.is_kind && self.swallows_left > 0 && self.dice.once_in(8) {
                self.swallows_left -= 1;
                return;
            }
        }
        match way {
            Way::Direct(attempt) if self.direct.carries(who) => {
                if is_datagram {
                    let place = Place::Direct(1 - who, attempt);
                    return self.cloud.send(place, &bytes, now, &mut self.dice);
                }
                let parcel = Parcel::Frame(bytes);
                self.direct.wires[who].send(parcel, now, 15, &mut self.dice);
            }
            Way::Direct(_) => {}
            Way::Leg(id) => {
                let Some(number) = self.peers[who].legs.get(&id).copied() else {
                    return;
                };
                let Some(leg) = self.legs.get_mut(&number) else {
                    return;
                };
                if is_datagram && leg.transport == Transport::Quic {
                    let place = Place::Up(number);
                    return self.cloud.send(place, &bytes, now, &mut self.dice);
                }
                leg.send_up(Parcel::Frame(bytes), now, &mut self.dice);
            }
        }
    }
}

/// One event never asks for more.
const MOST_ACTIONS: u32 = 300;
