//! One endpoint of a pairing, whole: channels, sealing and the choice of path in one machine.
//!
//! ```text
//!  application ⇄ Mux ── records ──► seal ──► the selected path ──► frames ┐
//!                 ▲                                                      ├ shell: legs, WebRTC
//!                 └──── records ◄── open ◄── every path ◄──────── frames ┘
//!                              handshake and probes stay on the path they concern
//! ```
//!
//! The native client and the browser drive this same machine; it reads no clock and no randomness.
//! In this order:
//!
//! 1. a path comes up: the peers prove the code (once per pairing), then shake hands;
//! 2. [`Event::Secured`]: records may flow, the channels greet each other and replay what is lacking;
//! 3. a path is lost, another comes up: the keys at hand seal at once, a handshake behind them brings
//!    fresh ones; what a restarted peer could not open is said again when these are there;
//! 4. what was altered under way costs its path, never a message: the next path replays. Paths that
//!    bring nothing but forgeries, one after another, end in [`End::Tampered`].
//!
//! A peer that is not secured says its last word again after a pause, so that a frame lost by a relay
//! delays and does not strand it. So does one that gets only records of keys that it does not know.

use std::time::Duration;

use bytes::Bytes;
use rand_core::CryptoRngCore;

use crate::channel::{self, Mux, Packed};
use crate::connect::{self, Action, Kind, PathId, Paths};
use crate::frame::{Frame, Lane};
use crate::id::PairingId;
use crate::role::Role;
use crate::secure::{
    self, Association, Failure, HEADROOM, MAX_PLAINTEXT, PairingSecret, SealError, State, TAG_LEN,
    Violation,
};
use crate::short::pop_front;
use crate::time::{Backoff, Moment};

mod event;
#[cfg(test)]
mod tests;

pub use event::{End, Event};

/// How a [`Peer`] behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Windows and sizes. The room around records is set to what sealing needs.
    pub channels: channel::Config,
    /// Patience with direct paths.
    pub paths: connect::Config,
}

/// What this side proves itself with.
#[derive(Clone, Debug)]
pub enum Proof<'a> {
    /// The canonical bytes of the full code, nameplate and secret words; once per code.
    Code(&'a [u8]),
    /// What came of an earlier code.
    Secret(PairingSecret),
}

/// One endpoint. See the module.
pub struct Peer {
    association: Association,
    mux: Mux,
    paths: Paths,
    /// Handshakes, probes and signals, each with the path it belongs to.
    urgent: Vec<(PathId, Frame)>,
    events: Vec<Event>,
    /// Paths in a row that were given up for a forgery.
    tampered: u32,
    /// [`Event::CodeUsed`] was told.
    code_used: bool,
    /// Whether records ever flowed.
    secured: bool,
    rekey_at: Moment,
    /// When to say the last word again, and after which pause next.
    remind_at: Moment,
    pause: Backoff,
    /// The newest records belong to keys that are not known here: a handshake went lost, or two crossed.
    estranged: bool,
    /// When time was noted last.
    noted: Moment,
    dropped: u64,
}

impl Peer {
    /// Makes a machine without a path.
    ///
    /// `hello` is told to the other peer in each handshake, cut to
    /// [`MAX_HELLO_LEN`](secure::MAX_HELLO_LEN) bytes. A code makes one machine, ever: a peer that
    /// fails after it has received anything asks for a new code.
    #[must_use]
    pub fn new(
        config: Config,
        role: Role,
        pairing: PairingId,
        proof: Proof<'_>,
        hello: Bytes,
        now: Moment,
        rng: &mut impl CryptoRngCore,
    ) -> Self {
        let mut channels = config.channels;
        (channels.front, channels.back) = (HEADROOM, TAG_LEN);
        let longest = u32::try_from(MAX_PLAINTEXT).unwrap_or(u32::MAX);
        channels.limits.max_record = channels.limits.max_record.min(longest);
        let mut instance = [0; 16];
        rng.fill_bytes(&mut instance);
        let association = match proof {
            Proof::Code(code) => Association::with_code(role, pairing, code, hello, rng),
            Proof::Secret(secret) => Association::with_secret(role, pairing, secret, hello),
        };
        Self {
            association,
            mux: Mux::new(channels, role, instance),
            paths: Paths::new(config.paths),
            urgent: Vec::new(),
            events: Vec::new(),
            tampered: 0,
            code_used: false,
            secured: false,
            rekey_at: now + REKEY_EVERY,
            remind_at: Moment::NEVER,
            pause: Backoff::new(REMIND_AFTER, REMIND_AT_MOST),
            estranged: false,
            noted: now,
            dropped: 0,
        }
    }

