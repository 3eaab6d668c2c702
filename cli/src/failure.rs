//! Exit codes: what a script can tell failures apart by. The help text lists them.

use std::process::ExitCode;

use peersox_client::{CloseReason, Error, ResetCode, Side};
use serde_json::json;

use crate::fit;
use crate::signals::Stop;
use crate::terminal::Voice;

/// A failure whose exit code is known where it happens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The other side said no, or broke off on purpose.
    #[error("{0}")]
    Declined(String),
    /// The other side did not appear, or is lost.
    #[error("{0}")]
    Unreachable(String),
    /// What arrived is not what was sent.
    #[error("{0}")]
    Corrupt(String),
    /// A file here is in the way, or cannot be read or written.
    #[error("{0}")]
    File(String),
    /// A relay stopped before its peers had gone elsewhere.
    #[error(
        "{count} of its peers had found no other relay after {grace} s and were hung up; \
         --drain-grace waits longer"
    )]
    CutOff {
        /// How many.
        count: u64,
        /// How long was waited, in seconds.
        grace: u64,
    },
    /// Whoever read standard output is gone.
    #[error("nobody reads standard output any more")]
    Unheard,
    /// A signal ended the command.
    #[error("interrupted")]
    Stopped(Stop),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Declined(_) => 4,
            Self::Unreachable(_) => 5,
            Self::Corrupt(_) => 6,
            Self::File(_) => 7,
            Self::CutOff { .. } => 8,
            Self::Stopped(stop) => stop.code(),
            // As a program ends that the system ends by SIGPIPE.
            Self::Unheard => 141,
        }
    }
}

/// Whether a signal ended the command.
pub(crate) fn is_stopped(result: &anyhow::Result<()>) -> bool {
    let error = result.as_ref().err().and_then(|it| it.downcast_ref());
    matches!(error, Some(Failure::Stopped(_)))
}

/// Says what went wrong, as a sentence or as the last event, and chooses the exit code.
pub(crate) fn report(result: anyhow::Result<()>, voice: Voice) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let code = code(&error);
    let quiet = matches!(
        error.downcast_ref(),
        Some(Failure::Stopped(_) | Failure::Unheard)
    );
    if voice.is_json() || !quiet {
        let message = message(&error);
        let event = json!({"event": "error", "exit": code, "message": message});
        voice.say(&format!("peersox: {message}"), &event);
    }
    ExitCode::from(code)
}

/// What is said of an error. A command that is interrupted resets its channel and says goodbye. The other
/// side may hear of either first; both sentences say that this side left.
fn message(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(Error::Reset {
            by: Side::Other,
            code,
        }) if NOT_SERVED.contains(code) => {
            "the other side runs a command that does not fit this one: `send` and `receive` \
             belong together, `forward --listen` and `forward --target`, and of the others two \
             alike"
                .to_owned()
        }
        Some(Error::Reset {
            by: Side::Other,
            code: ResetCode::CANCELLED,
        })
        | Some(Error::Closed(CloseReason::PeerLeft)) => {
            "the other side left before it was done".to_owned()
        }
        Some(Error::Unauthorized(why)) => {
            format!("{why}; name the file with yours by --auth-token-file FILE")
        }
        // The number is for programs.
        Some(Error::Closed(reason)) => reason.text().to_owned(),
        _ => format!("{error:#}"),
    }
}

/// How a channel is reset that nobody serves: refused, or met by another command.
const NOT_SERVED: [ResetCode; 2] = [ResetCode::REFUSED, fit::OTHER_COMMAND];

/// Why a server cannot be talked to, and what to try.
pub(crate) fn server(error: Error) -> anyhow::Error {
    let Error::Unreachable { server, why, .. } = &error else {
        return error.into();
    };
    let hint = hint(server, why);
    Hinted { error, hint }.into()
}

/// What to try when a server cannot be reached. What rustls says comes as the names of its errors.
fn hint(server: &str, why: &str) -> String {
    let (scheme, rest) = server.split_once("://").unwrap_or_default();
    let said = |name| scheme == "https" && why.contains(name);
    if said("InvalidContentType") {
        // The first bytes are no TLS.
        format!("this port speaks http: try --server http://{rest}")
    } else if scheme == "http" && why.contains(&format!("points to https://{rest}/")) {
        format!("this port speaks https: try --server https://{rest}")
    } else if said("UnknownIssuer") {
        "this system does not know who issued its certificate: name the issuer's certificate with \
         --ca-cert FILE"
            .into()
    } else if said("CaUsedAsEndEntity") {
        "its certificate is one of an authority, which no server may show: make it anew with \
         `openssl req -x509 -addext basicConstraints=critical,CA:FALSE …`"
            .into()
    } else if said("NotValidForName") {
        "its certificate is for other names: call the server by one of them".into()
    } else if said("Expired") || said("NotValidYet") {
        "its certificate is not valid today: renew it there, or set the clock here".into()
    } else {
        "is it running? start one with `peersox serve`, or name another with --server".into()
    }
}

/// What the client said, if that is why.
pub(crate) fn cause(error: &anyhow::Error) -> Option<&Error> {
    let hinted = || Some(&error.downcast_ref::<Hinted>()?.error);
    error.downcast_ref::<Error>().or_else(hinted)
}

