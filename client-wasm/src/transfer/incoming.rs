//! The receiving side.

use std::collections::HashMap;

use js_sys::Uint8Array;
use peersox_core::transfer::{Choice, DeclineReason, Event, Limits, Prefix, Receiver};
use wasm_bindgen::prelude::*;

use super::{Ask, Line, cancel_code, describe, failure, number, progress};
use crate::failure::{Failure, object};
use crate::peer::Peer;

/// Files on their way here.
#[wasm_bindgen]
pub struct Incoming {
    line: Line,
    machine: Receiver,
    choices: HashMap<u32, Choice>,
    failed: Option<Failure>,
}

#[wasm_bindgen]
impl Incoming {
    /// Waits for an offer on a channel of a peer.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(peer: &Peer, handle: u32) -> Self {
        Self {
            line: Line {
                shell: peer.shell.clone(),
                handle,
                unsent: None,
            },
            machine: Receiver::new(Limits::default()),
            choices: HashMap::new(),
            failed: None,
        }
    }

    /// Moves on: `{ask, entry, offset, bytes}`.
    ///
    /// # Errors
    /// Why it ended before everything was stored, after the other side was told.
    pub fn step(&mut self) -> Result<JsValue, JsValue> {
        loop {
            if self.line.unsent.is_none() {
                self.line.unsent = self.machine.poll_message();
            }
            let waits = self.line.unsent.is_some();
            if !self.line.flush()? {
                return Ok(Ask::Wait.into());
            }
            if waits {
                continue;
            }
            if self.machine.is_over() {
                return match self.failed.take() {
                    Some(failure) => Err(failure.into()),
                    None => Ok(Ask::Finished.into()),
                };
            }
            let Some(message) = self.line.read()? else {
                return Ok(Ask::Wait.into());
            };
            match self.machine.handle(message) {
                Ok(Event::Nothing) => {}
                Ok(Event::Offered) => return Ok(Ask::Offered.into()),
                Ok(Event::Store) => return Ok(Ask::Store.into()),
                Ok(Event::Finish { entry, .. }) => {
                    return Ok(object(&[
                        ("ask", (Ask::Complete as u8).into()),
                        ("entry", entry.into()),
                    ]));
                }
                Ok(Event::Write {
                    entry,
                    offset,
                    bytes,
                }) => {
                    return Ok(object(&[
                        ("ask", (Ask::Write as u8).into()),
                        ("entry", entry.into()),
                        ("offset", number(offset).into()),
                        ("bytes", Uint8Array::from(&bytes[..]).into()),
                    ]));
                }
                Err(error) => self.failed = Some(failure(&error)),
            }
        }
    }

    /// What is offered: `{id, entries, totalBytes}`.
    #[must_use]
    pub fn offer(&self) -> JsValue {
        self.machine.offer().map_or(JsValue::NULL, describe)
    }

    /// Adds bytes to what an earlier attempt left of a file.
    pub fn hold(&mut self, entry: u32, bytes: &[u8]) {
        let choice = self
            .choices
            .entry(entry)
            .or_insert_with(|| Choice::Resume(Prefix::default()));
        if let Choice::Resume(prefix) = choice {
            prefix.update(bytes);
        }
    }

    /// Leaves a file.
    pub fn skip(&mut self, entry: u32) {
        self.choices.insert(entry, Choice::Skip);
    }

    /// Accepts the offer, less what is skipped.
    ///
    /// # Errors
    /// Unless an offer waits.
    pub fn accept(&mut self) -> Result<(), JsValue> {
        let choices = std::mem::take(&mut self.choices);
        let accepted = self.machine.accept(choices);
        Ok(accepted.map_err(|error| failure(&error))?)
    }

    /// Declines the offer.
    pub fn decline(&mut self, text: &str) {
        self.machine.decline(DeclineReason::Refused, text);
    }

    /// Everything is in place.
    ///
    /// # Errors
    /// Unless a step asked for it.
    pub fn stored(&mut self) -> Result<(), JsValue> {
        let stored = self.machine.stored();
        Ok(stored.map_err(|error| failure(&error))?)
    }

    /// Gives up; steps then tell the other side.
    pub fn cancel(&mut self, code: u8, text: &str) {
        self.machine.cancel(cancel_code(code), text);
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> JsValue {
        progress(self.machine.progress())
    }
}
