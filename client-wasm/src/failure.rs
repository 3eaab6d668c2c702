//! What can go wrong, as JavaScript gets it: the text `code|message`, of which `js/src/net/machine.ts` makes an error.

use crate::call::Reply;

/// Why a call failed. See `js/src/api/errors.ts` for the codes.
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(code: &str, message: &str) -> Self {
        Self([code, "|", message].concat())
    }

    pub(crate) fn protocol(message: &str) -> Self {
        Self::new("protocol", message)
    }

    /// The caller's fault, which `js/src/net/machine.ts` rules out.
    pub(crate) fn senseless() -> Self {
        Self::protocol("the module was called with what makes no sense to it")
    }
}

impl From<Failure> for Reply {
    /// A failure is no number.
    fn from(Failure(text): Failure) -> Self {
        Self {
            bytes: text.into(),
            ..Self::number(f64::NAN)
        }
    }
}
