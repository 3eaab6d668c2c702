//! What `instant-acme` asks for: requests to an authority, by the server's own client.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::https::Https;

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = Request::from_parts(head, body.to_bytes());
            let answered = client.send(request, ANSWERING).await;
            let answered = answered.map_err(|failed| Error::Other(failed.into()))?;
            Ok(answered.map(Full::new).into())
        })
    }
}

const ANSWERING: Duration = Duration::from_secs(60);
