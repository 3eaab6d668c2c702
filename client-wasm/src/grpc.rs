//! gRPC-Web by `fetch`: unary calls and server streaming.
//!
//! ```text
//! body = *frame        frame = flag:1 ‖ length:4, big-endian ‖ bytes
//!                      flag 0x00: a message; flag 0x80: the trailers, `name: value` lines; the last
//! ```
//!
//! A call that fails before it has a body carries its status in the headers instead.

mod status;

use bytes::{Buf as _, Bytes, BytesMut};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, ReadableStreamDefaultReader, RequestInit, Response};

use self::status::Status;
use crate::failure::Failure;

#[wasm_bindgen]
extern "C" {
    fn fetch(url: &str, init: &RequestInit) -> Promise;

    /// What `ReadableStreamDefaultReader.read` resolves to.
    type Read;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Read) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Read) -> Uint8Array;
}

/// Calls a method that answers one message; request and answer are encoded.
pub(crate) async fn unary(
    base: &str,
    method: &str,
    request: &[u8],
    signal: Option<&AbortSignal>,
) -> Result<Bytes, Failure> {
    let mut call = Call::begin(base, method, request, signal, true).await?;
    let message = call.next().await?;
    // The status may say that the message does not count.
    if message.is_some() && call.next().await?.is_some() {
        return Err(Failure::protocol("the server answered twice"));
    }
    message.ok_or_else(|| Failure::protocol("the server did not answer"))
}

/// A call under way.
pub(crate) struct Call {
    reader: ReadableStreamDefaultReader,
    signal: Option<AbortSignal>,
    buffer: BytesMut,
    ended: bool,
}

impl Call {
    pub(crate) async fn begin(
        base: &str,
        method: &str,
        request: &[u8],
        signal: Option<&AbortSignal>,
        bounded: bool,
    ) -> Result<Self, Failure> {
        let url = format!("{base}/peersox.v1.PairingService/{method}");
        let refused = |error: JsValue| blame(&error, signal);
        let answer = fetch(&url, &init(request, signal, bounded).map_err(refused)?);
        let response = JsFuture::from(answer).await.map_err(refused)?;
        let response: Response = response.unchecked_into();
        let headers = response.headers();
        let header = |name| headers.get(name).ok().flatten();
        if let Some(number) = header("grpc-status") {
            let details = header("grpc-status-details-bin");
            let message = header("grpc-message").unwrap_or_default();
            Status::new(&number, &message, details.as_deref()).check()?;
        } else if !response.ok() {
            let number = response.status();
            return Err(Failure::unreachable(format!("HTTP status {number}")));
        }
        let body = response
            .body()
            .ok_or_else(|| Failure::protocol("the answer has no body"))?;
        Ok(Self {
            reader: body.get_reader().unchecked_into(),
            signal: signal.cloned(),
            buffer: BytesMut::new(),
            ended: false,
        })
    }

    /// The next message; none when the call has ended well.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while !self.ended {
            if let Some((flag, frame)) = self.cut()? {
                if flag & TRAILERS == 0 {
                    return Ok(Some(frame));
                }
                self.ended = true;
                Status::of_trailers(&frame).check()?;
                break;
            }
            let read = JsFuture::from(self.reader.read()).await;
            let read: Read = read
                .map_err(|error| blame(&error, self.signal.as_ref()))?
                .unchecked_into();
            if read.done() {
                return Err(Failure::unreachable("the answer broke off"));
            }
            let chunk = read.value();
            let old = self.buffer.len();
            self.buffer.resize(old + chunk.length() as usize, 0);
            chunk.copy_to(&mut self.buffer[old..]);
        }
        Ok(None)
    }

    fn cut(&mut self) -> Result<Option<(u8, Bytes)>, Failure> {
        if self.buffer.len() < PREFIX {
            return Ok(None);
        }
        let len = (&self.buffer[1..PREFIX]).get_u32() as usize;
        if len > MAX_MESSAGE {
            return Err(Failure::protocol("the answer is too long"));
        }
        if self.buffer.len() < PREFIX + len {
            return Ok(None);
        }
        let flag = self.buffer[0];
        self.buffer.advance(PREFIX);
        Ok(Some((flag, self.buffer.split_to(len).freeze())))
    }
}

impl Drop for Call {
    /// Ends the request; nobody waits for that.
    fn drop(&mut self) {
        let aborted = self.signal.as_ref().is_some_and(AbortSignal::aborted);
        if !self.ended && !aborted {
            let _ = self.reader.cancel();
        }
    }
}

fn init(
    request: &[u8],
    signal: Option<&AbortSignal>,
    bounded: bool,
) -> Result<RequestInit, JsValue> {
    let headers = Headers::new()?;
    headers.set("content-type", "application/grpc-web+proto")?;
    headers.set("x-grpc-web", "1")?;
    if bounded {
        headers.set("grpc-timeout", TIMEOUT)?;
    }
    let len = u32::try_from(request.len()).unwrap_or(u32::MAX);
    let mut body = vec![0];
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(request);
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_body(&Uint8Array::from(body.as_slice()));
    init.set_signal(signal);
    Ok(init)
}

/// `fetch` says `TypeError` for whatever the network did.
fn blame(error: &JsValue, signal: Option<&AbortSignal>) -> Failure {
    match signal {
        Some(signal) if signal.aborted() => Failure::Aborted(signal.reason()),
        _ => Failure::unreachable(
            error
                .dyn_ref::<js_sys::Error>()
                .map_or_else(String::new, |error| error.message().into()),
        ),
    }
}

const PREFIX: usize = 5;
const TRAILERS: u8 = 0x80;

/// Far more than any answer of the service has.
const MAX_MESSAGE: usize = 1 << 20;

/// The server's own bound, said aloud so that proxies know it.
const TIMEOUT: &str = "10S";
