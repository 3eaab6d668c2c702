//! The receiving side.

use bytes::Bytes;
use peersox_core::transfer::{
    Abilities, CancelCode, Choice, DeclineReason, Error, Event, Limits, Prefix, Receiver, Settings,
};
use wasm_bindgen::prelude::*;

use crate::table::{self, number};
use crate::{Ask, Failure, cancel_code};

/// What a page takes: less than a program, because it holds the whole list twice.
const LIMITS: Limits = Limits {
    entries: 250_000,
    path_bytes: 32 << 20,
    total_bytes: u64::MAX,
};

/// Files on their way here.
#[wasm_bindgen]
pub struct Incoming {
    machine: Receiver,
    /// In the order of the files; bytes are held for the last only.
    choices: Vec<(u32, Choice)>,
    /// Waits for room in the channel.
    unsent: Option<Bytes>,
    /// What the last message asks for.
    next: Option<Ask>,
    /// What to write.
    write: Write,
    /// Where the message that was taken last begins.
    begin: usize,
    paused_there: bool,
    failure: Option<Failure>,
}

/// Bytes of the message that was taken last: the facade has them and is only told where.
#[derive(Clone, Copy, Default)]
struct Write {
    entry: u32,
    offset: u64,
    at: usize,
    len: usize,
}

