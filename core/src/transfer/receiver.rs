//! The receiving side.
//!
//! ```text
//!  Collecting ──last part──▶ Offered ──accept()──▶ Receiving ──End, then stored()──▶ Over
//!      │                       │                       │
//!      └───────────────────────┴─decline(), cancel(), ─┴──▶ Over
//!                                Cancel, a fault
//! ```

mod answer;
mod collecting;
mod files;

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;

pub use self::answer::{Choice, Prefix};
use self::collecting::Collecting;
use self::files::Receiving;
use super::message::{self, BATCH_MESSAGES};
use super::{
    Abilities, CancelCode, DeclineReason, Error, Fault, Limits, Names, Offer, OfferError, Progress,
    Report,
};

/// What the shell is to do with a message that was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing; wait for the next message.
    Nothing,
    /// Look at [`Receiver::offer`] and call [`Receiver::accept`] or [`Receiver::decline`].
    Offered,
    /// Write bytes of a file. The first write of a file says where it goes on; what the shell holds
    /// of it beyond that offset is to be dropped.
    Write {
        /// The number of the file.
        entry: u32,
        /// Where the bytes belong: the end of what was written before.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// Zeros belong there, which need not be stored. As with [`Event::Write`], what the shell holds
    /// beyond the offset is to be dropped if this comes first of a file.
    Hole {
        /// The number of the file.
        entry: u32,
        /// Where the zeros begin: the end of what was written before.
        offset: u64,
        /// How many they are.
        length: u64,
    },
    /// The sender cannot read a file to its end: what was written of it is to be dropped.
    Failed {
        /// The number of the file.
        entry: u32,
        /// The sender's words, without control characters.
        text: String,
    },
    /// The sender has paused, or goes on.
    Paused(bool),
    /// A file is complete, `size` bytes long, and its hash is right. No write came before this if
    /// the file is empty or was held in full.
    Finish {
        /// The number of the file.
        entry: u32,
        /// Its length in bytes.
        size: u64,
    },
    /// All files are there: put them in place and call [`Receiver::stored`].
    Store,
}

/// What a receiver is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How much it takes.
    pub limits: Limits,
    /// What it understands beyond the first version.
    pub abilities: Abilities,
    /// Which names its system can store.
    pub names: Names,
    /// What its device is called, for people; may be empty.
    pub device: String,
}

/// Takes an offer, then files, and verifies them.
#[derive(Debug)]
pub struct Receiver {
    settings: Settings,
    /// What the sender understands; known with its offer.
    theirs: Abilities,
    state: State,
    /// Messages of a batch that are to be handled yet.
    inbox: VecDeque<Bytes>,
    outbox: VecDeque<Bytes>,
    progress: Progress,
    /// Bytes announced, and those that came for files of unknown size: at most the limit.
    committed: u64,
}

#[derive(Debug)]
enum State {
    Collecting(Collecting),
    Offered(Offer),
    Receiving(Receiving),
    Over,
}

