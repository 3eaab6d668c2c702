//! The calls: convert, let the service do it, convert back. No rules in here.

mod convert;
mod directory;
mod entrance;
#[cfg(test)]
mod guesser;
mod measured;
mod pairing;
#[cfg(test)]
mod several;
mod status;
mod watch;

pub(crate) use directory::Directory;
pub(crate) use measured::Measured;
pub(crate) use pairing::Pairing;
pub(crate) use status::{busy, too_many_watches};
