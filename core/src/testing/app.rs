//! An application whose every message follows from the name of its channel: whoever knows the name
//! knows what must arrive, how often, and in which order.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Dice;
use crate::channel::{
    ChannelId, Chunk, Event, Kind, Mux, OpenError, Priority, ResetCode, SendError,
};
use crate::role::Role;

pub(super) struct App {
    role: Role,
    dice: Dice,
    largest: u64,
    nonce: u64,
    to_open: u64,
    may_reset: bool,
    talks: BTreeMap<ChannelId, Talk>,
    pub(super) restarts_seen: u32,
}

/// One channel as both applications know it.
struct Talk {
    name: String,
    sent: u64,
    full: bool,
    flushed: bool,
    readable: bool,
    received: u64,
    partial: Vec<u8>,
    finished: bool,
    datagrams: u64,
}

impl App {
    pub(super) fn new(role: Role, mut dice: Dice, largest: u64) -> Self {
        let (nonce, to_open) = (dice.roll(), dice.below(4));
        let may_reset = dice.once_in(5);
        Self {
            role,
            dice,
            largest,
            nonce,
            to_open,
            may_reset,
            talks: BTreeMap::new(),
            restarts_seen: 0,
        }
    }

    /// Nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        self.to_open == 0 && self.talks.is_empty()
    }

    pub(super) fn on_event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Opened { channel, name, .. } => {
                let known = self.talks.insert(channel, Talk::new(name));
                check(known.is_none(), || format!("{channel:?} was opened twice"))?;
            }
            Event::Readable(channel) => self.with(channel, |talk| talk.readable = true),
            Event::Writable(channel) => self.with(channel, |talk| talk.full = false),
            Event::Flushed(channel) => {
                self.with(channel, |talk| talk.flushed = true);
                self.forget(channel);
            }
            Event::Finished(channel) => {
                let role = self.role.other();
                if let Some(talk) = self.talks.get_mut(&channel) {
                    let complete = talk.received == count(&talk.name, role);
                    check(complete, || format!("{} ended early", talk.name))?;
                    talk.finished = true;
                }
                self.forget(channel);
            }
            Event::Reset { channel, .. } => {
                self.talks.remove(&channel);
            }
            Event::PeerRestarted => {
                self.talks.clear();
                self.restarts_seen += 1;
                self.nonce = self.dice.roll();
                self.to_open = self.dice.below(3);
            }
            Event::Closed { .. } => return Err("the endpoint's end is told as an event".into()),
            Event::DatagramReadable(_) | Event::Connected | Event::Pong(_) => {}
        }
        Ok(())
    }

    /// One turn: open, send what fits, read some, now and then reset or ping.
    pub(super) fn tick(&mut self, mux: &mut Mux) -> Result<(), String> {
        if self.to_open > 0 {
            self.to_open -= 1;
            let name = format!("{}-{:x}-{}", self.role, self.nonce, self.to_open);
            let priority = [Priority::Interactive, Priority::Normal, Priority::Bulk];
            let priority = priority[usize::try_from(self.dice.below(3)).unwrap_or(0)];
            match mux.open(&name, priority) {
                Ok(id) => {
                    self.talks.insert(id, Talk::new(name));
                }
                // The news of a restart came after the close.
                Err(OpenError::Closed) => self.to_open = 0,
                Err(error) => return Err(error.to_string()),
            }
        }
        for (id, talk) in &mut self.talks {
            talk.send(self.role, self.largest, *id, mux)?;
            talk.read(self.role, self.largest, *id, mux, &mut self.dice)?;
        }
        // One at most, so that a reset does not rescue a channel that hangs.
        if self.may_reset && self.dice.once_in(20) {
            self.may_reset = false;
            if let Some((id, _)) = self.talks.pop_first() {
                mux.reset(id, ResetCode::CANCELLED);
            }
        }
        if self.dice.once_in(50) {
            mux.ping();
        }
        Ok(())
    }

    fn with(&mut self, channel: ChannelId, change: impl FnOnce(&mut Talk)) {
        if let Some(talk) = self.talks.get_mut(&channel) {
            change(talk);
        }
    }

    fn forget(&mut self, channel: ChannelId) {
        if self
            .talks
            .get(&channel)
            .is_some_and(|talk| talk.flushed && talk.finished)
        {
            self.talks.remove(&channel);
        }
    }
}

