//! Requests to an authority: one connection each, HTTP/1.1 over TLS.
//!
//! There are some ten requests for a certificate, once in weeks: no pool, no HTTP/2 and no proxy is worth its
//! code here.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::config::AcmeError;

/// Speaks to authorities that the roots of this machine, or those given, vouch for.
#[derive(Clone)]
pub(super) struct Https(TlsConnector);

impl Https {
    pub(super) fn new(roots: Option<&[u8]>) -> Result<Self, AcmeError> {
        let mut trusted = RootCertStore::empty();
        trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = roots {
            let given = CertificateDer::pem_slice_iter(pem).flatten();
            if trusted.add_parsable_certificates(given).0 == 0 {
                return Err(AcmeError::Roots);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default protocol versions")
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failed> {
        let (mut head, body) = request.into_parts();
        let authority = head.uri.authority().cloned();
        let authority = authority.filter(|_| head.uri.scheme_str() == Some("https"));
        let authority =
            authority.ok_or_else(|| Failed(format!("{} is no URL of HTTPS", head.uri)))?;
        let at = |why: String| Failed(format!("cannot reach {authority}: {why}"));
        let path = head.uri.path_and_query().cloned();
        head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        let host = HeaderValue::try_from(authority.as_str());
        head.headers
            .insert(header::HOST, host.map_err(|error| at(error.to_string()))?);
        let Ok(body) = body.collect().await;
        let request = Request::from_parts(head, Full::new(body.to_bytes()));

        let connecting = timeout(CONNECTING, self.connect(&authority)).await;
        let connected = connecting.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        let stream = TokioIo::new(connected.map_err(at)?);
        let (mut sender, connection) = http1::handshake(stream)
            .await
            .map_err(|error| at(deepest(&error)))?;
        let asking = async move {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| deepest(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(http::Response::from_parts(head, Full::new(body)).into())
        };
        // The connection ends with the sender.
        let (answer, _) = tokio::join!(asking, connection);
        answer.map_err(at)
    }

    async fn connect(
        &self,
        authority: &Authority,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let tcp = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await;
        let connected = match tcp {
            Ok(tcp) => self.0.connect(name, tcp).await,
            Err(error) => Err(error),
        };
        connected.map_err(|error| error.to_string())
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let exchange = self.clone().exchange(request);
        Box::pin(async {
            let answered = timeout(ANSWERING, exchange).await;
            let answered = answered.unwrap_or_else(|_| {
                Err(Failed("the authority does not answer in time".to_owned()))
            });
            answered.map_err(|failed| Error::Other(failed.into()))
        })
    }
}

/// What says why a library has failed.
fn deepest(error: &hyper::Error) -> String {
    let source = error.source();
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

/// The authority was not reached, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

const CONNECTING: Duration = Duration::from_secs(15);
const ANSWERING: Duration = Duration::from_secs(60);
/// Of a body: chains of certificates have some kilobytes.
const LONGEST: usize = 1024 * 1024;
