//! A relay instance of the model: it drives the relay's own [`Session`] and moves frames as
//! `docs/protocol.md` says.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use peersox_proto::v1;

use super::Dice;
use super::control::Ticket;
use super::legs::Legs;
use super::network::{Cloud, Parcel, Place};
use crate::attach::{Ended, Transport};
use crate::close::CloseReason;
use crate::frame::{Frame, Lane};
use crate::notice::{self, Kind};
use crate::role::Role;
use crate::session::{Action, Config, Drain, Input, LegId, Notice, Session, State};
use crate::time::Moment;

/// One relay process, and the session of the one pair that it serves.
pub(super) struct Relay {
    config: Config,
    session: Session,
    sides: [Side; 2],
    /// Legs that have not said Hello yet, and until when they may.
    strangers: BTreeMap<u64, Moment>,
    /// It takes new sessions only until then.
    drains_at: Option<Moment>,
    /// The process is gone from then on.
    pub(super) stops_at: Moment,
    /// What Welcome asks for, in milliseconds.
    pub(super) keepalive: u32,
    /// Tickets of another epoch are signed by another key.
    pub(super) epoch: u64,
}

/// What a role's side keeps.
#[derive(Default)]
struct Side {
    /// Reliable frames and signals for a leg that is away, the oldest first.
    held: VecDeque<Bytes>,
    /// A signal that a relay which meddles keeps back until another one comes.
    kept: Option<Bytes>,
    heard_at: Moment,
}

/// All that a relay acts upon.
pub(super) struct Around<'a> {
    pub(super) legs: &'a mut Legs,
    pub(super) cloud: &'a mut Cloud,
    pub(super) dice: &'a mut Dice,
    pub(super) now: Moment,
    /// Signals are lost, doubled and reordered.
    pub(super) meddles: bool,
}

impl Relay {
    pub(super) fn new(config: Config, keepalive: u32, epoch: u64, now: Moment) -> Self {
        Self {
            config,
            session: Session::new(config, now),
            sides: Default::default(),
            strangers: BTreeMap::new(),
            drains_at: None,
            stops_at: Moment::NEVER,
            keepalive,
            epoch,
        }
    }

    /// A connection was accepted.
    pub(super) fn accept(&mut self, leg: u64, now: Moment) {
        self.strangers.insert(leg, now + HELLO_WITHIN);
    }

    /// Whether this leg's Hello has not come yet.
    pub(super) fn awaits_hello(&self, leg: u64) -> bool {
        self.strangers.contains_key(&leg)
    }

    /// Whether this side of the session takes no more for the other one.
    pub(super) fn is_full(&self, from: usize) -> bool {
        let held = self.sides[1 - from].held.iter().map(Bytes::len);
        held.sum::<usize>() > HELD_AT_MOST
    }

    /// Something came from a peer.
    pub(super) fn take(
        &mut self,
        leg: u64,
        who: usize,
        parcel: Parcel,
        around: &mut Around<'_>,
    ) -> Result<(), String> {
        let (role, id) = (Role::BOTH[who], LegId(leg));
        let bytes = match parcel {
            Parcel::Frame(bytes) => bytes,
            Parcel::End(ended) => {
                if let Some(leg) = around.legs.get_mut(&leg) {
                    leg.relay_side.lives = false;
                }
                self.strangers.remove(&leg);
                self.input(
                    match ended {
                        Ended::Closed(4000) => Input::Done(role, id),
                        Ended::Closed(4020) => Input::Moved(role, id),
                        Ended::Closed(_) | Ended::Broken => Input::Lost(role, id),
                    },
                    around,
                );
                return Ok(());
            }
        };
        let frame = Frame::parse(bytes).map_err(|error| format!("{who} sent no frame: {error}"))?;
        if self.strangers.remove(&leg).is_some() {
            return self.hello(leg, who, &frame, around);
        }
        if self.session.leg(role) != Some(id) {
            return Ok(());
        }
        self.sides[who].heard_at = around.now;
        match frame.lane() {
            Lane::Notice => match notice::decode(frame.payload()) {
                Ok(Some(Kind::Ping(ping))) => {
                    let pong = Kind::Pong(v1::Pong { nonce: ping.nonce });
                    self.notify(leg, pong, around);
                }
                other => return Err(format!("{who} sent the notice {other:?}")),
            },
            Lane::Reliable | Lane::Signal | Lane::Datagram => self.forward(1 - who, frame, around),
        }
        Ok(())
    }

