//! One POST over HTTP/1.1, for proxies that pass nothing newer.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyDataStream, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use super::dial::{Connector, Dialer, Speak, deepest};
use crate::AGENT;
use crate::rpc::HttpResponse;

/// Posts to one server, over connections that it keeps for a while. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http(Client<Connector, Full<Bytes>>);

impl Http {
    pub(super) fn new(dialer: Dialer, url: Url) -> Self {
        let speak = Speak::Http1;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Connector { dialer, url, speak });
        Self(client)
    }

    /// Sends a request; its answer's body streams.
    ///
    /// # Errors
    /// What became of the connection, as a sentence.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<HttpResponse, String> {
        let uri: Uri = url.parse().map_err(|_| format!("{url} is not a URI"))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let agent = HeaderValue::from_static(AGENT);
        request.headers_mut().insert(header::USER_AGENT, agent);
        let response = self.0.request(request).await;
        let (head, body) = response.map_err(|error| deepest(&error))?.into_parts();
        let body = BodyDataStream::new(body);
        Ok(HttpResponse {
            status: head.status,
            headers: head.headers,
            body: Box::pin(body.map(|bytes| bytes.map_err(|error| deepest(&error)))),
        })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// Shorter than proxies keep an idle connection, or a call could meet its end.
const IDLE: Duration = Duration::from_secs(20);
