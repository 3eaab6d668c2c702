//! One POST, by `fetch`.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use peersox_web::http::{Response, post};

use crate::rpc::{Boxed, HttpResponse};

/// Posts requests. The browser keeps its connections.
#[derive(Clone, Debug)]
pub(crate) struct Http;

impl Http {
    /// Sends a request; its answer's body streams.
    ///
    /// # Errors
    /// What the browser says, as a sentence.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<HttpResponse, String> {
        let fields = headers.iter();
        let fields = fields.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let fields: Vec<_> = fields.collect();
        let answer = post(url, &fields, &body).await;
        let answer = answer.map_err(|failure| failure.to_string())?;
        let status = StatusCode::from_u16(answer.status);
        Ok(HttpResponse {
            status: status.map_err(|error| error.to_string())?,
            headers: READ
                .into_iter()
                .filter_map(|it| field(&answer, it))
                .collect(),
            body: read(answer),
        })
    }
}

fn field(answer: &Response, name: HeaderName) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(answer.header(name.as_str())?).ok()?;
    Some((name, value))
}

fn read(answer: Response) -> Boxed<Result<Bytes, String>> {
    Box::pin(stream::unfold(Some(answer), |answer| async {
        let mut answer = answer?;
        match answer.chunk().await {
            Ok(bytes) => Some((Ok(bytes?), Some(answer))),
            Err(failure) => Some((Err(failure.to_string()), None)),
        }
    }))
}

/// The headers that callers read. A browser has no list of those that came.
const READ: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];
