//! Which requests are calls at all: not those that a browser sends for a page of another origin.
//!
//! A browser asks first (CORS) before it lets a page send `application/grpc-web`. It does not ask before a
//! page sends `text/plain` or a form, and the page needs no reply to do harm: to spend the visitor's budgets,
//! or to join a code that waits. So a call has to say that it is one, and who sends it must not be a page of
//! an origin that the operator does not list.

use std::sync::{Arc, Mutex};

use ::http::header::{ALLOW, CONTENT_TYPE, HeaderName, ORIGIN};
use ::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::body::Body;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use peersox_core::origin::{Allowed, Refused};
use tracing::info;

use super::asked;

/// Judges requests by what browsers say about the page that sends them.
pub(super) struct Gate {
    allowed: Allowed,
    refused: Mutex<Refused>,
}

impl Gate {
    pub(super) fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            refused: Mutex::default(),
        }
    }

    /// Judges the value of an `Origin` header. Browsers send one for pages of the server itself, too; `own`
    /// is what the request calls the server.
    pub(super) fn permits(&self, value: &HeaderValue, own: Option<&str>) -> bool {
        let own = own.and_then(|own| own.parse().ok());
        let Some(origin) = value.to_str().ok().and_then(|text| text.parse().ok()) else {
            return false;
        };
        let permitted = self.allowed.permits(&origin, own.as_ref());
        let mut refused = self.refused.lock();
        if !permitted && refused.as_mut().is_ok_and(|it| it.is_news(&origin)) {
            info!(%origin, "pages of this origin may not call; it is not on the list");
        }
        permitted
    }

    /// Whether a page may have sent this that may not call. Programs that are not browsers send neither
    /// header.
    fn is_foreign(&self, headers: &HeaderMap, own: Option<&str>) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_some() {
            return !origins.all(|origin| self.permits(origin, own));
        }
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
    }

    fn judge(&self, request: &Request<Body>) -> Result<(), Refusal> {
        let headers = request.headers();
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        if self.is_foreign(headers, asked(request.uri(), headers)) {
            return Err(Refusal::Foreign);
        }
        let mut types = headers.get_all(CONTENT_TYPE).iter().peekable();
        if types.peek().is_none() || !types.all(is_grpc) {
            return Err(Refusal::ContentType);
        }
        Ok(())
    }
}

/// Lets calls pass and answers everything else.
pub(super) async fn admit(request: Request<Body>, next: Next, gate: Arc<Gate>) -> Response {
    match gate.judge(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.answer(),
    }
}

/// `application/grpc`, `application/grpc+proto`, `application/grpc-web`, …
fn is_grpc(value: &HeaderValue) -> bool {
    let grpc = value.as_bytes().split_at_checked(GRPC.len());
    grpc.is_some_and(|(head, rest)| {
        head.eq_ignore_ascii_case(GRPC)
            && matches!(rest.first(), None | Some(b'+' | b'-' | b';' | b' '))
    })
}

/// Why a request is no call. Its text is for the person who wrote the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("calls are made by POST")]
    Method,
    #[error("pages of this origin may not call; the operator lists origins with --allow-origin")]
    Foreign,
    #[error(
        "calls are gRPC or gRPC-Web; send them with a content type of application/grpc or -web"
    )]
    ContentType,
}

impl Refusal {
    fn answer(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], text).into_response()
            }
            Self::Foreign => (StatusCode::FORBIDDEN, text).into_response(),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response(),
        }
    }
}

const GRPC: &[u8] = b"application/grpc";
/// Fetch Metadata (W3C): how the page that makes a browser send a request is related to the server.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
