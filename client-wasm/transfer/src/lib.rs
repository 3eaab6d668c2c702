//! Files, sent and received: a module of its own that a page loads when the first file is sent or offered.
//!
//! ```text
//!   facade (TypeScript)                    this crate
//!   loop:  step()  ──────────────────────► what to do: send a message, take one, read a piece, write a piece, …
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

/// What a step asks for; `js/src/transfer/machines.ts` has the same table.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Ask {
    /// Give a message of the channel, when there is one.
    Take = 0,
    /// Nothing more will happen.
    Finished = 1,
    /// It ended before everything was stored, and the other side was told; `why` and `message` say
    /// more.
    Failed = 2,
    /// Send a message, and say so.
    Send = 3,
    /// Feed bytes of a file.
    Read = 4,
    /// An offer is there.
    Offered = 5,
    /// Write bytes of a file.
    Write = 6,
    /// A file is complete and verified.
    Complete = 7,
    /// Put everything in place.
    Store = 8,
}

/// Why a transfer ended.
struct Failure {
    why: Why,
    message: String,
}

/// What kind of end; `js/src/transfer/machines.ts` has the same table.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Why {
    Failed = 0,
    Declined = 1,
    Cancelled = 2,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let why = match error {
            Error::Declined { .. } => Why::Declined,
            Error::Cancelled { .. } => Why::Cancelled,
            Error::Peer(_)
            | Error::Mismatch { .. }
            | Error::SourceEnded { .. }
            | Error::OutOfTurn(_) => Why::Failed,
        };
        let message = error.to_string();
        Self { why, message }
    }
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
