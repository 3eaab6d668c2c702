//! All that a shell drives: a [`Peer`], its leg to the relay and its direct path in one machine.
//!
//! ```text
//!                 ┌──────────────── Endpoint ────────────────┐
//!   shell ─Input─►│ attach: the leg    direct: the direct path │─Action─► shell
//!   frames ──────►│            ╲          ╱                    │──frames─► legs, data channels
//!                 │             Peer: channels, keys, paths     │
//!                 └────────────────────────────────────────────┘
//! ```
//!
//! A shell owns sockets and timers and decides nothing. It reports what happens ([`Endpoint::handle`],
//! [`Endpoint::handle_frame`]), then obeys [`Endpoint::poll_action`] until there is nothing, then asks
//! [`Endpoint::poll_transmit`] for each [`Way`] that has room, and wakes up again at
//! [`Endpoint::poll_timeout`]. It repeats the three while one of them gives anything.
//!
//! A relay leg is a path exactly while the other peer is attached, too. A leg that is replaced by a newer one
//! stays the path until the newer one is admitted.

use std::time::Duration;

use bytes::Bytes;
use rand_core::CryptoRngCore;

use crate::attach::{self, Attach, Cause, LegId};
use crate::channel::{self, Mux};
use crate::close::CloseReason;
use crate::connect::{Kind as PathKind, PathId};
use crate::direct::{self, Direct, Why};
use crate::frame::{Frame, Lane};
use crate::peer::{self, Peer};
use crate::secure::{Burnt, State};
use crate::short::pop_front;
use crate::time::Moment;

mod action;
mod input;
mod state;
#[cfg(test)]
mod tests;

pub use action::{Action, End, Event};
pub use input::{Config, FAREWELL, Identity, Input, RETURN, Way};

/// See the module.
pub struct Endpoint {
    peer: Peer,
    attach: Attach,
    direct: Direct,
    /// The leg that is admitted.
    leg: Option<LegId>,
    /// The relay as a path: while the other peer is attached, too.
    relay: Option<PathId>,
    /// The latest relay path of this leg. What the other peer sent before it was lost still comes over it.
    latest: Option<PathId>,
    calls: u32,
    /// The calls that the leg, and the direct path, wait for.
    attach_call: u32,
    renew_call: u32,
    /// When to give up a farewell that nobody answers; never before this side says goodbye.
    farewell: Moment,
    /// See [`Config::once`].
    once: bool,
    /// When to give up the other peer, which the relay has given up; never while it is there.
    forsaken: Moment,
    closing: bool,
    ended: bool,
    actions: Vec<Action>,
}

impl Endpoint {
    /// Makes an endpoint and begins to attach it: [`Endpoint::poll_action`] says how.
    #[must_use]
    pub fn new(
        config: Config,
        identity: Identity<'_>,
        now: Moment,
        rng: &mut impl CryptoRngCore,
    ) -> Self {
        let Identity {
            role,
            pairing,
            proof,
            hello,
            agent,
            #[cfg(not(target_arch = "wasm32"))]
            trace,
        } = identity;
        let mut endpoint = Self {
            peer: Peer::new(config.peer, role, pairing, proof, hello, now, rng),
            attach: Attach::new(config.attach, agent, now),
            direct: Direct::new(config.direct, config.carrier, role),
            leg: None,
            relay: None,
            latest: None,
            calls: 0,
            attach_call: 0,
            renew_call: 0,
            farewell: Moment::NEVER,
            once: config.once,
            forsaken: Moment::NEVER,
            closing: false,
            ended: false,
            actions: Vec::new(),
        };
        #[cfg(not(target_arch = "wasm32"))]
        {
            endpoint.attach.greeting.trace = trace;
        }
        endpoint.settle(now, rng);
        endpoint
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input, now: Moment, rng: &mut impl CryptoRngCore) {
        if self.ended {
            return;
        }
        match input {
            Input::SessionOpened {
                call,
                session,
                outlives,
            } => {
                let stale_at = outlives.map_or(Moment::NEVER, |by| now + by);
                self.direct.set_servers(stale_at);
                self.attach.session_opened(session, now, rng);
                if call == self.renew_call {
                    self.direct.renewed();
                }
            }
            Input::SessionFailed {
                call,
                is_final,
                retry_after,
            } => {
                self.attach.wait_for(retry_after, now);
                if call == self.renew_call {
                    self.direct.renewed();
                } else if call == self.attach_call {
                    self.attach.session_failed(is_final, retry_after, now, rng);
                }
            }
            Input::LegConnected(leg) => self.attach.leg_connected(leg, now, rng),
            Input::LegEnded(leg, ended) => self.attach.leg_ended(leg, ended, now, rng),
            Input::Waiting(leg, waits) => self.attach.waiting(leg, waits),
            Input::Direct(attempt, input) => {
                let can_signal = self.can_signal();
                self.direct.handle(attempt, input, now, can_signal);
            }
            Input::Wake(slept) => {
                let can_signal = self.can_signal();
                self.attach.wake(now, rng);
                self.direct.wake(slept, now, can_signal);
            }
            Input::Close(patience) => self.close(patience, now),
            Input::Timeout => self.timeout(now, rng),
        }
        self.settle(now, rng);
    }

