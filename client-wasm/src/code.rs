//! Pairing codes.

use peersox_core::code::{Code, Malformed, Nameplate, Words};

use crate::call::Reply;
use crate::failure::{Failure, Fault};
use crate::platform::Random;

/// Appends secret words to a nameplate of the server.
pub(crate) fn make(nameplate: &[u8], words: u32) -> Result<Reply, Failure> {
    let nameplate: Nameplate = text(nameplate)?
        .parse()
        .map_err(|_| Failure::protocol("the nameplate is no nameplate"))?;
    let words = Words::random((words as usize).min(Words::MAX), &mut Random);
    Ok(show(&Code { nameplate, words }))
}

/// Reads what a person typed: the code as it should be shown, digits and words joined by `-`.
pub(crate) fn tidy(typed: &[u8]) -> Result<Reply, Failure> {
    Ok(show(&parse(typed)?))
}

/// The message of the failure is for people.
pub(crate) fn parse(typed: &[u8]) -> Result<Code, Failure> {
    text(typed)?
        .parse()
        .map_err(|malformed: Malformed| Failure::new(Fault::CodeMalformed, &malformed.to_string()))
}

fn show(code: &Code) -> Reply {
    Reply::lend(0, code.canonical().as_bytes().to_vec())
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| Failure::senseless())
}
