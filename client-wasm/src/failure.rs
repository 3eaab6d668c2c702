//! What can go wrong: a code of the table `fault` in `engine.ops`, and a message for people.

use crate::call::Reply;

include!(concat!(env!("OUT_DIR"), "/fault.rs"));

/// Why a call failed.
pub(crate) struct Failure {
    fault: Fault,
    message: String,
}

impl Failure {
    pub(crate) fn new(fault: Fault, message: &str) -> Self {
        let message = message.to_owned();
        Self { fault, message }
    }

    pub(crate) fn protocol(message: &str) -> Self {
        Self::new(Fault::Protocol, message)
    }

    /// The caller's fault, which `js/src/net/machine.ts` rules out.
    pub(crate) fn senseless() -> Self {
        Self::protocol("the module was called with what makes no sense to it")
    }
}

impl From<Failure> for Reply {
    /// The number of a failure is NaN, a is the code, and the bytes are the message.
    fn from(Failure { fault, message }: Failure) -> Self {
        Self {
            a: f64::from(fault as u8),
            bytes: message.into(),
            ..Self::number(f64::NAN)
        }
    }
}
