//! A leg within a session of WebTransport, by another implementation than the relay's.

use std::sync::Arc;

use bytes::Bytes;
use url::Url;
use web_transport_quinn::proto::ConnectRequest;
use web_transport_quinn::{
    ClientError, RecvStream, SendStream, Session, SessionError, WebTransportError,
};

use super::{Server, next, prefixed, quic_client_of};

impl Server {
    /// A session of WebTransport that was asked for with these headers.
    pub async fn webtransport(
        &self,
        path: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Session, ClientError> {
        let transport = quinn::TransportConfig::default();
        self.webtransport_by(transport, path, headers).await
    }

    /// The same by a client of these transport parameters.
    pub async fn webtransport_by(
        &self,
        transport: quinn::TransportConfig,
        path: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Session, ClientError> {
        let mut config = quic_client_of(&self.cert, b"h3");
        config.transport_config(Arc::new(transport));
        let connecting = self.client.connect_with(config, self.udp, "localhost");
        let url = format!("https://localhost:{}{path}", self.udp.port());
        let mut request = ConnectRequest::new(url.parse::<Url>().unwrap());
        for (name, value) in headers {
            let value = http::HeaderValue::from_static(value);
            request = request.with_header(http::HeaderName::from_static(name), value);
        }
        Session::connect(connecting.unwrap().await?, request).await
    }
}

/// A session, and the stream of the leg.
pub struct Within {
    pub session: Session,
    send: SendStream,
    recv: RecvStream,
}

impl Within {
    pub async fn begin(session: Session) -> Self {
        let (send, recv) = session.open_bi().await.unwrap();
        Self {
            session,
            send,
            recv,
        }
    }

    pub async fn say(&mut self, frame: Bytes) {
        // A relay that hangs up in mid-write is what some tests are about.
        let _ = self.send.write_all_chunks(&mut prefixed(frame)).await;
    }

    /// The next frame, or the number that the session ended with; zero if without one.
    pub async fn hear(&mut self) -> Result<Bytes, u16> {
        let Self { session, recv, .. } = self;
        match next(session.read_datagram(), recv).await {
            Some(bytes) => Ok(bytes),
            None => Err(code(&session.closed().await)),
        }
    }

    pub async fn hang_up(&mut self, number: u16) {
        self.send.finish().unwrap();
        self.send.stopped().await.unwrap();
        self.session.close(number.into(), b"");
        self.session.closed().await;
    }
}

/// With what a session of WebTransport ended; zero if without a number.
fn code(error: &SessionError) -> u16 {
    match error {
        SessionError::WebTransportError(WebTransportError::Closed(code, _)) => {
            u16::try_from(*code).unwrap()
        }
        _ => 0,
    }
}
