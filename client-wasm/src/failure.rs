//! What can go wrong, as JavaScript gets it: the string `code|message`, of which `js/src/failure.ts`
//! makes an error class.

use wasm_bindgen::JsValue;

/// Why a call failed. See `js/src/errors.ts` for the codes.
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(code: &str, message: &str) -> Self {
        Self([code, "|", message].concat())
    }

    pub(crate) fn protocol(message: &str) -> Self {
        Self::new("protocol", message)
    }
}

impl From<Failure> for JsValue {
    fn from(Failure(text): Failure) -> Self {
        Self::from_str(&text)
    }
}
