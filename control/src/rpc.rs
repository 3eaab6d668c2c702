//! The calls: convert, let the service do it, convert back. No rules in here.

mod convert;
#[cfg(test)]
mod guesser;
mod pairing;
mod status;
mod watch;

pub(crate) use pairing::Pairing;
pub(crate) use status::{busy, too_many_watches};
