//! Exit codes: what a script can tell failures apart by. The help text lists them.

use std::process::ExitCode;

use peersox_client::{CloseReason, Error};
use serde_json::json;

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
    /// Whoever read standard output is gone.
    #[error("nobody reads standard output any more")]
    Unheard,
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Declined(_) => 4,
            Self::Unreachable(_) => 5,
            Self::Corrupt(_) => 6,
            Self::File(_) => 7,
            Self::Interrupted => 130,
            // As a program ends that the system ends by SIGPIPE.
            Self::Unheard => 141,
        }
    }
}

/// Says what went wrong, as a sentence or as the last event, and chooses the exit code.
pub(crate) fn report(result: anyhow::Result<()>, voice: Voice) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let code = code(&error);
    let quiet = [Failure::Interrupted.code(), Failure::Unheard.code()].contains(&code);
    if voice.is_json() || !quiet {
        let event = json!({"event": "error", "exit": code, "message": format!("{error:#}")});
        voice.say(&format!("peersox: {error:#}"), &event);
    }
    ExitCode::from(code)
}

/// Why standard output cannot be written to.
pub(crate) fn stdout(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::Unheard.into(),
        _ => Failure::File(format!("cannot write to standard output: {error}")).into(),
    }
}

fn code(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.code();
    }
    match error.downcast_ref::<Error>() {
        Some(Error::CodeMalformed(_) | Error::ServerUrl { .. } | Error::ProxyVariable { .. }) => 2,
        Some(Error::CodeNotFound | Error::CredentialInvalid | Error::Burnt(_)) => 3,
        Some(Error::Closed(CloseReason::PeerLeft | CloseReason::Revoked)) => 4,
        Some(Error::Tampered) => 6,
        Some(
            Error::Unreachable { .. }
            | Error::RateLimited { .. }
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
    use peersox_client::{Burnt, Cause, NoLeg, ResetCode, Side, Violation};

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
            (Error::NoLeg(no_leg), 5),
            (Error::Tampered, 6),
            (Error::Reset { by, code: reset }, 1),
            (Error::PeerRestarted, 1),
            (Error::Broken(Violation::Flood), 1),
            (Error::Gone, 1),
        ] {
            let failed = anyhow::Error::new(error.clone()).context("the transfer was broken off");
            assert_eq!(code(&failed), expected, "{error:?}");
        }
    }
}
