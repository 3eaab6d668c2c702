//! The sending side.
//!
//! ```text
//!  Offering ──Accept──▶ Sending(file, offset) ──last file──▶ Ended ──Done──▶ Over
//!     │                        │
//!     └──Decline, Cancel, a fault, cancel()──▶ Over
//! ```

mod batch;
mod current;
mod parts;

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;

use self::batch::Outbox;
use self::current::Current;
use self::parts::Parts;
pub(super) use self::parts::links_that_fit;
use super::by_entry::ByEntry;
use super::message;
use super::{Abilities, AcceptFault, CancelCode, Error, Fault, Kind, Offer, Progress, Report};

/// What the shell is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this message, then poll again.
    Send(Bytes),
    /// Read up to `max` bytes of a file at an offset and [`Sender::feed`] them; also for bytes that
    /// the receiver already holds, which are only hashed.
    Read {
        /// The number of the file.
        entry: u32,
        /// Where to read.
        offset: u64,
        /// The most bytes to feed, at least one.
        max: usize,
        /// The most zeros of a hole at `offset` that may be given to [`Sender::feed_hole`] instead;
        /// 0 if the other side takes no holes.
        hole: u64,
    },
    /// Wait for a message and [`Sender::handle`] it.
    Wait,
    /// Nothing more will happen.
    Finished,
}

/// A file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The number of the file.
    pub entry: u32,
    /// Why, for people.
    pub text: String,
}

/// Offers files, sends what is accepted and ends when the receiver has stored all of it.
#[derive(Debug)]
pub struct Sender {
    offer: Offer,
    ours: Abilities,
    /// What the receiver understands; known with its answer.
    theirs: Abilities,
    /// What the receiver's device is called.
    device: String,
    state: State,
    outbox: Outbox,
    plans: ByEntry<Plan>,
    progress: Progress,
    paused_there: bool,
    failed: Vec<Failed>,
    report: Report,
}

#[derive(Debug)]
enum State {
    /// The offer is going out or is out; parts of the answer may have come.
    Offering(Parts),
    /// A file is at work.
    Sending(Current),
    /// Everything is sent.
    Ended,
    /// Done, declined, cancelled or failed.
    Over,
}

/// What the receiver wants of a file other than all of it.
#[derive(Debug)]
enum Plan {
    Skip,
    Resume { offset: u64, hash: blake3::Hash },
}

