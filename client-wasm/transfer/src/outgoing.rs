//! The sending side.

use bytes::Bytes;
use peersox_core::transfer::{Abilities, Action, Limits, Offer, Sender, TransferId};
use wasm_bindgen::prelude::*;

use crate::table::{self, number};
use crate::{Ask, Failure, cancel_code};

/// Files on their way to the other peer.
#[wasm_bindgen]
pub struct Outgoing {
    machine: Sender,
    /// Waits for room in the channel.
    unsent: Option<Bytes>,
    /// What to read next.
    read: (u32, u64, usize),
    failure: Option<Failure>,
}

#[wasm_bindgen]
impl Outgoing {
    /// Offers entries, as [`table::entries`] takes them.
    ///
    /// # Errors
    /// Says why the entries are no offer.
    #[wasm_bindgen(constructor)]
    pub fn new(names: &str, numbers: &[f64]) -> Result<Self, JsValue> {
        let entries = table::entries(names, numbers)?;
        let offer = Offer::new(TransferId::of(&entries), entries, &Limits::default());
        Ok(Self {
            machine: Sender::with(
                offer.map_err(|error| error.to_string())?,
                Abilities {
                    pauses: true,
                    ..Abilities::default()
                },
            ),
            unsent: None,
            read: (0, 0, 0),
            failure: None,
        })
    }

    /// The name of the transfer.
    #[must_use]
    pub fn id(&self) -> Vec<u8> {
        self.machine.offer().id().as_bytes().to_vec()
    }

    /// What is offered: [`table::paths`].
    #[must_use]
    pub fn paths(&self) -> String {
        table::paths(self.machine.offer())
    }

    /// The rest of what is offered: [`table::numbers`].
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        table::numbers(self.machine.offer())
    }

    /// Moves on; says what is to be done.
    #[must_use]
    pub fn step(&mut self) -> u8 {
        self.ask() as u8
    }

    fn ask(&mut self) -> Ask {
        if self.unsent.is_some() {
            return Ask::Send;
        }
        match self.machine.poll() {
            Action::Send(message) => {
                self.unsent = Some(message);
                Ask::Send
            }
            Action::Wait => Ask::Take,
            Action::Read {
                entry, offset, max, ..
            } => {
                self.read = (entry, offset, max);
                Ask::Read
            }
            Action::Finished if self.failure.is_some() => Ask::Failed,
            Action::Finished => Ask::Finished,
        }
    }

    /// Takes a message of the channel.
    pub fn take(&mut self, message: Vec<u8>) {
        if self.failure.is_none()
            && let Err(error) = self.machine.handle(message.into())
        {
            self.failure = Some(Failure::from(&error));
        }
    }

    /// Whether there is a message to send, without moving on to anything else.
    #[must_use]
    pub fn pending(&mut self) -> bool {
        if self.unsent.is_none()
            && let Action::Send(message) = self.machine.poll()
        {
            self.unsent = Some(message);
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

    /// Which file to read.
    #[must_use]
    pub fn entry(&self) -> u32 {
        self.read.0
    }

    /// Where to read.
    #[must_use]
    pub fn offset(&self) -> f64 {
        number(self.read.1)
    }

    /// The most bytes to feed.
    #[must_use]
    pub fn max(&self) -> usize {
        self.read.2
    }

    /// Gives the bytes that a step asked for; none at the end of the file.
    pub fn feed(&mut self, bytes: Vec<u8>) {
        if let Err(error) = self.machine.feed(bytes.into()) {
            self.failure.get_or_insert_with(|| Failure::from(&error));
        }
    }

    /// Tells the receiver that this side pauses, or goes on.
    pub fn pause(&mut self, paused: bool) {
        self.machine.pause(paused);
    }

    /// Whether the receiver has paused.
    #[must_use]
    #[wasm_bindgen(js_name = pausedThere)]
    pub fn paused_there(&self) -> bool {
        self.machine.is_paused_there()
    }

    /// Gives up; steps then tell the other side.
    pub fn cancel(&mut self, code: u8, text: &str) {
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
}
