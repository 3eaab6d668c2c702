//! Requests of the server itself: to authorities, to issuers of tokens, to who wants to know of pairings. One
//! connection each, HTTP/1.1, over TLS unless the URL says `http`.
//!
//! There are some ten requests for a certificate, once in weeks, and few others: no pool, no HTTP/2 and no
//! proxy is worth its code here. Redirects are not followed.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Speaks to servers that the roots of this machine, or those given, vouch for.
#[derive(Clone)]
pub(crate) struct Https(TlsConnector);

impl Https {
    /// Trusts the authorities in this PEM beside those of the machine.
    ///
    /// # Errors
    /// [`NoRoots`] if there is none in it.
    pub(crate) fn new(roots: Option<&[u8]>) -> Result<Self, NoRoots> {
        let mut trusted = RootCertStore::empty();
        trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = roots {
            let given = CertificateDer::pem_slice_iter(pem).flatten();
            if trusted.add_parsable_certificates(given).0 == 0 {
                return Err(NoRoots);
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

    /// Sends a request and reads the whole answer, of 1 MiB at most, within this time.
    ///
    /// # Errors
    /// [`Failed`] if the server is not reached or does not answer so.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        patience: Duration,
    ) -> Result<Response<Bytes>, Failed> {
        let authority = request.uri().authority().cloned();
        let secure = match (request.uri().scheme_str(), &authority) {
            (Some("https"), Some(_)) => true,
            (Some("http"), Some(_)) => false,
            _ => {
                return Err(Failed(
                    "a URL has to begin with https:// and a host".to_owned(),
                ));
            }
        };
        let authority = authority.ok_or_else(|| Failed("the URL has no host".to_owned()))?;
        let answered = timeout(patience, self.exchange(request, &authority, secure)).await;
        let answered = answered.unwrap_or_else(|_| Err("it does not answer in time".to_owned()));
        answered.map_err(|why| Failed(format!("cannot reach {authority}: {why}")))
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        authority: &Authority,
        secure: bool,
    ) -> Result<Response<Bytes>, String> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned();
        head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        let host = HeaderValue::try_from(authority.as_str());
        head.headers
            .insert(header::HOST, host.map_err(|error| error.to_string())?);
        let request = Request::from_parts(head, Full::new(body));
        let connecting = timeout(CONNECTING, self.connect(authority, secure)).await;
        let stream = connecting.unwrap_or_else(|_| Err("it does not answer".to_owned()))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| deepest(&error))?;
        let asking = async move {
            let response = sender.send_request(request).await;
            let (head, body) = response.map_err(|error| deepest(&error))?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        // The connection ends with the sender.
        let (answer, _) = tokio::join!(asking, connection);
        answer
    }

    async fn connect(&self, authority: &Authority, secure: bool) -> Result<Stream, String> {
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = authority
            .port_u16()
            .unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await;
        let tcp = tcp.map_err(|error| error.to_string())?;
        if !secure {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let tls = self.0.connect(name, tcp).await;
        Ok(Box::new(tls.map_err(|error| error.to_string())?))
    }
}

/// A connection, with TLS or without.
type Stream = Box<dyn Bidirectional>;

trait Bidirectional: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bidirectional for T {}

/// What says why a library has failed.
fn deepest(error: &hyper::Error) -> String {
    let source = error.source();
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

/// The server was not reached, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(String);

/// What should be certificate authorities holds none.
#[derive(Debug)]
pub(crate) struct NoRoots;

const CONNECTING: Duration = Duration::from_secs(15);
/// Of a body: chains of certificates and sets of keys have some kilobytes.
const LONGEST: usize = 1024 * 1024;