    /// Takes what arrived over a leg or a direct path, as one message of its transport.
    pub fn handle_frame(
        &mut self,
        way: Way,
        bytes: Bytes,
        now: Moment,
        rng: &mut impl CryptoRngCore,
    ) {
        if self.ended {
            return;
        }
        let taken = match way {
            Way::Leg(leg) => {
                let frame = self.attach.handle_frame(leg, bytes, now, rng);
                if frame.is_some() && self.attach.has_news() {
                    // The leg that it came by takes over with it.
                    self.settle(now, rng);
                }
                // Nothing comes over a relay before the other peer was there.
                frame.zip(self.latest)
            }
            Way::Direct(attempt) => {
                self.direct.heard(attempt);
                self.settle(now, rng);
                let frame = Frame::parse(bytes).ok();
                let lanes = [Lane::Reliable, Lane::Datagram];
                let frame = frame.filter(|frame| lanes.contains(&frame.lane()));
                frame.zip(self.direct.path_of(attempt))
            }
        };
        if let Some((frame, path)) = taken
            && let Err(end) = self.peer.handle_frame(path, frame, now, rng)
        {
            self.end(End::Peer(end));
        }
        self.settle(now, rng);
    }

    /// The next thing to do. Poll until there is nothing, after every call that changes something.
    pub fn poll_action(&mut self, now: Moment, rng: &mut impl CryptoRngCore) -> Option<Action> {
        if self.actions.is_empty() {
            self.settle(now, rng);
        }
        pop_front(&mut self.actions)
    }

    /// The next frame for a leg or a direct path that has room. Ask until there is nothing.
    pub fn poll_transmit(&mut self, way: Way, now: Moment) -> Option<Frame> {
        let path = match way {
            Way::Leg(leg) => {
                if let Some(frame) = self.attach.poll_transmit(leg, now) {
                    return Some(frame);
                }
                self.relay.filter(|_| self.leg == Some(leg))
            }
            Way::Direct(attempt) => self.direct.path_of(attempt),
        };
        self.peer.poll_transmit(path?, now)
    }