impl Receiver {
    /// Waits for an offer. This side says that it understands the first version only, and makes names
    /// harmless everywhere.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with(Settings {
            limits,
            ..Settings::default()
        })
    }

    /// Waits for an offer.
    #[must_use]
    pub fn with(settings: Settings) -> Self {
        Self {
            settings,
            theirs: Abilities::default(),
            state: State::Collecting(Collecting::default()),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            progress: Progress::default(),
            committed: 0,
        }
    }

    /// What is offered, from [`Event::Offered`] until the transfer is over.
    #[must_use]
    pub const fn offer(&self) -> Option<&Offer> {
        match &self.state {
            State::Offered(offer) => Some(offer),
            State::Receiving(receiving) => Some(&receiving.offer),
            State::Collecting(_) | State::Over => None,
        }
    }

    /// How much has arrived.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// What the sender understands; nothing before its offer.
    #[must_use]
    pub const fn abilities(&self) -> Abilities {
        self.theirs
    }

    /// The next message to send, if there is one. Ask after every call, also one that failed.
    pub fn poll_message(&mut self) -> Option<Bytes> {
        self.outbox.pop_front()
    }

    /// Whether nothing more will happen once the last message is sent.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Takes a message of the sender. [`Receiver::next_event`] gives what else was in it.
    ///
    /// # Errors
    /// [`Error::Peer`], [`Error::Mismatch`] or [`Error::Cancelled`]; each ends the transfer.
    pub fn handle(&mut self, message: Bytes) -> Result<Event, Error> {
        if self.is_over() {
            return Err(Error::OutOfTurn("a message after the end"));
        }
        if !self.inbox.is_empty() {
            return Err(Error::OutOfTurn(
                "a message before the last one was handled",
            ));
        }
        let message = message::decode(message).map_err(|fault| self.fail(fault))?;
        let takes_batches = self.settings.abilities.batches;
        match message {
            Message::Batch(batch) if takes_batches => {
                let is_fit = (1..=BATCH_MESSAGES).contains(&batch.messages.len());
                if !is_fit || !matches!(self.state, State::Receiving(_)) {
                    return Err(self.fail(Fault::OutOfTurn("a batch")));
                }
                self.inbox = batch.messages.into();
                self.next_event().unwrap_or(Ok(Event::Nothing))
            }
            message => self.act_on(message),
        }
    }

    /// What is to be done with the next message of a batch; none if there is none. To be called until
    /// then after each [`Receiver::handle`].
    pub fn next_event(&mut self) -> Option<Result<Event, Error>> {
        let message = self.inbox.pop_front()?;
        Some(match message::decode(message) {
            Ok(message @ (Message::Chunk(_) | Message::EntryEnd(_) | Message::EntryFailed(_))) => {
                self.act_on(message)
            }
            Ok(other) => Err(self.fail(Fault::OutOfTurn(message::name(&other)))),
            Err(fault) => Err(self.fail(fault)),
        })
    }

    fn act_on(&mut self, message: Message) -> Result<Event, Error> {
        match (message, &mut self.state) {
            (Message::Offer(part), State::Collecting(collecting)) => {
                if let Some(abilities) = part.abilities {
                    self.theirs = Abilities::parse(abilities);
                }
                match collecting.take(part, &self.settings) {
                    Ok(None) => Ok(Event::Nothing),
                    Ok(Some(offer)) => {
                        self.state = State::Offered(offer);
                        Ok(Event::Offered)
                    }
                    Err(fault) => Err(self.refuse(fault)),
                }
            }
            (Message::Chunk(chunk), State::Receiving(receiving)) => {
                let entry = chunk.entry;
                let left = self.settings.limits.total_bytes - self.committed;
                match receiving.take_chunk(chunk, left, &mut self.progress) {
                    Ok(event) => {
                        self.count_unknown(&event);
                        Ok(event)
                    }
                    Err(fault) => Err(self.fail(Fault::Chunk { entry, fault })),
                }
            }
            (Message::Hole(hole), State::Receiving(receiving)) if self.settings.abilities.holes => {
                let taken = receiving.take_hole(&hole, &mut self.progress);
                let entry = hole.entry;
                taken.map_err(|fault| self.fail(Fault::Chunk { entry, fault }))
            }
            (Message::EntryEnd(end), State::Receiving(receiving)) => {
                let entry = end.entry;
                match receiving.finish(&end, &mut self.progress) {
                    Ok(Some(event)) => Ok(event),
                    Ok(None) => {
                        self.cancel(CancelCode::HashMismatch, "");
                        Err(Error::Mismatch { entry })
                    }
                    Err(fault) => Err(self.fail(Fault::Chunk { entry, fault })),
                }
            }
            (Message::EntryFailed(failed), State::Receiving(receiving))
                if self.settings.abilities.failures =>
            {
                let entry = failed.entry;
                match receiving.give_up(entry, &mut self.progress) {
                    Ok(()) => Ok(Event::Failed {
                        entry,
                        text: message::clean(&failed.text),
                    }),
                    Err(fault) => Err(self.fail(Fault::Chunk { entry, fault })),
                }
            }
            (Message::Pause(pause), State::Receiving(_)) if self.settings.abilities.pauses => {
                Ok(Event::Paused(pause.paused))
            }
            (Message::End(_), State::Receiving(receiving))
                if receiving.is_complete() && !receiving.ended =>
            {
                receiving.ended = true;
                Ok(Event::Store)
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

    /// Tells the sender that this side stops for a while, or goes on, if it wants to know.
    pub fn pause(&mut self, paused: bool) {
        if self.theirs.pauses && matches!(self.state, State::Receiving(_)) {
            let pause = v1::TransferPause { paused };
            self.outbox
                .push_back(message::encode(Message::Pause(pause)));
        }
    }

    /// Accepts the offer, with choices by the numbers of files; of two for one file the last
    /// counts. Files without a choice are taken from the beginning; a prefix that is empty or
    /// longer than the file, or one too many, is not used.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] unless an offer waits.
    pub fn accept(
        &mut self,
        choices: impl IntoIterator<Item = (u32, Choice)>,
    ) -> Result<(), Error> {
        let offer = match std::mem::replace(&mut self.state, State::Over) {
            State::Offered(offer) => offer,
            other => {
                self.state = other;
                return Err(Error::OutOfTurn("accepted without an offer"));
            }
        };
        self.committed = offer.entries().iter().filter_map(|entry| entry.size).sum();
        let (receiving, progress, answer) =
            Receiving::new(offer, choices.into_iter(), &self.settings);
        self.progress = progress;
        self.outbox = answer;
        self.state = State::Receiving(receiving);
        Ok(())
    }

    /// Declines the offer. Does nothing unless one waits.
    pub fn decline(&mut self, reason: DeclineReason, text: &str) {
        if matches!(self.state, State::Offered(_)) {
            self.send_refusal(reason, text);
        }
    }

    /// Says that all files are in place; the last message tells the sender.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] unless [`Event::Store`] came before.
    pub fn stored(&mut self) -> Result<(), Error> {
        self.stored_with(Report::default())
    }

    /// The same, and tells what has another name and what could not be stored. The names that this
    /// machine changed are added.
    ///
    /// # Errors
    /// As [`Receiver::stored`].
    pub fn stored_with(&mut self, mut report: Report) -> Result<(), Error> {
        let State::Receiving(receiving) = &self.state else {
            return Err(Error::OutOfTurn("stored before everything arrived"));
        };
        if !receiving.ended {
            return Err(Error::OutOfTurn("stored before everything arrived"));
        }
        let offer = &receiving.offer;
        for (number, original) in offer.renamed() {
            let path = offer.entry(*number).map_or("", |entry| entry.path.as_str());
            report.stored_as(original, path);
        }
        self.end();
        self.outbox
            .push_back(message::encode(Message::Done(report.encode())));
        Ok(())
    }

    /// Gives up and tells the sender why. Does nothing once the transfer is over.
    pub fn cancel(&mut self, code: CancelCode, text: &str) {
        if self.is_over() {
            return;
        }
        self.end();
        self.outbox.push_back(message::cancel(code, text));
    }

    fn fail(&mut self, fault: Fault) -> Error {
        self.cancel(CancelCode::Protocol, &fault.to_string());
        Error::Peer(fault)
    }

    /// Answers a bad offer: names and sizes may be beyond a limit of ours without being a fault.
    fn refuse(&mut self, fault: Fault) -> Error {
        let reason = match &fault {
            Fault::Offer(
                OfferError::TooMany(_) | OfferError::PathsTooLong(_) | OfferError::TooLarge(_),
            ) => DeclineReason::TooLarge,
            Fault::Offer(
                OfferError::Path(_)
                | OfferError::Duplicate(_)
                | OfferError::BelowFile(_)
                | OfferError::LinkOutside(_),
            ) => DeclineReason::Names,
            _ => return self.fail(fault),
        };
        self.send_refusal(reason, &fault.to_string());
        Error::Peer(fault)
    }

    fn send_refusal(&mut self, reason: DeclineReason, text: &str) {
        self.end();
        self.outbox
            .push_back(message::encode(Message::Decline(v1::TransferDecline {
                reason: v1::TransferDeclineReason::from(reason).into(),
                text: message::clean(text),
            })));
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.outbox.clear();
        self.inbox.clear();
        self.progress.entry = None;
    }

    fn count_unknown(&mut self, event: &Event) {
        if let Event::Write { entry, bytes, .. } = event
            && let Some(offer) = self.offer()
            && offer.entry(*entry).is_some_and(|file| file.size.is_none())
        {
            self.committed += bytes.len() as u64;
        }
    }
}
