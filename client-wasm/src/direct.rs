//! The direct path: WebRTC data channels, agreed upon by sealed signals over the relay.
//!
//! ```text
//!  initiator                                                    joiner
//!     | Signal{attempt, offer} ─────────────────────────────────► |  a new RTCPeerConnection each
//!     | ◄───────────────────────────────── Signal{attempt, answer} |
//!     | ◄──────────── Signal{attempt, candidate} … ──────────────► |
//!     | ◄═══════════ data channels 0 and 1, path up ═════════════► |
//! ```
//!
//! Either side may offer. An *attempt* is a random number chosen with the first offer; it names one
//! connection on both sides, so that what belongs to an earlier one is known and dropped. When both
//! offer at once the initiator ignores the joiner's offer, and the joiner drops its own attempt for the
//! initiator's. The joiner waits a moment before it offers, so that this is rare. A later offer of the
//! same attempt restarts ICE.
//!
//! The path is the core's to judge: it probes, and says [`HangUp`](peersox_core::peer::Event::HangUp)
//! when it is silent. Then ICE is restarted on the same connection, and if that brings nothing the next
//! attempt begins from scratch.

mod negotiate;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use js_sys::{Array, Promise};
use peersox_core::connect::{Kind as PathKind, PathId};
use peersox_core::frame::Frame;
use peersox_core::role::Role;
use peersox_core::time::Moment;
use peersox_proto::v1;
use peersox_proto::v1::signal::Kind as Item;
use prost::Message as _;
use rand_core::RngCore as _;
use wasm_bindgen::JsValue;
use web_sys::RtcPeerConnectionState;

use self::wire::Wire;
use crate::emit::Kind;
use crate::failure::object;
use crate::platform::{Random, now};
use crate::shell::{Inner, is_direct, parse};

/// When to look for a direct path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Off,
    /// Only when asked, by the page or by the peer.
    Manual,
    Auto,
}

/// The direct side of the shell.
pub(crate) struct Dialer {
    role: Role,
    mode: Mode,
    /// `RTCIceServer`s of the page and of the server.
    own_servers: Array,
    servers: Array,
    policy: Option<String>,
    /// A direct path is wanted from then on.
    due: Option<Moment>,
    attempt: Option<Attempt>,
    /// The attempt that was given up last: the other side may not know it yet and restart ICE.
    given_up: u64,
    /// Why there is no direct path, for people.
    pub(crate) why: String,
}

/// One connection being made, in use, or being mended.
struct Attempt {
    number: u64,
    wire: Wire,
    /// This side made the offer, and restarts ICE.
    offered: bool,
    /// The reliable channel is open.
    open: bool,
    path: Option<PathId>,
    /// Without a path by then it is given up.
    until: Moment,
    /// Candidates of the other side wait for its description, this side's for the own one.
    described: bool,
    early: Vec<v1::IceCandidate>,
    announced: bool,
    unsent: Vec<v1::IceCandidate>,
}

impl Dialer {
    pub(crate) fn new(
        role: Role,
        mode: Mode,
        own_servers: Option<Array>,
        policy: Option<String>,
    ) -> Self {
        let missing = !wire::is_there();
        let why = match mode {
            _ if missing => "WebRTC is not available here",
            Mode::Off => "WebRTC is turned off on this side",
            Mode::Manual => "nobody asked for a direct path",
            Mode::Auto => "the other peer is not there yet",
        };
        Self {
            role,
            mode: if missing { Mode::Off } else { mode },
            own_servers: own_servers.unwrap_or_default(),
            servers: Array::new(),
            policy,
            due: None,
            attempt: None,
            given_up: 0,
            why: why.into(),
        }
    }

