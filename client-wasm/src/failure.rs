//! What can go wrong, as the facade gets it: an object with `code`, `message` and a few numbers, of
//! which `js/src/failure.ts` makes an error class.

use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;

/// Why a call failed.
pub(crate) enum Failure {
    /// One of ours.
    Ours(Ours),
    /// The reason of an `AbortSignal`; passed on as it is.
    Aborted(JsValue),
}

/// See `js/src/errors.ts` for the codes.
pub(crate) struct Ours {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// For `rate-limited`.
    pub(crate) retry_after_millis: Option<f64>,
    /// For `refused`: the gRPC status.
    pub(crate) status: u32,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self::Ours(Ours {
            code,
            message: message.into(),
            retry_after_millis: None,
            status: 0,
        })
    }

    pub(crate) fn unreachable(why: impl Into<String>) -> Self {
        Self::new("unreachable", why)
    }

    pub(crate) fn protocol(why: impl Into<String>) -> Self {
        Self::new("protocol", why)
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Ours(ours) => matches!(ours.code, "unreachable" | "rate-limited"),
            Self::Aborted(_) => false,
        }
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Aborted(reason) => reason,
            Failure::Ours(ours) => object(&[
                ("code", ours.code.into()),
                ("message", ours.message.into()),
                ("retryAfter", ours.retry_after_millis.into()),
                ("status", ours.status.into()),
            ]),
        }
    }
}

/// A plain object of JavaScript.
pub(crate) fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // Fails for objects that are frozen only.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}