    /// A path to the other peer was made.
    pub fn path_up(&mut self, kind: Kind, now: Moment, rng: &mut impl CryptoRngCore) -> PathId {
        let path = self.paths.up(kind, now);
        self.association.on_path_up(rng);
        self.collect(path);
        if self.waits() {
            self.pause.reset();
            self.remind_at = self.pause.pause(now);
        }
        self.obey(now);
        path
    }

    /// A path ended. Late news of a path that is gone already change nothing.
    pub fn path_down(&mut self, path: PathId, now: Moment) {
        self.forget(path);
        self.paths.down(path, now);
        self.obey(now);
    }

    /// A direct path that [`Event::Dial`] asked for could not be made.
    pub fn dial_failed(&mut self, now: Moment) {
        self.paths.failed(now);
        self.obey(now);
    }

    /// Takes a frame of the other peer from one of the paths; notices are the shell's own.
    ///
    /// # Errors
    /// [`End`]: give the peer up.
    pub fn handle_frame(
        &mut self,
        path: PathId,
        frame: Frame,
        now: Moment,
        rng: &mut impl CryptoRngCore,
    ) -> Result<(), End> {
        let lane = frame.lane();
        let opened = self.association.handle(frame, rng);
        if !self.code_used && self.association.is_code_used() {
            self.code_used = true;
            self.events.push(Event::CodeUsed);
        }
        self.collect(path);
        self.note_secured(now);
        match opened {
            Ok(None) => {}
            Ok(Some((lane, plaintext))) => self.take(path, lane, plaintext, now)?,
            Err(Failure::Burnt(burnt)) => return Err(burnt.into()),
            Err(Failure::Violation(violation)) => self.refuse(path, lane, violation, now)?,
        }
        self.obey(now);
        Ok(())
    }

    /// The next frame for a path that has room. Ask for each such path until there is nothing.
    pub fn poll_transmit(&mut self, path: PathId, now: Moment) -> Option<Frame> {
        if let Some(at) = self.urgent.iter().position(|(on, _)| *on == path) {
            return Some(self.urgent.remove(at).1);
        }
        if self.paths.selected() != Some(path) || self.association.state() != State::Secured {
            return None;
        }
        if let Some(record) = self.mux.poll_record(now) {
            return self.seal(Lane::Reliable, record);
        }
        let datagram = self.mux.poll_datagram()?;
        self.seal(Lane::Datagram, datagram)
    }

    /// The next thing to know. Poll until there is nothing, after every call that changes something.
    pub fn poll_event(&mut self) -> Option<Event> {
        let own = pop_front(&mut self.events);
        own.or_else(|| self.mux.poll_event().map(Event::Channel))
    }