    /// A QUIC datagram came from a peer. Before Hello it is lost.
    pub(super) fn take_datagram(
        &mut self,
        leg: u64,
        who: usize,
        bytes: Bytes,
        around: &mut Around<'_>,
    ) -> Result<(), String> {
        match self.strangers.contains_key(&leg) {
            true => Ok(()),
            false => self.take(leg, who, Parcel::Frame(bytes), around),
        }
    }

    fn hello(
        &mut self,
        leg: u64,
        who: usize,
        frame: &Frame,
        around: &mut Around<'_>,
    ) -> Result<(), String> {
        let kind = notice::decode(frame.payload());
        let (Lane::Notice, Ok(Some(Kind::Hello(hello)))) = (frame.lane(), kind) else {
            return Err(format!("{who} did not begin with Hello but {frame:?}"));
        };
        let ticket = Ticket::parse(&hello.ticket).ok_or("a ticket was altered")?;
        if ticket.who != who {
            return Err(format!("{who} came with a ticket of the other"));
        }
        if ticket.epoch != self.epoch {
            self.hang_up(leg, CloseReason::TicketInvalid, around);
        } else if ticket.expires < around.now {
            self.hang_up(leg, CloseReason::TicketExpired, around);
        } else {
            if let State::Ended(_) = self.session.state() {
                self.session = Session::new(self.config, around.now);
                self.sides = Default::default();
            }
            self.sides[who].heard_at = around.now;
            self.input(Input::Attach(Role::BOTH[who], LegId(leg)), around);
            if let Some(at) = self.drains_at {
                self.input(Input::Drain(Drain::within(at - around.now)), around);
            }
        }
        Ok(())
    }

    /// The process stops after a while.
    pub(super) fn drain(&mut self, grace: Duration, around: &mut Around<'_>) {
        self.drains_at = Some(around.now + grace);
        self.stops_at = around.now + grace + Duration::from_secs(2);
        let spread = Duration::from_millis(around.dice.below(300)).min(grace / 2);
        self.input(Input::Drain(Drain { grace, spread }), around);
    }

    /// The process is gone, and with it its end of each leg.
    pub(super) fn stop(&mut self, at: usize, around: &mut Around<'_>) {
        self.stops_at = Moment::NEVER;
        self.session = Session::new(self.config, Moment::NEVER);
        self.strangers.clear();
        for leg in around.legs.values_mut() {
            if leg.relay == at && leg.connecting.is_none() {
                leg.breaks(around.now, around.dice);
                leg.relay_side.lives = false;
                leg.up.cut();
            }
        }
    }

    fn forward(&mut self, to: usize, frame: Frame, around: &mut Around<'_>) {
        if frame.lane() != Lane::Signal || !around.meddles {
            return self.pass(to, frame.into_bytes(), around);
        }
        let signal = frame.into_bytes();
        let kept = self.sides[to].kept.take();
        match around.dice.below(5) {
            0 => {}
            1 => self.sides[to].kept = Some(signal),
            2 => {
                self.pass(to, signal.clone(), around);
                self.pass(to, signal, around);
            }
            _ => self.pass(to, signal, around),
        }
        if let Some(kept) = kept {
            self.pass(to, kept, around);
        }
    }

    fn pass(&mut self, to: usize, bytes: Bytes, around: &mut Around<'_>) {
        let Ok(frame) = Frame::parse(bytes) else {
            return;
        };
        let (lane, leg) = (frame.lane(), self.session.leg(Role::BOTH[to]));
        let side = &mut self.sides[to];
        let Some(LegId(leg)) = leg else {
            let signals = side.held.iter().filter(|it| it[0] == Lane::Signal as u8);
            let is_lost = match lane {
                Lane::Datagram | Lane::Notice => true,
                Lane::Signal => signals.count() >= SIGNALS_AT_MOST,
                Lane::Reliable => false,
            };
            if !is_lost {
                side.held.push_back(frame.into_bytes());
            }
            return;
        };
        let Some(line) = around.legs.get_mut(&leg) else {
            return;
        };
        if lane == Lane::Datagram && line.transport == Transport::Quic {
            let (place, bytes) = (Place::Down(leg), frame.into_bytes());
            return around.cloud.send(place, &bytes, around.now, around.dice);
        }
        line.send_down(Parcel::Frame(frame.into_bytes()), around.now, around.dice);
    }