impl Talk {
    fn new(name: String) -> Self {
        Self {
            name,
            sent: 0,
            full: false,
            flushed: false,
            readable: false,
            received: 0,
            partial: Vec::new(),
            finished: false,
            datagrams: 0,
        }
    }

    fn send(
        &mut self,
        role: Role,
        largest: u64,
        id: ChannelId,
        mux: &mut Mux,
    ) -> Result<(), String> {
        let total = count(&self.name, role);
        while !self.full && self.sent < total {
            let (kind, bytes) = message(&self.name, role, self.sent, largest);
            match mux.try_send(
                id,
                Chunk {
                    kind,
                    bytes: bytes.into(),
                    last: true,
                },
            ) {
                Ok(()) => self.sent += 1,
                Err(SendError::Full) => self.full = true,
                // The event that says so is on its way.
                Err(SendError::Gone) => return Ok(()),
                // A close finishes what the peer opened and reset meanwhile; were it not reset, the
                // peer's model would object.
                Err(SendError::Finished) => self.sent = total,
                Err(error) => return Err(error.to_string()),
            }
        }
        if self.sent == total {
            let _ = mux.finish(id);
        }
        let payload = Bytes::from(format!("{} {}", self.name, self.datagrams));
        self.datagrams += 1;
        let _ = mux.try_send_datagram(id, &payload);
        Ok(())
    }

    fn read(
        &mut self,
        role: Role,
        largest: u64,
        id: ChannelId,
        mux: &mut Mux,
        dice: &mut Dice,
    ) -> Result<(), String> {
        while self.readable && !dice.once_in(8) {
            let Some(chunk) = mux.read(id) else {
                self.readable = false;
                break;
            };
            self.partial.extend_from_slice(&chunk.bytes);
            let expected = message(&self.name, role.other(), self.received, largest);
            let so_far = expected.1.get(..self.partial.len());
            let same = so_far == Some(&self.partial) && expected.0 == chunk.kind;
            check(same, || format!("{} #{} differs", self.name, self.received))?;
            if chunk.last {
                let whole = self.partial.len() == expected.1.len();
                check(whole, || {
                    format!("{} #{} was cut", self.name, self.received)
                })?;
                self.partial.clear();
                self.received += 1;
            }
        }
        while let Some(datagram) = mux.read_datagram(id) {
            let mine = datagram.starts_with(self.name.as_bytes());
            check(mine, || format!("a datagram strayed into {}", self.name))?;
        }
        Ok(())
    }
}

/// How many messages `from` sends on the channel of this name.
fn count(name: &str, from: Role) -> u64 {
    Dice::named(name, 1_000_000 + from.index() as u64).below(6)
}

/// Message `index` that `from` sends on the channel of this name: mostly small, now and then large.
fn message(name: &str, from: Role, index: u64, largest: u64) -> (Kind, Vec<u8>) {
    let mut dice = Dice::named(name, index * 2 + from.index() as u64);
    let bound = if dice.once_in(5) { largest } else { 100 };
    let len = dice.below(bound);
    let kind = if dice.once_in(2) {
        Kind::Text
    } else {
        Kind::Binary
    };
    let bytes = std::iter::repeat_with(|| dice.roll().to_le_bytes()).flatten();
    (
        kind,
        bytes
            .map(|byte| byte & 0x7f)
            .take(usize::try_from(len).unwrap_or(0))
            .collect(),
    )
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