impl Sender {
    /// Starts a transfer; the first actions send the offer. This side says that it understands the
    /// first version only.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        Self::with(offer, Abilities::default())
    }

    /// Starts a transfer and says what this side understands beyond the first version.
    #[must_use]
    pub fn with(offer: Offer, ours: Abilities) -> Self {
        let progress = Progress {
            files_total: u32::try_from(offer.files_from(0).count()).unwrap_or(u32::MAX),
            bytes_total: offer.total_bytes(),
            ..Progress::default()
        };
        Self {
            state: State::Offering(Parts::of(&offer)),
            ours,
            theirs: Abilities::default(),
            device: String::new(),
            outbox: Outbox::default(),
            plans: ByEntry::new(),
            progress,
            paused_there: false,
            failed: Vec::new(),
            report: Report::default(),
            offer,
        }
    }

    /// What was offered.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// How much was handed to the channel.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// What the receiver understands; nothing before its answer.
    #[must_use]
    pub const fn abilities(&self) -> Abilities {
        self.theirs
    }

    /// Whether the receiver has not answered yet.
    #[must_use]
    pub const fn is_unanswered(&self) -> bool {
        matches!(self.state, State::Offering(_))
    }

    /// What the receiver's device is called, for people; empty before its answer, and if it does not
    /// say.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Whether the receiver says that it has paused. Nothing is sent meanwhile.
    #[must_use]
    pub const fn is_paused_there(&self) -> bool {
        self.paused_there
    }

    /// The files that could not be read and are not there.
    #[must_use]
    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// What the receiver stored under other names, or not at all; empty before the end.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Says what to do next. After an error it still gives the message that tells the other side.
    pub fn poll(&mut self) -> Action {
        loop {
            if let Some(message) = self.outbox.pop() {
                return Action::Send(message);
            }
            match &mut self.state {
                State::Offering(parts) => {
                    return match parts.next(&self.offer, self.ours) {
                        Some(part) => Action::Send(part),
                        None => Action::Wait,
                    };
                }
                State::Sending(current) if current.is_complete() => self.finish_file(),
                State::Sending(current) => {
                    if current.size.is_none() || self.paused_there {
                        // Nobody knows how long the next bytes take.
                        self.outbox.flush();
                        if let Some(message) = self.outbox.pop() {
                            return Action::Send(message);
                        }
                    }
                    if self.paused_there {
                        return Action::Wait;
                    }
                    return current.next_read(self.theirs.holes);
                }
                State::Ended => return Action::Wait,
                State::Over => return Action::Finished,
            }
        }
    }

    /// Takes the bytes that [`Action::Read`] asked for; none at the end of the file.
    ///
    /// # Errors
    /// [`Error::SourceEnded`] if the file is shorter than offered and the receiver does not go on
    /// without it, [`Error::OutOfTurn`] if nothing or less was asked for. Either ends the transfer.
    pub fn feed(&mut self, bytes: Bytes) -> Result<(), Error> {
        let State::Sending(current) = &mut self.state else {
            return Err(Error::OutOfTurn("fed without having been asked"));
        };
        let Action::Read { entry, max, .. } = current.next_read(false) else {
            return Err(Error::OutOfTurn("fed without having been asked"));
        };
        if bytes.len() > max {
            return Err(Error::OutOfTurn("fed more than was asked for"));
        }
        if bytes.is_empty() {
            if current.size.is_some() {
                if self.fail_file("it became shorter while it was sent") {
                    return Ok(());
                }
                return Err(Error::SourceEnded { entry });
            }
            self.finish_file();
            return Ok(());
        }
        let offset = current.offset;
        current.hasher.update(&bytes);
        let len = bytes.len() as u64;
        if current.absorb(len, &mut self.progress) {
            let small = current.size.is_some() && self.theirs.batches;
            let chunk = v1::TransferChunk {
                entry,
                offset,
                data: bytes,
            };
            let message = message::encode(Message::Chunk(chunk));
            self.outbox.push_batched(message, small);
        }
        Ok(())
    }

    /// Takes zeros in place of the bytes that [`Action::Read`] asked for.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] if no hole of that length was asked for.
    pub fn feed_hole(&mut self, length: u64) -> Result<(), Error> {
        let State::Sending(current) = &mut self.state else {
            return Err(Error::OutOfTurn("fed without having been asked"));
        };
        let Action::Read { entry, hole, .. } = current.next_read(self.theirs.holes) else {
            return Err(Error::OutOfTurn("fed without having been asked"));
        };
        if length == 0 || length > hole {
            return Err(Error::OutOfTurn("fed a hole that was not asked for"));
        }
        let offset = current.offset;
        message::hash_zeros(&mut current.hasher, length);
        if current.absorb(length, &mut self.progress) {
            let hole = v1::TransferHole {
                entry,
                offset,
                length,
            };
            // Alone: hashing takes the receiver far longer than the message is.
            self.outbox.push(message::encode(Message::Hole(hole)));
        }
        Ok(())
    }

    /// Gives up the file at work and goes on to the next, if the receiver does so, too; else gives up
    /// the transfer. Says whether it goes on.
    pub fn fail_file(&mut self, text: &str) -> bool {
        let State::Sending(current) = &self.state else {
            return false;
        };
        if !self.theirs.failures {
            self.cancel(CancelCode::SourceFailed, text);
            return false;
        }
        let (entry, text) = (current.entry, message::clean(text));
        self.progress.bytes_done -= current.counted;
        self.progress.bytes_resumed -= current.resumed;
        if let (Some(total), Some(size)) = (&mut self.progress.bytes_total, current.size) {
            *total -= size;
        }
        self.progress.files_failed += 1;
        let failed = v1::TransferEntryFailed {
            entry,
            text: text.clone(),
        };
        self.failed.push(Failed { entry, text });
        let message = message::encode(Message::EntryFailed(failed));
        self.outbox.push_batched(message, self.theirs.batches);
        self.start_file_after(Some(entry));
        true
    }

    /// Tells the receiver that this side stops for a while, or goes on, if it wants to know.
    pub fn pause(&mut self, paused: bool) {
        let is_answered = matches!(self.state, State::Sending(_) | State::Ended);
        if self.theirs.pauses && is_answered {
            let pause = v1::TransferPause { paused };
            self.outbox.push(message::encode(Message::Pause(pause)));
        }
    }

    /// Takes a message of the receiver.
    ///
    /// # Errors
    /// [`Error::Declined`], [`Error::Cancelled`] or [`Error::Peer`]; each ends the transfer.
    pub fn handle(&mut self, message: Bytes) -> Result<(), Error> {
        if matches!(self.state, State::Over) {
            return Err(Error::OutOfTurn("a message after the end"));
        }
        let message = message::decode(message).map_err(|fault| self.fail(fault))?;
        match (message, &self.state) {
            (Message::Accept(accept), State::Offering(parts)) if parts.is_done() => {
                let more = accept.more;
                self.take_answer(accept).map_err(|fault| self.fail(fault))?;
                if !more {
                    self.start_file_after(None);
                }
                Ok(())
            }
            (Message::Decline(decline), State::Offering(_)) => {
                self.end();
                Err(Error::Declined {
                    reason: decline.reason().into(),
                    text: message::clean(&decline.text),
                })
            }
            (Message::Done(done), State::Ended) => {
                self.report = Report::parse(&done);
                self.end();
                Ok(())
            }
            (Message::Pause(pause), State::Sending(_) | State::Ended) if self.ours.pauses => {
                self.paused_there = pause.paused;
                Ok(())
            }
            (Message::Cancel(cancel), _) => {
                self.end();
                Err(Error::Cancelled {
                    code: cancel.code().into(),
                    text: message::clean(&cancel.text),
                })
            }
            (other, _) => Err(self.fail(Fault::OutOfTurn(message::name(&other)))),
        }
    }

    /// Gives up and tells the receiver why. Does nothing once the transfer is over.
    pub fn cancel(&mut self, code: CancelCode, text: &str) {
        if matches!(self.state, State::Over) {
            return;
        }
        self.end();
        self.outbox.push(message::cancel(code, text));
    }

    fn fail(&mut self, fault: Fault) -> Error {
        self.cancel(CancelCode::Protocol, &fault.to_string());
        Error::Peer(fault)
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.outbox.clear();
        self.progress.entry = None;
    }

    fn take_answer(&mut self, accept: v1::TransferAccept) -> Result<(), Fault> {
        if accept.more && accept.resumes.is_empty() && accept.skipped.is_empty() {
            return Err(Fault::BadPart);
        }
        if let Some(abilities) = accept.abilities {
            self.theirs = Abilities::parse(abilities);
        }
        if !accept.device.is_empty() {
            self.device = message::device(&accept.device);
        }
        for resume in accept.resumes {
            let entry = resume.entry;
            let fault = |fault| Fault::Accept { entry, fault };
            let size = self.file_size(entry)?;
            if resume.offset == 0 || size.is_none_or(|size| resume.offset > size) {
                return Err(fault(AcceptFault::Offset));
            }
            let hash =
                blake3::Hash::from_slice(&resume.hash).map_err(|_| fault(AcceptFault::Hash))?;
            let offset = resume.offset;
            self.plan(entry, Plan::Resume { offset, hash })?;
        }
        for entry in accept.skipped {
            let size = self.file_size(entry)?;
            self.plan(entry, Plan::Skip)?;
            self.progress.files_total -= 1;
            if let (Some(total), Some(size)) = (&mut self.progress.bytes_total, size) {
                *total -= size;
            }
        }
        Ok(())
    }

    /// The size of a file, itself unknown for a pipe.
    fn file_size(&self, entry: u32) -> Result<Option<u64>, Fault> {
        match self.offer.entry(entry) {
            Some(file) if file.kind == Kind::File => Ok(file.size),
            Some(_) | None => Err(Fault::Accept {
                entry,
                fault: AcceptFault::NoSuchFile,
            }),
        }
    }

    fn plan(&mut self, entry: u32, plan: Plan) -> Result<(), Fault> {
        match self.plans.insert(entry, plan) {
            None => Ok(()),
            Some(_) => Err(Fault::Accept {
                entry,
                fault: AcceptFault::Twice,
            }),
        }
    }

    /// Announces the hash of the file at work and goes on to the next.
    fn finish_file(&mut self) {
        let State::Sending(current) = &self.state else {
            return;
        };
        let entry = current.entry;
        let hash = Bytes::copy_from_slice(current.hasher.finalize().as_bytes());
        let end = v1::TransferEntryEnd { entry, hash };
        let message = message::encode(Message::EntryEnd(end));
        self.outbox.push_batched(message, self.theirs.batches);
        self.progress.files_done += 1;
        self.start_file_after(Some(entry));
    }

    /// Makes the next wanted file the one at work.
    fn start_file_after(&mut self, last: Option<u32>) {
        let next = self
            .offer
            .files_from(last.map_or(0, |last| last + 1))
            .find(|(number, _)| !matches!(self.plans.get(*number), Some(Plan::Skip)));
        let Some((entry, file)) = next else {
            self.state = State::Ended;
            self.progress.entry = None;
            self.outbox
                .push(message::encode(Message::End(v1::TransferEnd {})));
            return;
        };
        let resume = match self.plans.get(entry) {
            Some(Plan::Resume { offset, hash }) => Some((*offset, *hash)),
            Some(Plan::Skip) | None => None,
        };
        self.progress.entry = Some(entry);
        self.state = State::Sending(Current {
            entry,
            size: file.size,
            offset: 0,
            hasher: Box::default(),
            resume,
            counted: 0,
            resumed: 0,
        });
    }
}
