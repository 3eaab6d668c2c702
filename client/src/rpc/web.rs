//! Calls by gRPC-Web, over the platform's HTTP.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use peersox_core::trace::TraceContext;
use prost::Message as _;

use super::grpc_web::{self, Decoder, Piece};
use super::{Boxed, HttpResponse, Messages, Method, Status, path};
use crate::platform::{self, Http};

/// The calls of one server by gRPC-Web. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    http: Http,
    /// The server's address without a slash at its end.
    base: String,
    /// See [`trace_headers`].
    trace: HeaderMap,
}

impl Web {
    /// Calls the server at `base`, as in `https://host/path`.
    pub(crate) fn new(http: Http, base: &str) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self {
            http,
            base,
            trace: HeaderMap::new(),
        }
    }

    /// Says with each call which trace it belongs to.
    pub(crate) fn in_trace(&mut self, trace: &TraceContext) {
        self.trace = trace_headers(trace);
    }

    /// What each call says of its trace.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) const fn trace(&self) -> &HeaderMap {
        &self.trace
    }

    /// Calls a method that answers one message, within [`UNARY_TIMEOUT`].
    ///
    /// # Errors
    /// The status of the server, or of the way to it.
    pub(crate) async fn unary<M: Method>(&self, request: M) -> Result<M::Response, Status> {
        self.unary_as(request, None).await
    }

    /// The same by somebody who shows this in `authorization`.
    ///
    /// # Errors
    /// As [`Web::unary`].
    pub(crate) async fn unary_as<M: Method>(
        &self,
        request: M,
        who: Option<&HeaderValue>,
    ) -> Result<M::Response, Status> {
        let call = async {
            let response = self.post(&request, Some(UNARY_TIMEOUT), who).await?;
            let mut messages = read::<M>(response)?;
            let first = messages.next().await;
            // To the end: the status may say that the message does not count.
            while let Some(more) = messages.next().await {
                more?;
            }
            first.unwrap_or_else(|| Err(Status::unavailable("the answer is empty")))
        };
        let answered = platform::timeout(UNARY_TIMEOUT, call).await;
        answered.unwrap_or_else(|| Err(Status::late(UNARY_TIMEOUT)))
    }

    /// Calls a method that streams.
    ///
    /// A proxy in between may keep what the server sends until there is more of it. Then the stream is
    /// handed out after [`HEAD_TIMEOUT`], and an error of the call is its first item.
    ///
    /// # Errors
    /// The status of the server, or of the way to it.
    pub(crate) async fn stream<M: Method>(
        &self,
        request: M,
    ) -> Result<Messages<M::Response>, Status> {
        let web = self.clone();
        let mut call =
            Box::pin(async move { web.post(&request, None, None).await.and_then(read::<M>) });
        match platform::timeout(HEAD_TIMEOUT, &mut call).await {
            Some(messages) => messages,
            None => Ok(Box::pin(stream::once(call).flat_map(
                |messages| match messages {
                    Ok(messages) => messages,
                    Err(status) => Box::pin(stream::iter([Err(status)])),
                },
            ))),
        }
    }

    async fn post<M: Method>(
        &self,
        request: &M,
        deadline: Option<Duration>,
        who: Option<&HeaderValue>,
    ) -> Result<HttpResponse, Status> {
        let mut headers = self.trace.clone();
        if let Some(who) = who {
            headers.insert(header::AUTHORIZATION, who.clone());
        }
        let kind = HeaderValue::from_static(grpc_web::CONTENT_TYPE);
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert("x-grpc-web", HeaderValue::from_static("1"));
        if let Some(deadline) = deadline {
            let deadline = HeaderValue::try_from(format!("{}S", deadline.as_secs()));
            headers.extend(deadline.ok().map(|it| (GRPC_TIMEOUT, it)));
        }
        let url = format!("{}{}", self.base, path::<M>());
        let body = grpc_web::encode(&request.encode_to_vec());
        let sent = self.http.post(&url, headers, body).await;
        sent.map_err(Status::unavailable)
    }
}

/// The messages of an answer.
fn read<M: Method>(response: HttpResponse) -> Result<Messages<M::Response>, Status> {
    let (status, headers) = (response.status, &response.headers);
    if !grpc_web::judge(status, headers, "application/grpc-web")? {
        return Ok(Box::pin(stream::empty()));
    }
    let reading = Reading {
        decoder: Decoder::default(),
        body: response.body,
    };
    let messages = stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(message)) => {
                let decoded = M::Response::decode(message);
                let decoded = decoded.map_err(|error| Status::unavailable(error.to_string()));
                Some((decoded, Some(reading)))
            }
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    });
    Ok(Box::pin(messages))
}

/// An answer that is being read.
struct Reading {
    decoder: Decoder,
    body: Boxed<Result<Bytes, String>>,
}

impl Reading {
    /// The next encoded message; nothing after the last one of a successful call.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            match self.decoder.next()? {
                Some(Piece::Message(message)) => return Ok(Some(message)),
                Some(Piece::End(status)) if status.code == super::Code::Ok => return Ok(None),
                Some(Piece::End(status)) => return Err(status),
                None => {}
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.decoder.push(&bytes),
                Some(Err(why)) => return Err(Status::unavailable(why)),
                None => return Err(Status::unavailable("the answer broke off")),
            }
        }
    }
}

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Long enough for a slow mobile network, short enough that a person does not give up first.
pub(crate) const UNARY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the head of a stream is waited for. The server sends the first message at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// `traceparent` and `tracestate`, <https://www.w3.org/TR/trace-context/>.
fn trace_headers(trace: &TraceContext) -> HeaderMap {
    let state = Some(trace.state()).filter(|state| !state.is_empty());
    let texts = [("traceparent", Some(trace.parent())), ("tracestate", state)];
    let headers = texts.into_iter().filter_map(|(name, text)| {
        let value = HeaderValue::from_str(text?).ok()?;
        Some((HeaderName::from_static(name), value))
    });
    headers.collect()
}
