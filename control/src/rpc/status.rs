//! What goes wrong, as gRPC says it.
//!
//! Every status of ours carries `google.rpc.ErrorInfo` with the domain `peersox` and a reason that
//! never changes its meaning. `docs/protocol.md` lists them.

use std::collections::HashMap;
use std::time::Duration;

use peersox_core::code::Malformed;
use peersox_core::pairing::{NotALabel, Reject};
use peersox_core::time::Timestamp;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::access::Refusal;
use crate::accounts::Over;
use crate::directory::BadAuthority;
use crate::execute::Failure;
use crate::ledger::Unpaid;
use crate::store::StoreError;

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reject(reject) => rejected(reject),
            Failure::NoNameplate => exhausted(
                "NAMEPLATES_EXHAUSTED",
                "no code is free at the moment",
                Duration::from_secs(5),
            ),
            Failure::Full => exhausted(
                "PAIRINGS_EXHAUSTED",
                "there is no room for another pairing at the moment",
                Duration::from_secs(30),
            ),
            Failure::Contended => unavailable("too many changes of one pairing at once"),
            Failure::Store(error) => store(&error),
        }
    }
}

pub(crate) fn rejected(reject: Reject) -> Status {
    let (code, reason) = match reject {
        Reject::Unconfirmed => return unconfirmed(ASK_AGAIN),
        Reject::NotInitiator => (Code::PermissionDenied, "NOT_INITIATOR"),
        Reject::NobodyAsked => (Code::FailedPrecondition, "NOBODY_ASKED"),
        Reject::CodeNotFound => (Code::NotFound, "CODE_NOT_FOUND"),
        Reject::CredentialInvalid => (Code::Unauthenticated, "CREDENTIAL_INVALID"),
    };
    Status::with_error_details(code, reject.to_string(), info(reason))
}

pub(crate) fn malformed(malformed: Malformed) -> Status {
    let mut details = info("CODE_MALFORMED");
    details.add_bad_request_violation("nameplate", malformed.to_string());
    Status::with_error_details(Code::InvalidArgument, malformed.to_string(), details)
}

/// The joiner has to be let in. It calls again after this time.
pub(crate) fn unconfirmed(wait: Duration) -> Status {
    let mut details = info("UNCONFIRMED");
    details.set_retry_info(Some(wait));
    let message = Reject::Unconfirmed.to_string();
    Status::with_error_details(Code::Unavailable, message, details)
}

/// How soon a joiner calls again whose call was kept for a while.
const ASK_AGAIN: Duration = Duration::from_millis(500);

pub(crate) fn not_let_in() -> Status {
    let message = "the other device did not let this one in";
    Status::with_error_details(Code::PermissionDenied, message, info("NOT_LET_IN"))
}

pub(crate) fn bad_label(bad: NotALabel) -> Status {
    let mut details = info("LABEL_INVALID");
    details.add_bad_request_violation("label", bad.to_string());
    Status::with_error_details(Code::InvalidArgument, bad.to_string(), details)
}

pub(crate) fn bad_authority(bad: BadAuthority) -> Status {
    let details = info("AUTHORITY_INVALID");
    Status::with_error_details(Code::InvalidArgument, bad.to_string(), details)
}

pub(crate) fn rate_limited(wait: Duration) -> Status {
    limited("too many attempts; wait before the next", wait)
}

pub(crate) fn unpaid(unpaid: &Unpaid) -> Status {
    match unpaid {
        Unpaid::Spent(wait) => rate_limited(*wait),
        Unpaid::Store(error) => store(error),
    }
}

pub(crate) fn busy() -> Status {
    let message = "too many calls are being answered; call again";
    limited(message, Duration::from_secs(1))
}

fn limited(message: &str, wait: Duration) -> Status {
    exhausted("RATE_LIMITED", message, wait)
}

pub(crate) fn too_many_watches() -> Status {
    exhausted(
        "WATCHES_EXHAUSTED",
        "too many watches are open; close one, or wait",
        Duration::from_secs(5),
    )
}

pub(crate) fn draining() -> Status {
    let mut details = info("DRAINING");
    details.set_retry_info(Some(Duration::from_secs(1)));
    let message = "this server is stopping; call again";
    Status::with_error_details(Code::Unavailable, message, details)
}

/// No relay can be named yet, or none is there.
pub(crate) fn no_relay() -> Status {
    let mut details = info("RELAY_UNAVAILABLE");
    // A relay is gone after a second: the third call finds another one.
    details.set_retry_info(Some(Duration::from_millis(500)));
    let message = "no relay can be named at the moment; call again";
    Status::with_error_details(Code::Unavailable, message, details)
}

pub(crate) fn token_invalid() -> Status {
    let message = "the token of this relay is not that of control; give both the same file";
    Status::with_error_details(Code::Unauthenticated, message, info("TOKEN_INVALID"))
}

/// The caller may not create pairings. What it has to show is in the details: `scheme` and `wants`.
pub(crate) fn may_not_create(refusal: &Refusal, wants: Option<&str>) -> Status {
    let reason = match refusal {
        Refusal::Missing(_) => "AUTH_REQUIRED",
        Refusal::UnknownKey | Refusal::Token(_) => "AUTH_INVALID",
        Refusal::KeysAway => {
            let mut details = info("AUTH_UNAVAILABLE");
            details.set_retry_info(Some(Duration::from_secs(5)));
            return Status::with_error_details(Code::Unavailable, refusal.to_string(), details);
        }
    };
    let scheme = ("scheme".to_owned(), "Bearer".to_owned());
    let wants = wants.map(|wants| ("wants".to_owned(), wants.to_owned()));
    let metadata: HashMap<_, _> = [Some(scheme), wants].into_iter().flatten().collect();
    let details = ErrorDetails::with_error_info(reason, "peersox", metadata);
    Status::with_error_details(Code::Unauthenticated, refusal.to_string(), details)
}

/// The account of a pairing has as much as it may have. Which quota that is, is in the details: `quota`.
pub(crate) fn over_quota(over: Over, now: Timestamp) -> Status {
    let message = match over {
        Over::Pairings => "this account has as many pairings as it may; delete one, or wait",
        Over::Sessions => "this account has as many sessions as it may; end one, or wait",
        Over::Bytes => "this account has used the bytes that it may use in a day of UTC",
    };
    let quota = ("quota".to_owned(), over.as_str().to_owned());
    let mut details =
        ErrorDetails::with_error_info("QUOTA_EXHAUSTED", "peersox", HashMap::from([quota]));
    details.set_retry_info(Some(over.wait(now)));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

pub(crate) fn hello_invalid(why: &str) -> Status {
    Status::with_error_details(Code::InvalidArgument, why, info("RELAY_HELLO_INVALID"))
}

pub(crate) fn relay_replaced() -> Status {
    let message = "another stream announces this relay; give each relay a name of its own";
    Status::with_error_details(Code::Aborted, message, info("RELAY_REPLACED"))
}

/// What is wrong with the store is for our log, not for peers.
pub(crate) fn store(error: &StoreError) -> Status {
    tracing::error!(%error, "the store failed");
    unavailable("the pairings cannot be reached at the moment")
}

fn unavailable(message: &str) -> Status {
    let mut details = info("STORE_UNAVAILABLE");
    details.set_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(Code::Unavailable, message, details)
}

fn exhausted(reason: &str, message: &str, wait: Duration) -> Status {
    // Longer waits than a day are not what anybody plans with, and do not fit the message type.
    let wait = wait.min(Duration::from_secs(24 * 60 * 60));
    let mut details = info(reason);
    details.set_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

fn info(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, "peersox", HashMap::new())
}
