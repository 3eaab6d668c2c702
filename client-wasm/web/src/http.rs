//! Requests by [`fetch`](https://fetch.spec.whatwg.org), with answers that are read as they come.

use bytes::Bytes;
use js_sys::futures::JsFuture;
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{AbortController, Headers, ReadableStreamDefaultReader, RequestInit};

use crate::Failure;

#[wasm_bindgen]
extern "C" {
    /// That of a page or of a worker.
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, init: &RequestInit) -> Result<Promise, JsValue>;
}

/// Sends a POST request and waits for the head of its answer.
///
/// A URL without a scheme is relative to the page. The browser adds headers of its own, asks servers of
/// other origins first (CORS), and sends cookies to the page's own origin only. There is no time-out:
/// dropping the future aborts the request.
///
/// # Errors
///
/// What `fetch` throws: `TypeError` for no connection, a URL or header that the browser does not take, and
/// a server that does not permit the page's origin. An answer with an error's status is an answer.
pub async fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response, Failure> {
    let abort = Abort(AbortController::new()?);
    let fields = Headers::new()?;
    for (name, value) in headers {
        fields.append(name, value)?;
    }
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers_headers(&fields);
    // A copy in the memory of JavaScript: the browser reads it later.
    init.set_body_opt_u8_array(Some(&Uint8Array::from(body)));
    init.set_signal(Some(&abort.0.signal()));
    let answer: web_sys::Response = fetch(url, &init)?.await?.unchecked_into();
    let reader = match answer.body() {
        Some(body) => Some(ReadableStreamDefaultReader::new(&body)?),
        None => None,
    };
    Ok(Response {
        status: answer.status(),
        headers: answer.headers(),
        reader,
        reading: None,
        _abort: abort,
    })
}

/// The answer to a request. Dropping it aborts what has not arrived.
pub struct Response {
    /// The HTTP status code (RFC 9110, section 15).
    pub status: u16,
    headers: Headers,
    /// None if there is no body, or no more of it.
    reader: Option<ReadableStreamDefaultReader>,
    /// What [`Response::chunk`] waits for; kept so that dropping its future loses nothing.
    reading: Option<JsFuture>,
    _abort: Abort,
}

impl Response {
    /// The value of a header; several are joined by `, `. The case of the name does not matter.
    ///
    /// A server of another origin has to expose a header for a page to see it (CORS).
    pub fn header(&self, name: &str) -> Option<String> {
        // It throws for a name that no header can have.
        self.headers.get(name).ok().flatten()
    }

    /// The next bytes of the body as they arrive, of any length but 0; none at its end.
    ///
    /// A browser reads ahead a little and then makes the server wait. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// What the browser throws if the connection breaks: `TypeError`. Then and at the end, every further call
    /// says that the body is over.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(reader) = &self.reader {
            let reading = self
                .reading
                .get_or_insert_with(|| JsFuture::from(reader.read()));
            let read = reading.await;
            self.reading = None;
            let value = match read {
                Ok(read) => Reflect::get(&read, &"value".into())?,
                Err(thrown) => {
                    self.reader = None;
                    return Err(thrown.into());
                }
            };
            if value.is_undefined() {
                self.reader = None;
                break;
            }
            let bytes = value.unchecked_into::<Uint8Array>().to_vec();
            if !bytes.is_empty() {
                return Ok(Some(bytes.into()));
            }
        }
        Ok(None)
    }
}

/// Ends a request that nobody waits for. It does nothing to one that is complete.
struct Abort(AbortController);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}
