//! PAKE, handshake and records in one machine: what a shell drives between a leg and the channel.
//!
//! ```text
//!             with_code                    with_secret
//!                 |                             |
//!             Pairing --both confirmed--> Handshaking --answered / used--> Secured
//!                 | wrong guess, restart                                    | path up: another
//!               Burnt                                                       | handshake behind it
//! ```
//!
//! Who repeats what: this machine nothing by itself. When a path comes up, and now and then while it is
//! not secured, its owner ([`crate::peer`]) calls [`Association::on_path_up`]; the initiator says its
//! last word again or begins a handshake, the joiner does the same or asks for it. Every message may
//! arrive twice.
//!
//! A peer that was restarted comes with its stored secret and a new handshake replaces the session.
//! Until its keys are used, records of the session before are still sealed and opened, so that a
//! handshake interrupts nothing. A peer restarted before the secret was agreed burns the code.

use bytes::Bytes;
use rand_core::CryptoRngCore;

use super::failure::{Burnt, Failure, SealError, Violation};
use super::handshake::Handshake;
use super::keys::{PairingSecret, Sas};
use super::pake::{Pake, Progress};
use super::seal::{HEADROOM, Header, OVERHEAD, Transport};
use super::wire::{self, HandshakeMessage, PakeMessage};
use crate::frame::{Frame, Lane};
use crate::id::PairingId;
use crate::role::Role;
use crate::short::pop_front;

/// One peer's secured association with the other, over any number of paths.
#[derive(Debug)]
pub struct Association {
    role: Role,
    pairing: PairingId,
    hello: Bytes,
    /// The PAKE, if this began with a code; its end is kept to answer repetitions.
    pake: Option<Pake>,
    burnt: Option<Burnt>,
    secret: Option<PairingSecret>,
    /// The initiator's attempt, until it is answered.
    attempt: Option<Handshake>,
    /// The joiner's answer to an attempt, until the initiator uses the keys.
    offered: Option<Offered>,
    current: Option<Transport>,
    previous: Option<Previous>,
    out: Vec<Frame>,
    event: Option<Event>,
}

/// How far an association is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The code is being proven.
    Pairing,
    /// The pairing secret is there, traffic keys are not.
    Handshaking,
    /// Frames can be sealed.
    Secured,
    /// The code is spent without a secret: the pairing needs a new code.
    Burnt(Burnt),
}

/// What a shell gets to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A handshake is complete. The first time, a peer that came with a code stores
    /// [`Association::secret`] now.
    Secured {
        /// The phrase for people to compare.
        sas: Sas,
        /// What the other peer gave as its hello.
        hello: Bytes,
    },
}

#[derive(Debug)]
struct Offered {
    transport: Transport,
    hello: Bytes,
    second: Bytes,
}

#[derive(Debug)]
struct Previous {
    transport: Transport,
    /// It has seen one hourly rekeying; the next one ends it.
    aged: bool,
}

impl Association {
    /// Begins a pairing with the canonical bytes of the full code, nameplate and secret words.
    ///
    /// One code makes one association, ever: a peer that fails after it has received anything asks
    /// for a new code. `hello` is told to the other peer in each handshake, cut to
    /// [`MAX_HELLO_LEN`](super::MAX_HELLO_LEN) bytes.
    #[must_use]
    pub fn with_code(
        role: Role,
        pairing: PairingId,
        code: &[u8],
        hello: Bytes,
        rng: &mut impl CryptoRngCore,
    ) -> Self {
        let (pake, _) = Pake::start(role, code, pairing, rng);
        Self::new(role, pairing, hello, Some(pake), None)
    }

    /// Restores a pairing whose secret is known.
    #[must_use]
    pub fn with_secret(
        role: Role,
        pairing: PairingId,
        secret: PairingSecret,
        hello: Bytes,
    ) -> Self {
        Self::new(role, pairing, hello, None, Some(secret))
    }

    fn new(
        role: Role,
        pairing: PairingId,
        hello: Bytes,
        pake: Option<Pake>,
        secret: Option<PairingSecret>,
    ) -> Self {
        Self {
            role,
            pairing,
            hello,
            pake,
            burnt: None,
            secret,
            attempt: None,
            offered: None,
            current: None,
            previous: None,
            out: Vec::new(),
            event: None,
        }
    }

    /// Says that a path to the other peer is there: a first one, another one, or one that replaces
    /// a lost one. What [`poll_transmit`](Self::poll_transmit) gives next belongs on that path.
    pub fn on_path_up(&mut self, rng: &mut impl CryptoRngCore) {
        self.out.clear();
        let last_word = self.pake.as_ref().and_then(Pake::last_word);
        if self.burnt.is_some() || self.secret.is_none() {
            let again = HandshakeMessage::SendAgain.encode();
            return self.push(&last_word.unwrap_or(again));
        }
        match self.role {
            Role::Initiator => {
                if let (Some(last_word), None) = (last_word, &self.current) {
                    self.push(&last_word);
                }
                self.attempt(rng);
            }
            Role::Joiner => self.push(&HandshakeMessage::SendAgain.encode()),
        }
    }