    /// When to call [`Peer::handle_timeout`] if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        let own = self.rekey_at.min(self.remind_at).min(self.paths.timeout());
        match self.mux.poll_timeout() {
            // It is due, and waits for a path that has room.
            due if due <= self.noted => own,
            later => own.min(later),
        }
    }

    /// Notes that time has passed; [`Peer::poll_transmit`] then gives what has become due.
    pub fn handle_timeout(&mut self, now: Moment, rng: &mut impl CryptoRngCore) {
        self.noted = now;
        if self.rekey_at <= now {
            self.rekey_at = now + REKEY_EVERY;
            self.association.rekey();
        }
        if self.remind_at <= now {
            self.remind(now, rng);
        }
        self.mux.handle_timeout(now);
        self.obey(now);
    }

    /// The channels, to open, send, read, finish and close. Records and paths stay this machine's.
    pub fn channels(&mut self) -> &mut Mux {
        &mut self.mux
    }

    /// Seals a signal for the other peer, at most 16,354 bytes, and sends it over the newest relay
    /// path.
    ///
    /// # Errors
    /// [`SealError::NotReady`] before [`Event::Secured`] or without a relay path; the others as they
    /// say.
    pub fn send_signal(&mut self, signal: &[u8]) -> Result<(), SealError> {
        let relay = self.paths.newest(Kind::Relay).ok_or(SealError::NotReady)?;
        let frame = self.association.seal_copy(Lane::Signal, signal)?;
        self.hurry(relay, frame);
        Ok(())
    }

    /// The path that records take.
    #[must_use]
    pub fn selected(&self) -> Option<PathId> {
        self.paths.selected()
    }

    /// What a path is, while it is there.
    #[must_use]
    pub fn kind(&self, path: PathId) -> Option<Kind> {
        self.paths.kind(path)
    }

    /// How long the latest probe of a direct path took.
    #[must_use]
    pub fn path_rtt(&self, path: PathId) -> Option<Duration> {
        self.paths.rtt(path)
    }

    /// The pairing secret, once agreed. Worth storing from the first [`Event::Secured`] on.
    #[must_use]
    pub const fn secret(&self) -> Option<&PairingSecret> {
        self.association.secret()
    }

    /// Whether the code is spent. See [`Event::CodeUsed`].
    #[must_use]
    pub const fn is_code_used(&self) -> bool {
        self.code_used
    }

    /// How far the agreement on keys is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.association.state()
    }

    /// Frames dropped because they were stale, out of turn, or forged where that costs no path.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn take(&mut self, path: PathId, lane: Lane, plaintext: Bytes, now: Moment) -> Result<(), End> {
        self.tampered = 0;
        match lane {
            Lane::Reliable => {
                self.estranged = false;
                if !self.paths.handle(path, &plaintext, now) {
                    self.mux.handle_record(plaintext, now)?;
                }
            }
            Lane::Datagram => self.mux.handle_datagram(plaintext),
            Lane::Signal => self.events.push(Event::Signal(plaintext)),
            // The association opens no notices.
            Lane::Notice => {}
        }
        Ok(())
    }

    /// An honest path may deliver late, twice or out of turn, and a lossy lane anything: that is
    /// dropped. A reliable lane that alters what it carries is no path.
    fn refuse(
        &mut self,
        path: PathId,
        lane: Lane,
        violation: Violation,
        now: Moment,
    ) -> Result<(), End> {
        let harmless = violation.is_stale() || violation == Violation::Unexpected;
        if harmless || lane != Lane::Reliable || self.paths.kind(path).is_none() {
            self.dropped += 1;
            if violation == Violation::UnknownSession && !self.estranged {
                self.estranged = true;
                self.remind_at = self.remind_at.min(self.pause.pause(now));
            }
            return Ok(());
        }
        self.tampered += 1;
        if self.tampered >= MAX_TAMPERED {
            return Err(End::Tampered);
        }
        self.path_down(path, now);
        self.events.push(Event::HangUp(path));
        Ok(())
    }

    /// The first keys begin the channels' conversation. A greeting that a restarted peer could not open is
    /// said again by the channels' own clock.
    fn note_secured(&mut self, now: Moment) {
        while let Some(secure::Event::Secured { sas, hello }) = self.association.poll_event() {
            self.events.push(Event::Secured { sas, hello });
            (self.remind_at, self.estranged) = (Moment::NEVER, false);
            let first = !std::mem::replace(&mut self.secured, true);
            if first && self.paths.selected().is_some() {
                self.mux.path_up(now);
            }
        }
    }

    /// Whether the other peer has to say something before the two understand each other.
    fn waits(&self) -> bool {
        match self.association.state() {
            State::Pairing | State::Handshaking => true,
            State::Secured => self.estranged,
            State::Burnt(_) => false,
        }
    }

    fn remind(&mut self, now: Moment, rng: &mut impl CryptoRngCore) {
        self.remind_at = Moment::NEVER;
        if let (true, Some(path)) = (self.waits(), self.paths.selected()) {
            self.association.on_path_up(rng);
            self.collect(path);
            self.remind_at = self.pause.pause(now);
        }
    }

    fn obey(&mut self, now: Moment) {
        while let Some(action) = self.paths.poll(now) {
            match action {
                Action::Begin(path) => {
                    if self.secured {
                        self.mux.path_up(now);
                    }
                    self.events.push(Event::Path(Some(path)));
                }
                Action::Switch(path) => {
                    if self.secured {
                        self.mux.switch_path(now);
                    }
                    self.events.push(Event::Path(Some(path)));
                }
                Action::Resync => self.mux.resync(now),
                Action::Stop => {
                    self.mux.path_down(now);
                    self.events.push(Event::Path(None));
                }
                Action::Send(path, record) => {
                    // Before there are keys a probe goes unanswered, as on a path that is not there.
                    let sealed = self.association.seal_copy(Lane::Reliable, &record);
                    if let (Ok(frame), Some(_)) = (sealed, self.paths.kind(path)) {
                        self.hurry(path, frame);
                    }
                }
                Action::HangUp(path) => {
                    self.forget(path);
                    self.events.push(Event::HangUp(path));
                }
                Action::Dial => self.events.push(Event::Dial),
            }
        }
    }

    /// Moves what the association has to say to the path it belongs to, or to a living one if that is
    /// gone: a frame may arrive after its path. Without any path nothing is kept, since everything is
    /// said again when one comes up.
    fn collect(&mut self, path: PathId) {
        let living = |path: &PathId| self.paths.kind(*path).is_some();
        let path = Some(path).filter(living).or_else(|| self.paths.selected());
        while let Some(frame) = self.association.poll_transmit() {
            if let Some(path) = path {
                self.hurry(path, frame);
            }
        }
    }

    /// Nothing is sent over this path any more.
    fn forget(&mut self, path: PathId) {
        self.urgent.retain(|(on, _)| *on != path);
    }

    /// Queues a frame before all records. A path that takes none loses the oldest: handshakes and
    /// probes are said again, signals are negotiated anew.
    fn hurry(&mut self, path: PathId, frame: Frame) {
        if self.urgent.len() >= MAX_URGENT {
            self.urgent.remove(0);
        }
        self.urgent.push((path, frame));
    }

    /// Fails only after 2^64 records of one session: what is not sealed then is replayed with the
    /// keys of the next path.
    fn seal(&mut self, lane: Lane, record: Packed) -> Option<Frame> {
        let (buffer, front) = record.into_parts();
        debug_assert_eq!(front, HEADROOM);
        self.association.seal(lane, buffer).ok()
    }
}

impl std::fmt::Debug for Peer {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("state", &self.association.state())
            .field("path", &self.paths.selected())
            .finish_non_exhaustive()
    }
}

/// Keys that were used are replaced this often, so that one stolen from memory opens little.
const REKEY_EVERY: Duration = Duration::from_secs(3600);

/// The first pause before an unanswered last word is said again; doubled each time.
const REMIND_AFTER: Duration = Duration::from_secs(3);

/// Where the doubling ends.
const REMIND_AT_MOST: Duration = Duration::from_secs(30);

/// One forgery may be a broken middlebox; as many paths in a row are no accident.
const MAX_TAMPERED: u32 = 5;

/// Handshakes are three frames, probes two; signals come as fast as a person's networks change.
const MAX_URGENT: usize = 64;
