//! Files, sent and received. The machines are the core's; the facade reads and writes the bytes.
//!
//! ```text
//!  loop: step() ─► what to do: wait for the channel, read a piece, write a piece, …
//!                  messages of the channel are taken and sent inside
//! ```

mod incoming;
mod outgoing;

use bytes::Bytes;
use peersox_core::channel::{Chunk, Message};
use peersox_core::transfer::{CancelCode, Error, Offer, Progress};
use wasm_bindgen::prelude::*;

use crate::failure::{Failure, object};
use crate::shell::Shell;

/// What a step asks for; `js/src/glue.d.ts` has the same table.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Ask {
    /// Step again when the channel has a message or room.
    Wait = 0,
    /// Nothing more will happen.
    Finished = 1,
    /// Feed bytes of a file.
    Read = 2,
    /// An offer is there.
    Offered = 3,
    /// Write bytes of a file.
    Write = 4,
    /// A file is complete and verified.
    Complete = 5,
    /// Put everything in place.
    Store = 6,
}

impl From<Ask> for JsValue {
    fn from(ask: Ask) -> Self {
        object(&[("ask", (ask as u8).into())])
    }
}

/// The channel of a transfer and a message that waits for room in it.
struct Line {
    shell: std::rc::Rc<Shell>,
    handle: u32,
    unsent: Option<Bytes>,
}

impl Line {
    /// Sends what waits; false if there is still no room.
    fn flush(&mut self) -> Result<bool, Failure> {
        let Some(message) = self.unsent.take() else {
            return Ok(true);
        };
        let chunk = Chunk::binary(message.clone());
        let sent = self.shell.with(|inner| {
            let mux = inner.machine.channels();
            inner.desk.send(mux, self.handle, chunk)
        })?;
        if !sent {
            self.unsent = Some(message);
        }
        Ok(sent)
    }

    fn read(&self) -> Result<Option<Bytes>, Failure> {
        let message = self.shell.with(|inner| {
            let mux = inner.machine.channels();
            inner.desk.read(mux, self.handle)
        })?;
        match message {
            None => Ok(None),
            Some(Message::Binary(bytes)) => Ok(Some(bytes)),
            Some(Message::Text(_)) => Err(Failure::new(
                "transfer-failed",
                "the other side sent text where a transfer belongs",
            )),
        }
    }
}

fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::Declined { .. } => "transfer-declined",
        Error::Cancelled { .. } => "transfer-cancelled",
        Error::Peer(_)
        | Error::Mismatch { .. }
        | Error::SourceEnded { .. }
        | Error::OutOfTurn(_) => "transfer-failed",
    };
    Failure::new(code, error.to_string())
}

/// `{id, entries, totalBytes}`.
fn describe(offer: &Offer) -> JsValue {
    let entries = offer.entries().iter().map(|entry| {
        let path: js_sys::Array = entry.path.components().map(JsValue::from).collect();
        object(&[
            ("path", path.into()),
            (
                "directory",
                (entry.kind == peersox_core::transfer::Kind::Directory).into(),
            ),
            ("size", entry.size.map(number).into()),
            (
                "modified",
                entry.modified.map(|it| number(it.as_millis())).into(),
            ),
        ])
    });
    let entries: js_sys::Array = entries.collect();
    object(&[
        (
            "id",
            js_sys::Uint8Array::from(&offer.id().as_bytes()[..]).into(),
        ),
        ("entries", entries.into()),
        ("totalBytes", offer.total_bytes().map(number).into()),
    ])
}

fn progress(progress: Progress) -> JsValue {
    object(&[
        ("entry", progress.entry.into()),
        ("filesDone", progress.files_done.into()),
        ("filesTotal", progress.files_total.into()),
        ("bytesDone", number(progress.bytes_done).into()),
        ("bytesTotal", progress.bytes_total.map(number).into()),
        ("bytesResumed", number(progress.bytes_resumed).into()),
    ])
}

/// JavaScript counts to 2^53, which is more than any file has.
#[allow(clippy::cast_precision_loss)]
const fn number(number: u64) -> f64 {
    number as f64
}

fn cancel_code(code: u8) -> CancelCode {
    match code {
        1 => CancelCode::Interrupted,
        2 => CancelCode::SourceFailed,
        3 => CancelCode::SinkFailed,
        4 => CancelCode::HashMismatch,
        5 => CancelCode::Protocol,
        _ => CancelCode::Other,
    }
}