    /// Takes a frame of the other peer, from whichever path, and gives the plaintext and its lane if
    /// there is one. The frame is opened in place if nobody else holds its memory, else its plaintext gets
    /// memory of its own.
    ///
    /// # Errors
    /// [`Failure::Burnt`] ends a pairing: send what [`poll_transmit`](Self::poll_transmit) still
    /// gives, so that the other peer learns it too. [`Failure::Violation`] leaves the state as it is;
    /// see there for what to do about it.
    pub fn handle(
        &mut self,
        frame: Frame,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Option<(Lane, Bytes)>, Failure> {
        let lane = frame.lane();
        let frame = frame.into_bytes();
        match (lane, frame.get(1)) {
            (Lane::Notice, _) => Err(Violation::WrongLane.into()),
            (_, Some(&wire::RECORD)) => self.open(frame).map_err(Failure::from),
            (Lane::Reliable, Some(&wire::PAKE)) => self.handle_pake(&frame[1..], rng),
            (Lane::Reliable, Some(&wire::HANDSHAKE)) => self.handle_handshake(&frame[1..], rng),
            (_, Some(&(wire::PAKE | wire::HANDSHAKE))) => Err(Violation::WrongLane.into()),
            (_, _) => Err(Violation::Malformed.into()),
        }
    }

    /// The next frame to send. Nothing is lost if it does not arrive: see
    /// [`on_path_up`](Self::on_path_up).
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        pop_front(&mut self.out)
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// Seals a record. `buffer` holds [`HEADROOM`](super::HEADROOM) bytes of any content, then the
    /// plaintext, which is not empty; with [`TAG_LEN`](super::TAG_LEN) bytes of capacity left, nothing
    /// is copied.
    ///
    /// # Errors
    /// [`SealError::NotReady`] unless [`Secured`](State::Secured); the others as they say.
    pub fn seal(&mut self, lane: Lane, mut buffer: Vec<u8>) -> Result<Frame, SealError> {
        if buffer.len() == HEADROOM {
            return Err(SealError::Length);
        }
        let current = self.current.as_mut().ok_or(SealError::NotReady)?;
        current.seal(lane, &mut buffer)?;
        Frame::parse(buffer.into()).map_err(|_| SealError::NoticeLane)
    }

    /// Seals a copy of `plaintext`, which is not empty.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_copy(&mut self, lane: Lane, plaintext: &[u8]) -> Result<Frame, SealError> {
        self.seal(lane, with_headroom(plaintext))
    }

    /// Moves on to fresh keys and lets those of a replaced session go. A shell calls this once an
    /// hour; a long transfer does it by itself every 2^18 records.
    pub fn rekey(&mut self) {
        if let Some(current) = &mut self.current {
            current.rekey();
        }
        match &mut self.previous {
            Some(previous) if !previous.aged => previous.aged = true,
            Some(_) | None => self.previous = None,
        }
    }

    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> State {
        match (self.burnt, &self.secret, &self.current) {
            (Some(burnt), _, _) => State::Burnt(burnt),
            (None, None, _) => State::Pairing,
            (None, Some(_), None) => State::Handshaking,
            (None, Some(_), Some(_)) => State::Secured,
        }
    }

    /// Whether this began with a code that is spent: its exchange took a message of the other side, or of
    /// whoever poses as it. That is the one guess that a code gives.
    #[must_use]
    pub fn is_code_used(&self) -> bool {
        self.pake.as_ref().is_some_and(Pake::is_used)
    }

    /// The pairing secret, once agreed. Worth storing from the first [`Event::Secured`] on: before,
    /// the other peer may not have it.
    #[must_use]
    pub const fn secret(&self) -> Option<&PairingSecret> {
        self.secret.as_ref()
    }

    fn handle_pake(
        &mut self,
        payload: &[u8],
        rng: &mut impl CryptoRngCore,
    ) -> Result<Option<(Lane, Bytes)>, Failure> {
        let message = PakeMessage::parse(payload)?;
        if message.sender() == Some(self.role) {
            // Its own words, sent back: an answer would only confuse the other peer.
            return Err(Violation::Unexpected.into());
        }
        let told = matches!(message, PakeMessage::Burnt(_));
        let spent = PakeMessage::Burnt(Burnt::Spent).encode();
        let Some(pake) = &mut self.pake else {
            if !told {
                self.push(&spent);
            }
            return Err(Violation::Unexpected.into());
        };
        match pake.handle(payload) {
            Ok(Progress::Going(answer)) => {
                let done = pake.is_done();
                if let Some(answer) = answer {
                    self.push(&answer);
                    if done {
                        // Whoever lost the confirmation lost the first message behind it, too.
                        self.attempt(rng);
                    }
                }
            }
            Ok(Progress::Done(secret, answer)) => {
                self.secret = Some(secret);
                if let Some(answer) = answer {
                    self.push(&answer);
                    self.attempt(rng);
                }
            }
            Err(failure) => {
                if let Failure::Burnt(burnt) = failure {
                    self.burnt = Some(burnt);
                }
                let answer = if pake.is_done() {
                    Some(spent)
                } else {
                    pake.last_word()
                };
                if let (Some(answer), false) = (answer, told) {
                    self.push(&answer);
                }
                return Err(failure);
            }
        }
        Ok(None)
    }

