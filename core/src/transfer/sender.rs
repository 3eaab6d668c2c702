//! The sending side.
//!
//! ```text
//!  Offering ──Accept──▶ Sending(file, offset) ──last file──▶ Ended ──Done──▶ Over
//!     │                        │
//!     └──Decline, Cancel, a fault, cancel()──▶ Over
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use peersox_proto::v1;
use peersox_proto::v1::transfer_message::Kind as Message;
use prost::Message as _;

use super::by_entry::ByEntry;
use super::message::{self, PART_BYTES};
use super::{AcceptFault, CancelCode, Error, Fault, Kind, MAX_CHUNK_BYTES, Offer, Progress};

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
    },
    /// Wait for a message and [`Sender::handle`] it.
    Wait,
    /// Nothing more will happen.
    Finished,
}

/// Offers files, sends what is accepted and ends when the receiver has stored all of it.
#[derive(Debug)]
pub struct Sender {
    offer: Offer,
    state: State,
    outbox: VecDeque<Bytes>,
    plans: ByEntry<Plan>,
    progress: Progress,
}

#[derive(Debug)]
enum State {
    /// The offer is out; parts of the answer may have come.
    Offering,
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

/// The file at work: `offset <= resume <= size` while the prefix is hashed, then only
/// `offset <= size`.
#[derive(Debug)]
struct Current {
    entry: u32,
    size: Option<u64>,
    offset: u64,
    hasher: Box<blake3::Hasher>,
    /// The prefix that the receiver claims to hold, until it is verified.
    resume: Option<(u64, blake3::Hash)>,
}

impl Sender {
    /// Starts a transfer; the first actions send the offer.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        let progress = Progress {
            files_total: u32::try_from(offer.files_from(0).count()).unwrap_or(u32::MAX),
            bytes_total: offer.total_bytes(),
            ..Progress::default()
        };
        Self {
            outbox: encode_offer(&offer),
            state: State::Offering,
            plans: ByEntry::new(),
            progress,
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

    /// Says what to do next. After an error it still gives the message that tells the other side.
    pub fn poll(&mut self) -> Action {
        if let Some(message) = self.outbox.pop_front() {
            return Action::Send(message);
        }
        match &self.state {
            State::Offering | State::Ended => Action::Wait,
            State::Sending(current) => current.next_read(),
            State::Over => Action::Finished,
        }
    }

    /// Takes the bytes that [`Action::Read`] asked for; none at the end of the file.
    ///
    /// # Errors
    /// [`Error::SourceEnded`] if the file is shorter than offered, [`Error::OutOfTurn`] if nothing
    /// or less was asked for. Either ends the transfer.
    pub fn feed(&mut self, bytes: Bytes) -> Result<(), Error> {
        let State::Sending(current) = &mut self.state else {
            return Err(Error::OutOfTurn("fed without having been asked"));
        };
        let Action::Read { entry, max, .. } = current.next_read() else {
            return Err(Error::OutOfTurn("fed without having been asked"));
        };
        if bytes.len() > max {
            return Err(Error::OutOfTurn("fed more than was asked for"));
        }
        if bytes.is_empty() {
            if current.size.is_some() {
                self.cancel(CancelCode::SourceFailed, "a file became shorter");
                return Err(Error::SourceEnded { entry });
            }
            self.finish_file();
            return Ok(());
        }
        if let Some((offset, hash)) = current.resume {
            current.absorb(&bytes);
            if current.offset == offset {
                current.resume = None;
                if current.hasher.finalize() == hash {
                    self.progress.bytes_done += offset;
                    self.progress.bytes_resumed += offset;
                } else {
                    current.hasher.reset();
                    current.offset = 0;
                }
            }
        } else {
            let offset = current.offset;
            current.absorb(&bytes);
            self.progress.bytes_done += bytes.len() as u64;
            self.outbox
                .push_back(message::encode(Message::Chunk(v1::TransferChunk {
                    entry,
                    offset,
                    data: bytes,
                })));
        }
        if current.is_complete() {
            self.finish_file();
        }
        Ok(())
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
            (Message::Accept(accept), State::Offering) => {
                let more = accept.more;
                self.take_answer(accept).map_err(|fault| self.fail(fault))?;
                if !more {
                    self.start_file_after(None);
                }
                Ok(())
            }
            (Message::Decline(decline), State::Offering) => {
                self.end();
                Err(Error::Declined {
                    reason: decline.reason().into(),
                    text: message::clean(&decline.text),
                })
            }
            (Message::Done(_), State::Ended) => {
                self.end();
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
        self.outbox.push_back(message::cancel(code, text));
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
        self.outbox
            .push_back(message::encode(Message::EntryEnd(v1::TransferEntryEnd {
                entry,
                hash,
            })));
        self.progress.files_done += 1;
        self.start_file_after(Some(entry));
    }

    /// Makes the next wanted file the one at work. Empty files are finished on the way.
    fn start_file_after(&mut self, mut last: Option<u32>) {
        loop {
            let next = self
                .offer
                .files_from(last.map_or(0, |last| last + 1))
                .find(|(number, _)| !matches!(self.plans.get(*number), Some(Plan::Skip)));
            let Some((number, entry)) = next else {
                self.state = State::Ended;
                self.progress.entry = None;
                self.outbox
                    .push_back(message::encode(Message::End(v1::TransferEnd {})));
                return;
            };
            if entry.size == Some(0) {
                let hash = Bytes::copy_from_slice(blake3::hash(b"").as_bytes());
                let end = v1::TransferEntryEnd {
                    entry: number,
                    hash,
                };
                self.outbox
                    .push_back(message::encode(Message::EntryEnd(end)));
                self.progress.files_done += 1;
                last = Some(number);
                continue;
            }
            let resume = match self.plans.get(number) {
                Some(Plan::Resume { offset, hash }) => Some((*offset, *hash)),
                Some(Plan::Skip) | None => None,
            };
            self.progress.entry = Some(number);
            self.state = State::Sending(Current {
                entry: number,
                size: entry.size,
                offset: 0,
                hasher: Box::default(),
                resume,
            });
            return;
        }
    }
}

impl Current {
    /// What to read next; the file is not complete.
    fn next_read(&self) -> Action {
        let end = match &self.resume {
            Some((offset, _)) => Some(*offset),
            None => self.size,
        };
        let left = end.map_or(u64::MAX, |end| end - self.offset);
        Action::Read {
            entry: self.entry,
            offset: self.offset,
            max: usize::try_from(left).map_or(MAX_CHUNK_BYTES, |left| left.min(MAX_CHUNK_BYTES)),
        }
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
    }

    fn is_complete(&self) -> bool {
        self.resume.is_none() && self.size == Some(self.offset)
    }
}

/// Encodes an offer in parts of about [`PART_BYTES`]; an entry alone is far shorter than that.
fn encode_offer(offer: &Offer) -> VecDeque<Bytes> {
    let mut parts = vec![];
    let mut part: Vec<v1::TransferEntry> = vec![];
    let mut bytes = 0;
    for entry in offer.entries() {
        let entry = v1::TransferEntry::from(entry);
        // Its tag and length are at most four bytes more.
        let len = entry.encoded_len() + 4;
        bytes += len;
        if bytes > PART_BYTES && !part.is_empty() {
            bytes = len;
            parts.push(std::mem::take(&mut part));
        }
        part.push(entry);
    }
    parts.push(part);
    let last = parts.len() - 1;
    let transfer_id = Bytes::copy_from_slice(offer.id().as_bytes());
    parts
        .into_iter()
        .enumerate()
        .map(|(number, entries)| {
            message::encode(Message::Offer(v1::TransferOffer {
                transfer_id: transfer_id.clone(),
                entries,
                more: number < last,
            }))
        })
        .collect()
}