    /// Hands something to the session and obeys what it answers.
    pub(super) fn input(&mut self, input: Input, around: &mut Around<'_>) {
        for action in self.session.handle(input, around.now) {
            match action {
                Action::Admit {
                    role,
                    leg: LegId(leg),
                    peer_online,
                    resumed,
                } => {
                    let limits = v1::RelayLimits {
                        keepalive_millis: self.keepalive,
                        ..v1::RelayLimits::default()
                    };
                    let welcome = Kind::Welcome(v1::Welcome {
                        peer_online,
                        resumed,
                        limits: Some(limits),
                        ..v1::Welcome::default()
                    });
                    self.notify(leg, welcome, around);
                    for bytes in std::mem::take(&mut self.sides[role.index()].held) {
                        if let Some(line) = around.legs.get_mut(&leg) {
                            line.send_down(Parcel::Frame(bytes), around.now, around.dice);
                        }
                    }
                }
                Action::Notify(role, notice) => {
                    let millis = |it: Duration| u32::try_from(it.as_millis()).unwrap_or(u32::MAX);
                    let kind = match notice {
                        Notice::PeerOnline => Kind::PeerOnline(v1::PeerOnline {}),
                        Notice::PeerAway(grace) => Kind::PeerAway(v1::PeerAway {
                            grace_millis: millis(grace),
                        }),
                        Notice::Draining(Drain { grace, spread }) => Kind::Draining(v1::Draining {
                            grace_millis: millis(grace),
                            spread_millis: millis(spread),
                        }),
                    };
                    if let Some(LegId(leg)) = self.session.leg(role) {
                        self.notify(leg, kind, around);
                    }
                }
                Action::HangUp(_, LegId(leg), reason) => self.hang_up(leg, reason, around),
                Action::Presence(..) | Action::End(_) => {}
            }
        }
    }

    fn notify(&self, leg: u64, kind: Kind, around: &mut Around<'_>) {
        if let Some(line) = around.legs.get_mut(&leg) {
            let bytes = notice::encode(kind).into_bytes();
            line.send_down(Parcel::Frame(bytes), around.now, around.dice);
        }
    }

    fn hang_up(&self, leg: u64, reason: CloseReason, around: &mut Around<'_>) {
        if let Some(line) = around.legs.get_mut(&leg) {
            line.relay_hangs_up(reason.number(), around.now, around.dice);
        }
    }

    /// When [`Relay::timeout`] is due.
    pub(super) fn next(&self) -> Option<Moment> {
        let idle = Role::BOTH.into_iter().filter_map(|role| {
            self.session.leg(role)?;
            Some(self.sides[role.index()].heard_at + IDLE)
        });
        let strangers = self.strangers.values().copied();
        let stops = Some(self.stops_at).filter(|at| *at < Moment::NEVER);
        let all = idle.chain(strangers).chain(stops);
        all.chain(self.session.deadline()).min()
    }

    pub(super) fn timeout(&mut self, around: &mut Around<'_>) {
        let now = around.now;
        let late = |(leg, by): (&u64, &Moment)| (*by <= now).then_some(*leg);
        let late: Vec<_> = self.strangers.iter().filter_map(late).collect();
        for leg in late {
            self.strangers.remove(&leg);
            self.hang_up(leg, CloseReason::HelloTimeout, around);
        }
        for role in Role::BOTH {
            let heard_at = self.sides[role.index()].heard_at;
            if let Some(leg) = self.session.leg(role)
                && heard_at + IDLE <= now
            {
                let fault = Input::Fault(role, leg, CloseReason::IdleTimeout);
                self.input(fault, around);
            }
        }
        if self.session.deadline().is_some_and(|at| at <= now) {
            self.input(Input::Timeout, around);
        }
    }
}

/// Hello has to come within this time.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// A leg over which nothing comes is hung up after this time.
const IDLE: Duration = Duration::from_secs(60);

/// Signals kept for a peer that is away.
const SIGNALS_AT_MOST: usize = 32;

/// Bytes kept for a peer that is away; then the sender is not read from.
const HELD_AT_MOST: usize = 192 * 1024;