    pub(crate) fn use_servers(&mut self, servers: &[v1::IceServer]) {
        let list = Array::new();
        for server in servers {
            let urls: Array = server.urls.iter().map(JsValue::from).collect();
            list.push(&object(&[
                ("urls", urls.into()),
                ("username", server.username.as_str().into()),
                ("credential", server.credential.as_str().into()),
            ]));
        }
        self.servers = list;
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        let attempt = self.attempt.as_ref().filter(|it| it.path.is_none());
        let due = self.due.filter(|_| self.attempt.is_none());
        [attempt.map(|it| it.until), due]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether there is a direct path.
    pub(crate) fn is_up(&self) -> bool {
        self.attempt.as_ref().is_some_and(|it| it.path.is_some())
    }

    /// The direct path, if it takes another frame.
    pub(crate) fn path_with_room(&self) -> Option<PathId> {
        let attempt = self.attempt.as_ref()?;
        attempt.path.filter(|_| attempt.wire.has_room())
    }

    /// Sends a frame; false if the connection is closed.
    pub(crate) fn send(&self, frame: Frame) -> bool {
        self.attempt.as_ref().is_some_and(|it| it.wire.send(frame))
    }

    /// `RTCPeerConnection.getStats()` of the connection that is there.
    pub(crate) fn stats(&self) -> Option<Promise> {
        self.attempt.as_ref().map(|it| it.wire.stats())
    }

    pub(crate) fn stop(&mut self) {
        (self.attempt, self.due) = (None, None);
    }

    fn current(&mut self, number: u64) -> Option<&mut Attempt> {
        self.attempt.as_mut().filter(|it| it.number == number)
    }
}

impl Inner {
    /// The core wants a direct path.
    pub(crate) fn dial(&mut self, now: Moment) {
        if self.dialer.mode == Mode::Auto {
            let patience = match self.dialer.role {
                Role::Initiator => Duration::ZERO,
                Role::Joiner => JOINER_WAITS,
            };
            self.dialer.due = Some(now + patience);
        }
    }

    /// The page wants a direct path, at once.
    pub(crate) fn upgrade(&mut self) -> bool {
        if self.dialer.mode == Mode::Off {
            return false;
        }
        self.dialer.due = Some(now());
        true
    }

    /// The page is back, or online: addresses may have changed.
    pub(crate) fn mend_direct(&mut self) {
        if let Some(attempt) = &self.dialer.attempt
            && attempt.offered
            && attempt.open
        {
            self.restart_ice(attempt.number);
        }
    }

    pub(crate) fn direct_ring(&mut self, now: Moment) {
        if let Some(attempt) = &self.dialer.attempt
            && attempt.path.is_none()
            && attempt.until <= now
        {
            self.direct_lost(now, "the two devices cannot reach each other directly");
        }
        if self.dialer.due.is_some_and(|at| at <= now) && self.can_signal() {
            self.dialer.due = None;
            // One that is under way serves as well.
            if self.dialer.attempt.is_none() {
                self.begin(Random.next_u64().max(1), true, now);
            }
        }
    }

    /// A relay path begins: what was signalled before may be lost, and an offer is made anew.
    pub(crate) fn relay_is_up(&mut self) {
        let unfinished = |it: &mut Attempt| it.path.is_none() && it.offered;
        if self.dialer.attempt.as_mut().is_some_and(unfinished) {
            self.dialer.attempt = None;
            self.dialer.due = Some(now());
        }
    }

    /// The core hears nothing over the direct path any more.
    pub(crate) fn direct_silent(&mut self, path: PathId, now: Moment) {
        let Some(attempt) = &mut self.dialer.attempt else {
            return;
        };
        if attempt.path != Some(path) {
            return;
        }
        attempt.path = None;
        attempt.until = now + MENDING;
        let (offered, number) = (attempt.offered, attempt.number);
        self.dialer.why = "the direct path fell silent".into();
        if offered {
            self.restart_ice(number);
        }
    }

    /// The other peer is another process, which knows nothing of this one's connections.
    pub(crate) fn direct_orphaned(&mut self, now: Moment) {
        self.direct_lost(now, "the other peer was restarted");
    }

    /// The connection is of no use any more.
    pub(crate) fn direct_lost(&mut self, now: Moment, why: &str) {
        let Some(attempt) = self.dialer.attempt.take() else {
            return;
        };
        self.dialer.why = why.into();
        self.dialer.given_up = attempt.number;
        match attempt.path {
            Some(path) => self.machine.path_down(path, now),
            None => {
                self.machine.dial_failed(now);
                self.out.tell(Kind::DialFailed, why);
            }
        }
    }

