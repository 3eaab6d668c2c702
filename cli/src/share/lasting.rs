//! What a channel of two commands keeps in mind, so that it goes on when a holder between them is killed.
//!
//! A holder has the keys; when it is killed, its successor shakes hands anew, and every channel is gone. A
//! *lasting* channel is a row of such channels, one after the other, with one stream of items each way:
//!
//! ```text
//! command ─ items ─ channel NAME/new/ID ─────╳ a holder is killed
//!                   channel NAME/again/ID ──────────────────────────► items ─ command
//! ```
//!
//! Each side keeps what the other command has not taken yet, at most [`WINDOW`], and repeats from where the
//! other one stands. Messages of such a channel are binary; the first byte says what it is:
//!
//! ```text
//! 0-3 a piece, as in share/wire    4 finish    5 here (8 bytes, big endian): the items that arrived here
//! 6 taken (8 bytes): the items that the command has taken    7 tell me when all of this is taken
//! ```
//!
//! *Here* is the first message of each side of each channel. Nothing here waits or reads a clock.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use peersox_client::{Chunk, Error, ResetCode};

use super::wire;

/// One item of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Piece(Chunk),
    Finish,
}

impl Item {
    fn cost(&self) -> usize {
        match self {
            Self::Piece(chunk) => ITEM_COST + chunk.bytes.len(),
            Self::Finish => ITEM_COST,
        }
    }
}

/// What goes into the channel next.
#[derive(Debug, PartialEq)]
pub(super) enum Out {
    Message(Bytes),
    Reset(ResetCode),
    /// Both sides have all: this direction ends.
    Finish,
    /// The channel is dropped before its end.
    Done,
}

/// How far a flush has come.
#[derive(Debug, PartialEq)]
pub(super) enum Flush {
    Taken,
    Waits,
    Failed(Error),
}

/// Both directions of a lasting channel, as one side sees them.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    /// Items that the other command has not taken; the first has the number `taken_there`.
    kept: VecDeque<Item>,
    kept_cost: usize,
    taken_there: u64,
    /// The number of the next item to send over the present channel.
    next_out: u64,
    finished: bool,
    asks: bool,

    /// Items for this command; the last has the number before `next_in`.
    arrived: VecDeque<Item>,
    arrived_cost: usize,
    next_in: u64,
    taken_here: u64,
    /// The last `taken_here` that the other side was told; 0 if it has to be told again.
    told: u64,
    /// The cost of the items that were taken since.
    untold_cost: usize,
    /// The other side wants to know when so many items are taken, and then, when so many.
    wanted: Option<u64>,
    wanted_then: Option<u64>,
    ended_there: bool,

    /// Nothing is sent before the other side has said where it stands. The first channel begins at 0.
    waits: bool,
    greeted: bool,
    heard: bool,
    /// The other side has answered over some channel of the row.
    met: bool,
    reset: Option<ResetCode>,
    reset_said: bool,
    /// The command needs this channel no more.
    dropped: bool,
    parted: bool,
    fault: Option<Error>,
}

impl Lasting {
    /// Another channel is there in place of one that was lost.
    pub(super) fn reconnect(&mut self) {
        self.waits = true;
        self.greeted = false;
        self.heard = false;
        self.parted = false;
        self.reset_said = false;
        // What was on its way may be lost: the other side is told and asked again.
        self.told = 0;
        self.asks |= self.finished || !self.kept.is_empty();
    }

    /// Whether the other side has answered over the present channel.
    pub(super) const fn heard(&self) -> bool {
        self.heard
    }

    /// Whether it has ever answered: whether the other command has this row.
    pub(super) const fn met(&self) -> bool {
        self.met
    }

    /// Whether it has answered before, and not over the present channel.
    pub(super) const fn is_unheard(&self) -> bool {
        self.met && !self.heard
    }

    pub(super) fn fail(&mut self, fault: Error) {
        self.fault.get_or_insert(fault);
    }

    pub(super) fn fault(&self) -> Option<Error> {
        self.fault.clone()
    }