    /// When to give [`Input::Timeout`] if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        if self.ended {
            return Moment::NEVER;
        }
        let direct = self.direct.timeout(self.can_signal());
        let own = self.farewell.min(self.forsaken);
        let own = own.min(self.attach.timeout()).min(direct);
        own.min(self.peer.poll_timeout())
    }

    /// Looks for a direct path now; false if that is turned off.
    pub fn upgrade(&mut self, now: Moment, rng: &mut impl CryptoRngCore) -> bool {
        let wanted = !self.ended && self.direct.upgrade(now);
        self.settle(now, rng);
        wanted
    }

    /// The channels, to open, send, read, finish and reset.
    pub fn channels(&mut self) -> &mut Mux {
        self.peer.channels()
    }

    /// The code is spent and has brought no secret.
    fn is_half_proven(&self) -> bool {
        self.peer.is_code_used() && self.peer.secret().is_none()
    }

    fn can_signal(&self) -> bool {
        self.relay.is_some() && self.peer.state() == State::Secured
    }

    fn close(&mut self, patience: Duration, now: Moment) {
        self.closing = true;
        self.farewell = now + patience;
        self.peer.channels().close();
        let flushed = self.peer.channels().is_drained();
        let is_alone = self.peer.selected().is_none();
        // Without a path and with nothing to say, nobody is there to say goodbye to.
        if is_alone && (flushed || self.peer.secret().is_none()) {
            self.end(End::Closed { flushed });
        }
    }

    fn timeout(&mut self, now: Moment, rng: &mut impl CryptoRngCore) {
        self.peer.handle_timeout(now, rng);
        self.attach.handle_timeout(now, rng);
        if self.farewell <= now {
            let flushed = self.peer.channels().is_drained();
            self.end(End::Closed { flushed });
        } else if self.forsaken <= now {
            self.end(End::HungUp(CloseReason::PeerLost));
        }
    }

    /// Lets the machines tell each other what happened, until none has more to tell.
    fn settle(&mut self, now: Moment, rng: &mut impl CryptoRngCore) {
        while !self.ended {
            let can_signal = self.can_signal();
            self.direct.handle_timeout(now, can_signal, rng);
            if let Some(action) = self.attach.poll() {
                self.on_attach(action, now, rng);
            } else if let Some(action) = self.direct.poll() {
                self.on_direct(action, now, rng);
            } else if let Some(event) = self.peer.poll_event() {
                self.on_peer(event, now, rng);
            } else {
                return;
            }
        }
    }

    fn on_attach(&mut self, action: attach::Action, now: Moment, rng: &mut impl CryptoRngCore) {
        match action {
            attach::Action::OpenSession { unreached } => self.attach_call = self.call(unreached),
            attach::Action::Connect(leg, transport) => {
                self.actions.push(Action::Connect(leg, transport));
            }
            attach::Action::HangUp(leg, reason) => self.actions.push(Action::HangUp(leg, reason)),
            attach::Action::Tell(event) => self.on_leg(event, now, rng),
            attach::Action::End(end) => self.end(match end {
                // The other side hangs up once it knows that everything arrived.
                attach::End::HungUp(CloseReason::PeerLeft) if self.closing => {
                    End::Closed { flushed: true }
                }
                attach::End::HungUp(reason) => End::HungUp(reason),
                attach::End::Refused => End::Refused,
                attach::End::NoLeg(cause) => End::NoLeg(cause),
            }),
        }
    }

    fn on_leg(&mut self, event: attach::Event, now: Moment, rng: &mut impl CryptoRngCore) {
        match event {
            attach::Event::Attached {
                leg,
                transport,
                resumed,
                peer_online,
            } => {
                self.leg = Some(leg);
                self.tell(Event::Attached {
                    transport,
                    resumed,
                    peer_online,
                });
                if peer_online {
                    self.relay_up(now, rng);
                } else {
                    self.relay_down(now);
                    self.latest = None;
                }
            }
            attach::Event::PeerOnline => self.relay_up(now, rng),
            attach::Event::PeerAway(grace) => {
                self.relay_down(now);
                self.tell(Event::PeerAway(grace));
            }
            attach::Event::Draining(grace) => self.tell(Event::Draining(grace)),
            attach::Event::DatagramsDropped(count) => self.tell(Event::DatagramsDropped(count)),
            attach::Event::Rtt(rtt) => self.tell(Event::RelayRtt(rtt)),
            attach::Event::Lost { cause, retry_in } => {
                self.leg = None;
                self.latest = None;
                self.relay_down(now);
                let is_forsaken = cause == Cause::HungUp(CloseReason::PeerLost);
                if is_forsaken && self.once && self.peer.selected().is_none() {
                    self.forsaken = self.forsaken.min(now + RETURN);
                }
                self.tell(Event::LegLost { cause, retry_in });
            }
            attach::Event::Failed { cause, retry_in } => {
                self.tell(Event::AttemptFailed { cause, retry_in });
            }
        }
    }

    fn on_direct(&mut self, action: direct::Action, now: Moment, rng: &mut impl CryptoRngCore) {
        let action = match action {
            direct::Action::Make(attempt, carrier) => Action::Make(attempt, carrier),
            direct::Action::Offer { attempt, restart } => Action::Offer(attempt, restart),
            direct::Action::Accept(attempt, description) => Action::Accept(attempt, description),
            direct::Action::Answer(attempt) => Action::Answer(attempt),
            direct::Action::Add(attempt, candidate) => Action::Add(attempt, candidate),
            direct::Action::Close(attempt) => Action::Drop(attempt),
            // The old servers have to do while control asks to wait.
            direct::Action::Renew if self.attach.has_to_wait(now) => {
                return self.direct.renewed();
            }
            direct::Action::Renew => {
                self.renew_call = self.call(false);
                return;
            }
            direct::Action::Signal(signal) => {
                // Without keys or a relay the signal is lost, as it may be under way: the attempt then runs
                // out.
                let _ = self.peer.send_signal(&signal);
                return;
            }
            direct::Action::Up(attempt) => {
                if self.direct.path_of(attempt).is_none() {
                    let path = self.peer.path_up(PathKind::Direct, now, rng);
                    self.direct.set_path(attempt, path);
                }
                return;
            }
            direct::Action::Down(path) => return self.peer.path_down(path, now),
            direct::Action::Failed(why) => {
                self.peer.dial_failed(now);
                Action::Tell(Event::DirectFailed(why))
            }
        };
        self.actions.push(action);
    }

    fn on_peer(&mut self, event: peer::Event, now: Moment, rng: &mut impl CryptoRngCore) {
        match event {
            peer::Event::CodeUsed => self.tell(Event::CodeUsed),
            peer::Event::Secured { sas, hello } => self.tell(Event::Secured { sas, hello }),
            peer::Event::Channel(channel::Event::Closed { flushed }) => {
                self.end(match self.closing {
                    true => End::Closed { flushed },
                    false => End::PeerClosed,
                });
            }
            peer::Event::Channel(event) => {
                if matches!(event, channel::Event::PeerRestarted) {
                    self.direct.lost(Why::PeerRestarted);
                }
                self.tell(Event::Channel(event));
            }
            peer::Event::Path(path) => {
                let kind = path.and_then(|path| self.peer.kind(path));
                self.attach.set_direct(kind == Some(PathKind::Direct));
                if kind.is_some() {
                    self.forsaken = Moment::NEVER;
                }
                if kind.is_none() {
                    self.attach.hurry(now, rng);
                }
                self.tell(Event::Path(kind));
            }
            peer::Event::Signal(signal) => self.direct.handle_signal(&signal, now),
            peer::Event::Dial => self.direct.dial(now),
            peer::Event::HangUp(path) if self.relay == Some(path) => {
                self.relay = None;
                if let Some(leg) = self.leg {
                    self.attach.give_up(leg, Cause::Altered, now, rng);
                }
            }
            peer::Event::HangUp(path) => {
                let can_signal = self.can_signal();
                self.direct.silent(path, now, can_signal);
            }
        }
    }

    fn call(&mut self, unreached: bool) -> u32 {
        self.calls += 1;
        let call = self.calls;
        self.actions.push(Action::OpenSession { call, unreached });
        call
    }

    fn relay_up(&mut self, now: Moment, rng: &mut impl CryptoRngCore) {
        let path = self.peer.path_up(PathKind::Relay, now, rng);
        // Make before break: records have moved to the new path already.
        self.relay_down(now);
        (self.relay, self.latest) = (Some(path), Some(path));
        self.direct.relay_up(now);
        self.tell(Event::PeerOnline);
    }

    fn relay_down(&mut self, now: Moment) {
        if let Some(path) = self.relay.take() {
            self.peer.path_down(path, now);
        }
    }

    fn tell(&mut self, event: Event) {
        self.actions.push(Action::Tell(event));
    }

    /// Nothing follows but the last words, which [`Endpoint::poll_transmit`] still gives.
    fn end(&mut self, end: End) {
        let end = match end {
            // Whoever hides a wrong guess hangs up, or lets somebody else do so: the code is spent all the
            // same.
            End::HungUp(_) | End::Refused | End::NoLeg(_) if self.is_half_proven() => {
                End::Peer(Burnt::Restarted.into())
            }
            end => end,
        };
        self.attach.stop();
        while let Some(action) = self.attach.poll() {
            if let attach::Action::HangUp(leg, reason) = action {
                self.actions.push(Action::HangUp(leg, reason));
            }
        }
        // Its path stays, as the leg does: the last words leave before it is dropped.
        let attempt = self.direct.attempt();
        self.actions.extend(attempt.map(Action::Drop));
        self.actions.push(Action::End(end));
        self.ended = true;
    }
}

impl std::fmt::Debug for Endpoint {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("leg", &self.leg)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
