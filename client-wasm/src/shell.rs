//! The machine and everything that it drives, lent to one call at a time.
//!
//! ```text
//!  call or event ─► Shell::with ─► act on Inner ─► settle: events, frames, timer ─► give Inner back
//!                                                                  │
//!                       facade ◄── what happened, in order ◄───────┘
//! ```
//!
//! The facade is told only when nobody holds [`Inner`], so that its listeners may call again; what
//! they cause is told after what they are being told.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use js_sys::Function;
use peersox_core::channel;
use peersox_core::connect::{Kind as PathKind, PathId};
use peersox_core::frame::{Frame, Lane};
use peersox_core::peer::{End, Event, Peer as Machine};
use peersox_core::secure::State;
use peersox_core::time::Moment;
use wasm_bindgen::JsValue;

use crate::desk::Desk;
use crate::direct::Dialer;
use crate::emit::{self, Kind, Outbox};
use crate::failure::Failure;
use crate::links::Links;
use crate::meter::Meter;
use crate::platform::{Random, Timer, millis, now};

/// Shared by the exported [`Peer`](crate::peer::Peer) and every callback.
pub(crate) struct Shell {
    inner: RefCell<Inner>,
    listener: Function,
    /// Somebody up the stack is telling the facade and will tell the rest, too.
    telling: Cell<bool>,
}

/// What one call at a time holds.
pub(crate) struct Inner {
    pub(crate) me: Weak<Shell>,
    pub(crate) machine: Machine,
    pub(crate) desk: Desk,
    pub(crate) links: Links,
    pub(crate) dialer: Dialer,
    /// The relay as a path: while the other peer is attached, too.
    pub(crate) relay: Option<PathId>,
    /// The latest relay path. What the other peer sent before it was lost still comes over it.
    pub(crate) latest: Option<PathId>,
    pub(crate) out: Outbox,
    pub(crate) received: Meter,
    pub(crate) sent: Meter,
    /// Datagrams that the relay dropped on their way here.
    pub(crate) dropped: u64,
    timer: Timer,
    /// When to give up a farewell that nobody answers.
    farewell: Option<Moment>,
    ended: bool,
}

impl Shell {
    pub(crate) fn new(
        machine: Machine,
        desk: Desk,
        links: Links,
        dialer: Dialer,
        listener: Function,
    ) -> Rc<Self> {
        Rc::new_cyclic(|me: &Weak<Self>| {
            let ring = me.clone();
            let timer = Timer::new(move || {
                if let Some(shell) = ring.upgrade() {
                    shell.with(Inner::ring);
                }
            });
            let inner = Inner {
                me: me.clone(),
                machine,
                desk,
                links,
                dialer,
                relay: None,
                latest: None,
                out: Outbox::default(),
                received: Meter::default(),
                sent: Meter::default(),
                dropped: 0,
                timer,
                farewell: None,
                ended: false,
            };
            Self {
                inner: RefCell::new(inner),
                listener,
                telling: Cell::new(false),
            }
        })
    }

    /// Does something with the machine, and all that follows from it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let result = {
            let mut inner = self.inner.borrow_mut();
            let result = act(&mut inner);
            inner.settle();
            result
        };
        self.tell();
        result
    }

    /// Looks at something; nothing follows.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.borrow_mut())
    }

    fn tell(&self) {
        if self.telling.replace(true) {
            return;
        }
        loop {
            let next = self.inner.borrow_mut().out.pop();
            let Some(next) = next else { break };
            emit::call(&self.listener, next);
        }
        self.telling.set(false);
    }
}

impl Inner {
    /// Begins a farewell: everything sent is to be taken, then both sides are done.
    pub(crate) fn close(&mut self, patience: Duration) {
        if self.farewell.is_none() {
            self.farewell = Some(now() + patience);
            self.machine.channels().close();
            // Nobody is there to say goodbye to.
            if self.machine.selected().is_none() {
                self.end("closed", "this side closed the connection", JsValue::NULL);
            }
        }
    }

