use std::fmt;

use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// What a browser threw, or rejected a promise with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of the exception, such as `TypeError` (ECMAScript) or `InvalidStateError` (Web IDL).
    ///
    /// `fetch` rejects with `TypeError` if there is no connection, and for a page's security rules.
    pub name: String,
    /// The browser's words, for people. Each browser has its own.
    pub message: String,
}

impl Failure {
    /// What is asked of an object that is closed.
    pub(crate) fn closed() -> Self {
        Self {
            name: "InvalidStateError".to_owned(),
            message: "the connection is closed".to_owned(),
        }
    }
}

impl From<JsValue> for Failure {
    fn from(thrown: JsValue) -> Self {
        let text = |name: &str| Reflect::get(&thrown, &name.into()).ok()?.as_string();
        Self {
            name: text("name").unwrap_or_else(|| "Error".to_owned()),
            // A program may throw a string.
            message: text("message")
                .or_else(|| thrown.as_string())
                .unwrap_or_default(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for Failure {}
