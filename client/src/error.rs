//! What can go wrong for a peer, and whose fault it was.

use std::time::Duration;

use peersox_core::attach::Cause;
use peersox_core::channel::{OpenError, ResetCode, SendError, Unfit, Violation};
use peersox_core::close::CloseReason;
use peersox_core::peer::End;
use peersox_core::secure::Burnt;

use crate::rpc::{self, Code};

/// Why an operation of a peer failed. Decide by the variant: its text is for people, and changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
        /// How long the server asks to wait, if it said so.
        retry_after: Option<Duration>,
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
    /// The other device has not let this one in yet: somebody has to answer there. It is waited for.
    #[error("the other device has not let this one in yet")]
    Unconfirmed {
        /// When to ask again, if the server said so.
        retry_after: Option<Duration>,
    },
    /// The other device did not let this one in: somebody said no there, or nothing in time. The code is
    /// spent.
    #[error("the other device did not let this one in; ask there for a new code")]
    NotLetIn,
    /// This side did not let the device in that had typed the code: the answer was no, came too late, or the
    /// other device gave up. The code is spent.
    #[error("the device that typed the code was not let in; make a new code")]
    NobodyLetIn,
    /// The server is too old to ask before somebody comes in ([`Terms::confirm`](crate::Terms::confirm)).
    #[error("this server cannot ask before somebody connects; it needs a newer version")]
    CannotConfirm,
    /// The server lets not everybody create pairings, and does not know who this is: nothing was shown
    /// ([`Server::with_token`](crate::Server::with_token)), or something that it does not take.
    #[error("{0}")]
    Unauthorized(String),
    /// The account that the pairing is of has as much as it may have, as the server says.
    #[error("{why}")]
    OverQuota {
        /// Which quota, as a sentence.
        why: String,
        /// When to ask again, if the server said so.
        retry_after: Option<Duration>,
    },
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
    NoLeg(NoLeg),
    /// The relay or the other peer ended the session.
    #[error("{0}")]
    Closed(CloseReason),
    /// The other peer closed the connection in good order.
    #[error("the other peer is done")]
    PeerDone,
    /// This side closed the peer, and the other side did not take everything before: it closed as well, or it
    /// did not come back in time.
    #[error("the connection was closed before the other side had taken everything")]
    NotTaken,
    /// The other peer's process was restarted: its channels are gone, with what was on its way. New
    /// ones can be opened.
    #[error("the other side was restarted; what was under way is lost")]
    PeerRestarted,
    /// One of the two sides reset the channel; what was on its way is lost.
    #[error("{by} reset the channel (code {})", .code.0)]
    Reset {
        /// Who did.
        by: Side,
        /// Why; applications choose theirs from 16 on.
        code: ResetCode,
    },
    /// The channel could not be opened.
    #[error(transparent)]
    NotOpened(#[from] OpenError),
    /// Nothing was sent, for a reason that lasts; [`SendError::Full`] is [`Error::Full`].
    #[error(transparent)]
    NotSent(SendError),
    /// A message arrived that this side does not take. The channel is still there: reset it.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The other peer is genuine and broke the rules of the channels; the peer has ended.
    #[error("{}", End::Broken(*.0))]
    Broken(Violation),
    /// The two codes do not match, or the pairing was disturbed: the code is spent.
    #[error(transparent)]
    Burnt(#[from] Burnt),
    /// A peer of this pairing has come with a code before, or the pairing is one that was stored: make
    /// another code.
    #[error("this code was used before; make a new one")]
    CodeSpent,
    /// What arrives is forged, over every path.
    #[error("{}", End::Tampered)]
    Tampered,
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
    /// This side closed the peer, or shut its runtime down: nothing can be sent or received any more.
    #[error("the connection was closed")]
    Gone,
}

/// One of the two peers, as this one sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The peer in this process.
    This,
    /// The peer that it is paired with.
    Other,
}

/// Why no leg to the relay could be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoLeg {
    /// Why the last attempt failed.
    pub cause: Cause,
    /// The same for people, in the words of the transports if they said any.
    pub why: String,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::This => "this side",
            Self::Other => "the other side",
        })
    }
}

