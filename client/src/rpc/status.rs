//! A gRPC status with the details that a peer reads.
//!
//! ```text
//! grpc-status: 8
//! grpc-message: percent-encoded text
//! grpc-status-details-bin: base64 of google.rpc.Status { details: [ErrorInfo, RetryInfo, …] }
//! ```

use std::time::Duration;

use http::HeaderMap;
use prost::Message;

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: Code,
    /// A sentence, as the server or the transport said it.
    pub(crate) message: String,
    pub(crate) details: Details,
}

/// What a status says beyond its code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    /// The reason of `google.rpc.ErrorInfo`, as in `CODE_NOT_FOUND`. Empty if there is no such detail.
    pub(crate) reason: String,
    /// The delay of `google.rpc.RetryInfo`.
    pub(crate) retry_after: Option<Duration>,
    /// Whether something that is not the server answered: a proxy, or the login page of a network.
    pub(crate) by_stranger: bool,
}

/// A status code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Ok = 0,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl Code {
    const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code with this number. A number that gRPC does not define is [`Code::Unknown`].
    pub(crate) fn from_number(number: i32) -> Self {
        let index = usize::try_from(number).ok();
        let code = index.and_then(|index| Self::ALL.get(index));
        code.copied().unwrap_or(Self::Unknown)
    }
}

impl Status {
    /// A status without details.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Details::default(),
        }
    }

    /// The status of a call whose request or answer was lost on the way.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// The status of a call that something else than the server answered.
    pub(crate) fn by_stranger(message: impl Into<String>) -> Self {
        let mut status = Self::unavailable(message);
        status.details.by_stranger = true;
        status
    }

    /// The status of a call that has no answer in time.
    pub(crate) fn late(patience: Duration) -> Self {
        let text = format!("no answer within {} s", patience.as_secs());
        Self::new(Code::DeadlineExceeded, text)
    }

    /// Reads `grpc-status` and the fields beside it; nothing if there is no `grpc-status`.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let number = headers.get("grpc-status")?.to_str().ok()?;
        let code = Code::from_number(number.trim().parse().unwrap_or(-1));
        let text = |name| headers.get(name).map(http::HeaderValue::as_bytes);
        let message = text("grpc-message").unwrap_or_default();
        let message = percent_encoding::percent_decode(message).decode_utf8_lossy();
        let details = text("grpc-status-details-bin").and_then(decode_base64);
        Some(Self {
            code,
            message: message.into_owned(),
            details: Details::decode(&details.unwrap_or_default()),
        })
    }
}

impl Details {
    /// Reads an encoded `google.rpc.Status`. Details that are malformed or not known are passed over,
    /// as the status stands without them.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut read = Self::default();
        let Ok(status) = RpcStatus::decode(bytes) else {
            return read;
        };
        for detail in status.details {
            let name = detail.type_url.rsplit('/').next().unwrap_or_default();
            match name {
                "google.rpc.ErrorInfo" => {
                    let info = ErrorInfo::decode(&*detail.value);
                    read.reason = info.map(|info| info.reason).unwrap_or_default();
                }
                "google.rpc.RetryInfo" => {
                    let info = RetryInfo::decode(&*detail.value).ok();
                    let delay = info.and_then(|info| info.retry_delay);
                    read.retry_after = delay.and_then(|delay| delay.try_into().ok());
                }
                _ => {}
            }
        }
        read
    }
}

/// Binary fields come with or without padding (gRPC over HTTP/2, "Custom-Metadata").
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=');
    let text = &text[..end.map_or(0, |end| end + 1)];
    data_encoding::BASE64_NOPAD.decode(text).ok()
}

/// `google.rpc.Status` (google/rpc/status.proto).
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo` (google/rpc/error_details.proto).
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
}

/// `google.rpc.RetryInfo` (google/rpc/error_details.proto).
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `tonic-types` makes of reason `RATE_LIMITED` and a delay of 7.5 s.
    fn encoded() -> Vec<u8> {
        let any = |name: &str, value: Vec<u8>| prost_types::Any {
            type_url: format!("type.googleapis.com/google.rpc.{name}"),
            value,
        };
        let info = ErrorInfo {
            reason: "RATE_LIMITED".into(),
        };
        let retry = RetryInfo {
            retry_delay: Some(prost_types::Duration {
                seconds: 7,
                nanos: 500_000_000,
            }),
        };
        let status = RpcStatus {
            details: vec![
                any("ErrorInfo", info.encode_to_vec()),
                any("RetryInfo", retry.encode_to_vec()),
                any("Help", vec![255]),
            ],
        };
        status.encode_to_vec()
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let fields = fields.iter();
        let parsed = fields.map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_str(value).unwrap())
        });
        parsed.collect()
    }

    #[test]
    fn a_status_is_read_with_its_details() {
        for padded in [true, false] {
            let mut details = data_encoding::BASE64.encode(&encoded());
            if !padded {
                details.truncate(details.trim_end_matches('=').len());
            }
            let status = Status::from_headers(&headers(&[
                ("grpc-status", "8"),
                ("grpc-message", "zu%20viele %E2%82%AC"),
                ("grpc-status-details-bin", &details),
            ]))
            .unwrap();
            assert_eq!(status.code, Code::ResourceExhausted);
            assert_eq!(status.message, "zu viele €");
            assert_eq!(status.details.reason, "RATE_LIMITED");
            let delay = Some(Duration::from_millis(7_500));
            assert_eq!(status.details.retry_after, delay);
        }
    }

    #[test]
    fn malformed_fields_leave_the_status_standing() {
        assert_eq!(Status::from_headers(&headers(&[])), None);
        for (number, code) in [
            ("16", Code::Unauthenticated),
            ("17", Code::Unknown),
            ("x", Code::Unknown),
        ] {
            let fields = [
                ("grpc-status", number),
                ("grpc-message", "%zz"),
                ("grpc-status-details-bin", "*"),
            ];
            let status = Status::from_headers(&headers(&fields)).unwrap();
            assert_eq!(status, Status::new(code, "%zz"));
        }
        let whole = encoded();
        for end in 0..whole.len() {
            let _ = Details::decode(&whole[..end]);
        }
    }
}