    fn handle_handshake(
        &mut self,
        payload: &[u8],
        rng: &mut impl CryptoRngCore,
    ) -> Result<Option<(Lane, Bytes)>, Failure> {
        let message = HandshakeMessage::parse(payload)?;
        if let Some(burnt) = self.burnt {
            return Err(burnt.into());
        }
        match (self.role, message) {
            (Role::Initiator, HandshakeMessage::SendAgain) => self.on_path_up(rng),
            (Role::Initiator, HandshakeMessage::Second(..)) => {
                let attempt = self.attempt.as_ref().ok_or(Violation::TooOld)?;
                let (transport, hello) = attempt.finish(payload)?;
                self.attempt = None;
                self.establish(transport, hello);
                // Tells the joiner that its answer has arrived and the keys work.
                if let Some(current) = &mut self.current {
                    let mut record = with_headroom(&[]);
                    if current.seal(Lane::Reliable, &mut record).is_ok() {
                        self.push(&record[1..]);
                    }
                }
            }
            (Role::Joiner, HandshakeMessage::First(attempt, _)) => {
                let secret = self.secret.as_ref().ok_or(Violation::Unexpected)?;
                let known = |transport: &Transport| transport.attempt() == attempt;
                let previous = self.previous.as_ref().map(|previous| &previous.transport);
                if self.current.as_ref().is_some_and(known) || previous.is_some_and(known) {
                    return Err(Violation::TooOld.into());
                }
                if !self
                    .offered
                    .as_ref()
                    .is_some_and(|offered| known(&offered.transport))
                {
                    let (transport, hello, second) =
                        Handshake::respond(payload, &self.pairing, secret, &self.hello, rng)?;
                    self.offered = Some(Offered {
                        transport,
                        hello,
                        second,
                    });
                }
                if let Some(second) = self.offered.as_ref().map(|offered| offered.second.clone()) {
                    self.push(&second);
                }
            }
            (Role::Initiator, HandshakeMessage::First(..))
            | (Role::Joiner, HandshakeMessage::SendAgain | HandshakeMessage::Second(..)) => {
                return Err(Violation::Unexpected.into());
            }
        }
        Ok(None)
    }

    fn open(&mut self, frame: Bytes) -> Result<Option<(Lane, Bytes)>, Violation> {
        let session = Header::parse(&frame)?.session;
        let ours = |transport: &&mut Transport| transport.session() == session;
        let previous = self
            .previous
            .as_mut()
            .map(|previous| &mut previous.transport);
        let (lane, plaintext) = if let Some(transport) = self.current.as_mut().filter(ours) {
            transport.open_frame(frame)?
        } else if let Some(transport) = previous.filter(ours) {
            transport.open_frame(frame)?
        } else {
            let mut offered = self
                .offered
                .take_if(|offered| offered.transport.session() == session)
                .ok_or(Violation::UnknownSession)?;
            match offered.transport.open_frame(frame) {
                Ok(opened) => {
                    self.establish(offered.transport, offered.hello);
                    opened
                }
                // The first message may have been a replay; then the record may be one as well, and
                // belongs to a session that is forgotten.
                Err(_) => {
                    self.offered = Some(offered);
                    return Err(Violation::UnknownSession);
                }
            }
        };
        Ok((!plaintext.is_empty()).then_some((lane, plaintext)))
    }

    fn establish(&mut self, transport: Transport, hello: Bytes) {
        let Some(secret) = &self.secret else { return };
        let sas = secret.sas();
        self.previous = self.current.replace(transport).map(|transport| Previous {
            transport,
            aged: false,
        });
        // A shell that asks for no events learns of the last one.
        self.event = Some(Event::Secured { sas, hello });
    }

    /// Begins a handshake, unless one is under way, and sends its first message.
    fn attempt(&mut self, rng: &mut impl CryptoRngCore) {
        let Some(secret) = &self.secret else { return };
        let attempt = self
            .attempt
            .get_or_insert_with(|| Handshake::initiate(&self.pairing, secret, &self.hello, rng));
        let first = attempt.first();
        self.push(&first);
    }

    /// Queues a payload of the reliable lane, unless the very same is waiting there. A peer that
    /// asks more often than the shell sends pushes out the oldest.
    fn push(&mut self, payload: &[u8]) {
        let frame = wire::frame(payload);
        if self.out.contains(&frame) {
            return;
        }
        if self.out.len() == MAX_QUEUED {
            self.out.remove(0);
        }
        self.out.push(frame);
    }
}

/// One flight is three frames at most: a confirmation, a first message, a record.
const MAX_QUEUED: usize = 8;

fn with_headroom(plaintext: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(plaintext.len() + OVERHEAD);
    buffer.extend_from_slice(&[0; HEADROOM]);
    buffer.extend_from_slice(plaintext);
    buffer
}

#[cfg(test)]
mod tests;
