//! How a call ended, and what that means to a caller.

use bytes::Bytes;
use prost::Message;
use wasm_bindgen::prelude::*;

use crate::failure::{Failure, Ours};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = decodeURIComponent)]
    fn decode_uri_component(text: &str) -> Result<String, JsValue>;
    /// Takes base64 with padding and without, as gRPC wants.
    #[wasm_bindgen(catch)]
    fn atob(base64: &str) -> Result<String, JsValue>;
}

/// A gRPC status with its rich details.
#[derive(Default)]
pub(super) struct Status {
    number: u32,
    message: String,
    reason: String,
    retry_after_millis: Option<f64>,
}

impl Status {
    pub(super) fn new(number: &str, message: &str, details: Option<&str>) -> Self {
        let mut status = Self {
            number: number.trim().parse().unwrap_or(UNKNOWN),
            message: decode_uri_component(message).unwrap_or_else(|_| message.to_owned()),
            ..Self::default()
        };
        let details = details.and_then(|it| {
            // One character for each byte.
            let bytes = atob(it)
                .ok()?
                .chars()
                .map(|it| it as u8)
                .collect::<Vec<_>>();
            Rich::decode(bytes.as_slice()).ok()
        });
        for detail in details.unwrap_or_default().details {
            // The type URL ends in the name of the type; what is before it does not matter.
            match detail.type_url.rsplit('/').next() {
                Some("google.rpc.ErrorInfo") => {
                    let info = ErrorInfo::decode(detail.value).unwrap_or_default();
                    status.reason = info.reason;
                }
                Some("google.rpc.RetryInfo") => {
                    let delay = RetryInfo::decode(detail.value).unwrap_or_default().delay;
                    #[allow(clippy::cast_precision_loss)]
                    let millis =
                        delay.map(|it| it.seconds as f64 * 1e3 + f64::from(it.nanos) / 1e6);
                    status.retry_after_millis = millis;
                }
                _ => {}
            }
        }
        status
    }

    pub(super) fn of_trailers(trailers: &[u8]) -> Self {
        let text = String::from_utf8_lossy(trailers);
        let find = |name: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            fields
                .find(|(field, _)| field.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
        };
        Self::new(
            find("grpc-status").unwrap_or_default(),
            find("grpc-message").unwrap_or_default(),
            find("grpc-status-details-bin"),
        )
    }

    pub(super) fn check(self) -> Result<(), Failure> {
        if self.number == 0 {
            return Ok(());
        }
        let code = match (self.reason.as_str(), self.number) {
            ("CODE_MALFORMED", _) => "code-malformed",
            ("CODE_NOT_FOUND", _) => "code-not-found",
            ("CREDENTIAL_INVALID", _) => "pairing-invalid",
            (_, RESOURCE_EXHAUSTED) => "rate-limited",
            (_, UNAVAILABLE | DEADLINE_EXCEEDED | UNKNOWN) => "unreachable",
            _ => "refused",
        };
        Err(Failure::Ours(Ours {
            code,
            message: self.message,
            retry_after_millis: self.retry_after_millis,
            status: self.number,
        }))
    }
}

const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNAVAILABLE: u32 = 14;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Rich {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `google.rpc.ErrorInfo`; its domain is ours by the URL that was called.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}