/// A failure and what to try, in this order.
#[derive(Debug, thiserror::Error)]
#[error("{error}; {hint}")]
struct Hinted {
    error: Error,
    hint: String,
}

/// Why standard output cannot be written to.
#[allow(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
pub(crate) fn stdout(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::Unheard,
        _ => Failure::File(format!("cannot write to standard output: {error}")),
    }
}

/// The exit code of a failure.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.code();
    }
    match cause(error) {
        Some(Error::CodeMalformed(_) | Error::ServerUrl { .. } | Error::ProxyVariable { .. }) => 2,
        Some(
            Error::CodeNotFound
            | Error::CredentialInvalid
            | Error::Unauthorized(_)
            | Error::Burnt(_)
            | Error::CodeSpent,
        ) => 3,
        Some(
            Error::Closed(CloseReason::PeerLeft | CloseReason::Revoked)
            | Error::NotLetIn
            | Error::NobodyLetIn,
        ) => 4,
        Some(Error::Reset {
            by: Side::Other,
            code,
        }) if NOT_SERVED.contains(code) => 2,
        // A command that is broken off drops its channels and its peer; either may arrive first.
        Some(Error::Reset {
            by: Side::Other,
            code: ResetCode::CANCELLED,
        }) => 4,
        Some(Error::Tampered) => 6,
        Some(
            Error::Unreachable { .. }
            | Error::RateLimited { .. }
            | Error::OverQuota { .. }
            | Error::Unconfirmed { .. }
            | Error::NoLeg(_)
            | Error::Closed(_)
            | Error::PeerDone
            | Error::NotTaken,
        ) => 5,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use peersox_client::{Burnt, Cause, NoLeg, Violation};

    use super::*;

    #[test]
    fn context_does_not_hide_the_code() {
        let error = anyhow::Error::new(Error::CodeNotFound).context("cannot join");
        assert_eq!(code(&error), 3);
        let error = anyhow::Error::new(Failure::File("in the way".into())).context("cannot save");
        assert_eq!(code(&error), 7);
        assert_eq!(code(&anyhow::anyhow!("else")), 1);
    }

    #[test]
    fn a_channel_tells_the_exit_code_as_its_peer_does() {
        let (by, reset) = (Side::Other, ResetCode::CANCELLED);
        let (cause, why) = (Cause::TimedOut, String::new());
        let no_leg = NoLeg { cause, why };
        for (error, expected) in [
            (Error::Burnt(Burnt::Mismatch), 3),
            (Error::Closed(CloseReason::PeerLeft), 4),
            (Error::Closed(CloseReason::Revoked), 4),
            (Error::Closed(CloseReason::Replaced), 5),
            (Error::PeerDone, 5),
            (Error::NotTaken, 5),
            (Error::NotLetIn, 4),
            (Error::NobodyLetIn, 4),
            (Error::Unconfirmed { retry_after: None }, 5),
            (Error::NoLeg(no_leg), 5),
            (Error::Tampered, 6),
            (Error::Reset { by, code: reset }, 4),
            (Error::PeerRestarted, 1),
            (Error::Broken(Violation::Flood), 1),
            (Error::Gone, 1),
        ] {
            let failed = anyhow::Error::new(error.clone()).context("the transfer was broken off");
            assert_eq!(code(&failed), expected, "{error:?}");
        }
    }

    #[test]
    fn a_hint_says_what_to_do() {
        for (server, why, hinted) in [
            ("https://h:1", "InvalidContentType", "--server http://h:1"),
            (
                "http://h:1/x",
                "answered with 308, which points to https://h:1/x/a.B/C",
                "--server https://h:1/x",
            ),
            (
                "http://h:1",
                "302, which points to https://portal/",
                "is it running",
            ),
            (
                "https://h:1",
                "invalid peer certificate: UnknownIssuer",
                "--ca-cert",
            ),
            (
                "https://h:1",
                "Other(OtherError(CaUsedAsEndEntity))",
                "CA:FALSE",
            ),
            (
                "https://h:1",
                "NotValidForNameContext { .. }",
                "other names",
            ),
            (
                "https://h:1",
                "certificate expired: ExpiredContext",
                "renew it",
            ),
            ("http://h:1", "connection refused", "is it running"),
        ] {
            let found = hint(server, why);
            assert!(found.contains(hinted), "{why}: {found}");
        }
    }

    #[test]
    fn no_number_is_told_to_people() {
        for &reason in CloseReason::ALL {
            let said =
                anyhow::Error::new(Error::Closed(reason)).context("the transfer was broken off");
            let said = message(&said);
            assert!(!said.contains("(4"), "{said}");
        }
    }

    #[test]
    fn whoever_is_interrupted_has_left_whichever_way_it_is_heard() {
        let (by, code) = (Side::Other, ResetCode::CANCELLED);
        for heard in [
            Error::Closed(CloseReason::PeerLeft),
            Error::Reset { by, code },
        ] {
            let said = message(&heard.clone().into());
            assert!(said.contains("left"), "{heard:?}: {said}");
        }
    }
}