    /// It is over, for this reason.
    pub(crate) fn end(&mut self, reason: &str, message: &str, error: JsValue) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // A peer that found the codes to differ still tells the other one.
        self.transmit(now());
        self.timer.disarm();
        self.dialer.stop();
        self.links.stop();
        (self.relay, self.latest) = (None, None);
        let values = [reason.into(), message.into(), error];
        self.out.push(Kind::Ended, values);
    }

    /// Over, for a failure.
    pub(crate) fn fail(&mut self, reason: &str, failure: Failure) {
        let message = match &failure {
            Failure::Ours(ours) => ours.message.clone(),
            Failure::Aborted(_) => "aborted".into(),
        };
        self.end(reason, &message, failure.into());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended
    }

    /// Takes a frame of the other peer.
    pub(crate) fn take(&mut self, path: PathId, frame: Frame) {
        let taken = self.machine.handle_frame(path, frame, now(), &mut Random);
        match taken {
            Ok(()) => {}
            Err(End::Burnt(burnt)) => {
                let failure = Failure::new("code-mismatch", burnt.to_string());
                self.fail("code-mismatch", failure);
            }
            Err(broken @ End::Broken(_)) => {
                self.fail("protocol", Failure::protocol(broken.to_string()));
            }
            Err(End::Tampered) => {
                let failure = Failure::protocol(End::Tampered.to_string());
                self.fail("tampered", failure);
            }
        }
    }

    /// Whether a signal can be sent.
    pub(crate) fn can_signal(&self) -> bool {
        self.relay.is_some() && self.machine.state() == State::Secured
    }

    /// The other peer is attached to the relay: a path begins.
    pub(crate) fn relay_up(&mut self) {
        self.relay_down();
        let path = self.machine.path_up(PathKind::Relay, now(), &mut Random);
        (self.relay, self.latest) = (Some(path), Some(path));
        self.relay_is_up();
    }

    pub(crate) fn relay_down(&mut self) {
        if let Some(path) = self.relay.take() {
            self.machine.path_down(path, now());
        }
    }

    fn ring(&mut self) {
        self.timer.rang();
        let now = now();
        if self.machine.poll_timeout() <= now {
            self.machine.handle_timeout(now, &mut Random);
        }
        self.links_ring(now);
        if self.farewell.is_some_and(|at| at <= now) {
            self.end("closed", "this side closed the connection", JsValue::NULL);
        }
    }

    /// Handles what the machine has to tell, sends what it has to send, and sets the timer.
    fn settle(&mut self) {
        let now = now();
        while !self.ended {
            while let Some(event) = self.machine.poll_event() {
                self.hear(event, now);
            }
            self.direct_ring(now);
            if !self.transmit(now) {
                break;
            }
        }
        if self.ended {
            return;
        }
        let crowded = (!self.has_room()).then_some(now + RETRY_WHEN_CROWDED);
        let others = [
            self.farewell,
            self.links.deadline(),
            self.dialer.deadline(),
            crowded,
        ];
        let first = self.machine.poll_timeout();
        let at = others.into_iter().flatten().fold(first, Moment::min);
        self.timer.arm(at, now);
    }

    fn hear(&mut self, event: Event, now: Moment) {
        match event {
            Event::Channel(event) => self.hear_channel(event),
            Event::Secured { sas, hello } => {
                let name = String::from_utf8_lossy(&hello).into_owned();
                let values = [sas.to_string().into(), name.into(), JsValue::NULL];
                self.out.push(Kind::Secured, values);
            }
            Event::Path(path) => self.tell_path(path),
            Event::Signal(signal) => self.take_signal(signal),
            Event::Dial => self.dial(now),
            Event::HangUp(path) if self.relay == Some(path) => {
                self.relay = None;
                self.leg_lost(None, "what arrived over it was altered under way");
            }
            Event::HangUp(path) => self.direct_silent(path, now),
        }
    }

    fn hear_channel(&mut self, event: channel::Event) {
        match event {
            channel::Event::Connected => self.out.say(Kind::Connected),
            channel::Event::PeerRestarted => {
                self.out.say(Kind::Restarted);
                self.desk.restarted(&mut self.out);
                self.direct_orphaned(now());
            }
            channel::Event::Pong(rtt) => self.out.tell(Kind::Pong, millis(rtt)),
            channel::Event::Closed { .. } => match self.farewell {
                Some(_) => self.end("closed", "this side closed the connection", JsValue::NULL),
                None => self.end("peer-closed", "the other peer is done", JsValue::NULL),
            },
            event => self.desk.hear(event, &mut self.out),
        }
    }

    fn tell_path(&mut self, path: Option<PathId>) {
        if path.is_none() {
            self.seek_relay();
        }
        let kind = path.and_then(|path| self.machine.kind(path));
        let rtt = path.and_then(|path| self.machine.path_rtt(path));
        let number = match kind {
            None => 0_u8,
            Some(PathKind::Relay) => 1,
            Some(PathKind::Direct) => 2,
        };
        let values = [number.into(), rtt.map(millis).into(), JsValue::NULL];
        self.out.push(Kind::Path, values);
    }

    /// Hands frames to every path with room; true if there were any.
    fn transmit(&mut self, now: Moment) -> bool {
        let mut any = false;
        while let Some(path) = self.relay.filter(|_| self.links.has_room()) {
            let Some(frame) = self.machine.poll_transmit(path, now) else {
                break;
            };
            any = true;
            self.sent.add(frame.len(), now);
            self.links.send(frame);
        }
        while let Some(path) = self.dialer.path_with_room() {
            let Some(frame) = self.machine.poll_transmit(path, now) else {
                break;
            };
            any = true;
            self.sent.add(frame.len(), now);
            if !self.dialer.send(frame) {
                self.direct_lost(now, "the data channel was closed");
            }
        }
        any
    }

    /// Whether no path that is in use is full. Data channels tell when they have room again; a
    /// WebSocket has to be asked.
    fn has_room(&self) -> bool {
        self.relay.is_none() || self.links.has_room()
    }
}

/// A frame that a transport delivered, if it is one.
pub(crate) fn parse(bytes: bytes::Bytes) -> Option<Frame> {
    Frame::parse(bytes).ok()
}

/// Whether a frame may come over a direct path.
pub(crate) fn is_direct(frame: &Frame) -> bool {
    matches!(frame.lane(), Lane::Reliable | Lane::Datagram)
}

/// How often a crowded WebSocket is looked at; what comes from the relay is a reason, too.
const RETRY_WHEN_CROWDED: Duration = Duration::from_millis(8);
