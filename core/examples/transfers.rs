//! Everything of the core that a page needs for transfers, in one program, beside what `whole.rs` holds.
//!
//! `scripts/wasm-size` builds and measures it. Run natively, it checks itself:
//! `cargo run -p peersox-core --example transfers`.

use std::collections::HashMap;
use std::hint::black_box;

use bytes::Bytes;
use peersox_core::transfer::{
    self, CancelCode, DeclineReason, Entry, Limits, Offer, Receiver, SafePath, Sender, TransferId,
};

fn main() {
    let path = sure(SafePath::new(&black_box(["folder", "file"])));
    let entry = Entry {
        path,
        kind: transfer::Kind::File,
        size: Some(black_box(300_000)),
        modified: None,
        executable: false,
        mode: None,
        data_bytes: None,
    };
    let limits = Limits::default();
    let entries = vec![entry];
    let offer = sure(Offer::new(TransferId::of(&entries), entries, &limits));
    let mut sender = Sender::new(offer);
    let mut receiver = Receiver::new(limits);
    let mut stored = false;
    loop {
        match sender.poll() {
            transfer::Action::Send(message) => match receiver.handle(black_box(message)) {
                Ok(transfer::Event::Offered) => {
                    shown(&receiver.offer().map(Offer::total_bytes).is_some());
                    sure(receiver.accept(HashMap::new()));
                }
                Ok(transfer::Event::Store) => stored = receiver.stored().is_ok(),
                Ok(event) => drop(black_box(event)),
                Err(error) => shown(&error),
            },
            transfer::Action::Read { max, .. } => {
                sure(sender.feed(Bytes::from(black_box(vec![9; max]))));
            }
            transfer::Action::Wait | transfer::Action::Finished => {
                let Some(message) = receiver.poll_message() else {
                    break;
                };
                if let Err(error) = sender.handle(black_box(message)) {
                    shown(&error);
                }
            }
        }
        black_box((sender.progress(), receiver.progress()));
    }
    assert!(stored);
    Receiver::new(limits).decline(black_box(DeclineReason::Refused), "");
    Receiver::new(limits).cancel(black_box(CancelCode::Interrupted), "");
}

/// Without `Debug`, which a page has no use for and would download.
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// A page shows what went wrong in words.
fn shown(what: &impl std::fmt::Display) {
    black_box(what.to_string());
}
