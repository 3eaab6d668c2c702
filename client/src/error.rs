//! What can go wrong for a peer, and whose fault it was.

use std::time::Duration;

use peersox_core::close::CloseReason;
use peersox_core::peer::End;
use peersox_core::secure::Burnt;

use crate::rpc::{self, Code};

/// Why an operation of a peer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's address cannot be used.
    #[error("{url:?} is not a server address: {why}")]
    ServerUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A variable of the environment that names a proxy cannot be used.
    #[error("{variable} does not name a proxy: {why}")]
    ProxyVariable {
        /// Its name. Its value may hold a password and is not shown.
        variable: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server cannot be reached.
    #[error("cannot reach the server at {server}: {why}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// What the transport said.
        why: String,
    },
    /// The code has the wrong form; the server refused to look it up.
    #[error("the code is malformed: {0}")]
    CodeMalformed(String),
    /// No pairing waits under this code.
    #[error(
        "no device is waiting under this code: it may be mistyped, already used, or expired; \
         ask the other side for a new one"
    )]
    CodeNotFound,
    /// The stored credential is not, or no longer, good.
    #[error("this pairing no longer exists on the server; pair the two devices again")]
    CredentialInvalid,
    /// The server asks to slow down.
    #[error("the server asks to wait{}", wait(*.retry_after))]
    RateLimited {
        /// For how long, if the server said.
        retry_after: Option<Duration>,
    },
    /// The server answered with another error.
    #[error("the server refused: {message} ({code})")]
    Refused {
        /// The gRPC status code's name.
        code: String,
        /// The server's sentence.
        message: String,
    },
    /// The server answered with something that breaks its own protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// No transport reached the relay.
    #[error("cannot reach the relay: {0}")]
    NoLeg(String),
    /// The relay or the other peer ended the session.
    #[error("{0}")]
    Closed(CloseReason),
    /// The other peer closed the connection in good order.
    #[error("the other peer is done")]
    PeerDone,
    /// The other peer's process was restarted: its channels are gone, with what was on its way. New
    /// ones can be opened.
    #[error("the other side was restarted; what was under way is lost")]
    PeerRestarted,
    /// The channel was reset, or the other peer broke the protocol, and what was on its way is lost.
    #[error("{0}")]
    Reset(String),
    /// The two codes do not match, or the pairing was disturbed: the code is spent.
    #[error(transparent)]
    Burnt(#[from] Burnt),
    /// What arrives is forged, over every path.
    #[error("{0}")]
    Tampered(String),
    /// The window is full; only [`Sender::try_send`](crate::Sender::try_send) says so.
    #[error("the window is full until the other side has read more")]
    Full,
    /// A datagram does not fit.
    #[error("the datagram is {len} bytes long; at most {max} fit")]
    DatagramTooLarge {
        /// Its length.
        len: usize,
        /// The longest that can be sent.
        max: usize,
    },
    /// The peer was closed, so nothing can be sent or received any more.
    #[error("the connection was closed")]
    Gone,
}

impl Error {
    /// Whether the same call may succeed a little later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::NoLeg(_) | Self::RateLimited { .. }
        )
    }

    /// Reads a gRPC status with its rich details.
    pub(crate) fn from_status(server: &str, status: &rpc::Status) -> Self {
        match (status.details.reason.as_str(), status.code) {
            ("CODE_MALFORMED", _) => Self::CodeMalformed(status.message.clone()),
            ("CODE_NOT_FOUND", _) => Self::CodeNotFound,
            ("CREDENTIAL_INVALID", _) => Self::CredentialInvalid,
            ("RATE_LIMITED", _) => Self::RateLimited {
                retry_after: status.details.retry_after,
            },
            (
                _,
                // `Cancelled` is what a call says whose connection broke under it.
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown,
            ) => Self::Unreachable {
                server: server.to_owned(),
                why: status.message.clone(),
            },
            (_, code) => Self::Refused {
                code: format!("{code:?}"),
                message: status.message.clone(),
            },
        }
    }
}

impl From<End> for Error {
    fn from(end: End) -> Self {
        match end {
            End::Burnt(burnt) => burnt.into(),
            End::Broken(_) => Self::Reset(end.to_string()),
            End::Tampered => Self::Tampered(end.to_string()),
        }
    }
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |delay| {
        format!(" {} s", delay.as_secs().max(1))
    })
}
