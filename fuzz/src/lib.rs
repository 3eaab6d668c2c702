//! What each fuzz target does with its bytes.
//!
//! A target takes bytes as a stranger may send them, hands them to one parser, and asserts the laws of that
//! parser. libFuzzer calls it through `fuzz_targets`; `tests/e2e/corpora.rs` includes this module and replays
//! `fuzz/corpus`, so that both run the same code.

mod channel;
mod code;
mod description;
mod endpoint;
mod frame;
mod grpc;
mod input;
mod length;
mod names;
mod notice;
mod offer;
mod origin;
mod path;
mod record;
mod secure;
mod signal;
mod stun;
mod ticket;
mod trace;
mod transfer;
mod websocket;

/// The name of a target and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. Each has a file in `fuzz_targets` and a folder in `corpus` of its name.
pub const TARGETS: [Target; 20] = [
    ("channel", channel::run),
    ("code", code::run),
    ("description", description::run),
    ("endpoint", endpoint::run),
    ("frame", frame::run),
    ("grpc", grpc::run),
    ("length", length::run),
    ("names", names::run),
    ("notice", notice::run),
    ("offer", offer::run),
    ("origin", origin::run),
    ("path", path::run),
    ("record", record::run),
    ("secure", secure::run),
    ("signal", signal::run),
    ("stun", stun::run),
    ("ticket", ticket::run),
    ("trace", trace::run),
    ("transfer", transfer::run),
    ("websocket", websocket::run),
];

/// Runs one target.
///
/// # Panics
/// If there is no target of this name, or the bytes break a law of its parser.
pub fn run(target: &str, bytes: &[u8]) {
    let (_, run) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("it is one of the targets");
    run(bytes);
}
