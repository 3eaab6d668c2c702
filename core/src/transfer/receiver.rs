//! The receiving side.
//!
//! ```text
//!  Collecting ──last part──▶ Offered ──accept()──▶ Receiving ──End, then stored()──▶ Over
//!      │                       │                       │
//!      └───────────────────────┴─decline(), cancel(), ─┴──▶ Over
//!                                Cancel, a fault
//! ```

mod files;

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;

use self::files::Receiving;
pub use self::files::{Choice, Prefix};
use super::message;
use super::{
    CancelCode, DeclineReason, Entry, Error, Fault, Limits, Offer, OfferError, Progress, TransferId,
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

/// Takes an offer, then files, and verifies them.
#[derive(Debug)]
pub struct Receiver {
    limits: Limits,
    state: State,
    outbox: VecDeque<Bytes>,
    progress: Progress,
    /// Bytes announced, and those that came for files of unknown size: at most the limit.
    committed: u64,
}

#[derive(Debug)]
enum State {
    Collecting(Option<Parts>),
    Offered(Offer),
    Receiving(Receiving),
    Over,
}

/// The parts of an offer so far.
#[derive(Debug)]
struct Parts {
    id: TransferId,
    entries: Vec<Entry>,
    path_bytes: usize,
}

impl Receiver {
    /// Waits for an offer.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Collecting(None),
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

    /// The next message to send, if there is one. Ask after every call, also one that failed.
    pub fn poll_message(&mut self) -> Option<Bytes> {
        self.outbox.pop_front()
    }

    /// Whether nothing more will happen once the last message is sent.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Takes a message of the sender.
    ///
    /// # Errors
    /// [`Error::Peer`], [`Error::Mismatch`] or [`Error::Cancelled`]; each ends the transfer.
    pub fn handle(&mut self, message: Bytes) -> Result<Event, Error> {
        if self.is_over() {
            return Err(Error::OutOfTurn("a message after the end"));
        }
        let message = message::decode(message).map_err(|fault| self.fail(fault))?;
        match (message, &mut self.state) {
            (Message::Offer(part), State::Collecting(_)) => {
                self.take_part(part).map_err(|fault| self.refuse(fault))
            }
            (Message::Chunk(chunk), State::Receiving(receiving)) => {
                let entry = chunk.entry;
                let left = self.limits.total_bytes - self.committed;
                match receiving.take_chunk(chunk, left, &mut self.progress) {
                    Ok(event) => {
                        self.count_unknown(&event);
                        Ok(event)
                    }
                    Err(fault) => Err(self.fail(Fault::Chunk { entry, fault })),
                }
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
        let (receiving, progress, answer) = Receiving::new(offer, choices.into_iter());
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
        if !matches!(&self.state, State::Receiving(receiving) if receiving.ended) {
            return Err(Error::OutOfTurn("stored before everything arrived"));
        }
        self.end();
        self.outbox
            .push_back(message::encode(Message::Done(v1::TransferDone {})));
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
                OfferError::Path(_) | OfferError::Duplicate(_) | OfferError::BelowFile(_),
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
        self.progress.entry = None;
    }

    fn take_part(&mut self, part: v1::TransferOffer) -> Result<Event, Fault> {
        let State::Collecting(parts) = &mut self.state else {
            return Err(Fault::OutOfTurn("an offer"));
        };
        let id = <[u8; TransferId::LEN]>::try_from(part.transfer_id.as_ref())
            .map(TransferId::from_bytes)
            .map_err(|_| Fault::BadPart)?;
        let parts = parts.get_or_insert_with(|| Parts {
            id,
            entries: vec![],
            path_bytes: 0,
        });
        if parts.id != id || (part.more && part.entries.is_empty()) {
            return Err(Fault::BadPart);
        }
        if parts.entries.len() + part.entries.len() > self.limits.entries as usize {
            return Err(OfferError::TooMany(self.limits.entries).into());
        }
        for entry in part.entries {
            let entry = Entry::try_from(entry)?;
            parts.path_bytes += entry.path.as_str().len();
            if parts.path_bytes > self.limits.path_bytes {
                return Err(OfferError::PathsTooLong(self.limits.path_bytes).into());
            }
            parts.entries.push(entry);
        }
        if part.more {
            return Ok(Event::Nothing);
        }
        let entries = std::mem::take(&mut parts.entries);
        let offer = Offer::new(id, entries, &self.limits)?;
        self.state = State::Offered(offer);
        Ok(Event::Offered)
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