    /// Whether another item may be kept.
    pub(super) const fn has_room(&self) -> bool {
        self.kept_cost < WINDOW
    }

    /// Keeps an item until the other command has taken it. Pieces are at most [`PIECE`] bytes long.
    pub(super) fn push(&mut self, item: Item) {
        if self.finished {
            return;
        }
        self.finished = item == Item::Finish;
        self.kept_cost += item.cost();
        self.kept.push_back(item);
    }

    pub(super) fn ask(&mut self) {
        self.asks = true;
    }

    pub(super) fn flush(&self) -> Flush {
        match &self.fault {
            _ if self.kept.is_empty() => Flush::Taken,
            Some(fault) => Flush::Failed(fault.clone()),
            None => Flush::Waits,
        }
    }

    pub(super) fn reset(&mut self, code: ResetCode) {
        self.reset = Some(code);
    }

    /// The command has let go of both halves.
    pub(super) fn let_go(&mut self) {
        self.dropped = true;
    }

    /// The next item for the command.
    pub(super) fn take(&mut self) -> Option<Item> {
        if self.ended_there {
            return Some(Item::Finish);
        }
        let item = self.arrived.pop_front()?;
        self.arrived_cost -= item.cost();
        self.untold_cost += item.cost();
        self.taken_here += 1;
        self.ended_there = item == Item::Finish;
        Some(item)
    }

    /// Whether [`Self::take`] would give something.
    pub(super) fn has_arrived(&self) -> bool {
        self.ended_there || !self.arrived.is_empty()
    }

    /// Whether both streams are over, and both commands have taken all.
    pub(super) fn is_over(&self) -> bool {
        self.ended_there && self.finished && self.kept.is_empty()
    }

    /// What goes into the channel now.
    pub(super) fn next(&mut self) -> Option<Out> {
        // First, so that a reset is the answer of a command that knows such channels.
        if !self.greeted {
            self.greeted = true;
            return Some(counted(HERE, self.next_in));
        }
        if let Some(code) = self.reset.filter(|_| !self.reset_said) {
            self.reset_said = true;
            return Some(Out::Reset(code));
        }
        if self.dropped && !(self.finished && self.ended_there) {
            return Some(Out::Done);
        }
        if self.waits {
            return None;
        }
        let wanted = self.wanted.is_some_and(|wanted| self.taken_here >= wanted);
        let all_told = self.told == self.taken_here;
        if !all_told && (wanted || self.ended_there || self.untold_cost >= WINDOW / 4) {
            if wanted {
                self.wanted = self.wanted_then.take();
            }
            self.told = self.taken_here;
            self.untold_cost = 0;
            return Some(counted(TAKEN, self.taken_here));
        }
        let at = usize::try_from(self.next_out - self.taken_there).unwrap_or(usize::MAX);
        if let Some(item) = self.kept.get(at) {
            self.next_out += 1;
            self.asks |= *item == Item::Finish;
            return Some(Out::Message(encode(item)));
        }
        if std::mem::take(&mut self.asks) && !self.kept.is_empty() {
            return Some(Out::Message(Bytes::from_static(&[ASK])));
        }
        if self.is_over() && !self.parted {
            self.parted = true;
            return Some(Out::Finish);
        }
        None
    }