impl Error {
    /// Whether the same call may succeed a little later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::NoLeg(_)
                | Self::RateLimited { .. }
                | Self::OverQuota { .. }
                | Self::Unconfirmed { .. }
        )
    }

    /// How long the server asks to wait, if it said so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after }
            | Self::OverQuota { retry_after, .. }
            | Self::Unconfirmed { retry_after }
            | Self::Unreachable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Reads a gRPC status with its rich details.
    pub(crate) fn from_status(server: &str, status: &rpc::Status) -> Self {
        let retry_after = status.details.retry_after;
        match (status.details.reason.as_str(), status.code) {
            ("CODE_MALFORMED", _) => Self::CodeMalformed(status.message.clone()),
            ("CODE_NOT_FOUND", _) => Self::CodeNotFound,
            ("CREDENTIAL_INVALID", _) => Self::CredentialInvalid,
            ("UNCONFIRMED", _) => Self::Unconfirmed { retry_after },
            ("NOT_LET_IN", _) => Self::NotLetIn,
            ("AUTH_REQUIRED" | "AUTH_INVALID", _) => Self::Unauthorized(status.message.clone()),
            ("QUOTA_EXHAUSTED", _) => Self::OverQuota {
                why: status.message.clone(),
                retry_after,
            },
            ("RATE_LIMITED", _) => Self::RateLimited { retry_after },
            (_, Code::ResourceExhausted) if retry_after.is_some() => {
                Self::RateLimited { retry_after }
            }
            (
                _,
                // `Cancelled` is what a call says whose connection broke under it.
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown,
            ) => Self::Unreachable {
                server: server.to_owned(),
                why: status.message.clone(),
                retry_after,
            },
            (_, code) => Self::Refused {
                code: format!("{code:?}"),
                message: status.message.clone(),
            },
        }
    }
}

impl From<CloseReason> for Error {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

impl From<NoLeg> for Error {
    fn from(why: NoLeg) -> Self {
        Self::NoLeg(why)
    }
}

impl From<End> for Error {
    fn from(end: End) -> Self {
        match end {
            End::Burnt(burnt) => burnt.into(),
            End::Broken(violation) => Self::Broken(violation),
            End::Tampered => Self::Tampered,
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full => Self::Full,
            SendError::Gone
            | SendError::Finished
            | SendError::KindChanged
            | SendError::TooLarge
            | SendError::NoPath => Self::NotSent(error),
        }
    }
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |delay| {
        format!(" {} s", delay.as_secs().max(1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_leg(cause: Cause) -> Error {
        let why = cause.to_string();
        Error::NoLeg(NoLeg { cause, why })
    }

    #[test]
    fn ends_of_the_core_keep_their_cause() {
        for (end, error) in [
            (End::Burnt(Burnt::Spent), Error::Burnt(Burnt::Spent)),
            (
                End::Broken(Violation::Flood),
                Error::Broken(Violation::Flood),
            ),
            (End::Tampered, Error::Tampered),
        ] {
            assert_eq!(Error::from(end), error);
            assert_eq!(error.to_string(), end.to_string(), "one sentence for both");
        }
    }

    #[test]
    fn only_a_full_window_passes() {
        assert_eq!(Error::from(SendError::Full), Error::Full);
        for lasting in [
            SendError::Gone,
            SendError::Finished,
            SendError::KindChanged,
            SendError::TooLarge,
            SendError::NoPath,
        ] {
            assert_eq!(Error::from(lasting), Error::NotSent(lasting));
        }
    }

    #[test]
    fn a_reset_says_who_and_why() {
        let (by, code) = (Side::Other, ResetCode(17));
        let error = Error::Reset { by, code };
        assert_eq!(
            error.to_string(),
            "the other side reset the channel (code 17)"
        );
        assert_ne!(
            error,
            Error::Reset {
                by: Side::This,
                code
            }
        );
        assert_ne!(
            error,
            Error::Reset {
                by,
                code: ResetCode(18)
            }
        );
    }

    #[test]
    fn a_cause_is_told_once() {
        // Whoever prints an error with its sources, as anyhow does, would tell it twice.
        for error in [
            no_leg(Cause::NoTransport),
            Error::Broken(Violation::Flood),
            Error::NotOpened(OpenError::Closed),
            Error::NotSent(SendError::Gone),
            Error::Unfit(Unfit::NotUtf8),
            Error::Burnt(Burnt::Spent),
        ] {
            assert!(std::error::Error::source(&error).is_none(), "{error:?}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (error, transient) in [
            (no_leg(Cause::HungUp(CloseReason::Overloaded)), true),
            (no_leg(Cause::NoTransport), true),
            (Error::RateLimited { retry_after: None }, true),
            (Error::Closed(CloseReason::Revoked), false),
            (Error::PeerDone, false),
            (Error::CredentialInvalid, false),
        ] {
            assert_eq!(error.is_transient(), transient, "{error:?}");
        }
    }
}