#[wasm_bindgen]
impl Incoming {
    /// Waits for an offer.
    #[wasm_bindgen(constructor)]
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            machine: Receiver::with(Settings {
                limits: LIMITS,
                abilities: Abilities {
                    batches: true,
                    failures: true,
                    pauses: true,
                    ..Abilities::default()
                },
                ..Settings::default()
            }),
            choices: Vec::new(),
            unsent: None,
            next: None,
            write: Write::default(),
            begin: 0,
            paused_there: false,
            failure: None,
        }
    }

    /// Moves on; says what is to be done.
    #[must_use]
    pub fn step(&mut self) -> u8 {
        self.ask() as u8
    }

    fn ask(&mut self) -> Ask {
        loop {
            if let Some(ask) = self.next.take() {
                return ask;
            }
            // What else came in the same message.
            match self.machine.next_event() {
                Some(event) => self.hear(event),
                None => break,
            }
        }
        if self.unsent.is_none() {
            self.unsent = self.machine.poll_message();
        }
        if self.unsent.is_some() {
            Ask::Send
        } else if !self.machine.is_over() {
            Ask::Take
        } else if self.failure.is_some() {
            Ask::Failed
        } else {
            Ask::Finished
        }
    }

    /// Takes a message of the channel.
    pub fn take(&mut self, message: Vec<u8>) {
        if self.machine.is_over() {
            return;
        }
        self.begin = message.as_ptr().addr();
        let event = self.machine.handle(message.into());
        self.hear(event);
    }

    fn hear(&mut self, event: Result<Event, Error>) {
        match event {
            Ok(Event::Nothing) => {}
            Ok(Event::Offered) => self.next = Some(Ask::Offered),
            Ok(Event::Store) => self.next = Some(Ask::Store),
            Ok(Event::Paused(paused)) => self.paused_there = paused,
            Ok(Event::Finish { entry, .. }) => {
                self.write.entry = entry;
                self.next = Some(Ask::Complete);
            }
            Ok(Event::Failed { entry, .. }) => {
                self.write.entry = entry;
                self.next = Some(Ask::EntryFailed);
            }
            // This side does not say that it takes holes.
            Ok(Event::Hole { .. }) => self.machine.cancel(CancelCode::Protocol, "a hole"),
            Ok(Event::Write {
                entry,
                offset,
                bytes,
            }) => {
                self.write = Write {
                    entry,
                    offset,
                    at: bytes.as_ptr().addr() - self.begin,
                    len: bytes.len(),
                };
                self.next = Some(Ask::Write);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Whether there is a message to send, without moving on to anything else.
    #[must_use]
    pub fn pending(&mut self) -> bool {
        if self.unsent.is_none() {
            self.unsent = self.machine.poll_message();
        }
        self.unsent.is_some()
    }

    /// Where the message to send begins in this module's memory.
    #[must_use]
    pub fn at(&self) -> usize {
        self.unsent.as_ref().map_or(0, |it| it.as_ptr().addr())
    }

    /// Its length.
    #[must_use]
    pub fn len(&self) -> usize {
        self.unsent.as_ref().map_or(0, Bytes::len)
    }

    /// The message is sent.
    pub fn sent(&mut self) {
        self.unsent = None;
    }

    /// Which file is written or complete.
    #[must_use]
    pub fn entry(&self) -> u32 {
        self.write.entry
    }

    /// Where to write.
    #[must_use]
    pub fn offset(&self) -> f64 {
        number(self.write.offset)
    }

    /// Where the bytes to write begin in the message that was taken last.
    #[must_use]
    #[wasm_bindgen(js_name = dataAt)]
    pub fn data_at(&self) -> usize {
        self.write.at
    }

    /// How many they are.
    #[must_use]
    #[wasm_bindgen(js_name = dataLen)]
    pub fn data_len(&self) -> usize {
        self.write.len
    }

    /// The name of the transfer.
    #[must_use]
    pub fn id(&self) -> Vec<u8> {
        let offer = self.machine.offer();
        offer.map_or_else(Vec::new, |it| it.id().as_bytes().to_vec())
    }

    /// The hash of all that is offered; two offers with one digest are the same.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        let offer = self.machine.offer();
        offer.map_or_else(Vec::new, |it| it.digest().to_vec())
    }

    /// What the sender's device is called; empty if it does not say.
    #[must_use]
    pub fn device(&self) -> String {
        let offer = self.machine.offer();
        offer.map_or_else(String::new, |it| it.device().to_owned())
    }

    /// Whether the sender stops when this side says that it pauses.
    #[must_use]
    pub fn pauses(&self) -> bool {
        self.machine.abilities().pauses
    }

    /// Tells the sender that this side pauses, or goes on.
    pub fn pause(&mut self, paused: bool) {
        self.machine.pause(paused);
    }

    /// Whether the sender has paused.
    #[must_use]
    #[wasm_bindgen(js_name = pausedThere)]
    pub fn paused_there(&self) -> bool {
        self.paused_there
    }

    /// What is offered: [`table::paths`].
    #[must_use]
    pub fn paths(&self) -> String {
        self.machine.offer().map(table::paths).unwrap_or_default()
    }

    /// The rest of what is offered: [`table::numbers`].
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        self.machine.offer().map(table::numbers).unwrap_or_default()
    }

    /// Adds bytes to what an earlier attempt left of a file.
    pub fn hold(&mut self, entry: u32, bytes: &[u8]) {
        if self.choices.last().is_none_or(|(last, _)| *last != entry) {
            let prefix = Choice::Resume(Prefix::default());
            self.choices.push((entry, prefix));
        }
        if let Some((_, Choice::Resume(prefix))) = self.choices.last_mut() {
            prefix.update(bytes);
        }
    }

    /// Leaves a file.
    pub fn skip(&mut self, entry: u32) {
        self.choices.push((entry, Choice::Skip));
    }

    /// Accepts the offer, less what is skipped.
    pub fn accept(&mut self) {
        let choices = std::mem::take(&mut self.choices);
        if let Err(error) = self.machine.accept(choices) {
            self.fail(&error);
        }
    }

    /// Declines the offer.
    pub fn decline(&mut self, text: &str) {
        self.machine.decline(DeclineReason::Refused, text);
    }

    /// Everything is in place.
    pub fn stored(&mut self) {
        if let Err(error) = self.machine.stored() {
            self.fail(&error);
        }
    }

    /// Gives up; steps then tell the other side.
    pub fn cancel(&mut self, code: u8, text: &str) {
        self.next = None;
        self.machine.cancel(cancel_code(code), text);
    }

    /// How far it is: [`table::progress`].
    #[must_use]
    pub fn progress(&self) -> Vec<f64> {
        table::progress(&self.machine.progress())
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn why(&self) -> u8 {
        self.failure.as_ref().map_or(0, |it| it.why as u8)
    }

    /// What people are told of it.
    #[must_use]
    pub fn message(&self) -> String {
        let failure = self.failure.as_ref();
        failure.map_or_else(String::new, |it| it.message.clone())
    }

    /// The first failure is why it ended.
    fn fail(&mut self, error: &Error) {
        self.failure.get_or_insert_with(|| Failure::from(error));
    }
}