    /// A message came over the channel. An error is a violation of the protocol by the other command.
    pub(super) fn receive(&mut self, message: &Bytes) -> Result<(), Violation> {
        let (&kind, _) = message.split_first().ok_or(Violation)?;
        let payload = message.slice(1..);
        match kind {
            HERE if !self.heard => {
                let here = count(&payload)?;
                let end = self.taken_there + self.kept.len() as u64;
                if !(self.taken_there..=end).contains(&here) {
                    return Err(Violation);
                }
                if self.waits {
                    self.next_out = here;
                } else if here > self.next_out {
                    return Err(Violation);
                }
                self.waits = false;
                self.heard = true;
                self.met = true;
                Ok(())
            }
            _ if !self.heard => Err(Violation),
            0..=3 if payload.len() <= PIECE => self.arrive(Item::Piece(wire::piece(kind, payload))),
            FINISH if payload.is_empty() => self.arrive(Item::Finish),
            TAKEN => {
                let taken = count(&payload)?;
                if !(self.taken_there..=self.next_out).contains(&taken) {
                    return Err(Violation);
                }
                while self.taken_there < taken {
                    let item = self.kept.pop_front().ok_or(Violation)?;
                    self.kept_cost -= item.cost();
                    self.taken_there += 1;
                }
                Ok(())
            }
            ASK if payload.is_empty() => {
                match self.wanted {
                    None => self.wanted = Some(self.next_in),
                    Some(_) => self.wanted_then = Some(self.next_in),
                }
                // The answer to the last question may be what was lost.
                if self.taken_here == self.next_in {
                    self.told = 0;
                }
                Ok(())
            }
            _ => Err(Violation),
        }
    }

    fn arrive(&mut self, item: Item) -> Result<(), Violation> {
        let ended = self.ended_there || self.arrived.back() == Some(&Item::Finish);
        self.arrived_cost += item.cost();
        if ended || self.arrived_cost > WINDOW + ITEM_COST + PIECE {
            return Err(Violation);
        }
        self.next_in += 1;
        self.arrived.push_back(item);
        Ok(())
    }
}

/// The other command does not follow the rules above.
#[derive(Debug, PartialEq)]
pub(super) struct Violation;

/// A row of channels, by name: first `peersox.forward/new/…`, then `peersox.forward/again/…` each time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    name: String,
    id: String,
}

impl Row {
    pub(super) fn new(name: &str, random: [u8; 16]) -> Self {
        Self {
            name: name.to_owned(),
            id: data_encoding::HEXLOWER.encode(&random),
        }
    }

    pub(super) fn first(&self) -> String {
        format!("{}{NEW}{}", self.name, self.id)
    }

    pub(super) fn later(&self) -> String {
        format!("{}{AGAIN}{}", self.name, self.id)
    }

    /// The row that a channel of this name begins.
    pub(super) fn begun_by(channel: &str) -> Option<Self> {
        let (name, id) = channel.split_once(NEW)?;
        Some(Self {
            name: name.to_owned(),
            id: id.to_owned(),
        })
    }
}

/// What a channel is for: its name without what makes it lasting.
pub(super) fn purpose(channel: &str) -> &str {
    channel
        .split_once(NEW)
        .or_else(|| channel.split_once(AGAIN))
        .map_or(channel, |(name, _)| name)
}

/// Whether a channel of this name takes the place of one that was lost: only one command can serve it.
pub(super) fn is_later(channel: &str) -> bool {
    channel.contains(AGAIN)
}

fn encode(item: &Item) -> Bytes {
    match item {
        Item::Piece(chunk) => {
            let mut message = BytesMut::with_capacity(1 + chunk.bytes.len());
            message.put_u8(wire::kind_of(chunk));
            message.put_slice(&chunk.bytes);
            message.freeze()
        }
        Item::Finish => Bytes::from_static(&[FINISH]),
    }
}

fn counted(kind: u8, count: u64) -> Out {
    let mut message = BytesMut::with_capacity(9);
    message.put_u8(kind);
    message.put_u64(count);
    Out::Message(message.freeze())
}

fn count(payload: &Bytes) -> Result<u64, Violation> {
    let count = payload[..].try_into().map_err(|_| Violation)?;
    Ok(u64::from_be_bytes(count))
}

const NEW: &str = "/new/";
const AGAIN: &str = "/again/";
const FINISH: u8 = 4;
const HERE: u8 = 5;
const TAKEN: u8 = 6;
const ASK: u8 = 7;

/// What each side keeps or holds ready at most, in bytes, with [`ITEM_COST`] for each item.
const WINDOW: usize = 1 << 20;

/// What an item counts beside its bytes.
const ITEM_COST: usize = 64;

/// The longest piece, in bytes: with its first byte it fits one record.
pub(super) const PIECE: usize = 65_000;

#[cfg(test)]
mod tests;
