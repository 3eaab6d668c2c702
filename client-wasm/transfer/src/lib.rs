//! Files, sent and received: a module of its own that a page loads when the first file is sent or offered.
//!
//! ```text
//!   facade (TypeScript)                    this crate
//!   loop:  step()  ──────────────────────► what to do: send or take a message, read or write a piece, …
//!          take(message of the channel) ─►
//!          feed(piece of a file) ────────►
//!   channel.trySend ◄── the message in this module's memory, between `at()` and `at() + len()`
//! ```
//!
//! The machines are the core's. They know nothing of channels: the facade carries messages both
//! ways, and reads and writes the bytes of files. Nothing but numbers, text and bytes crosses, so
//! that the module needs little glue.
//!
//! On other targets than wasm32 the crate is empty.
#![cfg(target_arch = "wasm32")]

mod incoming;
mod outgoing;
mod table;

use peersox_core::transfer::{CancelCode, Error};
use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

/// A fifth of the size of the standard one.
#[global_allocator]
static ALLOCATOR: WasmDynamicTalc = new_wasm_dynamic_allocator();

include!(concat!(env!("OUT_DIR"), "/ask.rs"));
include!(concat!(env!("OUT_DIR"), "/why.rs"));

/// The codes with which this side gives up.
mod cancel {
    include!(concat!(env!("OUT_DIR"), "/cancel.rs"));
}

/// Why a transfer ended.
struct Failure {
    why: Why,
    message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let why = match error {
            Error::Declined { .. } => Why::Declined,
            Error::Cancelled { .. } => Why::Cancelled,
            Error::Mismatch { .. } => Why::Damaged,
            Error::Peer(_) | Error::SourceEnded { .. } | Error::OutOfTurn(_) => Why::Failed,
        };
        let message = error.to_string();
        Self { why, message }
    }
}

fn cancel_code(code: u8) -> CancelCode {
    match code {
        cancel::INTERRUPTED => CancelCode::Interrupted,
        cancel::SOURCE_FAILED => CancelCode::SourceFailed,
        cancel::SINK_FAILED => CancelCode::SinkFailed,
        cancel::HASH_MISMATCH => CancelCode::HashMismatch,
        cancel::PROTOCOL => CancelCode::Protocol,
        cancel::OTHER => CancelCode::Other,
        _ => CancelCode::Other,
    }
}
