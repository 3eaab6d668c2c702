//! Connections over TCP, with TLS where the address says so.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use http::Uri;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection, encrypted or not.
pub(crate) type Stream = Pin<Box<dyn Duplex>>;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// Connects to the host of an address.
pub(crate) async fn dial(uri: &Uri, alpn: &[u8]) -> io::Result<Stream> {
    let stream = TcpStream::connect(address(uri).await?).await?;
    stream.set_nodelay(true)?;
    if !matches!(uri.scheme_str(), Some("https" | "wss")) {
        return Ok(Box::pin(stream));
    }
    let mut config = tls();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from(host(uri)?).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::pin(connector.connect(name, stream).await?))
}

/// The first address of a host, and its port or that of the scheme.
pub(crate) async fn address(uri: &Uri) -> io::Result<SocketAddr> {
    let default = match uri.scheme_str() {
        Some("https" | "wss") => 443,
        _ => 80,
    };
    let port = uri.port_u16().unwrap_or(default);
    let mut found = tokio::net::lookup_host((host(uri)?, port)).await?;
    found
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))
}

/// The host as resolvers and certificates write it: an IPv6 address without brackets.
pub(crate) fn host(uri: &Uri) -> io::Result<String> {
    let host = uri
        .host()
        .ok_or_else(|| io::Error::other("the address names no host"))?;
    Ok(host.trim_matches(['[', ']']).to_owned())
}

/// TLS that meets each server for the first time, as a device does that pairs. The cheapest cipher comes
/// first, as in browsers: it hides least of what a relay itself costs.
pub(crate) fn tls() -> ClientConfig {
    static CONFIG: LazyLock<ClientConfig> = LazyLock::new(|| {
        let mut provider = ring::default_provider();
        let ciphers = &mut provider.cipher_suites;
        ciphers.sort_by_key(|it| it.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let provider = Arc::new(provider);
        let anybody = Arc::new(Anybody(provider.clone()));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions")
            .dangerous()
            .with_custom_certificate_verifier(anybody)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    });
    CONFIG.clone()
}

/// Takes any certificate, so that a deployment can be measured that has none from an authority. All that is
/// sent to it is made up for this purpose.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
