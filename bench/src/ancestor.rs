//! PeerSox 0.3, the ancestor (npm `peersox`), loaded in the same way.
//!
//! ```text
//!   pairings                       setups: also, for each of the two
//!   one GET  /api/code/get         GET /api/token/get
//!   two POST /api/code/validate    WebSocket /ws with the token, client.register, HANDSHAKE_SUCCESS;
//!                                  the second one waits for peer.connected
//! ```

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::args::Transport;
use crate::couple::{Couple, MESSAGE};
use crate::dial::dial;
use crate::failure::{At as _, Failure};
use crate::leg::{WebSocket, websocket};

/// Two devices of the ancestor.
pub(crate) struct Ancestors {
    one: Ancestor,
    two: Ancestor,
}

/// An HTTP/1.1 connection that is kept.
struct Ancestor {
    uri: Uri,
    calls: SendRequest<Full<Bytes>>,
}

impl Couple for Ancestors {
    type Session = (WebSocket, WebSocket);

    async fn connect(one: &Uri, two: &Uri) -> Result<Self, Failure> {
        Ok(Self {
            one: Ancestor::connect(one).await?,
            two: Ancestor::connect(two).await?,
        })
    }

    async fn pair(&mut self) -> Result<(), Failure> {
        let pairing = self.one.create().await?;
        self.two.join(&pairing).await?;
        Ok(())
    }

    async fn set_up(&mut self, transport: Transport) -> Result<Self::Session, Failure> {
        if transport != Transport::Ws {
            return Err(Failure::new("leg", "PeerSox 0.3 has WebSockets only"));
        }
        let pairing = self.one.create().await?;
        let mut one = self.one.attach(&pairing).await?;
        let pairing = self.two.join(&pairing).await?;
        let mut two = self.two.attach(&pairing).await?;
        hears(&mut two, "peer.connected").await?;
        let message = Message::Binary(Bytes::from_static(&MESSAGE));
        two.send(message).await.at("leg")?;
        loop {
            match one.next().await {
                Some(Ok(Message::Binary(_))) => return Ok((one, two)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::new("leg", error)),
                None => return Err(Failure::new("leg", "ended")),
            }
        }
    }

    async fn part(&mut self, (mut one, mut two): Self::Session) {
        let close = async |socket: &mut WebSocket| {
            let _ = socket.send(Message::Close(None)).await;
            while let Some(Ok(_)) = socket.next().await {}
        };
        tokio::join!(close(&mut one), close(&mut two));
    }

    /// It has no call for that: what it keeps expires.
    async fn take_back(&mut self) -> Result<bool, Failure> {
        Ok(false)
    }
}

impl Ancestor {
    async fn connect(uri: &Uri) -> Result<Self, Failure> {
        let stream = dial(uri, b"http/1.1").await.at("connect")?;
        let (calls, driver) = handshake(TokioIo::new(stream)).await.at("connect")?;
        // It ends with the connection, and that ends when nobody holds its sender.
        tokio::spawn(driver);
        let uri = uri.clone();
        Ok(Self { uri, calls })
    }

    async fn create(&mut self) -> Result<Value, Failure> {
        self.call(Method::GET, "/api/code/get", "").await
    }

    async fn join(&mut self, pairing: &Value) -> Result<Value, Failure> {
        let code = json!({"code": pairing["code"]}).to_string();
        self.call(Method::POST, "/api/code/validate", &code).await
    }

    async fn attach(&mut self, pairing: &Value) -> Result<WebSocket, Failure> {
        let token = self.call(Method::GET, "/api/token/get", "").await?;
        let token = token["token"].as_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |it| it.as_str());
        let uri = format!("ws://{authority}/ws").parse().at("WebSocket")?;
        let mut socket = websocket(&uri, Some(token)).await?;
        let register = json!({"name": "client.register", "data": pairing});
        let register = Message::Text(format!("§{register}").into());
        socket.send(register).await.at("leg")?;
        hears(&mut socket, "HANDSHAKE_SUCCESS").await?;
        Ok(socket)
    }

    async fn call(&mut self, method: Method, path: &str, body: &str) -> Result<Value, Failure> {
        if self.calls.is_closed() {
            *self = Self::connect(&self.uri).await?;
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.uri.authority().map_or("", |it| it.as_str()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_owned()))
            .at(path)?;
        self.calls.ready().await.at(path)?;
        let response = self.calls.send_request(request).await.at(path)?;
        if !response.status().is_success() {
            return Err(Failure::new(path, response.status()));
        }
        let body = response.into_body().collect().await.at(path)?.to_bytes();
        serde_json::from_slice(&body).at(path)
    }
}

/// Reads until a message says this.
async fn hears(socket: &mut WebSocket, word: &str) -> Result<(), Failure> {
    loop {
        match socket.next().await {
            Some(Ok(message)) if message.to_text().is_ok_and(|it| it.contains(word)) => {
                return Ok(());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Failure::new("leg", error)),
            None => return Err(Failure::new(word, "ended")),
        }
    }
}
