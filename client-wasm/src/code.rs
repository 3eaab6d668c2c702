//! Pairing codes.

use peersox_core::code::{Code, Nameplate, Words};
use wasm_bindgen::prelude::*;

use crate::failure::Failure;
use crate::platform::Random;

/// Appends secret words to a nameplate of the server.
///
/// # Errors
/// If the nameplate is none.
#[wasm_bindgen(js_name = makeCode)]
pub fn make_code(nameplate: &str, words: usize) -> Result<String, JsValue> {
    let nameplate: Nameplate = nameplate
        .parse()
        .map_err(|_| Failure::protocol("the nameplate is no nameplate"))?;
    let words = Words::random(words.min(Words::MAX), &mut Random);
    Ok(Code { nameplate, words }.canonical().to_string())
}

/// Reads what a person typed: the code as it should be shown, digits and words joined by `-`.
///
/// # Errors
/// If it is no code; the message is for people.
#[wasm_bindgen(js_name = parseCode)]
pub fn parse_code(typed: &str) -> Result<String, JsValue> {
    Ok(parse(typed)?.canonical().to_string())
}

pub(crate) fn parse(typed: &str) -> Result<Code, Failure> {
    typed
        .parse()
        .map_err(|malformed| Failure::new("code-malformed", &format!("{malformed}")))
}
