//! The sending side.

use js_sys::{Array, JsString};
use peersox_core::time::Timestamp;
use peersox_core::transfer::{Action, Entry, Kind, Limits, Offer, SafePath, Sender, TransferId};
use wasm_bindgen::prelude::*;

use super::{Ask, Line, cancel_code, describe, failure, number, progress};
use crate::failure::{Failure, object};
use crate::peer::Peer;

#[wasm_bindgen]
extern "C" {
    /// A file or folder to offer.
    type Given;
    #[wasm_bindgen(method, getter)]
    fn path(this: &Given) -> Array;
    #[wasm_bindgen(method, getter)]
    fn directory(this: &Given) -> bool;
    #[wasm_bindgen(method, getter)]
    fn size(this: &Given) -> Option<f64>;
    #[wasm_bindgen(method, getter)]
    fn modified(this: &Given) -> Option<f64>;
}

/// Files on their way to the other peer.
#[wasm_bindgen]
pub struct Outgoing {
    line: Line,
    machine: Sender,
    failed: Option<Failure>,
}

#[wasm_bindgen]
impl Outgoing {
    /// Offers entries over a channel of a peer.
    ///
    /// # Errors
    /// If the entries are no offer.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::needless_pass_by_value)]
    pub fn new(peer: &Peer, handle: u32, entries: Array) -> Result<Self, JsValue> {
        let bad = |error: String| Failure::new("transfer-failed", error);
        let entries = entries.iter().map(|it| entry(it.unchecked_ref()));
        let entries: Vec<Entry> = entries.collect::<Result<_, _>>().map_err(bad)?;
        let id = TransferId::of(&entries);
        let offer = Offer::new(id, entries, &Limits::default());
        let offer = offer.map_err(|error| bad(error.to_string()))?;
        Ok(Self {
            line: Line {
                shell: peer.shell.clone(),
                handle,
                unsent: None,
            },
            machine: Sender::new(offer),
            failed: None,
        })
    }

    /// Moves on: `{ask, entry, offset, max}`.
    ///
    /// # Errors
    /// Why it ended before everything was stored, after the other side was told.
    pub fn step(&mut self) -> Result<JsValue, JsValue> {
        loop {
            // What the receiver says goes first: one that gives up does not read any more.
            while self.failed.is_none()
                && let Some(message) = self.line.read()?
            {
                if let Err(error) = self.machine.handle(message) {
                    self.failed = Some(failure(&error));
                }
            }
            if !self.line.flush()? {
                return Ok(Ask::Wait.into());
            }
            match self.machine.poll() {
                Action::Send(message) => self.line.unsent = Some(message),
                Action::Wait => return Ok(Ask::Wait.into()),
                Action::Read { entry, offset, max } => {
                    return Ok(object(&[
                        ("ask", (Ask::Read as u8).into()),
                        ("entry", entry.into()),
                        ("offset", number(offset).into()),
                        ("max", max.into()),
                    ]));
                }
                Action::Finished => {
                    return match self.failed.take() {
                        Some(failure) => Err(failure.into()),
                        None => Ok(Ask::Finished.into()),
                    };
                }
            }
        }
    }

    /// Gives the bytes that a step asked for; none at the end of the file.
    pub fn feed(&mut self, bytes: Vec<u8>) {
        if let Err(error) = self.machine.feed(bytes.into()) {
            self.failed.get_or_insert_with(|| failure(&error));
        }
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

    /// What is offered, with names as the other side will have them.
    #[must_use]
    pub fn offer(&self) -> JsValue {
        describe(self.machine.offer())
    }
}

fn entry(given: &Given) -> Result<Entry, String> {
    let path: Vec<String> = given
        .path()
        .iter()
        .map(|it| it.unchecked_into::<JsString>().into())
        .collect();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = |number: f64| number.max(0.0) as u64;
    Ok(Entry {
        path: SafePath::new(&path).map_err(|error| error.to_string())?,
        kind: if given.directory() {
            Kind::Directory
        } else {
            Kind::File
        },
        size: given.size().map(whole),
        modified: given.modified().map(whole).map(Timestamp::from_millis),
        executable: false,
    })
}