    /// A signal of the other peer, opened.
    pub(crate) fn take_signal(&mut self, signal: Bytes) {
        let Ok(signal) = v1::Signal::decode(signal) else {
            return;
        };
        let number = signal.attempt;
        if self.dialer.mode == Mode::Off || number == 0 {
            return;
        }
        match signal.kind {
            Some(Item::Description(description)) if description.r#type == "offer" => {
                self.take_offer(number, description.sdp);
            }
            Some(Item::Description(description)) if description.r#type == "answer" => {
                self.take_answer(number, description.sdp);
            }
            Some(Item::Candidate(candidate)) => {
                if let Some(attempt) = self.dialer.current(number) {
                    if attempt.described {
                        attempt.wire.add(&candidate);
                    } else if attempt.early.len() < MAX_EARLY {
                        attempt.early.push(candidate);
                    }
                }
            }
            // Provisional answers and rollbacks are not needed; what is unknown is of a later version.
            Some(Item::Description(_)) | None => {}
        }
    }

    fn take_offer(&mut self, number: u64, sdp: String) {
        let ours = self.dialer.attempt.as_ref();
        let known = ours.is_some_and(|it| it.number == number);
        let busy = ours.is_some_and(|it| it.offered && !it.described);
        if !known && busy && self.dialer.role == Role::Initiator {
            return;
        }
        if number == self.dialer.given_up {
            return;
        }
        if !known {
            let old = self.dialer.attempt.take().and_then(|it| it.path);
            if let Some(path) = old {
                self.machine.path_down(path, now());
            }
            self.dialer.due = None;
            self.begin(number, false, now());
        }
        self.answer(number, sdp);
    }

    /// Makes a connection; the one that offers also makes its offer.
    fn begin(&mut self, number: u64, offered: bool, now: Moment) {
        let servers = self.dialer.own_servers.concat(&self.dialer.servers);
        let wire = Wire::new(&servers, self.dialer.policy.as_deref(), &self.me, number);
        let Ok(wire) = wire else {
            self.dialer.why = "this browser refuses to make an RTCPeerConnection".into();
            self.out.tell(Kind::DialFailed, self.dialer.why.as_str());
            self.machine.dial_failed(now);
            return;
        };
        self.dialer.why = "a direct path is being looked for".into();
        self.dialer.attempt = Some(Attempt {
            number,
            wire,
            offered,
            open: false,
            path: None,
            until: now + MAKING,
            described: false,
            early: Vec::new(),
            announced: false,
            unsent: Vec::new(),
        });
        if offered {
            self.offer(number, false);
        }
    }

    fn restart_ice(&self, number: u64) {
        if self.can_signal() {
            self.offer(number, true);
        }
    }

    fn signal(&mut self, attempt: u64, item: Item) {
        let kind = Some(item);
        let signal = v1::Signal { kind, attempt };
        // Without keys or a relay it is lost, as it may be under way: the attempt then runs out.
        let _ = self.machine.send_signal(&signal.encode_to_vec());
    }

    fn channel_open(&mut self, number: u64) {
        if let Some(attempt) = self.dialer.current(number) {
            attempt.open = true;
            self.direct_up(number);
        }
    }

    /// The connection works, for the first time or again.
    fn direct_up(&mut self, number: u64) {
        let Some(attempt) = self.dialer.current(number) else {
            return;
        };
        if !attempt.open || attempt.path.is_some() {
            return;
        }
        let path = self.machine.path_up(PathKind::Direct, now(), &mut Random);
        attempt.path = Some(path);
    }

    fn connection_changed(&mut self, number: u64) {
        let Some(attempt) = self.dialer.current(number) else {
            return;
        };
        let now = now();
        match attempt.wire.state() {
            RtcPeerConnectionState::Connected => self.direct_up(number),
            RtcPeerConnectionState::Failed => match attempt.path {
                Some(path) => {
                    self.machine.path_down(path, now);
                    self.direct_silent(path, now);
                }
                None if attempt.open => {}
                None => {
                    let why = "no pair of addresses worked; a TURN server may help";
                    self.direct_lost(now, why);
                }
            },
            RtcPeerConnectionState::Closed => self.direct_lost(now, "the connection was closed"),
            // Probes tell earlier whether a disconnection matters.
            _ => {}
        }
    }

    fn direct_frame(&mut self, number: u64, bytes: Bytes) {
        // What comes over a path that was given up proves that it is mended.
        self.direct_up(number);
        let path = self.dialer.current(number).and_then(|it| it.path);
        let frame = parse(bytes).filter(is_direct);
        if let (Some(path), Some(frame)) = (path, frame) {
            self.received.add(frame.len(), now());
            self.take(path, frame);
        }
    }
}

/// How long the joiner leaves it to the initiator to make the offer.
const JOINER_WAITS: Duration = Duration::from_millis(1_500);

/// From the offer to an open channel.
const MAKING: Duration = Duration::from_secs(15);

/// How long an ICE restart may take.
const MENDING: Duration = Duration::from_secs(8);

/// Candidates that came before the description they belong to.
const MAX_EARLY: usize = 64;
